"""Makers of sound: spectrograms and audio samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flopcount.model_files.inputs.plain import Plain

AUDIO = ("audio_config", "encoder_config", "audio_encoder_config", "speech_config")
_BINS = (
    "feature_projection_input_dim",
    "input_dim",
    "num_mel_bins",
    "input_feat_size",
    "input_feat_per_channel",
    "model_in_dim",
    "n_mels",
    "mel_dim",
    "feature_size",
    "num_features",
)


class Sound(Plain):
    """What a model hears; shapes stand as (batch, ...)."""

    def spectrogram(self) -> Any:
        """(batch, bins, frames)."""
        bins = self.sizes.number(*_BINS, parts=AUDIO)
        if bins is None:
            raise self.sizes.unknown("input_features", "the bins of a spectrogram")
        bins *= self.sizes.number("num_stacked_frames", parts=AUDIO) or 1
        return self.floats(self.sizes.batch, bins, self.sound_frames())

    def sound_frames(self) -> int:
        """Return the frames of a spectrogram: the caller's, else the configuration's."""
        frames = self.sizes.audio_frames
        positions = self.sizes.number("max_source_positions", parts=AUDIO)
        own = vars(self.model.config)
        halved = "encoder_layers" in own or "num_mel_bins" in own
        if frames is None and positions is not None and halved:
            # The convolutions before the encoder halve the frames (Whisper).
            frames = 2 * positions
        each = self.sizes.number("audio_length_per_tok")
        tokens = (
            self.sizes.length() if each is not None and self.sizes.audio_frames is None else None
        )
        if each is not None and tokens is not None:  # one token for so many frames
            return each * tokens
        if frames is None:
            raise self.sizes.unknown("audio_frames", "the spectrogram frames a sample")
        return frames

    def sound_mask(self) -> Any:
        """Mask over a spectrogram's frames; hides nothing."""
        return self.ones(self.sizes.batch, self.sound_frames())

    def samples(self) -> Any:
        """Audio samples (batch, samples), or a spectrogram where the configuration fixes one."""
        config = self.model.config
        bins, frames = (getattr(config, n, None) for n in ("num_mel_bins", "max_length"))
        if isinstance(bins, int) and isinstance(frames, int):  # a transformer on spectrograms
            return self.floats(self.sizes.batch, frames, bins)
        samples = self.sizes.length()
        if samples is None:
            raise self.sizes.unknown("sequence", "the audio samples a sample")
        return self.floats(self.sizes.batch, samples)


SOUND: dict[str, Callable[[Sound], Any]] = {
    "input_features": Sound.spectrogram,
    "spectrogram": Sound.spectrogram,
    "audio_mel": lambda m: m.spectrogram().transpose(1, 2),
    "audio_mel_mask": lambda m: ~m.ones(m.sizes.batch, m.sound_frames(), boolean=True),
    "input_features_mask": Sound.sound_mask,
    "is_longer": lambda m: m.whole(m.sizes.batch, 1),
    "input_values": Sound.samples,
}
HEARD = frozenset(SOUND) - {"is_longer", "input_values"}
"""Inputs whose size follows from the frames of a spectrogram."""
