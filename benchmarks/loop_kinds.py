"""Small models of many kinds, each with a training step, for the loop's benchmark and its tests.

``exact`` says whether torch's own counter is exact for the kind's real step on a CPU. Where it is
not (a known fault of the counter), the reference is ``flopcount.count``, and the reason is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

B, S = 2, 16
SMALL = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}


@dataclass(frozen=True, kw_only=True)
class LoopKind:
    """A model, what it is called with, and how its loss is made."""

    make: Callable[[], tuple[Any, Callable[[int], tuple[tuple[Any, ...], dict[str, Any]]]]]
    exact: bool = True
    why: str = ""


def loss_of(out: Any) -> Any:
    """The output's own loss, else a sum of squares."""
    loss = getattr(out, "loss", None)
    return out.square().mean() if loss is None else loss


def ids(vocabulary: int = 64, length: int = S) -> Any:
    return torch.randint(1, vocabulary, (B, length))


def gpt() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_layer=2, n_embd=32, n_head=2, vocab_size=64, n_positions=64, **SMALL)
    config._attn_implementation = "eager"
    return GPT2LMHeadModel(config), lambda _: ((), labelled(ids()))


def labelled(tokens: Any) -> dict[str, Any]:
    return {"input_ids": tokens, "labels": tokens}


def bert() -> Any:
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        num_hidden_layers=2, hidden_size=32, num_attention_heads=2, intermediate_size=64,
        vocab_size=64, max_position_embeddings=64, attn_implementation="eager",
    )  # fmt: skip
    return BertForMaskedLM(config), lambda _: ((), labelled(ids()))


def t5() -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        num_layers=2, d_model=32, num_heads=2, d_kv=16, d_ff=64, vocab_size=64,
        decoder_start_token_id=0, pad_token_id=0,
    )  # fmt: skip
    return T5ForConditionalGeneration(config), lambda _: (
        (),
        {"input_ids": ids(), "labels": ids(length=8)},
    )


def vit() -> Any:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        num_hidden_layers=2, hidden_size=32, num_attention_heads=2, intermediate_size=64,
        image_size=32, patch_size=8, num_labels=10, attn_implementation="eager",
    )  # fmt: skip
    return ViTForImageClassification(config), lambda _: (
        (),
        {"pixel_values": torch.randn(B, 3, 32, 32), "labels": torch.randint(0, 10, (B,))},
    )


def whisper() -> Any:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = WhisperConfig(
        encoder_layers=1, decoder_layers=1, d_model=32, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, vocab_size=64,
        num_mel_bins=8, max_source_positions=16, max_target_positions=16,
        decoder_start_token_id=0, begin_suppress_tokens=None, attn_implementation="eager", **SMALL,
    )  # fmt: skip
    return WhisperForConditionalGeneration(config), lambda _: (
        (),
        {"input_features": torch.randn(B, 8, 32), "labels": ids(length=8)},
    )


def mixture() -> Any:
    from transformers import MixtralConfig, MixtralForCausalLM

    config = MixtralConfig(
        num_hidden_layers=2, hidden_size=32, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=64, vocab_size=64, num_local_experts=4, num_experts_per_tok=2,
        max_position_embeddings=64, attn_implementation="eager", experts_implementation="eager",
        **SMALL,
    )  # fmt: skip
    return MixtralForCausalLM(config), lambda _: ((), {**labelled(ids()), "use_cache": False})


class UNet(nn.Module):
    """Down, middle and up, with a skip and a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 8, 3, padding=1)
        self.down = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.middle = nn.Sequential(nn.GroupNorm(4, 16), nn.SiLU(), nn.Conv2d(16, 16, 1))
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.leave = nn.Conv2d(16, 3, 3, padding=1)

    def forward(self, x: Any) -> Any:
        first = self.enter(x)
        second = self.up(self.middle(self.down(first)))
        return self.leave(torch.cat([first, second], dim=1))


def unet() -> Any:
    return UNet(), lambda _: ((torch.randn(B, 3, 16, 16),), {})


class Recurrent(nn.Module):
    """An embedding, two layers of LSTM and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(64, 16)
        self.cells = nn.LSTM(16, 24, num_layers=2, batch_first=True)
        self.head = nn.Linear(24, 64)

    def forward(self, tokens: Any) -> Any:
        return self.head(self.cells(self.embed(tokens))[0])


def lstm() -> Any:
    return Recurrent(), lambda _: ((ids(),), {})


def mamba() -> Any:
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(num_hidden_layers=1, hidden_size=16, state_size=4, vocab_size=64, **SMALL)
    return MambaForCausalLM(config), lambda _: ((), {**labelled(ids()), "use_cache": False})


class Graph(nn.Module):
    """Two rounds of messages along edges: gather, transform, add up, transform."""

    def __init__(self) -> None:
        super().__init__()
        self.message = nn.ModuleList([nn.Linear(8, 16), nn.Linear(16, 16)])
        self.update = nn.ModuleList([nn.Linear(16, 16), nn.Linear(16, 4)])

    def forward(self, nodes: Any, edges: Any) -> Any:
        for message, update in zip(self.message, self.update, strict=True):
            sent = message(nodes[edges[0]]).relu()
            heard = sent.new_zeros(nodes.shape[0], sent.shape[1]).index_add(0, edges[1], sent)
            nodes = update(heard)
        return nodes


def gnn() -> Any:
    """Each step has another graph: the FLOP follow its edges."""
    return Graph(), lambda step: (
        (torch.randn(10, 8), torch.randint(0, 10, (2, 20 + step))),
        {},
    )


class Adapted(nn.Module):
    """A frozen weight and a trainable low-rank correction."""

    def __init__(self, base: Any, rank: int = 2) -> None:
        super().__init__()
        self.base = base.requires_grad_(requires_grad=False)
        self.a = nn.Linear(base.nx, rank, bias=False)
        self.b = nn.Linear(rank, base.nf, bias=False)

    def forward(self, x: Any) -> Any:
        return self.base(x) + self.b(self.a(x))


def lora() -> Any:
    model, inputs = gpt()
    model.requires_grad_(requires_grad=False)
    for block in model.transformer.h:
        block.attn.c_attn = Adapted(block.attn.c_attn)
    return model, inputs


def checkpointed() -> Any:
    model, inputs = gpt()
    model.config.use_cache = False
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model, inputs


KINDS: dict[str, LoopKind] = {
    "GPT": LoopKind(make=gpt),
    "BERT": LoopKind(make=bert),
    "T5": LoopKind(make=t5),
    "ViT": LoopKind(make=vit),
    "Whisper": LoopKind(make=whisper),
    "mixture of experts": LoopKind(make=mixture),
    "U-Net": LoopKind(make=unet),
    "LSTM": LoopKind(make=lstm, exact=False, why="its CPU kernel counts 0"),
    "Mamba": LoopKind(make=mamba, exact=False, why="depthwise weight gradients count too much"),
    "GNN": LoopKind(make=gnn),
    "LoRA": LoopKind(make=lora),
    "checkpointed": LoopKind(make=checkpointed),
}


def one_step(model: Any, inputs: Any, step: int) -> Any:
    """Forward and backward of one step; answers the loss."""
    args, kwargs = inputs(step)
    loss = loss_of(model(*args, **kwargs))
    loss.backward()
    return loss
