"""How long counting took, and when: none of it is the program's own waiting."""

from __future__ import annotations

import time
from collections import deque

MOST_SPENT = 4096
"""Stretches of counting that are remembered until the steps around them are told."""
FREE_SECONDS = 120.0
"""All counts together may take so long, and beyond it a twentieth of the run."""


class Spending:
    """Time that went into counting."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.seconds = 0.0
        self._spent: deque[tuple[int, int]] = deque(maxlen=MOST_SPENT)

    @property
    def too_much(self) -> bool:
        """Whether counting would slow the run."""
        return self.seconds > max(FREE_SECONDS, 0.05 * (time.monotonic() - self._started))

    def spend(self, began: float) -> None:
        """Note that counting took from a moment (monotonic seconds) until now."""
        ended = time.monotonic()
        self.seconds += ended - began
        self._spent.append((int(began * 1e6), int(ended * 1e6)))

    @property
    def remembered(self) -> bool:
        """Whether something was counted that may lie before a step that was not told yet."""
        return bool(self._spent)

    def between(self, start_us: int, end_us: int) -> int:
        """Microseconds of counting in a stretch of time; what lies before it is forgotten."""
        spent = self._spent
        while spent and spent[0][1] <= start_us:
            spent.popleft()
        return sum(max(0, min(end, end_us) - max(start, start_us)) for start, end in spent)
