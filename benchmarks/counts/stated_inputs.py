"""What the benchmark states for models whose configuration does not tell their inputs.

Most inputs are made by flopcount's own rules. Where a shape follows from no configuration (rows that
another model found, a second modality's mask), it is stated here as a user would state it: by the
texts of ``flopledger count --input``, by the sizes of its other options, or, for inputs that are no
tensors, by the arguments of ``flopcount.count(model, **inputs)``. Each statement says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Stated:
    """One model's stated inputs."""

    why: str
    """What no rule can know, and where the statement comes from."""
    given: Mapping[str, str] = field(default_factory=dict)
    """Inputs by name, as the texts of ``--input``; rules make the others."""
    sizes: Mapping[str, Any] = field(default_factory=dict)
    """Sizes by name: batch, sequence, decoder_sequence, image, frames, audio_frames, latent ..."""
    made: Callable[[Any], Mapping[str, Any]] | None = None
    """All inputs at once, from the model, where texts cannot write them."""
    real: bool = False
    """Whether both counters get a model with real weights and real inputs, the same, because what
    it computes depends on them."""
    around: Callable[[Any], Any] | None = None
    """A module around the model, as a user's factory would write one, where its pass needs more
    than tensors (a session that remembers a video's frames)."""
    tables: bool = False
    """Whether the small constants inside of ``around`` need their values, not only their shapes."""

    def inputs(self, built: Any, **usual: Any) -> dict[str, Any]:
        """Return the keyword arguments of one step.

        Args:
            built: what ``flopcount.model_files.architectures.load`` returned.
            **usual: the sizes to take where none are stated.
        """
        if self.made is not None:
            return dict(self.made(built.model))
        sizes = {**usual, **self.sizes}
        return built.inputs(sizes.pop("batch", 1), given=dict(self.given), **sizes)


def stated_for(library: str) -> Mapping[str, Stated]:
    """Return the stated inputs of a library's models by name; empty where there are none."""
    if library == "auto":
        from benchmarks.counts.stated_transformers import INPUTS

        return INPUTS
    if library == "diffusers":
        from benchmarks.counts.stated_diffusers import INPUTS

        return INPUTS
    return {}
