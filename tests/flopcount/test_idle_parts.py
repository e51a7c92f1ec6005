"""Towers whose input was not given are named: their parameters count, and nothing of them is FLOP."""

import json

import pytest

pytestmark = pytest.mark.trace
TEXT = {
    "model_type": "qwen2",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 500,
}
SOUND = {
    "model_type": "qwen2_audio",
    "architectures": ["Qwen2AudioForConditionalGeneration"],
    "audio_config": {
        "model_type": "qwen2_audio_encoder",
        "d_model": 64,
        "encoder_layers": 2,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 96,
    },
    "text_config": TEXT,
}
PAIR = {
    "model_type": "blenderbot",
    "d_model": 64,
    "encoder_layers": 1,
    "decoder_layers": 4,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 96,
    "decoder_ffn_dim": 96,
    "vocab_size": 500,
}
SWITCH = {
    "model_type": "switch_transformers",
    "d_model": 64,
    "d_kv": 16,
    "d_ff": 128,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "num_heads": 4,
    "vocab_size": 500,
    "num_experts": 8,
    "num_sparse_encoder_layers": 1,
    "num_sparse_decoder_layers": 1,
}


def gaps(folder, config, **sizes):
    from flopcount.model_files.counted_model import count_config

    (folder / "config.json").write_text(json.dumps(config))
    got = count_config(folder, sequence=16, **sizes)
    return got, [f.message for f in got.findings if f.code == "coverage-gap"]


def test_a_tower_of_sound_that_heard_nothing_is_named(tmp_path):
    got, (message,) = gaps(tmp_path, SOUND)
    # Convolutions of 3 over 128 bins and 64 channels with biases: 3 x 64 x (128 + 64) + 2 x 64; 1,500
    # places of 64; a layer: four of 64 x 64, the key's without a bias, 2 x 64 x 96, biases of 96 and
    # 64, two norms; a last norm.
    layer = 4 * 64**2 + 3 * 64 + 2 * 64 * 96 + 96 + 64 + 2 * 2 * 64
    tower = 3 * 64 * (128 + 64) + 2 * 64 + 1500 * 64 + 2 * layer + 2 * 64
    assert f"model.audio_tower ({tower:,} parameters)" in message
    assert "model.audio_tower" not in got.count.by_module
    # The text: a layer's queries and outputs 2 x 64^2, keys and values 2 x 64 x 32, three of 64 x 96.
    met = 2 * (2 * 64**2 + 2 * 64 * 32 + 3 * 64 * 96) + 64 * 500
    assert got.count.total == 6 * 16 * met + 3 * 2 * 4 * 64 * 16**2


def test_a_decoder_alone_names_its_cross_attention_once(tmp_path):
    _, (message,) = gaps(tmp_path, PAIR | {"architectures": ["BlenderbotForCausalLM"]})
    # Four matrices of 64 x 64 with biases in each of four layers.
    assert f"model.decoder.layers.*.encoder_attn ({4 * 4 * (64**2 + 64):,} parameters)" in message


@pytest.mark.parametrize(
    "config",
    [
        PAIR | {"architectures": ["BlenderbotForConditionalGeneration"]},
        SWITCH,  # 16 tokens leave some of 8 experts without any, which are no tower
        TEXT,
        TEXT | {"num_hidden_layers": 12},  # traced twice and multiplied
    ],
    ids=["pair", "experts", "decoder", "deep"],
)
def test_a_model_that_is_reached_whole_has_no_gap(tmp_path, config):
    assert gaps(tmp_path, config)[1] == []


def test_a_table_of_several_codebooks_holds_no_weight_of_its_own(tmp_path):
    """Kyutai's table looks up text and sound: the class has no single weight to compare a head with."""
    config = {
        "model_type": "kyutai_speech_to_text",
        "architectures": ["KyutaiSpeechToTextForConditionalGeneration"],
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "ffn_dim": 128,
        "vocab_size": 100,
        "codebook_vocab_size": 20,
        "audio_bos_token_id": 19,
        "audio_pad_token_id": 18,
        "pad_token_id": 0,
        "num_codebooks": 3,
        "tie_word_embeddings": False,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    from flopcount.model_files.architectures import load

    assert load(tmp_path).parameters.total > 0
