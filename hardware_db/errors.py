"""Everything that hardware_db raises on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hardware_db.spec import Accelerator


class HardwareError(Exception):
    """Base of this pillar's errors. The message says what was wrong, found, and how to mend it."""


class UnknownDtype(HardwareError):
    """A number format whose name we do not know, as opposed to one that the part cannot run."""


class NoHardwarePath(HardwareError):
    """The part has no unit for this format: its rate is absent, not an emulated one."""


class NotDerivable(HardwareError):
    """A peak at another clock was asked of a part whose rate follows no public arithmetic."""


class UnknownInstance(HardwareError):
    """No cloud instance of this name is in the database."""


class DataError(HardwareError):
    """A data file that cannot be used: names the file and the key."""


class UnknownAccelerator(HardwareError):
    """The name fits no part. ``nearest`` holds names that look alike; none of them is implied."""

    def __init__(self, message: str, *, query: str, nearest: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.query = query
        self.nearest = nearest


class AmbiguousAccelerator(HardwareError):
    """The name fits several parts.

    ``candidates`` are those parts, ``question`` is what would decide between them, and ``common``
    is a stand-in with whatever all of them share when they compute alike (same units, same rates,
    same clocks), else None.
    """

    def __init__(
        self,
        message: str,
        *,
        query: str,
        candidates: tuple[Accelerator, ...],
        question: str,
        common: Accelerator | None,
    ) -> None:
        super().__init__(message)
        self.query = query
        self.candidates = candidates
        self.question = question
        self.common = common

    def peak_range(self, dtype: str, *, sparse: bool = False) -> tuple[float, float] | None:
        """Lowest and highest rated FLOP/s over the candidates; None if one of them has no path."""
        try:
            peaks = [c.peak_flop_per_second(dtype, sparse=sparse) for c in self.candidates]
        except NoHardwarePath:
            return None
        return min(peaks), max(peaks)
