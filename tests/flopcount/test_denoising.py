"""Inputs of diffusers' denoisers: found by name, counted to the FLOP that the second counter finds."""

import json

import pytest

import flopcount
from benchmarks.counts.opinions import second_opinion
from flopcount.model_files.architectures import load
from flopcount.model_files.inputs.sizes import InputSizeUnknownError

pytest.importorskip("diffusers")

SMALL = {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2}
ROTARY = {**SMALL, "axes_dims_rope": [4, 6, 6]}
DENOISERS = {
    # a row of tokens, two texts, guidance
    "FluxTransformer2DModel": (
        {**ROTARY, "num_single_layers": 1, "in_channels": 16, "joint_attention_dim": 24,
         "pooled_projection_dim": 12, "guidance_embeds": True},
        {"latent": (8, 8), "text_tokens": 5},
    ),
    # frames before channels, the configuration fixes their number
    "CogVideoXTransformer3DModel": (
        {**SMALL, "in_channels": 4, "out_channels": 4, "time_embed_dim": 8, "text_embed_dim": 12,
         "sample_height": 8, "sample_width": 8, "sample_frames": 9, "max_text_seq_length": 6},
        {},
    ),
    # channels before frames
    "WanTransformer3DModel": (
        {**SMALL, "in_channels": 4, "out_channels": 4, "text_dim": 12, "freq_dim": 8,
         "ffn_dim": 40},
        {"latent": (8, 8), "text_tokens": 5, "frames": 3},
    ),
    # a time-embedded condition of image sizes
    "CogView4Transformer2DModel": (
        {**SMALL, "in_channels": 4, "out_channels": 4, "text_embed_dim": 12, "time_embed_dim": 8,
         "condition_dim": 4, "pos_embed_max_size": 8, "rope_axes_dim": [4, 4], "sample_size": 8},
        {"text_tokens": 5},
    ),
    # text and image in one row of the same length
    "Ideogram4Transformer2DModel": (
        {"in_channels": 8, "num_layers": 1, "attention_head_dim": 16, "num_attention_heads": 2,
         "intermediate_size": 48, "adaln_dim": 8, "llm_features_dim": 24,
         "mrope_section": [2, 3, 3]},
        {"latent": (8, 8), "text_tokens": 5},
    ),
    # a text of several layers of its encoder; places are one table
    "Krea2Transformer2DModel": (
        {"in_channels": 8, "num_layers": 1, "attention_head_dim": 16, "num_attention_heads": 4,
         "num_key_value_heads": 2, "intermediate_size": 48, "timestep_embed_dim": 8,
         "text_hidden_dim": 32, "num_text_layers": 3, "text_num_attention_heads": 2,
         "text_num_key_value_heads": 2, "text_intermediate_size": 40,
         "axes_dims_rope": [4, 6, 6]},
        {"latent": (8, 8), "text_tokens": 5},
    ),
    # what encoders hand on in pairs; codebooks
    "T5FilmDecoder": (
        {"input_dims": 8, "targets_length": 6, "d_model": 16, "num_layers": 1, "num_heads": 2,
         "d_kv": 8, "d_ff": 24},
        {"text_tokens": 5},
    ),
    "MiniMaxMusic3RVQDepthDecoder": (
        {"hidden_size": 32, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 48},
        {},
    ),
    # asks for autocast of the tensors' own device in its rotary embedding, keeps some text tokens
    "MochiTransformer3DModel": (
        {**SMALL, "in_channels": 4, "pooled_projection_dim": 8, "text_embed_dim": 16,
         "time_embed_dim": 8, "max_sequence_length": 6},
        {"latent": (8, 8), "frames": 2},
    ),
    # lists of samples
    "ZImageTransformer2DModel": (
        {"in_channels": 4, "dim": 64, "n_layers": 1, "n_refiner_layers": 1, "n_heads": 2,
         "n_kv_heads": 2, "cap_feat_dim": 12, "axes_dims": [8, 12, 12], "axes_lens": [64, 32, 32]},
        {"latent": (8, 8), "text_tokens": 5},
    ),
}  # fmt: skip


@pytest.fixture
def built(tmp_path):
    def build(name, keys):
        path = tmp_path / "config.json"
        path.write_text(json.dumps({"_class_name": name, **keys}))
        return load(path)

    return build


@pytest.mark.filterwarnings("ignore:.*autocast")  # of the model, run by the second counter
@pytest.mark.parametrize("name", DENOISERS)
def test_a_denoiser_runs_on_the_inputs_made_for_it(built, name):
    keys, sizes = DENOISERS[name]
    model = built(name, keys)
    inputs = model.inputs(1, **sizes)
    count = flopcount.count(model.model, **inputs)
    assert count.forward > 0
    assert (count.forward, count.backward) == second_opinion(
        built(name, keys).model, (), inputs, count.forward
    )


def test_frames_that_nothing_fixes_are_asked_for(built):
    keys, sizes = DENOISERS["WanTransformer3DModel"]
    model = built("WanTransformer3DModel", keys)
    with pytest.raises(InputSizeUnknownError, match=r"'frames'.*\n.*--frames"):
        model.inputs(1, latent=sizes["latent"], text_tokens=5)


def test_an_input_of_unknown_kind_is_named_and_may_be_stated(built):
    keys = {"num_layers": 1, "num_attention_heads": 2, "attention_head_dim": 16,
            "in_channels": 8, "context_in_dim": 24, "axes_dims_rope": [4, 6, 6]}  # fmt: skip
    model = built("QwenImage21Transformer2DModel", keys)
    sizes = {"latent": (8, 8), "text_tokens": 5}
    with pytest.raises(flopcount.FlopcountError, match="reads 'img_mask'"):
        model.inputs(1, **sizes)
    made = model.inputs(1, given={"img_mask": "1x9:bool"}, **sizes)
    assert tuple(made["img_mask"].shape) == (1, 9)
    with pytest.raises(flopcount.FlopcountError, match="takes no input eyes"):
        model.inputs(1, given={"eyes": "1x2"})


def test_parts_without_a_forward_pass_are_said_to_have_none(built):
    model = built("MotionAdapter", {"block_out_channels": [32], "motion_num_attention_heads": 2})
    with pytest.raises(flopcount.FlopcountError, match="no forward pass of its own"):
        model.inputs(1)


def test_what_is_no_model_of_the_library_is_declined(built):
    for name in ("DDPMScheduler", "StableDiffusionXLPipeline", "os", "no such"):
        with pytest.raises(flopcount.FlopcountError, match="no model of the installed diffusers"):
            built(name, {})


def test_a_film_of_ltx_is_a_row_of_its_single_places(tmp_path):
    """Its pipelines pack by the patch that the configuration states, not by four neighbours as Flux's do."""
    from flopcount.model_files.counted_model import count_config

    config = {"_class_name": "LTXVideoTransformer3DModel", **SMALL, "cross_attention_dim": 32,
              "in_channels": 8, "out_channels": 8, "caption_channels": 12, "patch_size": 1,
              "patch_size_t": 1}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    got = count_config(tmp_path, latent=(4, 6), frames=3, text_tokens=5).count
    tokens, text, width = 3 * 4 * 6, 5, 32
    # Of a layer: 4 + 2 squares and a feed-forward of 8 a token, keys and values of the text; then scores.
    layer = 2 * width**2 * (14 * tokens + 2 * text) + 4 * width * tokens * (tokens + text)
    # In and out of 8 channels, the text's 12 and one square, the time's 256, one square and six.
    ends = 2 * width * (2 * 8 * tokens + (12 + width) * text + 256 + 7 * width)
    assert got.forward == 2 * layer + ends
