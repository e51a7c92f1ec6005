"""One maker for each kind of input, found by the name that the library's models give it.

A kind has a file of its own (text, images, sound, series), which ends in its table of names. Tensors
are on meta; small ones whose numbers steer the model (grids of patches, masks, image sizes) are
real, on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flopcount.model_files.inputs.images import IMAGES, Images
from flopcount.model_files.inputs.series import SERIES, Series
from flopcount.model_files.inputs.sound import SOUND, Sound
from flopcount.model_files.inputs.text import TEXT, Text


class Maker(Text, Images, Sound, Series):
    """Makes the inputs of one model, each by its name."""

    def knows(self, name: str) -> bool:
        """Say whether there is a maker for an input of that name."""
        return name in MAKERS

    def make(self, name: str) -> Any:
        """Return the input of that name.

        Raises:
            InputSizeUnknownError: its size is neither given nor fixed by the configuration.
        """
        if name not in self._done:
            self._done[name] = MAKERS[name](self)
        return self._done[name]

    def embedded(self) -> Any:
        """What another part of a model hands on: patches, frames of sound, or embedded tokens."""
        if self.reads_patches():
            return self.patches()
        b, config = self.sizes.batch, vars(self.model.config)
        if isinstance(config.get("input_dim"), int):
            return self.floats(b, self.sound_frames(), config["input_dim"])
        width = config.get("hidden_size")
        if not isinstance(width, int):
            raise self.sizes.unknown("hidden_states", "the width of what is handed on")
        return self.floats(b, self.sizes.tokens(), width)


MAKERS: dict[str, Callable[[Maker], Any]] = {
    **TEXT,
    **IMAGES,
    **SOUND,
    **SERIES,
    "hidden_states": Maker.embedded,
    "inputs_embeds": Maker.embedded,
}
