"""Random numbers in place of values that nobody knows: a trace then goes somewhere, and says that it did."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from flopcount.scopes import Scope

SIZES = (1.0, 1e4, -1e4)
"""Of what is invented, by draw: all pass or all fail a threshold in one of them."""
MOST_DRAWN = 1 << 24
"""So many random numbers of a forward are kept for checkpoints that compute again."""


class Invented:
    """The numbers of one draw."""

    def __init__(self, draw: int) -> None:
        self._size = SIZES[draw]
        self._generator = torch.Generator().manual_seed(draw)
        self._drawn: dict[tuple[str, Any, int], Any] = {}
        self._draws: Counter[tuple[str, str, Any]] = Counter()
        self._kept = 0

    def numbers(self, shape: Any, here: tuple[str, Scope] | None) -> Any:
        """Random numbers; in a checkpoint that computes again those that were drawn for it the first time.

        Args:
            shape: Of the tensor that has none.
            here: In which phase and where in the model they are asked for, if that is known.

        """
        phase, path = ("", "") if here is None else (here[0], here[1].path)
        number = self._draws[phase, path, shape]
        self._draws[phase, path, shape] += 1
        before = self._drawn.get((path, shape, number)) if phase == "recompute" else None
        if before is not None:
            return before
        made = torch.rand(tuple(shape), generator=self._generator).mul_(self._size)
        self._kept += made.numel()
        if phase == "forward" and self._kept <= MOST_DRAWN:
            self._drawn[path, shape, number] = made
        return made


def weights(shape: tuple[int, ...], dtype: Any, draw: int) -> Any:
    """What the weights may be after other steps."""
    generator = torch.Generator().manual_seed(draw)
    return torch.rand(shape, generator=generator).mul_(SIZES[draw]).to(dtype)
