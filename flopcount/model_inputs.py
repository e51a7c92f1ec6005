"""The inputs of one training step for whatever a model reads: tokens, pixels, spectrograms.

Sizes that the configuration fixes (image size, spectrogram frames) come from there; sizes that it
leaves free (batch, tokens) come from the caller and are never made up.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from flopcount.errors import FlopcountError

if TYPE_CHECKING:
    from flopcount.architectures import Architecture


class InputSizeUnknownError(FlopcountError):
    """The model reads something whose size is not known; there is no count without it."""


def training_inputs(built: Architecture, **sizes: Any) -> dict[str, Any]:
    """Return the inputs of one training step of a built model; see :func:`inputs_of`."""
    return inputs_of(built.model, str(built.path), **sizes)


def inputs_of(
    model: Any,
    source: str,
    *,
    batch: int = 1,
    sequence: int | None = None,
    decoder_sequence: int | None = None,
    image: tuple[int, int] | None = None,
    audio_frames: int | None = None,
) -> dict[str, Any]:
    """Return the keyword arguments of one training step, all tensors on meta.

    Args:
        model: a model of the transformers library, on meta.
        source: what an error calls it.
        batch: samples.
        sequence: tokens a sample; the encoder's in an encoder-decoder that reads text, the
            decoder's where the encoder reads something else.
        decoder_sequence: tokens a sample on the decoder's side; ``sequence`` unless given.
        image: pixels, height and width; the configuration's unless given.
        audio_frames: spectrogram frames; the configuration's unless given.

    Raises:
        InputSizeUnknownError: a size is neither given nor fixed by the configuration.
        FlopcountError: the model's input is of a kind that is not known.
    """
    make = _Inputs(model, source, batch=batch)
    accepted = make.accepted
    main = model.main_input_name
    inputs: dict[str, Any] = {}
    if main in ("input_ids", "decoder_input_ids"):
        inputs["input_ids"] = make.tokens(sequence, "sequence")
    if "pixel_values" in accepted and (main == "pixel_values" or _is_dual_tower(model)):
        inputs["pixel_values"] = make.pixels(image)
    if main == "input_features":
        inputs["input_features"] = make.spectrogram(audio_frames)
    if main == "input_values":
        inputs["input_values"] = make.samples(sequence)
    if "input_ids" in make.required and "input_ids" not in inputs:
        inputs["input_ids"] = make.tokens(sequence, "sequence")
    if "decoder_input_ids" in accepted and _is_pair(model):
        length = decoder_sequence if decoder_sequence is not None else sequence
        inputs["decoder_input_ids"] = make.tokens(length, "decoder_sequence")
    if not inputs:
        msg = (
            f"{source}: '{type(model).__name__}' reads '{main}'\n"
            "  inputs of that kind are not known; "
            "give package.module:factory that returns the model and its inputs"
        )
        raise FlopcountError(msg)
    if "use_cache" in accepted:
        inputs["use_cache"] = False
    return inputs


def _is_pair(model: Any) -> bool:
    return bool(getattr(model.config, "is_encoder_decoder", False))


def _is_dual_tower(model: Any) -> bool:
    """Contrastive pairs (CLIP) read both, vision-language models also run on text alone."""
    config = model.config
    both = hasattr(config, "text_config") and hasattr(config, "vision_config")
    return both and not model.can_generate()


def reads_images_too(built: Architecture) -> bool:
    """Say whether the model has an image tower that :func:`training_inputs` leaves out."""
    accepted = inspect.signature(built.model.forward).parameters
    main = built.model.main_input_name
    return "pixel_values" in accepted and main != "pixel_values" and not _is_dual_tower(built.model)


class _Inputs:
    """Makes single inputs on meta."""

    def __init__(self, model: Any, source: str, *, batch: int) -> None:
        self.source = source
        self.config = model.config
        self.batch = batch
        self.dtype = next(model.parameters()).dtype
        parameters = inspect.signature(model.forward).parameters
        self.accepted = set(parameters)
        self.required = {name for name, p in parameters.items() if p.default is p.empty}

    def tokens(self, length: int | None, name: str) -> Any:
        import torch

        if length is None:
            raise self._unknown(name, "the tokens a sample")
        return torch.zeros(self.batch, length, dtype=torch.long, device="meta")

    def pixels(self, image: tuple[int, int] | None) -> Any:
        import torch

        config = getattr(self.config, "vision_config", self.config)
        size = image if image is not None else getattr(config, "image_size", None)
        if isinstance(size, dict):
            size = (size.get("height"), size.get("width"))
        if isinstance(size, int):
            size = (size, size)
        if size is None or None in size:
            raise self._unknown("image", "the training image's height and width")
        channels = getattr(config, "num_channels", 3)
        shape = (self.batch, channels, *size)
        video = getattr(config, "num_frames", None)
        if isinstance(video, int):  # a video model: the frames come before the channels
            shape = (self.batch, video, channels, *size)
        return torch.zeros(*shape, dtype=self.dtype, device="meta")

    def spectrogram(self, frames: int | None) -> Any:
        import torch

        names = ("encoder_config", "audio_config")
        encoders = [self.config, *(getattr(self.config, name, None) for name in names)]
        bins = [
            getattr(config, name)
            for config in encoders
            for name in ("num_mel_bins", "input_feat_per_channel", "feature_size")
            if isinstance(getattr(config, name, None), int)
        ]
        if frames is None and hasattr(self.config, "max_source_positions"):
            # The convolutions before the encoder halve the frames (Whisper).
            frames = 2 * self.config.max_source_positions
        if frames is None:
            raise self._unknown("audio_frames", "the spectrogram frames a sample")
        if not bins:
            raise InputSizeUnknownError(
                f"{self.source}: the configuration states no number of spectrogram bins\n"
                "  give package.module:factory that returns the model and its inputs"
            )
        return torch.zeros(self.batch, bins[0], frames, dtype=self.dtype, device="meta")

    def samples(self, length: int | None) -> Any:
        import torch

        bins, frames = (getattr(self.config, n, None) for n in ("num_mel_bins", "max_length"))
        if isinstance(bins, int) and isinstance(frames, int):  # a transformer on spectrograms
            return torch.zeros(self.batch, frames, bins, dtype=self.dtype, device="meta")
        if length is None:
            raise self._unknown("sequence", "the audio samples a sample")
        return torch.zeros(self.batch, length, dtype=self.dtype, device="meta")

    def _unknown(self, name: str, words: str) -> InputSizeUnknownError:
        msg = (
            f"{self.source}: the input size '{name}' ({words}) is neither given nor fixed by the "
            f"configuration\n  give {name}"
        )
        return InputSizeUnknownError(msg)
