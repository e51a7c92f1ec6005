"""The inputs that a configuration needs: found by rule, stated by the user, or asked for."""

import json
from pathlib import Path

import pytest

from flopcount.errors import FlopcountError
from flopcount.model_files.model_classes import class_of

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.trace

TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
         "num_attention_heads": 4}  # fmt: skip


@pytest.fixture
def count(tmp_path):
    def counter(config, **sizes):
        from flopcount.model_files.counted_model import count_config

        (tmp_path / "config.json").write_text(json.dumps(config))
        return count_config(tmp_path, **sizes)

    return counter


def codes(counted):
    return [finding.code for finding in counted.findings]


def test_a_grid_of_patches_is_made_from_the_image_size(count):
    config = {"model_type": "qwen2_vl_vision", "depth": 1, "embed_dim": 32, "hidden_size": 16,
              "num_heads": 4, "mlp_ratio": 2, "patch_size": 14, "temporal_patch_size": 2,
              "spatial_merge_size": 2, "in_channels": 3}  # fmt: skip
    counted = count(config, image=(56, 84))
    # 56/14 x 84/14 = 4 x 6 = 24 patches of 3·2·14·14 numbers each, projected to 32
    assert counted.count.by_module["patch_embed"] == 2 * (2 * 24 * 3 * 2 * 14 * 14 * 32)
    # 24 / (2·2) = 6 merged rows of 4·32 numbers: 128 -> 128 -> 16, forward and two gradients
    assert counted.count.by_module["merger"] == 3 * (2 * 6 * (128 * 128 + 128 * 16))


def test_the_grid_is_asked_for_where_nothing_tells_it(count):
    counted = count({"model_type": "qwen2_vl_vision", "depth": 1, "embed_dim": 32})
    assert counted.count is None
    assert "image" in counted.findings[0].message


def test_an_image_becomes_as_many_tokens_as_the_model_makes_of_it(count):
    text = count(LLAVA, sequence=16)
    both = count(LLAVA, sequence=16, image=(28, 28))
    assert "coverage-gap" in codes(text)
    assert "coverage-gap" not in codes(both)
    assert [f.message for f in both.findings if f.code == "input-size-assumed"] == [
        "one image a sample: 4 of its 16 tokens"
    ]
    # the language model reads 16 tokens either way; the projector 4 rows of 32·32 twice
    whole = both.count.by_module
    assert whole["model.language_model"] == text.count.by_module["model.language_model"]
    assert whole["model.multi_modal_projector"] == 3 * (2 * 4 * 2 * 32 * 32)
    with pytest.raises(FlopcountError, match="the image alone makes 4 tokens"):
        count(LLAVA, sequence=4, image=(28, 28))


LLAVA = {
    "model_type": "llava",
    "architectures": ["LlavaForConditionalGeneration"],
    "image_token_index": 99,
    "vision_config": {"model_type": "clip_vision_model", **TOWER, "image_size": 28,
                      "patch_size": 14, "projection_dim": 16},
    "text_config": {"model_type": "llama", **TOWER, "num_key_value_heads": 4, "vocab_size": 100},
    "vision_feature_layer": -1,
}  # fmt: skip


def test_pixels_that_are_stated_are_those_that_are_counted(count):
    image = count(LLAVA, sequence=16, image=(28, 28))
    stated = count(LLAVA, sequence=16, given={"pixel_values": "1x3x28x28"})
    assert stated.count.total == image.count.total
    # Two images for one sample make 2 x 4 of its 16 tokens.
    two = count(LLAVA, sequence=16, given={"pixel_values": "2x3x28x28"})
    assert (
        two.count.by_module["model.vision_tower"] == 2 * image.count.by_module["model.vision_tower"]
    )
    # Its tower takes images of 28 alone: it is said, and no image of another size is counted instead.
    with pytest.raises(FlopcountError, match="14"):
        count(LLAVA, sequence=16, given={"pixel_values": "1x3x14x14"})


def test_text_that_looks_at_tiles_across_meets_all_of_them(count):
    """Llama 3.2 Vision has no image among its tokens: every tile goes through the cross-attention."""
    vision = {
        "model_type": "mllama_vision_model", "hidden_size": 32, "attention_heads": 4,
        "intermediate_size": 64, "num_hidden_layers": 2, "num_global_layers": 1, "image_size": 28,
        "patch_size": 14, "max_num_tiles": 4, "intermediate_layers_indices": [1],
        "vision_output_dim": 64, "supported_aspect_ratios": [[1, 1], [2, 2]],
    }  # fmt: skip
    text = {
        "model_type": "mllama_text_model", "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "cross_attention_layers": [1], "vocab_size": 100, "pad_token_id": 0,
    }  # fmt: skip
    config = {
        "model_type": "mllama",
        "architectures": ["MllamaForConditionalGeneration"],
        "image_token_index": 99,
        "vision_config": vision,
        "text_config": text,
    }
    length, tiles, places = 8, 4, 2 * 2 + 1  # patches of a tile and its class token
    counted = count(config, sequence=length, image=(28, 28), backward=False)
    seen = tiles * places
    # Queries and outputs of the text, keys and values of all 20 places, every pair of both.
    cross = 2 * length * 2 * 64**2 + 2 * seen * 2 * 64 * 32 + 4 * length * seen * 64
    layer = "model.language_model.layers.1.cross_attn"
    assert counted.count.by_module[layer] == cross
    assert counted.count.by_module["model.multi_modal_projector"] == 2 * seen * 64 * 64
    assert "coverage-gap" not in codes(counted)
    assert [f.message for f in counted.findings if f.code == "input-size-assumed"] == [
        "one image a sample: 4 tiles of 28 x 28, whatever the image fills of them"
    ]


def test_a_pair_of_towers_reads_its_own_text_length(count):
    config = {
        "model_type": "clip",
        "architectures": ["CLIPModel"],
        "projection_dim": 16,
        "text_config": {**TOWER, "vocab_size": 100, "max_position_embeddings": 12},
        "vision_config": {**TOWER, "image_size": 28, "patch_size": 14},
    }
    counted = count(config)
    assert counted.count.total == count(config, sequence=12).count.total
    assert "input-size-assumed" in codes(counted)
    assert count(config, sequence=500).count.total == counted.count.total
    assert count(config, sequence=6).count.total < counted.count.total


def test_what_a_model_misses_by_name_is_given(count):
    # The signature calls bbox optional, and the model raises without it.
    config = {"model_type": "bros", **TOWER, "hidden_size": 64, "vocab_size": 100}
    assert count(config, sequence=8).count.forward > 0


def test_sound_gets_its_axis_and_its_constants(count):
    # EnCodec wants (batch, 1, samples), and asks buffers for their values in its forward pass.
    config = {"model_type": "encodec", "num_filters": 4, "hidden_size": 16, "codebook_size": 8,
              "num_lstm_layers": 1, "upsampling_ratios": [2, 2], "codebook_dim": 16}  # fmt: skip
    counted = count(config, sequence=64)
    # first convolution: 64 places, 1 -> 4 channels, kernel 7; the codes behind the encoder are
    # integers, so nothing of it gets a gradient
    first = counted.count.by_module["encoder.layers.0"]
    assert first == 2 * 64 * 4 * 1 * 7


def test_past_values_come_from_the_context_length(count):
    config = {"model_type": "patchtst", "context_length": 24, "patch_length": 8, "patch_stride": 8,
              "num_input_channels": 2, "d_model": 16, "num_attention_heads": 2, "ffn_dim": 32,
              "num_hidden_layers": 1, "architectures": ["PatchTSTModel"]}  # fmt: skip
    counted = count(config)
    # 2 channels of 24/8 = 3 patches: each 8 numbers -> 16, forward and the weight's gradient
    assert counted.count.by_module["encoder.embedder"] == 2 * (2 * 2 * 3 * 8 * 16)


def test_a_mask_is_built_for_attention_that_cannot_be_exchanged(count):
    config = {"model_type": "mpt", "d_model": 32, "n_heads": 4, "n_layers": 1, "vocab_size": 100,
              "max_seq_len": 16, "architectures": ["MptForCausalLM"]}  # fmt: skip
    counted = count(config, sequence=8)
    assert counted.count.by_module["transformer.blocks.0.attn"] > 0


def test_a_batch_normalisation_of_one_sample_says_what_to_give(count):
    config = {"model_type": "levit", "num_channels": 3, "image_size": 64, "depths": [1, 1, 1],
              "hidden_sizes": [16, 16, 16], "num_attention_heads": [1, 1, 1], "key_dim": [8, 8, 8],
              "architectures": ["LevitForImageClassification"]}  # fmt: skip
    with pytest.raises(FlopcountError, match="give --batch 2"):
        count(config)
    assert count(config, batch=2).count.forward > 0


def test_inputs_that_no_rule_tells_are_stated_by_name(count):
    config = {"model_type": "lxmert", "hidden_size": 32, "intermediate_size": 64,
              "num_attention_heads": 4, "l_layers": 1, "x_layers": 1, "r_layers": 1,
              "visual_feat_dim": 24, "visual_pos_dim": 4, "vocab_size": 100,
              "architectures": ["LxmertModel"]}  # fmt: skip
    asked = count(config, sequence=8)
    assert asked.count is None
    assert "visual_feats" in asked.findings[0].message
    given = {"visual_feats": "1x5x24", "visual_pos": "1x5x4"}
    counted = count(config, sequence=8, given=given)
    # 5 regions: 24 -> 32 and 4 -> 32; the regions need no gradient
    assert counted.count.by_module["encoder.visn_fc"] == 2 * (2 * 5 * (24 + 4) * 32)


@pytest.mark.parametrize(
    "text", ["", "x", "1x", "1x-2", "1x2:complex", "[1, [2]]", "[[", "9" * 30, "[" * 5000]
)
def test_an_input_that_cannot_be_read_is_told(text):
    from flopcount.model_files.inputs.stated import stated_inputs

    with pytest.raises(FlopcountError, match="input name"):
        stated_inputs({"name": text}, torch.float32)


def test_stated_numbers_are_real_and_shapes_are_not():
    from flopcount.model_files.inputs.stated import stated_inputs

    made = stated_inputs({"a": "[[1, 2, 3]]", "b": "2x3:long", "c": "4x5"}, torch.bfloat16)
    assert made["a"].tolist() == [[1, 2, 3]]
    assert (made["b"].is_meta, made["b"].dtype, made["c"].dtype) == (
        True,
        torch.long,
        torch.bfloat16,
    )


def test_an_input_that_the_model_does_not_take_is_refused(count):
    config = {"model_type": "llama", **TOWER, "vocab_size": 100}
    with pytest.raises(FlopcountError, match="takes no input nonsense"):
        count(config, sequence=4, given={"nonsense": "1x2"})


def test_a_tower_without_architectures_is_its_namesake(count):
    counted = count({"model_type": "siglip_text_model", **TOWER, "vocab_size": 100}, sequence=8)
    assert counted.name == "SiglipTextModel"
    assert any("built as the library's SiglipTextModel" in note for note in counted.assumptions)


def test_a_common_ancestor_of_a_library_is_no_model():
    from transformers import Qwen2_5OmniConfig

    # beside it stand Qwen2_5OmniPreTrainedModel and ...PreTrainedModelForConditionalGeneration
    cls, note = class_of({}, Qwen2_5OmniConfig(), Path("config.json"))
    assert cls.__name__ == "Qwen2_5OmniForConditionalGeneration"
    assert note == "architectures is not stated: built as the library's " + cls.__name__


def test_layers_that_read_several_codebooks_get_a_row_of_each(count):
    config = {"model_type": "musicgen_decoder", "hidden_size": 16, "ffn_dim": 32, "vocab_size": 50,
              "num_hidden_layers": 1, "num_attention_heads": 2, "num_codebooks": 3}  # fmt: skip
    counted = count({**config, "architectures": ["MusicgenForCausalLM"]}, sequence=8)
    # one layer over 8 steps, the books summed before it; three heads of 16 x 50
    assert counted.count.by_module["lm_heads"] == 3 * (3 * 2 * 8 * 16 * 50)


def test_patches_whose_width_the_configuration_states_need_no_image_size(count):
    config = {"model_type": "pix2struct_vision_model", "hidden_size": 16, "d_ff": 32, "d_kv": 8,
              "patch_embed_hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2,
              "seq_len": 10}  # fmt: skip
    counted = count(config)
    # 10 patches of 12 numbers, projected to 16: forward and the weight's gradient
    assert counted.count.by_module["embeddings"] == 2 * (2 * 10 * 12 * 16)


def test_a_model_without_a_forward_pass_is_named(count):
    with pytest.raises(FlopcountError, match="'ChameleonVQVAE' has no forward pass of its own"):
        count({"model_type": "chameleon_vqgan", "base_channels": 32, "num_res_blocks": 1,
               "channel_multiplier": [1]})  # fmt: skip
