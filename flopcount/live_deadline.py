"""How long a count of a running model may take.

A machine that trains is busy: its data loaders take the processor, and a count that takes a second alone
takes ten beside them. What a count says must not hang on that. So it is processor time that is limited;
the clock only ends what waits for something.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

WAITING = 25.0
"""Seconds that a count may take by the clock beyond those for which it may compute."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """Until when a count may go on; of the thread in which it was made.

    Attributes:
        work: Seconds of the thread's processor time.
        clock: Seconds of the monotonic clock.

    """

    work: float
    clock: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The end of so many seconds of processor time from now on."""
        return cls(time.thread_time() + seconds, time.monotonic() + seconds + WAITING)

    def or_after(self, seconds: float) -> Deadline:
        """This one, or the end of so many seconds if that comes before it."""
        other = Deadline.after(seconds)
        return Deadline(min(self.work, other.work), min(self.clock, other.clock))

    @property
    def is_over(self) -> bool:
        """Whether it passed."""
        return time.thread_time() > self.work or time.monotonic() > self.clock
