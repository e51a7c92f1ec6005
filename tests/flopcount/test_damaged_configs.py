"""Configurations that an audited party may hand in damaged: refused by name, or told what was read."""

import json

import pytest

from flopcount.closed_form import Dimensions
from flopcount.errors import FlopcountError

LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 99,
}
GEMMA = LLAMA | {"model_type": "gemma3_text", "head_dim": 16, "sliding_window": 8}
MIXTRAL = LLAMA | {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}
UNET = {
    "_class_name": "UNet2DConditionModel",
    "block_out_channels": [32, 64],
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "cross_attention_dim": 32,
    "attention_head_dim": 8,
    "norm_num_groups": 8,
}


def loaded(folder, config):
    from flopcount.model_files.architectures import load

    (folder / "config.json").write_text(json.dumps(config))
    return load(folder)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (LLAMA | {"num_key_value_heads": 3}, "num_key_value_heads = 3 of num_attention_heads = 4"),
        (LLAMA | {"num_key_value_heads": 8}, "num_key_value_heads = 8 of num_attention_heads = 4"),
        (LLAMA | {"num_key_value_heads": 0}, "num_key_value_heads = 0 of num_attention_heads = 4"),
        (MIXTRAL | {"num_experts_per_tok": 5}, "num_experts_per_tok = 5 of num_local_experts = 4"),
    ],
)
def test_sizes_that_no_model_can_run_with_are_refused_before_any_trace(tmp_path, config, words):
    from flopcount.model_files.stated_sizes import check_sizes

    with pytest.raises(FlopcountError, match=words):
        check_sizes(config, tmp_path)
    check_sizes(LLAMA, tmp_path)
    check_sizes(MIXTRAL | {"num_experts_per_tok": 4}, tmp_path)


def test_a_key_with_two_values_is_refused(tmp_path):
    from flopcount.model_files.config_file import read_json

    file = tmp_path / "config.json"
    file.write_text('{"hidden_size": 64, "layers": 1, "hidden_size": 4096}')
    with pytest.raises(FlopcountError, match="'hidden_size' stands twice, with 64 and 4096"):
        read_json(file)
    file.write_text('{"hidden_size": 64, "hidden_size": 64}')
    assert read_json(file) == {"hidden_size": 64}


@pytest.mark.trace
@pytest.mark.parametrize(
    ("config", "word"),
    [
        (LLAMA | {"num_hidden_layers": 0}, "num_hidden_layers = 0"),
        (LLAMA | {"num_hidden_layers": -3}, "num_hidden_layers = -3"),
        (LLAMA | {"hidden_size": 0}, "hidden_size = 0"),
        ({"model_type": "llava", "text_config": LLAMA | {"vocab_size": -1}}, "text_config.vocab_s"),
        (MIXTRAL | {"num_experts_per_tok": 0}, "no token meets an expert"),
    ],
)
def test_sizes_that_the_library_would_build_without_a_word(tmp_path, config, word):
    with pytest.raises(FlopcountError, match=word):
        loaded(tmp_path, config)


@pytest.mark.trace
def test_a_size_that_the_file_leaves_to_the_library_is_named(tmp_path):
    assert loaded(tmp_path, LLAMA | {"architectures": ["LlamaForCausalLM"]}).assumptions == ()
    without = {key: value for key, value in LLAMA.items() if key != "intermediate_size"}
    (note,) = loaded(tmp_path, without | {"architectures": ["LlamaForCausalLM"]}).assumptions
    assert note.endswith("by default: intermediate_size = 11008")
    # GPT-2 by another of its names; its feed-forward follows from the width and is no default.
    gpt2 = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "hidden_size": 64,
            "n_layer": 2, "num_attention_heads": 4}  # fmt: skip
    (note,) = loaded(tmp_path, gpt2).assumptions
    assert note.endswith("by default: vocab_size = 50257")
    llava = {"model_type": "llava", "architectures": ["LlavaForConditionalGeneration"],
             "text_config": LLAMA, "vision_config": {"model_type": "clip_vision_model"}}  # fmt: skip
    (note,) = loaded(tmp_path, llava).assumptions
    assert "vision_config.hidden_size = 768" in note
    assert "text_config" not in note


@pytest.mark.trace
def test_a_denoiser_names_them_too(tmp_path):
    pytest.importorskip("diffusers")
    (note,) = loaded(tmp_path, UNET).assumptions
    assert "in_channels = 4" in note
    assert "block_out_channels" not in note


@pytest.mark.trace
@pytest.mark.parametrize(
    "manner",
    [
        {"torch_dtype": "torch.float16"},
        {"dtype": "auto"},
        {"torch_dtype": ["bfloat16"]},
        {"return_dict": False},
        {"use_return_dict": False},
    ],
)
def test_how_results_look_and_weights_are_stored_changes_no_count(tmp_path, manner):
    built = loaded(tmp_path, LLAMA | manner)
    assert built.parameters.total == 105_280
    assert built.model.config.return_dict is True


@pytest.mark.parametrize(
    ("config", "word"),
    [
        (GEMMA | {"layer_types": ["sliding_attention"]}, "names 1 layers of num_hidden_layers = 3"),
        (GEMMA | {"layer_types": ["full_attention", None, "full_attention"]}, "'None'"),
        (GEMMA | {"layer_types": ["foo"] * 3}, "'foo'"),
        (LLAMA | {"num_attention_heads": 5, "num_key_value_heads": 5}, "no multiple of heads = 5"),
        (LLAMA | {"num_attention_heads": 10**9, "num_key_value_heads": 1}, "no multiple of heads"),
        (LLAMA | {"hidden_size": "64"}, "expected a whole number"),
        (LLAMA | {"architectures": 3}, "expected a list"),
    ],
)
def test_the_closed_form_refuses_what_contradicts_itself(config, word):
    with pytest.raises(FlopcountError, match=word):
        Dimensions.from_config(config)
