"""Closed forms of families whose code is never run, against that code written anew and traced."""

import re
from collections import Counter

import pytest

from flopcount.closed_form import Dimensions, DimensionsError
from flopcount.closed_form import count as closed_form

LLAMA = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": 50,
}
MIXED = LLAMA | {
    "num_key_value_heads": 2,
    "moe_intermediate_size": 10,
    "num_experts": 6,
    "num_experts_per_tok": 2,
}
JAIS = {"n_embd": 24, "n_head": 4, "n_layer": 3, "n_positions": 64, "vocab_size": 50}
EXAONE = {("num_layers" if k == "num_hidden_layers" else k): v for k, v in LLAMA.items()}
CASES = [
    ("aquila", LLAMA),
    ("aquila", LLAMA | {"num_key_value_heads": 2, "tie_word_embeddings": True}),
    ("skywork", LLAMA | {"num_key_value_heads": 4}),
    ("internlm", LLAMA),
    ("internlm", LLAMA | {"bias": False}),
    ("orion", LLAMA | {"num_key_value_heads": 4, "attention_bias": False}),
    ("xverse", LLAMA),
    ("xverse", LLAMA | {"num_experts": 5, "moe_top_k": 3, "num_shared_experts": 2}),
    ("xverse", LLAMA | {"num_experts": 5, "moe_top_k": 1, "num_shared_experts": None}),
    ("exaone", EXAONE | {"num_key_value_heads": 2, "tie_word_embeddings": False}),
    ("exaone", {k: v for k, v in EXAONE.items() if k != "intermediate_size"}),
    ("jais", JAIS),
    ("jais", JAIS | {"activation_function": "swiglu", "position_embedding_type": "alibi",
                     "n_inner": 65}),
    ("grok-1", MIXED | {"moe_intermediate_size": None}),
    ("grok-1", LLAMA | {"num_key_value_heads": 2, "num_experts": 1, "num_experts_per_tok": 1}),
    ("bailing_moe", MIXED),
    ("bailing_moe", MIXED | {"use_bias": False, "use_qkv_bias": True, "head_dim": 8,
                             "num_shared_experts": 2}),
    ("bailing_moe", MIXED | {"use_bias": False, "use_qk_norm": True, "first_k_dense_replace": 1,
                             "num_shared_experts": 1, "moe_shared_expert_intermediate_size": 14}),
]  # fmt: skip
FUSED = {"attention.query": "attention.query_key_value", "attention.key": "attention.query_key_value",
         "attention.value": "attention.query_key_value"}  # fmt: skip


@pytest.mark.trace
@pytest.mark.parametrize(("family", "config"), CASES)
def test_every_term_is_what_the_familys_code_multiplies(family, config):
    torch = pytest.importorskip("torch")
    import flopcount
    from tests.flopcount.reference_decoders import FAMILIES

    torch.manual_seed(0)
    model = FAMILIES[family](config)
    traced = flopcount.count(model, torch.randint(50, (2, 7)))
    seen: Counter[str] = Counter()
    for path, flop in traced.by_module.items():
        if flop:
            named = re.sub(r"\.\d+", "", path).removeprefix("layers.")
            seen[re.sub(r"^ffn\.(router|experts|shared_experts)", r"\1", named)] += flop
    form = closed_form(
        Dimensions.from_config({"model_type": family, **config}), batch=2, sequence=7
    )
    fused = any("query_key_value" in name for name in seen)
    stated: Counter[str] = Counter()
    for term in form.terms:
        stated[FUSED.get(term.name, term.name) if fused else term.name] += (
            term.forward + term.backward
        )
    assert stated == {name: seen[name] for name in stated}
    assert form.total == traced.total
    assert form.parameters.total == sum(weight.numel() for weight in model.parameters())


def test_what_a_familys_form_never_looks_at_is_no_llama():
    for key, value in (("num_experts", 8), ("kv_lora_rank", 512), ("n_routed_experts", 64)):
        with pytest.raises(DimensionsError, match=f"{key} = {value}"):
            Dimensions.from_config({"model_type": "skywork", **LLAMA, key: value})
    with pytest.raises(DimensionsError, match="multi_gate"):
        Dimensions.from_config({"model_type": "bailing_moe", **MIXED, "multi_gate": True})
    with pytest.raises(DimensionsError, match="shares no keys"):
        Dimensions.from_config({"model_type": "internlm", **LLAMA, "num_key_value_heads": 2})


EXAONE_CARD = {"model_type": "exaone", "vocab_size": 102400, "num_key_value_heads": 8}
LING = {
    "model_type": "bailing_moe",
    "hidden_size": 2048,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "use_bias": False,
}
CARDS = {  # the file's sizes; billions as the model card prints them
    "EXAONE-3.5-2.4B": (
        {**EXAONE_CARD, "hidden_size": 2560, "num_layers": 30, "num_attention_heads": 32,
         "intermediate_size": 7168, "head_dim": 80, "tie_word_embeddings": True},
        {"total_without_embeddings": "2.14"},
    ),
    "EXAONE-3.5-32B": (
        {**EXAONE_CARD, "hidden_size": 5120, "num_layers": 64, "num_attention_heads": 40,
         "intermediate_size": 27392, "head_dim": 128, "tie_word_embeddings": True},
        {"total_without_embeddings": "30.95"},
    ),
    "Ling-lite": (
        {**LING, "intermediate_size": 5632, "moe_intermediate_size": 1408, "num_experts": 64,
         "num_shared_experts": 2, "num_experts_per_tok": 6, "num_hidden_layers": 28,
         "first_k_dense_replace": 0, "vocab_size": 126464},
        {"total": "16.8", "active": "2.75"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CARDS)
def test_the_numbers_of_a_model_card_come_out(name):
    config, printed = CARDS[name]
    parameters = closed_form(Dimensions.from_config(config), sequence=1).parameters
    for kind, text in printed.items():
        digits = len(text.partition(".")[2])
        assert f"{getattr(parameters, kind) / 1e9:.{digits}f}" == text


DIFFUSION = {  # over text: without a mask
    "LLaDA-8B": (
        {"model_type": "llada", "architectures": ["LLaDAModelLM"], "d_model": 4096, "n_heads": 32,
         "n_kv_heads": 32, "n_layers": 32, "mlp_hidden_size": 12288, "block_type": "llama",
         "embedding_size": 126464, "weight_tying": False, "layer_norm_type": "rms",
         "include_bias": False, "include_qkv_bias": False},
        # a layer: 4 x 4096^2 + 3 x 4096 x 12288 and two norms; two tables and a norm
        32 * (4 * 4096**2 + 3 * 4096 * 12288 + 2 * 4096) + 2 * 126464 * 4096 + 4096,
        32 * (4 * 4096**2 + 3 * 4096 * 12288) + 126464 * 4096, 32 * 4096,
    ),
    "Dream-7B": (
        {"model_type": "Dream", "architectures": ["DreamModel"], "hidden_size": 3584,
         "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
         "num_key_value_heads": 4, "vocab_size": 152064, "tie_word_embeddings": False},
        # biases of queries 3584, of keys and values 512 each
        28 * (2 * 3584**2 + 2 * 3584 * 512 + 3 * 3584 * 18944 + 3 * 3584 + 1024)
        + 2 * 152064 * 3584 + 3584,
        28 * (2 * 3584**2 + 2 * 3584 * 512 + 3 * 3584 * 18944) + 152064 * 3584, 28 * 3584,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFUSION)
def test_diffusion_over_text_has_no_mask(name):
    config, parameters, weights, channels = DIFFUSION[name]
    form = closed_form(Dimensions.from_config(config), batch=2, sequence=100)
    assert form.parameters.total == parameters
    assert form.forward == 2 * 200 * weights + 2 * 4 * channels * 100**2
    assert form.total == form.masked_total == 3 * form.forward


def test_the_published_numbers_of_diffusion_over_text():
    assert DIFFUSION["LLaDA-8B"][1] == 8_015_581_184
    assert DIFFUSION["Dream-7B"][1] == 7_615_616_512
