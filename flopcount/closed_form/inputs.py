"""The size of one batch, in whatever the family counts: tokens, pixels, latents, frames."""

from collections.abc import Mapping
from dataclasses import dataclass

from flopcount.errors import FlopcountError

READ: Mapping[str, frozenset[str]] = {
    "decoder": frozenset(),
    "encoder": frozenset(),
    "ssm": frozenset(),
    "encoder-decoder": frozenset({"decoder_sequence", "audio_frames"}),
    "vit": frozenset({"image"}),
    "dit": frozenset({"latent", "text_tokens"}),
    "unet": frozenset({"latent", "text_tokens"}),
}
"""The sizes that decide what a model of each kind costs, beside batch and sequence."""
WITHOUT_TOKENS = frozenset({"vit", "dit", "unet"})
"""Kinds whose cost no sequence decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """One training batch. A size that the family does not use stays None."""

    batch: int = 1
    """Samples in the batch."""
    sequence: int | None = None
    """Tokens a sample (the encoder's, where there is one)."""
    decoder_sequence: int | None = None
    """Tokens a sample on the decoder's side of an encoder-decoder."""
    image: tuple[int, int] | None = None
    """Height and width in pixels."""
    latent: tuple[int, int] | None = None
    """Height and width of a diffusion model's latent."""
    text_tokens: int | None = None
    """Conditioning tokens of a diffusion model."""
    audio_frames: int | None = None
    """Spectrogram frames a sample."""

    def need(self, name: str, kind: str) -> int:
        """Return the size ``name``.

        Raises:
            FlopcountError: the size is missing; nothing stands in for it.
        """
        value = getattr(self, name)
        if value is None:
            msg = (
                f"the input size '{name}' is missing\n"
                f"  a model of kind '{kind}' costs a different amount for each\n"
                f"  give {name}=..."
            )
            raise FlopcountError(msg)
        return int(value)

    def need_pair(self, name: str, kind: str) -> tuple[int, int]:
        """Return the height and width ``name``, or raise as :meth:`need` does."""
        value = getattr(self, name)
        if value is None:
            self.need(name, kind)
        height, width = value
        return int(height), int(width)
