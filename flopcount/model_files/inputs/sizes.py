"""Input sizes: the caller's where given, else the configuration's, never made up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from flopcount.errors import FlopcountError

_DEEPEST = 3


class InputSizeUnknownError(FlopcountError):
    """The model reads something whose size is not known; there is no count without it."""


@dataclass(slots=True, kw_only=True)
class Sizes:
    """The sizes of one step, and where to look for those that the caller left open."""

    source: str
    """What an error calls the model."""
    config: Any
    """The library's configuration of the whole model."""
    batch: int = 1
    sequence: int | None = None
    """Tokens a sample (or audio samples, time steps), None where not given."""
    decoder_sequence: int | None = None
    image: tuple[int, int] | None = None
    """Height and width in pixels, None where not given."""
    frames: int | None = None
    """Frames of a video a sample, None where not given."""
    audio_frames: int | None = None
    """Frames of a spectrogram a sample, None where not given."""
    notes: list[str] = field(default_factory=list)
    """What was taken from the configuration and is worth telling."""
    own_length: int | None = None
    """Tokens of a text tower that has one length, where that was taken."""
    length_read: bool = False
    """Whether anything asked for ``sequence``."""

    def configs(self, *parts: str) -> list[Any]:
        """Return the configurations to ask, those of the named parts before the whole one."""
        named = [found for part in parts if (found := getattr(self.config, part, None)) is not None]
        return [*named, self.config, *_nested(self.config, 0)]

    def number(self, *names: str, parts: tuple[str, ...] = ()) -> int | None:
        """Return the first of these keys that the configuration states as a positive integer."""
        for config in self.configs(*parts):
            for name in names:
                value = getattr(config, name, None)
                if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                    return value
        return None

    def pair(self, *names: str, parts: tuple[str, ...] = ()) -> tuple[int, int] | None:
        """Return the first of these keys that states one size or two (height, width)."""
        for config in self.configs(*parts):
            for name in names:
                found = _two(getattr(config, name, None))
                if found is not None:
                    return found
        return None

    def length(self) -> int | None:
        """Return ``sequence``, and note that something has that length."""
        self.length_read = True
        return self.sequence

    def tokens(self) -> int:
        """Return the tokens a sample.

        Raises:
            InputSizeUnknownError: they are not given.
        """
        length = self.length()
        if length is None:
            raise self.unknown("sequence", "the tokens a sample")
        return length

    def unknown(self, name: str, words: str) -> InputSizeUnknownError:
        """Return the error that asks the caller for a size."""
        return InputSizeUnknownError(
            f"{self.source}: the input size '{name}' ({words}) is neither given nor fixed by the "
            f"configuration\n  give {name}=..."
        )


def _nested(config: Any, depth: int) -> Iterator[Any]:
    """Yield the configurations inside a configuration, in its own order."""
    inner = [value for value in vars(config).values() if hasattr(value, "model_type")]
    yield from inner
    for value in inner if depth < _DEEPEST else ():
        yield from _nested(value, depth + 1)


def _two(value: Any) -> tuple[int, int] | None:
    if isinstance(value, dict):
        value = (value.get("height"), value.get("width"))
    if isinstance(value, int) and not isinstance(value, bool):
        value = (value, value)
    if isinstance(value, list | tuple) and len(value) == 2:
        height, width = value
        if isinstance(height, int) and isinstance(width, int) and min(height, width) > 0:
            return height, width
    return None
