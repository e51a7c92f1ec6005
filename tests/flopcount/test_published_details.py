"""What published files state in roundabout ways: masks, ties, the experts that a token meets."""

import json

import pytest

from flopcount.closed_form import Dimensions
from flopcount.closed_form import count as closed_form

pytestmark = pytest.mark.trace
LENGTH = 32
CAUSAL = {
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": 64},
    "xglm": {"d_model": 32, "num_layers": 2, "attention_heads": 4, "ffn_dim": 64, "vocab_size": 64},
    "codegen": {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4, "vocab_size": 64},
    "gpt_neox_japanese": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 64,
    },
}


def counted(folder, config, **sizes):
    from flopcount.model_files.counted_model import count_config

    (folder / "config.json").write_text(json.dumps(config))
    return count_config(folder, batch=1, **{"sequence": LENGTH, **sizes})


@pytest.mark.parametrize("family", CAUSAL)
def test_attention_of_a_familys_own_is_causal_too(tmp_path, family):
    count = counted(tmp_path, {"model_type": family, **CAUSAL[family]}).count
    # 2 layers, scores and values, forward and twice that backward, 2 x 32 channels a pair.
    pairs = LENGTH * LENGTH
    assert count.attention_flop == 2 * 2 * 3 * 2 * 32 * pairs
    allowed = LENGTH * (LENGTH + 1) // 2
    assert count.total - count.masked_total == 2 * 2 * 3 * 2 * 32 * (pairs - allowed)


def test_a_learned_bias_hides_no_mask(tmp_path):
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_heads": 4, "num_layers": 2}
    got = counted(tmp_path, {"model_type": "t5", "vocab_size": 64, **sizes})
    assert got.count.masked_total == got.closed_form.masked_total < got.count.total
    assert got.count.notes == ()


def test_a_window_that_a_model_keeps_as_a_buffer_is_known(tmp_path):
    sizes = {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "window_size": 8}
    config = {"model_type": "gpt_neo", **sizes, "attention_types": [[["global", "local"], 1]]}
    got = counted(tmp_path, {**config, "vocab_size": 64, "max_position_embeddings": 64})
    # Of the first eight places 8 x 9 / 2 = 36 pairs are in the window, then eight of each place.
    full, causal, local = LENGTH * LENGTH, LENGTH * (LENGTH + 1) // 2, 36 + (LENGTH - 8) * 8
    # 4 FLOP a pair and channel of 32, and twice as much again for the gradients.
    assert got.count.total - got.count.masked_total == 12 * 32 * (2 * full - causal - local)
    assert got.count.masked_total == got.closed_form.masked_total
    assert got.count.notes == ()


def test_a_mask_of_unknown_values_is_said(tmp_path):
    # Swin writes the borders of its shifted windows into parts of a mask, one after the other.
    sizes = {"embed_dim": 12, "depths": [2, 2], "num_heads": [2, 2], "window_size": 2}
    config = {"model_type": "swin", **sizes, "image_size": 32, "patch_size": 4}
    got = counted(tmp_path, config, sequence=None)
    assert any(note.startswith("masked:") for note in got.count.notes)


def test_an_untied_head_is_untied_although_the_library_ties_it(tmp_path):
    config = {"model_type": "t5", "d_model": 32, "d_kv": 8, "d_ff": 64, "num_heads": 4}
    config |= {"num_layers": 1, "vocab_size": 64}
    tied = counted(tmp_path, config)
    untied = counted(tmp_path, {**config, "tie_word_embeddings": False})
    assert untied.parameters.total - tied.parameters.total == 64 * 32
    assert untied.closed_form.parameters.total == untied.parameters.total
    assert untied.count.total == tied.count.total


MIXTURES = [
    # experts' parameters: layers x experts x matrices x hidden x width; idle = all but the chosen
    (
        {
            "model_type": "dbrx",
            "d_model": 32,
            "n_heads": 4,
            "n_layers": 2,
            "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0},
            "ffn_config": {"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2},
            "vocab_size": 64,
        },
        2 * (4 - 2) * 3 * 32 * 48,
    ),
    (
        {
            "model_type": "hunyuan_v1_moe",
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "num_experts": 4,
            "moe_topk": [2, 2],
            "head_dim": 8,
            "vocab_size": 64,
            "pad_token_id": 0,
        },
        2 * (4 - 2) * 3 * 32 * 48,
    ),
    (
        # Nothing in the file says how many a token passes: the library's default, 2, holds.
        {
            "model_type": "phimoe",
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "num_local_experts": 4,
            "vocab_size": 64,
        },
        2 * (4 - 2) * 3 * 32 * 48,
    ),
]


@pytest.mark.parametrize(("config", "idle"), MIXTURES, ids=[c["model_type"] for c, _ in MIXTURES])
def test_the_experts_that_a_token_leaves_out(tmp_path, config, idle):
    from flopcount.model_files.architectures import load

    (tmp_path / "config.json").write_text(json.dumps(config))
    parameters = load(tmp_path).parameters
    assert parameters.total - parameters.active == idle


def test_experts_chosen_by_a_maximum_are_counted_exactly(tmp_path):
    # PhiMoE takes the greatest score, hides it and takes the greatest again.
    got = counted(tmp_path, MIXTURES[2][0])
    assert got.count.flop_bounds is None
    assert got.count.forward == got.closed_form.forward


def test_experts_that_are_called_by_name_are_found_with_invented_routing():
    # NLLB and Switch look an expert up as f"expert_{index}", which reads a tensor's memory.
    import torch

    import flopcount

    class Routed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.router = torch.nn.Linear(8, 4)
            self.experts = torch.nn.ModuleDict(
                {f"expert_{i}": torch.nn.Linear(8, 1 << 17) for i in range(4)}
            )

        def forward(self, x):
            chosen = self.router(x).argmax(-1)
            out = x.new_zeros(x.shape[0], 1 << 17)
            for index in torch.unique(chosen):
                rows = torch.where(chosen == index)[0]
                out = out.index_add(0, rows, self.experts[f"expert_{index}"](x[rows]))
            return out

    with torch.device("meta"):
        model, x = Routed().to(torch.float64), torch.zeros(512, 8, dtype=torch.float64)
    c = flopcount.count(model, x, backward=False)
    assert c.forward == 2 * 512 * 8 * 4 + 2 * 512 * 8 * (1 << 17)


def test_experts_that_all_compute_are_said(tmp_path):
    # The library's Llama 4 sends every token through every expert and multiplies by zeros.
    config = {
        "model_type": "llama4_text",
        "hidden_size": 32,
        "intermediate_size": 48,
        "intermediate_size_mlp": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "num_local_experts": 4,
        "num_experts_per_tok": 1,
        "vocab_size": 64,
    }
    got = counted(tmp_path, config)
    (finding,) = [f for f in got.findings if f.code == "experts-all-computed"]
    # 2 layers, 3 of 4 experts idle, 3 matrices, forward and twice that backward.
    idle = 2 * 3 * 3 * 2 * 32 * 48 * LENGTH * 3
    assert f"{idle:,}" in finding.message
    # A count has what the router asks for: a layer's queries and outputs 2 x 32^2, keys and values
    # 2 x 32 x 16, the router 32 x 4, a routed and the shared expert of 3 x 32 x 48 each; the head 32 x 64;
    # scores and values 2 x 2 x 32 a pair and layer.
    met = 2 * (2 * 32**2 + 2 * 32 * 16 + 32 * 4 + 2 * 3 * 32 * 48) + 32 * 64
    assert got.count.total == 6 * LENGTH * met + 3 * 2 * 4 * 32 * LENGTH**2
    assert got.count.by_module[""] == got.count.total
    from flopcount.crosscheck import opinions_on

    (_, torch_says, _) = opinions_on(str(tmp_path), got, batch=1, sequence=LENGTH)
    (cause,) = torch_says.explained
    assert (cause["cause"], cause["flop"]) == ("idle-experts", idle // 3)
    # What torch's own counter would say of the class is left as it is.
    executed = counted(tmp_path, config, convention="torch").count
    assert executed.total == got.count.total + idle
    assert "experts-all-computed" not in [
        f.code for f in counted(tmp_path, MIXTURES[2][0]).findings
    ]


def test_experts_of_which_some_are_empty_leave_the_active_number_unknown(tmp_path):
    """LongCat routes to experts without weights, too: how many with weights a token passes is data."""
    keys = {
        "hidden_size": 64, "num_layers": 2, "num_attention_heads": 4, "vocab_size": 500,
        "ffn_hidden_size": 96, "expert_ffn_hidden_size": 48, "n_routed_experts": 8,
        "zero_expert_num": 4, "moe_topk": 3, "kv_lora_rank": 16, "q_lora_rank": 24,
        "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16, "num_key_value_heads": 4,
    }  # fmt: skip
    config = {"model_type": "longcat_flash", "architectures": ["LongcatFlashForCausalLM"], **keys}
    (tmp_path / "config.json").write_text(json.dumps(config))
    from flopcount.model_files.architectures import load

    parameters = load(tmp_path).parameters
    assert parameters.active is None
    # The library reserves rows for experts without weights; the closed form knows of 8 experts alone.
    form = closed_form(Dimensions.from_config(config), sequence=1)
    assert parameters.total == form.parameters.total


def test_experts_of_which_some_are_empty_give_a_count_with_bounds(tmp_path):
    """Routing is data that a trace has not: the figure takes all choices, bounds tell the least."""
    keys = {
        "hidden_size": 64, "num_layers": 2, "num_attention_heads": 4, "vocab_size": 500,
        "ffn_hidden_size": 96, "expert_ffn_hidden_size": 48, "n_routed_experts": 8,
        "zero_expert_num": 2, "moe_topk": 3, "kv_lora_rank": 16, "q_lora_rank": 24, "head_dim": 8,
        "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16, "num_key_value_heads": 4,
    }  # fmt: skip
    config = {"model_type": "longcat_flash", "architectures": ["LongcatFlashForCausalLM"], **keys}
    got = counted(tmp_path, config)
    # 2 layers; a choice passes 3 matrices of 64 x 48, forward and twice that backward; 3 are chosen, of
    # which at most 2 are empty.
    choice = 2 * 6 * 3 * 64 * 48 * LENGTH
    assert (
        got.count.method == "meta"
    )  # no values are needed, so that the published size counts, too
    low, high = got.count.flop_bounds
    assert high == got.count.total
    assert high - low == 2 * choice
    assert got.count.by_module["model.layers.0.mlp.experts"] == 3 * choice // 2
    assert "routing-unknown" in [one.code for one in got.findings]


MIXTRAL = {
    "model_type": "mixtral",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 500,
}


@pytest.mark.parametrize(("experts", "chosen"), [(10, 9), (16, 15), (4, 4)])
def test_a_router_that_chooses_nearly_all_still_routes(tmp_path, experts, chosen):
    """Nine of ten experts a token are 90% of what all ten would compute, and no idle work."""
    got = counted(tmp_path, MIXTRAL | {"num_local_experts": experts, "num_experts_per_tok": chosen})
    # A layer: queries and outputs 2 x 64^2, keys and values 2 x 64 x 32, the router 64 x experts and
    # the chosen experts of 3 x 64 x 96 each; the head 64 x 500; scores and values 2 x 2 x 64 a pair.
    layer = 2 * 64**2 + 2 * 64 * 32 + 64 * experts + chosen * 3 * 64 * 96
    met = 2 * layer + 64 * 500
    assert got.count.total == 6 * LENGTH * met + 3 * 2 * 4 * 64 * LENGTH**2
    assert "experts-all-computed" not in [f.code for f in got.findings]


def test_a_long_target_beside_a_short_source_leaves_no_expert_idle(tmp_path):
    """The decoder's experts meet the decoder's tokens, however few the encoder has."""
    config = {
        "model_type": "switch_transformers", "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2,
        "num_decoder_layers": 2, "num_heads": 4, "vocab_size": 500, "num_experts": 8,
        "architectures": ["SwitchTransformersForConditionalGeneration"], "expert_capacity": 512,
        "num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    from flopcount.model_files.counted_model import count_config

    got = count_config(tmp_path, sequence=8, decoder_sequence=512, backward=False)
    assert "experts-all-computed" not in [f.code for f in got.findings]
    # Of each side one layer routes: a token passes one of 8 experts of 2 x 64 x 128, so the side's
    # experts cost 2 FLOP a weight and token; the tokens' capacity of 512 drops none.
    experts = {
        name: flop
        for name, flop in got.count.by_module.items()
        if name.endswith(("mlp.experts", "mlp.router"))
    }
    assert sum(experts.values()) <= 2 * (8 + 512) * (2 * 64 * 128 + 64 * 8)
    assert sum(experts.values()) > 2 * (8 + 512) * 2 * 64 * 128


def test_experts_that_all_compute_are_found_by_stated_inputs_too(tmp_path):
    """--input input_ids=... states no sequence, and the tokens are there all the same."""
    from flopcount.model_files.counted_model import count_config

    config = {
        "model_type": "llama4_text", "hidden_size": 32, "intermediate_size": 48,
        "intermediate_size_mlp": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 1,
        "vocab_size": 64,
    }  # fmt: skip
    by_size = counted(tmp_path, config)
    stated = count_config(tmp_path, given={"input_ids": f"1x{LENGTH}:long"})
    assert stated.count.total == by_size.count.total
    assert "experts-all-computed" in [f.code for f in stated.findings]


def test_experts_that_know_only_their_loop_are_counted_without_values(tmp_path):
    """Step-3.7 asks which experts were hit; each choice is a row through the weights of one."""
    text = {
        "model_type": "step3p5", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_attention_groups": 2, "head_dim": 8, "vocab_size": 50,
        "moe_num_experts": 8, "moe_top_k": 3, "moe_intermediate_size": 16, "share_expert_dim": 24,
        "moe_layers_enum": "1", "sliding_window": 4,
        "layer_types": ["full_attention", "sliding_attention"],
        "attention_other_setting": {"num_attention_heads": 6},
    }  # fmt: skip
    vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = {"model_type": "step3p7", "text_config": text, "vision_config": vision}
    got = counted(tmp_path, config)
    # The first layer: queries and outputs 32 x 32, keys and values 32 x 16, a gate a head, 3 x 32 x 48.
    first = 2 * 32 * 32 + 2 * 32 * 16 + 32 * 4 + 3 * 32 * 48
    # The second: six heads; a router, 3 experts of 3 x 32 x 16 and a shared one of 3 x 32 x 24.
    second = 2 * 32 * 48 + 2 * 32 * 16 + 32 * 6 + 32 * 8 + 3 * 3 * 32 * 16 + 3 * 32 * 24
    # Scores and values of 4 + 6 heads of 8; the output head 32 x 50.
    forward = 2 * LENGTH * (first + second + 32 * 50) + 4 * LENGTH**2 * 8 * (4 + 6)
    assert (got.count.method, got.count.forward, got.count.backward) == (
        "meta",
        forward,
        2 * forward,
    )
