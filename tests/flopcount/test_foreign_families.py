"""Files as they are published: families that bring code of their own, or an older name."""

import json

import pytest

from flopcount.closed_form import Dimensions
from flopcount.closed_form import count as closed_form
from flopcount.errors import FlopcountError

ATTENTION = {"hidden_size": 4096, "num_attention_heads": 32, "num_hidden_layers": 32}
CODE = {"auto_map": {"AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}}
# model_type: (the published file's sizes, its published number of parameters)
PUBLISHED = {
    "Baichuan2-7B": (
        {**ATTENTION, "model_type": "baichuan", "intermediate_size": 11008, "vocab_size": 125696},
        7_505_973_248,
    ),
    "InternLM2-7B": (
        {
            **ATTENTION,
            "model_type": "internlm2",
            "intermediate_size": 14336,
            "num_key_value_heads": 8,
            "vocab_size": 92544,
        },
        7_737_708_544,
    ),
    "Qwen-7B": (
        {
            **ATTENTION,
            "model_type": "qwen",
            "intermediate_size": 22016,
            "kv_channels": 128,
            "no_bias": True,
            "vocab_size": 151936,
        },
        7_721_324_544,
    ),
    "ChatGLM3-6B": (
        {
            "model_type": "chatglm",
            "architectures": ["ChatGLMModel"],
            "hidden_size": 4096,
            "num_attention_heads": 32,
            "num_layers": 28,
            "ffn_hidden_size": 13696,
            "kv_channels": 128,
            "multi_query_attention": True,
            "multi_query_group_num": 2,
            "padded_vocab_size": 65024,
            "add_qkv_bias": True,
            "add_bias_linear": False,
        },
        6_243_584_000,
    ),
    "MiniCPM-2B": (
        {
            "model_type": "minicpm",
            "hidden_size": 2304,
            "intermediate_size": 5760,
            "num_attention_heads": 36,
            "num_key_value_heads": 36,
            "num_hidden_layers": 40,
            "vocab_size": 122753,
        },
        2_724_880_896,
    ),
    "DeepSeek-MoE-16B": (
        {
            "model_type": "deepseek",
            "hidden_size": 2048,
            "intermediate_size": 10944,
            "moe_intermediate_size": 1408,
            "n_routed_experts": 64,
            "n_shared_experts": 2,
            "num_experts_per_tok": 6,
            "first_k_dense_replace": 1,
            "moe_layer_freq": 1,
            "num_attention_heads": 16,
            "num_hidden_layers": 28,
            "vocab_size": 102400,
        },
        16_375_728_128,
    ),
    "OLMo-7B": (
        {
            "model_type": "hf_olmo",
            "d_model": 4096,
            "n_layers": 32,
            "n_heads": 32,
            "mlp_hidden_size": 22016,
            "activation_type": "swiglu",
            "embedding_size": 50304,
            "vocab_size": 50280,
            "weight_tying": False,
            "include_bias": False,
        },
        6_888_095_744,
    ),
    "MPT-7B": (
        {
            "model_type": "mpt",
            "d_model": 4096,
            "n_heads": 32,
            "n_layers": 32,
            "no_bias": True,
            "expansion_ratio": 4,
            "attn_config": {"alibi": True},
            "vocab_size": 50432,
        },
        6_649_286_656,
    ),
    "DBRX": (
        {
            "model_type": "dbrx",
            "d_model": 6144,
            "n_heads": 48,
            "n_layers": 40,
            "attn_config": {"kv_n_heads": 8},
            "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4},
            "vocab_size": 100352,
            "tie_word_embeddings": False,
        },
        131_596_523_520,
    ),
    "state-spaces/mamba-2.8b": (
        {"d_model": 2560, "n_layer": 64, "vocab_size": 50277, "ssm_cfg": {}, "rms_norm": True},
        2_768_345_600,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_file_gives_the_published_number_of_parameters(name):
    config, parameters = PUBLISHED[name]
    form = closed_form(Dimensions.from_config(config), sequence=16)
    assert form.parameters.total == parameters


def test_code_that_is_not_run_leaves_the_closed_form(tmp_path):
    from flopcount.model_files.counted_model import count_config

    config, parameters = PUBLISHED["InternLM2-7B"]
    (tmp_path / "config.json").write_text(json.dumps({**config, **CODE}))
    counted = count_config(tmp_path, sequence=64)
    # A token: 6 x weights in products (the table is a lookup), 12 x 32 layers x 4096 x 64 positions.
    table, norms = 92544 * 4096, (2 * 32 + 1) * 4096
    assert counted.count.total == 64 * (6 * (parameters - table - norms) + 12 * 32 * 4096 * 64)
    assert counted.count.method == "closed-form"
    assert [finding.code for finding in counted.findings] == ["remote-code-not-run"]
    assert counted.polynomial is not None


def test_a_family_that_nobody_knows_says_both_reasons(tmp_path):
    from flopcount.model_files.counted_model import count_config

    (tmp_path / "config.json").write_text(json.dumps({"model_type": "own_family", **CODE}))
    with pytest.raises(FlopcountError, match=r"(?s)auto_map.*never run.*no closed form"):
        count_config(tmp_path, sequence=8)


@pytest.mark.trace
@pytest.mark.parametrize(
    ("config", "class_name"),
    [
        (
            {
                "model_type": "kimi_k2",
                "architectures": ["DeepseekV3ForCausalLM"],
                "hidden_size": 32,
                "intermediate_size": 64,
                "moe_intermediate_size": 16,
                "n_routed_experts": 8,
                "num_experts_per_tok": 2,
                "n_shared_experts": 1,
                "n_group": 1,
                "topk_group": 1,
                "first_k_dense_replace": 1,
                "num_hidden_layers": 3,
                "num_attention_heads": 4,
                "num_key_value_heads": 4,
                "q_lora_rank": 16,
                "kv_lora_rank": 8,
                "qk_nope_head_dim": 8,
                "qk_rope_head_dim": 4,
                "v_head_dim": 8,
                "vocab_size": 64,
            },
            "DeepseekV3ForCausalLM",
        ),
        (
            {
                "model_type": "RefinedWebModel",
                "architectures": ["RWForCausalLM"],
                "hidden_size": 32,
                "n_head": 4,
                "n_layer": 2,
                "multi_query": True,
                "parallel_attn": True,
                "bias": False,
                "vocab_size": 64,
            },
            "FalconForCausalLM",
        ),
        (
            {
                "model_type": "mpt",
                "architectures": ["MPTForCausalLM"],
                "d_model": 32,
                "n_heads": 4,
                "n_layers": 2,
                "vocab_size": 64,
                "max_seq_len": 32,
            },
            "MptForCausalLM",
        ),
        (
            {
                "model_type": "mimo",
                "architectures": ["MiMoForCausalLM"],
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "attention_bias": True,
                "use_sliding_window": False,
                "sliding_window": 8,
                "vocab_size": 64,
                "tie_word_embeddings": False,
            },
            "Qwen2ForCausalLM",
        ),
    ],
)
def test_a_family_under_another_name_is_traced_and_equals_its_form(tmp_path, config, class_name):
    from flopcount.model_files.counted_model import count_config

    (tmp_path / "config.json").write_text(json.dumps({**config, **CODE}))
    counted = count_config(tmp_path, batch=2, sequence=24)
    assert counted.name == class_name
    assert counted.count.method == "meta"
    form = counted.closed_form
    assert (form.forward, form.backward) == (counted.count.forward, counted.count.backward)
    assert form.masked_total == counted.count.masked_total
    assert form.parameters.total == counted.parameters.total
    assert "remote-code-not-run" in [finding.code for finding in counted.findings]


@pytest.mark.trace
def test_lightning_attention_goes_by_the_librarys_name(tmp_path):
    from flopcount.model_files.architectures import load

    config = {
        "model_type": "minimax_text_01",
        "architectures": ["MiniMaxText01ForCausalLM"],
        "attn_type_list": [0, 1],
        "hidden_size": 32,
        "intermediate_size": 48,
        "head_dim": 8,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_hidden_layers": 2,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "vocab_size": 64,
        **CODE,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    built = load(tmp_path)
    kinds = [type(layer.self_attn).__name__ for layer in built.model.model.layers]
    assert kinds == ["MiniMaxLightningAttention", "MiniMaxAttention"]
    config["shared_intermediate_size"] = 16
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(FlopcountError, match="shared_intermediate_size"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("stated", "kv_heads"), [({}, 32), ({"multi_query_attention": True}, 1), ({"n_kv_heads": 8}, 8)]
)
def test_how_many_key_value_heads_an_olmo_has(stated, kv_heads):
    config, _ = PUBLISHED["OLMo-7B"]
    assert Dimensions.from_config(config | stated).kv_heads == kv_heads
