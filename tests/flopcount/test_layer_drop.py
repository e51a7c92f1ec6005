"""LayerDrop leaves out layers at random in training: a count must not depend on the dice."""

import json

import pytest


@pytest.mark.trace
@pytest.mark.parametrize("rate", [1.0, 1])
def test_every_layer_is_counted(tmp_path, rate):
    pytest.importorskip("transformers")
    from flopcount.model_files import architectures
    from flopcount.model_files.counted_model import count_config

    config = {
        "model_type": "m2m_100",
        "architectures": ["M2M100ForConditionalGeneration"],
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "vocab_size": 100,
        "encoder_layerdrop": rate,
        "decoder_layerdrop": rate,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    built = architectures.load(tmp_path)
    assert built.model.config.encoder_layerdrop == 0.0
    assert any("LayerDrop" in note for note in built.assumptions)
    counted = count_config(tmp_path, batch=1, sequence=8)
    # With a rate of 1 every layer would have been left out; the closed form knows no dice.
    assert counted.count.forward == counted.closed_form.forward
