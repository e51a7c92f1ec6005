"""Models whose samples are no text: a latent, a waveform, an image beside a caption."""

import json
from pathlib import Path

import pytest

from flopledger import AuditCase, audit

DIT = {
    "_class_name": "DiTTransformer2DModel",
    "num_attention_heads": 2,
    "attention_head_dim": 8,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 2,
    "patch_size": 2,
    "sample_size": 8,
    "num_embeds_ada_norm": 10,
}
UNET = {
    "_class_name": "UNet2DConditionModel",
    "block_out_channels": [8, 16],
    "norm_num_groups": 4,
    "attention_head_dim": 4,
    "cross_attention_dim": 24,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "layers_per_block": 1,
    "sample_size": 8,
}
SOUND = {
    "model_type": "wav2vec2",
    "architectures": ["Wav2Vec2ForCTC"],
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [8, 8],
    "conv_kernel": [10, 3],
    "conv_stride": [5, 2],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 12,
}
CLIP = {
    "model_type": "clip",
    "architectures": ["CLIPModel"],
    "projection_dim": 8,
    "text_config": {
        "model_type": "clip_text_model",
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 50,
        "max_position_embeddings": 20,
    },
    "vision_config": {
        "model_type": "clip_vision_model",
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 16,
    },
}


@pytest.fixture
def audited(tmp_path: Path):
    """Audit a case of one model and one run, the model traced."""

    def run(config: dict, keys: str, model: str = ""):
        (tmp_path / "config.json").write_text(json.dumps(config))
        case = tmp_path / "case.toml"
        case.write_text(
            'schema = "flopledger/case/1"\ntitle = "t"\n[model.m]\nconfig = "config.json"\n'
            f'{model}\n[[run]]\nname = "r"\nmodel = "m"\n{keys}\n'
        )
        return audit(AuditCase.load(case))

    return run


def messages(report) -> dict[str, str]:
    return {one.code: one.message for one in report.findings}


def counted_flop(report) -> list[float]:
    return [one.flop.best for one in report.estimates if one.method == "counted"]


def step(path: Path, **sizes) -> int:
    from flopcount.model_files.counted_model import count_config

    return count_config(path / "config.json", **sizes).count.total


def test_a_denoisers_samples_are_counted_by_the_traced_model(audited, tmp_path):
    pytest.importorskip("diffusers")
    report = audited(DIT, "samples = 1e6")
    assert counted_flop(report) == [pytest.approx(1e6 * step(tmp_path), rel=1e-3)]


def test_tokens_are_no_amount_of_latents(audited):
    pytest.importorskip("diffusers")
    # Dividing tokens by the length of a probe would give a figure that means nothing.
    report = audited(UNET, "tokens = 1e9", "input = { text_tokens = 7 }")
    assert not report.estimates
    assert "samples" in messages(report)["tokens-missing"]


def test_a_denoisers_text_is_asked_for_and_not_taken_from_a_probe(audited, tmp_path):
    pytest.importorskip("diffusers")
    report = audited(UNET, "samples = 1e6")
    assert not counted_flop(report)
    told = messages(report)["input-size-unknown"]
    assert "text_tokens in the model's input" in told
    assert str(tmp_path) not in told
    report = audited(UNET, "samples = 1e6", "input = { text_tokens = 7 }")
    assert counted_flop(report) == [pytest.approx(1e6 * step(tmp_path, text_tokens=7), rel=1e-3)]


def test_a_waveforms_length_is_asked_for_by_its_key(audited, tmp_path):
    report = audited(SOUND, "samples = 1e6")
    assert not report.estimates
    assert "state sequence_length in the run" in messages(report)["input-size-unknown"]
    report = audited(SOUND, "samples = 1e6\nsequence_length = 400")
    assert counted_flop(report) == [pytest.approx(1e6 * step(tmp_path, sequence=400), rel=1e-3)]


def test_text_beside_an_image_is_the_sequence(audited, tmp_path):
    report = audited(CLIP, "samples = 1e6", "input = { image = [32, 32], text_tokens = 9 }")
    expected = 1e6 * step(tmp_path, sequence=9)
    assert counted_flop(report) == [pytest.approx(expected, rel=1e-3)]


def test_text_and_sequence_that_differ_are_refused(audited):
    from flopledger.errors import CaseError

    with pytest.raises(CaseError, match=r"text_tokens: found 9, and .* 12; .* give one of them"):
        audited(CLIP, "samples = 1e6\nsequence_length = 12", "input = { text_tokens = 9 }")


def test_without_a_sequence_length_both_routes_still_speak_of_the_same_amount(audited):
    llama = {
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "vocab_size": 99,
    }
    report = audited(llama, "tokens = 1e9")
    traced, form = report.estimates
    assert (traced.method, form.method) == ("counted", "closed-form")
    assert form.flop.low == pytest.approx(traced.flop.low, rel=0.02)
    assert form.flop.high == pytest.approx(traced.flop.high, rel=0.02)


def test_a_pair_of_towers_reads_text_of_its_own_length(audited, tmp_path):
    # CLIP's text tower has one length; pairs of an image and a caption are the amount, and suffice.
    report = audited(CLIP, "samples = 1e6")
    assert counted_flop(report) == [pytest.approx(1e6 * step(tmp_path), rel=1e-3)]
    assert "its own length" in messages(report)["input-size-assumed"]


def test_frames_of_a_model_given_by_dimensions_are_counted(run_audit):
    text = (
        '[model.w]\narchitecture = { kind = "encoder-decoder", encoder_layers = 32, decoder_layers = 32, '
        "hidden = 1280, heads = 20, ffn = 5120, vocabulary = 51866 }\ninput = { audio_frames = 3000 }\n"
        '[[run]]\nname = "r"\nmodel = "w"\nsamples = 1e8\nsequence_length = 448\n'
    )
    report = run_audit(text)
    # Encoder: 1,500 positions x 629e6 x 2 = 1.89e12, scores 3.7e11; decoder: 448 x 8.0e8 x 2 = 7.2e11,
    # its keys and values of the sound 3.1e11: about 3.4e12 forward, three times that a sample.
    assert report.combined.flop.best == pytest.approx(1e8 * 3 * 3.4e12, rel=0.04)
    assert "input-size-unused" not in {one.code for one in report.findings}


def test_a_size_that_the_dimensions_do_not_meet_is_said(run_audit):
    text = (
        "[model.v]\narchitecture = { layers = 2, hidden = 64, heads = 4, ffn = 128, vocabulary = 100 }\n"
        'input = { image = [336, 336] }\n[[run]]\nname = "r"\nmodel = "v"\nsamples = 1e6\n'
        "sequence_length = 64\n"
    )
    (told,) = [one for one in run_audit(text).findings if one.code == "input-size-unused"]
    assert "image" in told.message


VIT_L = (
    "[model.m]\narchitecture = {{ kind = 'vit', layers = 24, hidden = 1024, heads = 16, ffn = 4096, "
    "ffn_matrices = 2{patch} }}\ninput = {{ image = [224, 224] }}\n"
    "[[run]]\nname = 'r'\nmodel = 'm'\nsamples = 1.28e10\n"
)


def test_a_patch_that_nobody_states_leaves_room_for_the_other_usual_one(run_audit):
    # ViT-L/14: 162 GFLOP forward, x 3 x 1.28e10 = 6.2e21; /16 has 196 patches instead of 256.
    stated = run_audit(VIT_L.format(patch=", patch = 14"))
    open_one = run_audit(VIT_L.format(patch=""))
    assert stated.combined.flop.best == pytest.approx(6.2e21, rel=0.02)
    assert open_one.combined.flop.best < 0.8 * stated.combined.flop.best
    assert open_one.combined.flop.high > stated.combined.flop.best
    said = [
        [one for one in report.findings if one.code == "input-size-assumed"]
        for report in (stated, open_one)
    ]
    assert said[0] == []
    assert "read as 16" in said[1][0].message


def test_a_transcript_of_unknown_length_is_asked_for(run_audit):
    report = run_audit(
        "[model.m]\narchitecture = { kind = 'encoder-decoder', encoder_layers = 32, decoder_layers = 32, "
        "hidden = 1280, heads = 20, ffn = 5120, vocabulary = 51866 }\ninput = { audio_frames = 3000 }\n"
        "[[run]]\nname = 'r'\nmodel = 'm'\nsamples = 6e8\n"
    )
    assert [one for one in report.findings if "tokens of a transcript" in one.message]
