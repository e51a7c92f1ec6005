"""How long a count of a running model may take.

A machine that trains is busy: its data loaders take the processor, and a count that takes a second alone
takes ten beside them. What a count says must not hang on that. So it is processor time that is limited;
the clock only ends what waits for something, and what torch's engine does in a thread of its own.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace

WAITING = 25.0
"""Seconds that a count may take by the clock beyond those for which it may compute."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """Until when a count may go on.

    Attributes:
        work: Seconds of a thread's processor time.
        clock: Seconds of the monotonic clock.
        thread: Whose processor time it is; another one's says nothing of the count.

    """

    work: float
    clock: float
    thread: int

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The end of so many seconds of processor time from now on."""
        work, clock = time.thread_time() + seconds, time.monotonic() + seconds + WAITING
        return cls(work, clock, threading.get_ident())

    def or_after(self, seconds: float) -> Deadline:
        """This one, or the end of so many seconds if that comes before it."""
        other = Deadline.after(seconds)
        return replace(other, work=min(self.work, other.work), clock=min(self.clock, other.clock))

    @property
    def is_over(self) -> bool:
        """Whether it passed."""
        own = threading.get_ident() == self.thread
        return (own and time.thread_time() > self.work) or time.monotonic() > self.clock
