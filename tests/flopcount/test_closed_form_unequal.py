"""Closed forms of decoders whose layers differ: by hand, by published weights, and against the trace."""

import json

import pytest

from flopcount.closed_form import Dimensions, DimensionsError
from flopcount.closed_form import count as closed_form

PASSED = {"n_heads_in_group": 2, "no_op": False, "replace_with_linear": False}
LEFT_OUT, REPLACED = {"no_op": True}, {"no_op": False, "replace_with_linear": True}
NAS = {
    "model_type": "nemotron-nas",
    "architectures": ["DeciLMForCausalLM"],
    "hidden_size": 384,
    "num_attention_heads": 4,
    "num_hidden_layers": 4,
    "intermediate_size": None,
    "num_key_value_heads": None,
    "vocab_size": 1000,
    "block_configs": [
        {"attention": PASSED, "ffn": {"ffn_mult": 2.5, "no_op": False}},
        {"attention": LEFT_OUT, "ffn": {"ffn_mult": 1.0, "no_op": False}},
        {"attention": REPLACED, "ffn": REPLACED},
        {"attention": {**PASSED, "n_heads_in_group": 1}, "ffn": LEFT_OUT},
    ],
}


def test_layers_that_a_search_thinned():
    form = closed_form(Dimensions.from_config(NAS), batch=2, sequence=16)
    # Widths: 2.5 x 2/3 x 384 = 640, of 256 the third multiple: 768; 256 is the first.
    # Attention of 4 heads of 96: two projections of 384 x 384, and keys and values of 2 heads or of 4.
    first = 2 * 384**2 + 2 * 384 * 192 + 3 * 384 * 768
    second, third, fourth = 3 * 384 * 256, 2 * 384**2, 4 * 384**2
    weights = first + second + third + fourth
    # Scores and values: 4 FLOP a pair and channel, in two layers.
    scores = 2 * 4 * 384 * 16 * 16 * 2
    assert form.forward == 2 * 32 * (weights + 384 * 1000) + scores
    assert form.total == 3 * form.forward
    # A norm before each half that is there (2 + 1 + 2 + 1), and a last one; two tables.
    assert form.parameters.total == weights + 2 * 384 * 1000 + 7 * 384
    # Of 16 x 16 pairs a causal mask leaves 136.
    assert form.total - form.masked_total == 3 * scores * 120 // 256


def test_blocks_that_do_not_tell_each_layer_are_refused():
    with pytest.raises(DimensionsError, match="4 layers of num_hidden_layers = 5"):
        Dimensions.from_config({**NAS, "num_hidden_layers": 5})
    blocks = [*NAS["block_configs"][:3], {"attention": PASSED, "ffn": {"ffn_mult": None}}]
    with pytest.raises(DimensionsError, match="ffn_mult = None"):
        Dimensions.from_config({**NAS, "block_configs": blocks})


FULL = [*range(4, 93, 4), 93]
LINEAR = {
    "full_attn_layers": FULL,
    "kda_layers": [layer for layer in range(1, 93) if layer not in FULL],
    "head_dim": 128,
    "num_heads": 96,
    "short_conv_kernel_size": 4,
    "use_full_rank_gate": True,
}
K3_TEXT = {
    "model_type": "kimi_linear", "architectures": ["KimiLinearForCausalLM"], "hidden_size": 7168,
    "intermediate_size": 33792, "num_hidden_layers": 93, "num_attention_heads": 96,
    "num_key_value_heads": 96, "num_experts": 896, "num_experts_per_token": 16,
    "num_shared_experts": 2, "moe_intermediate_size": 3072, "routed_expert_hidden_size": 3584,
    "latent_moe_use_norm": True, "first_k_dense_replace": 1, "moe_layer_freq": 1,
    "attn_res_block_size": 12, "mla_use_output_gate": True, "linear_attn_config": LINEAR,
    "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
    "v_head_dim": 128, "vocab_size": 163840, "tie_word_embeddings": False, "hidden_act": "situ",
}  # fmt: skip
K3 = {
    "model_type": "kimi_k3",
    "architectures": ["KimiK3ForConditionalGeneration"],
    "auto_map": {"AutoConfig": "configuration_kimi_k3.KimiK3Config"},
    "text_config": K3_TEXT,
    "vision_config": {"vt_num_hidden_layers": 27},
}


def test_kimi_k3_has_the_parameters_of_its_published_weights():
    # The shapes of the weights of its text, as published: 69 layers of delta attention, 24 of latent.
    hidden, inner = 7168, 12288
    delta = (
        128
        + 96 * hidden
        + inner
        + 128 * hidden
        + 128 * inner
        + 3 * 4 * inner
        + 3 * inner * hidden
        + 128
    )
    latent = 576 * hidden + 512 + 512 * 24576 + 1536 * hidden + 1536 + 1536 * 18432
    gate_and_output, norms_and_rows = 2 * inner * hidden, 6 * hidden
    experts = (
        896 * 3 * 3072 * 3584 + 896 * hidden + 896 + 2 * 3584 * hidden + 3584 + 3 * 6144 * hidden
    )
    published = (
        2 * 163840 * hidden + 3 * hidden + 3 * 33792 * hidden
        + 69 * delta + 24 * latent + 93 * (gate_and_output + norms_and_rows) + 92 * experts
    )  # fmt: skip
    assert published == 2_779_484_478_208
    form = closed_form(Dimensions.from_config(K3), sequence=1)
    # Its rates are stored for 128 heads, of which 96 are; a router's corrections are no parameter here.
    assert form.parameters.total == published - 69 * 32 - 92 * 896


def test_kimi_k3_multiplies_what_its_weights_and_its_scans_say():
    hidden, inner, tokens = 7168, 12288, 128
    delta = 3 * inner * hidden + 128 * hidden + 128 * inner + 96 * hidden
    latent = 576 * hidden + 512 * 24576 + 1536 * hidden + 1536 * 18432
    experts = 896 * hidden + 2 * 3584 * hidden + 3 * 6144 * hidden + 16 * 3 * 3072 * 3584
    weights = 69 * delta + 24 * latent + 93 * 2 * inner * hidden + 92 * experts
    weights += 3 * 33792 * hidden + 163840 * hidden
    convolutions = 69 * 3 * 4 * inner * (tokens + 3)
    scores = 24 * 96 * 2 * (192 + 128) * tokens**2
    # Two chunks of 64: a head multiplies three of 64 x 64 x 128 and three of 64 x 128 x 128 in each.
    scans = 69 * 96 * 2 * 2 * (3 * 64 * 64 * 128 + 3 * 64 * 128 * 128)
    # Ends of blocks of 12 layers and the sum so far: before attention from the second layer on, before
    # each feed-forward, and after the last layer.
    rows = sum(-(-layer // 12) + 1 for layer in range(1, 94)) + sum(n // 12 + 2 for n in range(93))
    forward = 2 * tokens * weights + 2 * convolutions + scores + scans + 2 * tokens * hidden * rows
    form = closed_form(Dimensions.from_config(K3), sequence=tokens)
    assert form.forward == forward
    # The first state is zero and needs no gradient, the last is read by nobody: 2 + 2 products of 2.
    assert form.backward == 2 * forward - 69 * 96 * 4 * 2 * 64 * 128 * 128


def test_the_text_of_kimi_k3_is_not_built_as_its_parent(tmp_path):
    pytest.importorskip("transformers")
    from flopcount.model_files.counted_model import count_config

    (tmp_path / "config.json").write_text(json.dumps(K3_TEXT))
    got = count_config(tmp_path, sequence=8)
    assert got.count.method == "closed-form"
    assert got.parameters.total == 2_779_484_478_208 - 69 * 32 - 92 * 896
    assert "remote-code-not-run" in [finding.code for finding in got.findings]


KIMI_LINEAR = {
    "model_type": "kimi_linear", "architectures": ["KimiLinearForCausalLM"], "hidden_size": 48,
    "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 4, "num_experts": 8, "num_experts_per_token": 3, "num_shared_experts": 2,
    "moe_intermediate_size": 24, "first_k_dense_replace": 1, "q_lora_rank": None, "kv_lora_rank": 16,
    "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 12, "vocab_size": 100,
    "pad_token_id": 0,
    "linear_attn_config": {"full_attn_layers": [2], "kda_layers": [1, 3], "head_dim": 16,
                           "num_heads": 2, "short_conv_kernel_size": 4},
}  # fmt: skip
STEP = {
    "model_type": "step3p5", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_attention_groups": 2, "head_dim": 8, "vocab_size": 50,
    "moe_num_experts": 8, "moe_top_k": 3, "moe_intermediate_size": 16, "share_expert_dim": 24,
    "moe_layers_enum": "1,2", "sliding_window": 4, "num_nextn_predict_layers": 1,
    "layer_types": ["full_attention", "sliding_attention", "full_attention", "full_attention"],
    "attention_other_setting": {"num_attention_heads": 6},
}  # fmt: skip


@pytest.mark.trace
@pytest.mark.parametrize("tokens", [10, 130])
def test_kimi_linear_equals_the_librarys_own(tmp_path, tokens):
    from flopcount.model_files.counted_model import count_config

    (tmp_path / "config.json").write_text(json.dumps(KIMI_LINEAR))
    got = count_config(tmp_path, batch=2, sequence=tokens)
    form = got.closed_form
    assert (form.forward, form.backward) == (got.count.forward, got.count.backward)
    assert form.masked_total == got.count.masked_total
    assert form.parameters.total == got.parameters.total
    assert form.parameters.active == got.parameters.active


@pytest.mark.trace
def test_a_flat_file_of_step_equals_the_librarys_text_beside_an_eye(tmp_path):
    from flopcount.model_files.counted_model import count_config

    vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    whole = {"model_type": "step3p7", "text_config": STEP, "vision_config": vision}
    (tmp_path / "config.json").write_text(json.dumps(whole))
    traced = count_config(tmp_path, batch=2, sequence=10)
    (tmp_path / "config.json").write_text(
        json.dumps({**STEP, "architectures": ["Step3p5ForCausalLM"]})
    )
    flat = count_config(tmp_path, batch=2, sequence=10)
    assert (traced.count.method, flat.count.method) == ("meta", "closed-form")
    assert flat.count.forward == traced.count.forward
    assert flat.count.masked_total == traced.count.masked_total
    assert "module-left-out" in [finding.code for finding in flat.findings]
