"""Closed forms with loops, borrowed keys, linear attention, blocks: against rewritten code."""

import json
import re

import pytest

from flopcount.closed_form import Dimensions, DimensionsError
from flopcount.closed_form import count as closed_form

LLAMA = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 4,
         "num_key_value_heads": 2, "vocab_size": 50}  # fmt: skip
LING = LLAMA | {
    "num_hidden_layers": 5, "head_dim": 8, "layer_group_size": 2, "moe_intermediate_size": 10,
    "num_experts": 6, "num_experts_per_tok": 2, "num_shared_experts": 1, "first_k_dense_replace": 1,
    "use_bias": False, "use_qkv_bias": False, "use_qk_norm": True,
}  # fmt: skip
HUNYUAN = LLAMA | {
    "num_experts": 4, "moe_topk": 2, "num_shared_expert": 1, "use_mixed_mlp_moe": True,
    "use_cla": True, "cla_share_factor": 2, "use_qk_norm": True, "tie_word_embeddings": True,
}  # fmt: skip
STEP = {
    "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 4,
    "head_dim": 8, "share_q_dim": 12, "moe_layers_enum": "1,2", "moe_num_experts": 6, "moe_top_k": 2,
    "moe_intermediate_size": 10, "share_expert_dim": 14, "vocab_size": 50,
}  # fmt: skip
PLAMO = {
    "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "hidden_size_per_head": 8, "mamba_d_state": 6, "mamba_d_conv": 4,
    "mamba_num_heads": 3, "mamba_step": 2, "mamba_chunk_size": 8, "vocab_size": 50,
}  # fmt: skip
RWKV = {
    "hidden_size": 24, "head_dim": 8, "num_hidden_layers": 3, "intermediate_size": 40, "vocab_size": 50,
    "decay_low_rank_dim": 5, "a_low_rank_dim": 6, "v_low_rank_dim": 7, "gate_low_rank_dim": 9,
}  # fmt: skip
CASES = [
    ("bailing_moe_linear", LING | {"num_hidden_layers": 4}, 7),
    ("bailing_moe_linear", LING | {"use_bias": True, "layer_group_size": 3}, 130),
    ("ouro", LLAMA | {"total_ut_steps": 3}, 7),
    ("hunyuan", HUNYUAN, 7),
    (
        "hunyuan",
        HUNYUAN | {"use_cla": False, "attention_head_dim": 8, "moe_intermediate_size": 6},
        7,
    ),
    ("step3_text", STEP, 7),
    ("plamo2", PLAMO, 20),
    ("rwkv7", RWKV | {"num_hidden_layers": 2}, 130),
]


@pytest.mark.trace
@pytest.mark.parametrize(("family", "config", "tokens"), CASES)
def test_forward_backward_and_parameters_are_those_of_the_familys_code(family, config, tokens):
    torch = pytest.importorskip("torch")
    import flopcount
    from tests.flopcount.reference_scans import FAMILIES

    torch.manual_seed(0)
    model = FAMILIES[family](config)
    traced = flopcount.count(model, torch.randint(50, (2, tokens)))
    dimensions = Dimensions.from_config({"model_type": family, **config})
    form = closed_form(dimensions, batch=2, sequence=tokens)
    assert form.parameters.total == sum(weight.numel() for weight in model.parameters())
    assert form.forward == traced.forward
    assert form.backward == traced.backward


BIG_LING = {
    "model_type": "bailing_moe_linear", "hidden_size": 2048, "intermediate_size": 5120,
    "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 128, "num_hidden_layers": 20,
    "layer_group_size": 5, "num_experts": 256, "num_shared_experts": 1, "num_experts_per_tok": 8,
    "moe_intermediate_size": 512, "first_k_dense_replace": 1, "use_qk_norm": True, "use_bias": False,
    "use_qkv_bias": False, "vocab_size": 157184,
}  # fmt: skip
BIG_RWKV = {
    "model_type": "rwkv7", "hidden_size": 2048, "num_hidden_layers": 24, "intermediate_size": 8192,
    "head_dim": 64, "decay_low_rank_dim": 96, "a_low_rank_dim": 96, "v_low_rank_dim": 64,
    "gate_low_rank_dim": 256, "vocab_size": 65536,
}  # fmt: skip
BIG_LONGCAT = {
    "model_type": "longcat_flash", "hidden_size": 6144, "num_layers": 28, "num_attention_heads": 64,
    "ffn_hidden_size": 12288, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64, "v_head_dim": 128, "moe_topk": 12, "n_routed_experts": 512,
    "zero_expert_num": 256, "expert_ffn_hidden_size": 2048, "vocab_size": 131072,
}  # fmt: skip
LITE = BIG_LONGCAT | {
    "model_type": "longcat_flash_ngram", "architectures": ["LongcatFlashNgramForCausalLM"],
    "hidden_size": 3072, "num_layers": 14, "num_attention_heads": 32, "ffn_hidden_size": 6144,
    "n_routed_experts": 256, "zero_expert_num": 128, "expert_ffn_hidden_size": 1024,
    "emb_neighbor_num": 4, "emb_split_num": 4, "ngram_vocab_size_ratio": 78,
}  # fmt: skip
PUBLISHED = {  # the file's sizes; billions as they were published, or the number of the weights
    "Ring-mini-linear-2.0": (BIG_LING, "16.4", "1.6"),
    "RWKV-7 World 1.5B": (BIG_RWKV, 1_527_404_544, None),
    "RWKV-7 World 0.1B": (
        BIG_RWKV | {"hidden_size": 768, "num_hidden_layers": 12, "intermediate_size": 3072,
                    "decay_low_rank_dim": 64, "a_low_rank_dim": 64, "v_low_rank_dim": 32,
                    "gate_low_rank_dim": 128},
        191_034_624, None,
    ),
    "PLaMo-2-1B": (
        PLAMO | {"model_type": "plamo2", "hidden_size": 2048, "num_hidden_layers": 16,
                 "intermediate_size": 8192, "num_attention_heads": 16, "num_key_value_heads": 1,
                 "hidden_size_per_head": 128, "mamba_d_state": 64, "mamba_num_heads": 32,
                 "mamba_chunk_size": 256, "vocab_size": 100000},
        1_291_441_920, None,
    ),
    "Hunyuan-Large": (
        HUNYUAN | {"model_type": "hunyuan", "hidden_size": 6400, "intermediate_size": 18304,
                   "num_hidden_layers": 64, "num_attention_heads": 80, "num_key_value_heads": 8,
                   "num_experts": 16, "moe_topk": [1] * 64, "vocab_size": 128512},
        "389", "51",
    ),
    "Step-3": (
        {"model_type": "step3_vl", "architectures": ["Step3VLForConditionalGeneration"],
                "text_config": STEP | {
                    "hidden_size": 7168, "intermediate_size": 18432, "num_hidden_layers": 61,
                    "num_attention_heads": 64, "head_dim": 256, "share_q_dim": 2048,
                    "moe_layers_enum": ",".join(str(n) for n in range(4, 60)), "moe_num_experts": 48,
                    "moe_top_k": 3, "moe_intermediate_size": 5120, "share_expert_dim": 5120,
                    "vocab_size": 128815}},
        "316", "39",
    ),
    "LongCat-Flash": (BIG_LONGCAT, "561", None),
    "LongCat-Flash-Lite": (LITE, "68.6", None),
    "Ouro-1.4B": (
        {"model_type": "ouro", "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 24,
         "num_attention_heads": 16, "num_key_value_heads": 16, "vocab_size": 49152},
        "1.4", None,
    ),
    "SDAR-30B-A3B": (
        {"model_type": "sdar_moe", "hidden_size": 2048, "intermediate_size": 6144, "head_dim": 128,
         "num_hidden_layers": 48, "num_attention_heads": 32, "num_key_value_heads": 4, "num_experts": 128,
         "num_experts_per_tok": 8, "moe_intermediate_size": 768, "vocab_size": 151936},
        "30.5", "3.4",
    ),
    "TeleChat3-36B": (
        {"model_type": "telechat3", "hidden_size": 6144, "intermediate_size": 24576, "head_dim": 128,
         "num_hidden_layers": 64, "num_attention_heads": 48, "num_key_value_heads": 8,
         "vocab_size": 131072},
        "36", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_file_gives_the_published_number_of_parameters(name):
    config, total, active = PUBLISHED[name]
    parameters = closed_form(Dimensions.from_config(config), sequence=16).parameters
    for found, told in ((parameters.total, total), (parameters.active, active)):
        if isinstance(told, int):
            assert found == told
        elif told is not None:
            assert f"{found / 1e9:.{len(told.partition('.')[2])}f}" == told


def test_switches_of_biases_and_what_is_shared_otherwise():
    plain, biased = (
        closed_form(
            Dimensions.from_config({"model_type": "PanguEmbedded", **LLAMA, "bias": bias}),
            sequence=7,
        )
        for bias in (False, True)
    )
    # In each of 3 layers: queries 24, keys and values 12 each, the output 24; no product.
    assert biased.parameters.total - plain.parameters.total == 3 * (24 + 12 + 12 + 24)
    assert biased.total == plain.total
    with pytest.raises(DimensionsError, match="moe_topk"):
        Dimensions.from_config({"model_type": "hunyuan", **HUNYUAN, "moe_topk": [1, 2, 1]})
    with pytest.raises(DimensionsError, match="between RWKV-7 layers"):
        Dimensions.from_config({"model_type": "rwkv7", **RWKV, "attn": {"layers": [1]}})


def test_ranks_that_are_null_follow_from_the_width():
    ranks = ("decay_low_rank_dim", "a_low_rank_dim", "v_low_rank_dim", "gate_low_rank_dim")
    dimensions = Dimensions.from_config(BIG_RWKV | dict.fromkeys(ranks))
    # The root of 2048 is 45.25; times 2.5, 1.7 and 5 it is nearest to 4, 2 and 7 times 32.
    found = [
        dimensions.details[f"{name}_rank"] for name in ("decay", "rate", "mixed_value", "gate")
    ]
    assert found == [128, 128, 64, 224]


def test_a_window_of_plamo_sees_itself_and_so_many_places_before():
    form = closed_form(
        Dimensions.from_config(
            {"model_type": "plamo2", **PLAMO, "attention_window_size": 3, "full_attention_idx": [3]}
        ),
        sequence=10,
    )
    # Layers 1 and 3 attend, of which 1 slides: 1 + 2 + 3 + 7 x 4 pairs, and 55 without a window.
    assert form.total - form.masked_total == 3 * 4 * 4 * 8 * (2 * 100 - 34 - 55)


@pytest.mark.parametrize(
    ("tokens", "pairs"), [(12, 16 * (1 + 2 + 3)), (14, 16 * 6 + 2 * 14), (3, 9)]
)
def test_blocks_see_themselves_to_their_end(tokens, pairs):
    config = {"model_type": "sdar", **LLAMA, "head_dim": 8, "block_size": 4}
    form = closed_form(Dimensions.from_config(config), sequence=tokens)
    # Pairs of blocks of 4; what is left over sees all. 4 FLOP a pair, head of 8 and layer, and twice back.
    assert form.total - form.masked_total == 3 * 3 * 4 * 4 * 8 * (tokens**2 - pairs)
    weights = 3 * (2 * 24 * 32 + 2 * 24 * 16 + 3 * 24 * 40) + 24 * 50
    assert form.forward == 2 * tokens * weights + 3 * 4 * 4 * 8 * tokens**2
    assert any("clean copy" in text for text in Dimensions.from_config(config).assumptions)


SMALL_LONGCAT = BIG_LONGCAT | {
    "hidden_size": 24, "num_layers": 2, "num_attention_heads": 2, "ffn_hidden_size": 32, "q_lora_rank": 12,
    "kv_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8, "head_dim": 4,
    "moe_topk": 3, "n_routed_experts": 6, "zero_expert_num": 2, "expert_ffn_hidden_size": 16,
    "vocab_size": 50, "architectures": ["LongcatFlashForCausalLM"],
}  # fmt: skip


@pytest.mark.trace
def test_longcat_equals_the_librarys_own_and_its_tables_stand_on_top(tmp_path):
    from flopcount.model_files.counted_model import count_config

    (tmp_path / "config.json").write_text(json.dumps(SMALL_LONGCAT))
    got = count_config(tmp_path, batch=2, sequence=10)
    form = got.closed_form
    assert (form.forward, form.backward) == (got.count.forward, got.count.backward)
    assert form.parameters.total == got.parameters.total
    # Of 3 choices 2 may be of experts without weights: three matrices of 24 x 16, two layers, 20 tokens.
    spare = 3 * 2 * 2 * (3 * 24 * 16) * 2 * 20
    assert got.count.flop_bounds == (got.count.total - spare, got.count.total)
    further = {"emb_neighbor_num": 3, "emb_split_num": 2, "ngram_vocab_size_ratio": 1.5}
    ngram = SMALL_LONGCAT | {
        "model_type": "longcat_flash_ngram",
        "architectures": LITE["architectures"],
    }
    (tmp_path / "config.json").write_text(json.dumps(ngram | further))
    wider = count_config(tmp_path, batch=2, sequence=10)
    assert wider.count.method == "closed-form"
    # Four tables of a quarter of the width, of 75 rows and 1, 3, 5, 7 more, each widened to 24.
    assert wider.parameters.total == got.parameters.total + (4 * 75 + 16) * 6 + 4 * 6 * 24
    assert wider.count.total == got.count.total + 3 * 4 * 2 * 6 * 24 * 20
    assert wider.count.flop_bounds == (wider.count.total - spare, wider.count.total)
    assert "routing-unknown" in [finding.code for finding in wider.findings]


@pytest.mark.trace
def test_kimi_vl_is_counted_with_its_image(tmp_path):
    from flopcount.model_files.counted_model import count_config

    text = {
        "hidden_size": 32, "intermediate_size": 48, "moe_intermediate_size": 16, "n_routed_experts": 4,
        "num_experts_per_tok": 2, "n_shared_experts": 1, "n_group": 1, "topk_group": 1,
        "first_k_dense_replace": 1, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 2, "q_lora_rank": None, "kv_lora_rank": 8, "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 4, "v_head_dim": 8, "vocab_size": 64,
    }  # fmt: skip
    vision = {
        "model_type": "moonvit", "patch_size": 14, "hidden_size": 24, "intermediate_size": 40,
        "num_attention_heads": 2, "num_hidden_layers": 3, "merge_kernel_size": [2, 2],
        "init_pos_emb_height": 8, "init_pos_emb_width": 8,
    }  # fmt: skip
    config = {
        "model_type": "kimi_vl", "architectures": ["KimiVLForConditionalGeneration"],
        "auto_map": {"AutoConfig": "configuration_kimi_vl.KimiVLConfig"},
        "media_placeholder_token_id": 60, "text_config": text, "vision_config": vision,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    # 5 x 4 patches of 14 pixels a side; the fifth row has no other to be merged with.
    got = count_config(tmp_path, sequence=30, image=(70, 56))
    patches, width = 16, 24
    layer = 2 * patches * (4 * width**2 + 2 * width * 40) + 4 * patches**2 * width
    merged = 2 * (patches // 4) * ((4 * width) ** 2 + 4 * width * 32)
    tower = [
        entry.flop
        for entry in got.count.entries
        if entry.phase == "forward" and re.search("vision_tower|mm_projector", entry.module)
    ]
    assert sum(tower) == 2 * patches * 3 * 14 * 14 * width + 3 * layer + merged
    form = closed_form(
        Dimensions.from_config({"model_type": "deepseek_v3", **text}), batch=1, sequence=30
    )
    assert got.count.forward == sum(tower) + form.forward
    assert "remote-code-not-run" in [finding.code for finding in got.findings]
