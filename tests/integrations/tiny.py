"""Models, tokenizers and data small enough to train in a second, made here: nothing is fetched."""

from typing import Any

import torch

#: torch's own counter has no rule for the CPU's fused attention; matrix products it counts exactly.
PLAIN = {"attn_implementation": "eager"}


def llama(**changes: Any) -> Any:
    """Make a decoder of two layers."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, **PLAIN,
    }  # fmt: skip
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**(sizes | changes)))


def text(samples: int, length: int = 16) -> list[dict[str, torch.Tensor]]:
    """Make sequences of equal length."""
    made = torch.Generator().manual_seed(0)
    rows = torch.randint(3, 64, (samples, length), generator=made)
    return [{"input_ids": row, "labels": row} for row in rows]


def tokenizer() -> Any:
    """Make a tokenizer of 64 words by hand."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<s>", "</s>", "<unk>", *(f"w{n}" for n in range(60))]
    made = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )
