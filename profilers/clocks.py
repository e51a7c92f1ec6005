"""Monotonic and wall-clock pairs: which second is which, and whether somebody moved the clock.

A recording integrates over the monotonic clock. The wall clock is only its label: it is read beside
every sweep, and a label that moves against the monotonic clock is an event, never a longer run.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

STEP_NS = 50_000_000
"""A wall clock that moves this far against the monotonic one within a sweep was stepped: slewing
(at most 500 ppm) moves it 0.5 ms a second."""
LATE_NS = 20_000_000
"""A sweep that begins this much after its tick is told as late."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockPair:
    """Both clocks of one host at one moment."""

    monotonic_ns: int
    wall_ns: int
    """Unix nanoseconds."""

    @property
    def offset_ns(self) -> int:
        """Wall clock minus monotonic clock; constant while nobody steps or slews the clock."""
        return self.wall_ns - self.monotonic_ns

    @classmethod
    def now(cls) -> "ClockPair":
        """Read both clocks; the wall clock is put in the middle of two monotonic looks."""
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        return cls(monotonic_ns=(before + after) // 2, wall_ns=wall)


class Axis:
    """Lays the monotonic clock of one boot onto Unix time, once; a later step never moves it."""

    def __init__(self, anchor: ClockPair) -> None:
        self.anchor = anchor

    def at(self, monotonic_ns: int) -> int:
        """Return axis nanoseconds (Unix) of a monotonic stamp."""
        return monotonic_ns + self.anchor.offset_ns


class StepWatch:
    """Tells when the wall clock was stepped between two looks."""

    def __init__(self, first: ClockPair, threshold_ns: int = STEP_NS) -> None:
        self._last = first
        self._threshold_ns = threshold_ns

    def look(self, pair: ClockPair) -> int | None:
        """Return the step in nanoseconds since the last look, or None if there was none."""
        moved = pair.offset_ns - self._last.offset_ns
        self._last = pair
        return moved if abs(moved) >= self._threshold_ns else None


class Schedule:
    """Absolute ticks: lateness of one sweep never moves the next one.

    A tick that is already over when the last sweep ends is skipped and counted, so that a slow
    instrument is seen as fewer sweeps and not as a queue of them.
    """

    def __init__(self, interval_ns: int, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.interval_ns = interval_ns
        self._clock = clock
        self._next = clock()

    def wait_ns(self) -> int:
        """Return the time until the next tick; 0 when it is due."""
        return max(0, self._next - self._clock())

    def advance(self) -> int:
        """Move to the first tick that is still ahead; return how many were skipped."""
        late = max(0, self._clock() - self._next)
        skipped = late // self.interval_ns
        self._next += (skipped + 1) * self.interval_ns
        return skipped


def boot_id() -> str | None:
    """Return what tells this boot of this host from every other; None where the kernel has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip() or None
    except OSError:
        return None
