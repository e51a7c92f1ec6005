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
SLOWER = 4.0
"""So many times what a count took may go into trying what it costs otherwise."""


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

    @classmethod
    def of_trial(cls, seconds: float, like: float) -> Deadline:
        """The end of a trial: so many seconds, or more where what it is compared with took long itself.

        Args:
            seconds: Of processor time.
            like: What the count took that it is compared with (likewise). A machine that is slow at the one
                is slow at the other; a trial that is to show that a loop does not end may take a few times
                that.

        """
        return cls.after(max(seconds, SLOWER * like))

    def or_before(self, other: Deadline) -> Deadline:
        """This one, or another one where that comes before it."""
        return replace(other, work=min(self.work, other.work), clock=min(self.clock, other.clock))

    @property
    def is_over(self) -> bool:
        """Whether it passed."""
        own = threading.get_ident() == self.thread
        return (own and time.thread_time() > self.work) or time.monotonic() > self.clock
