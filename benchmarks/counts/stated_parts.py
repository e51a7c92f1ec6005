"""Families of transformers whose class has no forward pass of its own, trained through its parts.

Torch's own forward, which raises, is such a class's; an auditor counts its parts. Here one module
holds the whole model and runs every part once, so that the whole family is compared: what a part
reads is made by the rules for its own configuration, or stated where another part hands it on.
"""

from __future__ import annotations

from operator import attrgetter

import torch

from benchmarks.counts.stated_inputs import Stated

PARTS = "its class has no forward pass of its own: every part of it once, each on its own inputs"


class InParts(torch.nn.Module):
    """A model of parts that are trained apart; one pass of it is one pass of each."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.config = model.config

    def forward(self, **inputs):
        """Run the parts (modules or methods of the model) that ``inputs`` names, on theirs."""
        return [attrgetter(part)(self.model)(**given) for part, given in inputs.items()]


def by_rule(part, sequence=64):
    """A part's inputs as ``flopledger count`` would make them."""
    from flopcount.model_files.model_inputs import inputs_of, maker_of

    return inputs_of(maker_of(part, type(part).__name__, batch=1, sequence=sequence))


def whole(*shape):
    """Integers without storage."""
    return torch.zeros(*shape, dtype=torch.long, device="meta")


def floats(like, *shape):
    """A tensor of a part's own dtype, without storage."""
    return torch.zeros(*shape, dtype=next(like.parameters()).dtype, device="meta")


def bark(model):
    """Text to meanings, meanings to coarse codes, those to fine codes, and the codec."""
    books = model.config.fine_acoustics_config.n_codes_total
    return {
        "semantic": {"input_ids": whole(1, 64)},
        "coarse_acoustics": {"input_ids": whole(1, 64)},
        "fine_acoustics": {"codebook_idx": 2, "input_ids": whole(1, 64, books)},
        "codec_model": {"input_values": floats(model.codec_model, 1, 1, 15360)},
    }


def picture_codes(model):
    """What the tower before it hands on: 16 by 16 cells; ``encode`` is all that the library runs."""
    return {"encode": {"hidden_states": floats(model, 1, model.config.latent_channels, 16, 16)}}


def omni2(model):
    """Reading, speaking in codes, and the codes made sound."""
    wide = model.config.talker_config.embedding_size
    speech = model.token2wav
    return {
        "thinker": by_rule(model.thinker),
        "talker": {
            "input_ids": whole(1, 64),
            "thinker_reply_part": floats(model.talker, 1, 65, wide),
        },
        "token2wav.code2wav_dit_model": {
            "hidden_states": floats(speech, 1, 64, 80),
            "condition_vector": floats(speech, 1, 100, 80),
            "speaker_embedding": floats(speech, 1, 64, 192),
            "quantized_code": whole(1, 32),
            "time_step": floats(speech, 1),
        },
        "token2wav.code2wav_bigvgan_model": {"mel_spectrogram": floats(speech, 1, 80, 64)},
    }


def omni3(model):
    """Reading, speaking in codes, the other codes of each step, and the codes made sound."""
    config = model.config
    wide = config.talker_config.text_config.hidden_size
    return {
        "thinker": by_rule(model.thinker),
        "talker": {
            "inputs_embeds": floats(model.talker, 1, 64, wide),
            "talker_input_ids": torch.ones(1, 64, dtype=torch.long),
            "attention_mask": torch.ones(1, 64, dtype=torch.long),
        },
        "code2wav": {"codes": whole(1, config.code2wav_config.num_quantizers, 32)},
    }


INPUTS = {
    name: Stated(why=PARTS, made=made, around=InParts, tables=name == "bark")
    for name, made in {
        "bark": bark,
        "glm_image_vqmodel": picture_codes,
        "qwen2_5_omni": omni2,
        "qwen3_omni_moe": omni3,
    }.items()
}
