"""What a file leaves out, and settings that no form follows: the library decides, never a guess."""

import dataclasses
import json
import warnings

import pytest

from flopcount.closed_form import Dimensions, DimensionsError
from flopcount.closed_form.configs import DIALECTS
from flopcount.closed_form.library_defaults import DEFAULTS

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.trace

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 8,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 500,
    "pad_token_id": 0,
}
OPEN = {  # what the library's own default leaves open
    "deepseek_v2": {"num_experts_per_tok": 6},
    "dots1": {"n_routed_experts": 128, "num_experts_per_tok": 6, "n_shared_experts": 2},
    "glm4_moe": {"head_dim": 128},
}
KNOWN = transformers.models.auto.configuration_auto.CONFIG_MAPPING
FAMILIES = sorted(
    family for family in {*DIALECTS, *DEFAULTS, "camembert", "xlm-roberta"} if family in KNOWN
)


def whole_default(family):
    """The library's default configuration of a family, every key of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = KNOWN[family](**OPEN.get(family, {})).to_dict()
    config.pop("architectures", None)
    return config | {"model_type": family}


def read(config):
    """What a form counts from: the layers that slide, not how the file says it."""
    d = Dimensions.from_config(config)
    sliding = d.sliding_layers if d.layers else 0
    plain = dataclasses.replace(
        d,
        sliding_window=d.sliding_window if sliding else None,
        full_attention_layers=None,
        sliding_window_every=None,
        assumptions=(),
    )
    return plain, sliding


@pytest.mark.parametrize("family", FAMILIES)
def test_a_key_that_is_left_out_is_the_librarys_default_or_missed(family):
    config = whole_default(family)
    expected = read(config)
    for key in config.keys() - {"model_type"}:
        less = {name: value for name, value in config.items() if name != key}
        try:
            found = read(less)
        except DimensionsError:
            continue
        assert found == expected, f"{family} without {key}"


def test_what_was_taken_is_said():
    config = SMALL | {"model_type": "mistral", "sliding_window": None}
    config.pop("num_key_value_heads")
    # 8 key-value heads of the library's default do not divide among 4 heads, 16 do
    with pytest.raises(DimensionsError, match="kv_heads = 8"):
        Dimensions.from_config(config)
    dimensions = Dimensions.from_config(config | {"num_attention_heads": 16})
    assert dimensions.kv_heads == 8
    assert any("num_key_value_heads = 8" in note for note in dimensions.assumptions)
    assert Dimensions.from_config(config | {"num_key_value_heads": None}).kv_heads == 4


def test_a_null_head_is_as_wide_as_hidden_divided():
    config = SMALL | {"model_type": "ernie4_5"}
    assert Dimensions.from_config(config | {"head_dim": None}).head_dim == 16
    assert Dimensions.from_config(config).head_dim == 128


@pytest.mark.parametrize("family", ["deepseek", "bailing_moe", "bailing_moe_v2"])
def test_no_dense_width_stands_in_for_an_experts(family):
    config = SMALL | {
        "model_type": family,
        "n_routed_experts": 8,
        "num_experts": 8,
        "num_experts_per_tok": 2,
    }
    with pytest.raises(DimensionsError, match="moe_intermediate_size"):
        Dimensions.from_config(config)


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"model_type": "gemma3_text", "use_bidirectional_attention": True}, "bidirectional"),
        (
            {"model_type": "phimoe", "num_local_experts": 8, "num_experts_per_tok": 3},
            "chooses two",
        ),
        (
            {"model_type": "bart", "tie_word_embeddings": False, "max_position_embeddings": 64},
            "three tables",
        ),
    ],
)
def test_settings_that_no_form_follows_are_declined(config, word):
    with pytest.raises(DimensionsError, match=word):
        Dimensions.from_config(SMALL | {"d_model": 64} | config)


MOE = {"num_local_experts": 4, "num_experts_per_tok": 2}


@pytest.mark.parametrize(
    ("family", "keys"),
    [
        ("mistral", {"sliding_window": 6}),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 3}),
        ("gemma2", {"sliding_window": 6, "head_dim": 16}),
        ("gemma3_text", {"sliding_window": 6, "head_dim": 16}),
        ("olmo3", {"sliding_window": 6}),
        ("cohere2", {"sliding_window": 6}),
        ("exaone4", {"sliding_window": 6}),
        ("gpt_oss", MOE | {"sliding_window": 6, "head_dim": 16}),
        ("phimoe", MOE | {"sliding_window": 6}),
        ("deepseek_v2", {
            "num_key_value_heads": 4, "kv_lora_rank": 16, "q_lora_rank": 24,
            "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12,
            "n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 48,
            "n_group": 1, "topk_group": 1, "mlp_bias": True,
        }),
    ],
)  # fmt: skip
def test_masked_pairs_and_parameters_of_form_and_trace_agree(tmp_path, family, keys):
    from transformers.models.auto import modeling_auto

    from flopcount.model_files.counted_model import count_config

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = transformers.AutoConfig.for_model(family, **(SMALL | keys)).to_dict()
        name = modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[family]
        (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": [name]}))
        counted = count_config(tmp_path, batch=2, sequence=24)
    form = counted.closed_form
    assert form.masked_total == counted.count.masked_total
    assert form.total == counted.count.total
    assert form.masked_total < form.total
    assert form.parameters.total == counted.parameters.total
