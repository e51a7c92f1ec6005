"""Rules of the field, against their own arithmetic, and explanations that add up."""

import itertools
import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import flopcount
from flopcount.conventions import NAMES

transformers = pytest.importorskip("transformers")

L, H, HEADS, KV, D, FFN, V, S, B = 3, 64, 8, 2, 8, 160, 100, 32, 2
TOKENS = B * S


@pytest.fixture(scope="module")
def llama():
    config = transformers.LlamaConfig(
        num_hidden_layers=L,
        hidden_size=H,
        num_attention_heads=HEADS,
        num_key_value_heads=KV,
        intermediate_size=FFN,
        vocab_size=V,
    )
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(config)
    ids = torch.zeros(B, S, dtype=torch.long, device="meta")
    counts = {name: flopcount.count(model, ids, labels=ids, convention=name) for name in NAMES}
    return model, ids, counts


ATTENTION_WEIGHTS = H * D * (HEADS + 2 * KV) + HEADS * D * H
MATRICES = L * (ATTENTION_WEIGHTS + 3 * H * FFN) + H * V
VECTORS = (2 * L + 1) * H
DENSE_ATTENTION = 12 * L * HEADS * D * S * TOKENS


def test_dense(llama):
    assert llama[2]["dense"].total == 6 * MATRICES * TOKENS + DENSE_ATTENTION
    assert llama[2]["dense"].attention_flop == DENSE_ATTENTION
    assert llama[2]["dense"].explained == ()


def test_masked(llama):
    # S·(S+1)/2 of S² pairs
    masked = DENSE_ATTENTION * (S * (S + 1) // 2) // (S * S)
    assert llama[2]["masked"].total == 6 * MATRICES * TOKENS + masked


def test_megatron(llama):
    assert llama[2]["megatron"].total == 6 * MATRICES * TOKENS + DENSE_ATTENTION // 2


def test_torchtitan(llama):
    # the norms' vectors are parameters too
    assert llama[2]["torchtitan"].total == 6 * (MATRICES + VECTORS) * TOKENS + DENSE_ATTENTION


def test_nanogpt(llama):
    everything = MATRICES + VECTORS + V * H
    assert llama[2]["nanogpt"].total == 6 * everything * TOKENS + DENSE_ATTENTION


def test_6nd(llama):
    assert llama[2]["6nd"].total == 6 * (MATRICES + VECTORS + V * H) * TOKENS


def test_hf_trainer(llama):
    model, ids, counts = llama
    theirs = (
        model.floating_point_ops({"input_ids": ids})
        if hasattr(model, "floating_point_ops")
        else 6 * ids.numel() * model.num_parameters(exclude_embeddings=True)
    )
    assert counts["hf-trainer"].total == theirs


def test_torch_is_what_torch_says(llama):
    model, ids, counts = llama
    with FlopCounterMode(display=False) as counter:
        model(ids, labels=ids).loss.backward()
    model.zero_grad()
    assert counts["torch"].total == counter.get_total_flops()


def test_torch_with_its_errors():
    layer = torch.nn.Conv2d(8, 8, 3, groups=8)
    x = torch.zeros(1, 8, 6, 6, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        layer(x).sum().backward()
    count = flopcount.count(layer, x, convention="torch")
    assert count.total == counter.get_total_flops()
    assert [term.name for term in count.explained] == ["aten.convolution_backward"]
    assert count.total > flopcount.count(layer, x).total


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(NAMES, 2)))
def test_the_gap_between_any_two_is_explained_to_the_flop(llama, one, other):
    first, second = llama[2][one], llama[2][other]
    terms = flopcount.explain(first, second)
    assert first.total + sum(term.flop for term in terms) == second.total
    assert all(term.flop and term.reason for term in terms)
    # nothing in a plain decoder is left to a remainder
    assert "rest" not in [term.name for term in terms]


def test_mixture_of_experts_by_rule():
    config = transformers.MixtralConfig(
        num_hidden_layers=2,
        hidden_size=64,
        num_attention_heads=8,
        num_key_value_heads=2,
        intermediate_size=96,
        vocab_size=100,
        num_local_experts=4,
        num_experts_per_tok=2,
    )
    with torch.device("meta"):
        model = transformers.MixtralForCausalLM(config).to(torch.bfloat16)
    ids = torch.zeros(1, 16, dtype=torch.long, device="meta")
    attention = 64 * 8 * (8 + 2 * 2) + 64 * 64
    matrices = 2 * (attention + 2 * 3 * 64 * 96) + 64 * 100
    pairs = 12 * 2 * 64 * 16 * 16
    router = 2 * 64 * 4
    dense = flopcount.count(model, ids, labels=ids)
    assert dense.total == 6 * (matrices + router) * 16 + pairs
    # two projections of 32 rows in each of two layers
    assert (dense.experts.products, dense.experts.rows) == (4, 4 * 32)
    megatron = flopcount.count(model, ids, labels=ids, convention="megatron")
    assert megatron.total == 6 * matrices * 16 + pairs // 2
    titan = flopcount.count(model, ids, labels=ids, convention="torchtitan")
    assert titan.total == 6 * (matrices + router + (2 * 2 + 1) * 64) * 16 + pairs
    for stated in (megatron, titan):
        assert dense.total + sum(term.flop for term in stated.explained) == stated.total
        assert "rest" not in [term.name for term in stated.explained]


def test_hardware_adds_what_is_done_again():
    from torch.utils.checkpoint import checkpoint

    layer = torch.nn.Linear(8, 8)
    x = torch.zeros(4, 8, requires_grad=True)
    step = lambda t: checkpoint(layer, t, use_reentrant=True)  # noqa: E731
    count = flopcount.count(step, x, convention="hardware")
    # forward 512, backward 1024, forward again 512
    assert count.total == 2048
    assert (count.forward, count.backward, count.recompute) == (512, 1024, 512)
    assert [term.name for term in count.explained] == ["recomputation"]


def test_refusals():
    x = torch.zeros(3, 4)
    layer = torch.nn.Linear(4, 5)
    with pytest.raises(flopcount.ConventionError, match="choose one of dense, masked"):
        flopcount.count(layer, x, convention="guess")
    with pytest.raises(flopcount.ConventionError, match="without a config"):
        flopcount.count(layer, x, convention="megatron")
    with pytest.raises(flopcount.ConventionError, match="one trace"):
        flopcount.explain(flopcount.count(layer, x), flopcount.count(layer, torch.zeros(2, 4)))


def test_rules_read_the_experts_from_the_model_whatever_the_config_calls_them():
    from transformers import DbrxConfig, DbrxForCausalLM

    config = DbrxConfig(
        d_model=32,
        n_heads=4,
        n_layers=2,
        vocab_size=64,
        attn_config={"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8},
        ffn_config={"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2},
        attn_implementation="eager",
    )
    with torch.device("meta"):
        model = DbrxForCausalLM(config)
        ids = torch.zeros(1, 16, dtype=torch.long)
    c = flopcount.count(model, ids, labels=ids, use_cache=False, convention="megatron")
    # Weights a token: 2 layers of attention (4 + 2 x 2 + 4 heads of 8) and 2 experts of 3
    # matrices, and the head; attention's half: 3 x layers x 2 heads' widths x sequence.
    weights = 2 * (32 * 8 * (4 + 2 * 2 + 4) + 2 * 3 * 32 * 48) + 32 * 64
    assert c.total == 16 * (6 * weights + 3 * 2 * 4 * (8 + 8) * 16)


def test_a_rule_that_charges_attention_everywhere_declines_a_hybrid():
    from transformers import BambaConfig, BambaForCausalLM

    config = BambaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_layer_indices=[1],
        mamba_n_heads=8,
        mamba_d_head=8,
        mamba_n_groups=1,
        mamba_d_state=8,
        mamba_chunk_size=16,
    )
    with torch.device("meta"):
        model = BambaForCausalLM(config)
        ids = torch.zeros(1, 16, dtype=torch.long)
    for rule in ("megatron", "torchtitan", "nanogpt"):
        with pytest.raises(flopcount.ConventionError, match="found layers of"):
            flopcount.count(model, ids, labels=ids, use_cache=False, convention=rule)
    total = sum(p.numel() for p in model.parameters())
    c = flopcount.count(model, ids, labels=ids, use_cache=False, convention="6nd")
    assert c.total == 6 * total * 16


@pytest.mark.parametrize(
    ("family", "keys", "kv", "ffn"),
    [
        # one head of keys and values, whatever number stands beside it
        ("falcon", {"num_kv_heads": 8, "multi_query": True}, 1, 256),
        ("falcon", {"num_kv_heads": 2, "new_decoder_architecture": True}, 2, 256),
        ("ctrl", {"dff": 96}, 8, 96),
    ],
)
def test_megatron_reads_what_a_family_calls_otherwise(family, keys, kv, ffn):
    sizes = {"hidden_size": H, "num_attention_heads": HEADS, "num_hidden_layers": L}
    config = transformers.AutoConfig.for_model(family, **sizes, vocab_size=V, **keys)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    ids = torch.zeros(B, S, dtype=torch.long, device="meta")
    count = flopcount.count(model, ids, use_cache=False, convention="megatron")
    matrices = L * (H * D * (HEADS + 2 * kv) + HEADS * D * H + 2 * H * ffn) + H * V
    assert count.total == 6 * matrices * TOKENS + DENSE_ATTENTION // 2


def built(family, **keys):
    config = transformers.AutoConfig.for_model(family, **keys)
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(config)


def test_layers_that_differ_are_no_crash():
    """Gemma 4's config raises where one asks for the width of its heads: it has two."""
    model = built(
        "gemma4_text",
        hidden_size=H,
        intermediate_size=FFN,
        num_hidden_layers=L,
        num_attention_heads=HEADS,
        num_key_value_heads=KV,
        head_dim=D,
        global_head_dim=2 * D,
        vocab_size=V,
        vocab_size_per_layer_input=V,
        hidden_size_per_layer_input=8,
        num_kv_shared_layers=0,
        layer_types=["sliding_attention", "sliding_attention", "full_attention"],
    )
    ids = torch.zeros(B, S, dtype=torch.long, device="meta")
    total = sum(p.numel() for p in model.parameters())
    count = flopcount.count(model, ids, use_cache=False, convention="6nd")
    assert count.total == 6 * total * TOKENS
    for rule in ("megatron", "torchtitan", "nanogpt"):
        with pytest.raises(flopcount.ConventionError, match=f"the rule '{rule}'"):
            flopcount.count(model, ids, use_cache=False, convention=rule)


def test_a_decoder_that_is_built_alone_has_the_decoders_layers():
    """Blenderbot's configuration is of a pair, and says the encoder's layers first."""
    sides = {f"{side}_{key}": value for side in ("encoder", "decoder")
             for key, value in (("attention_heads", HEADS), ("ffn_dim", FFN))}  # fmt: skip
    model = built(
        "blenderbot", d_model=H, encoder_layers=1, decoder_layers=L, vocab_size=V, **sides
    )
    ids = torch.zeros(B, S, dtype=torch.long, device="meta")
    count = flopcount.count(model, ids, use_cache=False, convention="megatron")
    matrices = L * (4 * H * HEADS * D + 2 * H * FFN) + H * V
    assert count.total == 6 * matrices * TOKENS + DENSE_ATTENTION // 2


def test_megatron_declines_what_its_dimensions_do_not_tell():
    """LFM2's layers are convolutions beside attention, and as wide as a rule of its own has it."""
    model = built(
        "lfm2",
        hidden_size=H,
        intermediate_size=FFN,
        num_hidden_layers=L,
        num_attention_heads=HEADS,
        num_key_value_heads=KV,
        vocab_size=V,
        layer_types=["full_attention"] * L,
        block_auto_adjust_ff_dim=True,
        block_multiple_of=8,
    )
    ids = torch.zeros(B, S, dtype=torch.long, device="meta")
    # The library takes 2/3 of 160 and rounds up to a multiple of 8: 112 instead of 160.
    dense = flopcount.count(model, ids, use_cache=False)
    matrices = L * (ATTENTION_WEIGHTS + 3 * H * 112) + H * V
    assert dense.total == 6 * matrices * TOKENS + DENSE_ATTENTION
    with pytest.raises(flopcount.ConventionError, match="does not know this architecture"):
        flopcount.count(model, ids, use_cache=False, convention="megatron")


def test_a_rule_is_stated_of_what_a_router_asks_for(tmp_path):
    """Llama 4's class computes every expert; the rule charges the chosen one, and so is held to that."""
    from flopcount.model_files.counted_model import count_config

    config = {
        "model_type": "llama4_text", "hidden_size": H, "intermediate_size": 48,
        "intermediate_size_mlp": FFN, "num_hidden_layers": 2, "num_attention_heads": HEADS,
        "num_key_value_heads": KV, "head_dim": D, "num_local_experts": 4, "num_experts_per_tok": 1,
        "vocab_size": V, "interleave_moe_layer_step": 2,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    got = count_config(tmp_path, batch=B, sequence=S, convention="megatron").count
    # One layer of 160, one of a chosen and a shared expert of 48.
    matrices = 2 * ATTENTION_WEIGHTS + 3 * H * (FFN + 2 * 48) + H * V
    assert got.total == 6 * matrices * TOKENS + DENSE_ATTENTION // L * 2 // 2
