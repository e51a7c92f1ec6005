"""Is this thread inside of a model's call, or of our own work? Then what it calls is noted by nobody.

No torch is imported here.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from profilers.steps.backward import passes

if TYPE_CHECKING:
    from profilers.steps.observer import Observer


class Here(threading.local):
    """Whether this thread is inside of an outermost call, or of our own work."""

    depth = 0


class Inside:
    """What runs inside of this is ours and no training."""

    __slots__ = ("busy", "depth", "here")

    def __init__(self, observer: Observer) -> None:
        """Take whose work it is."""
        self.here, self.busy = observer.here, observer.busy
        self.depth = 0

    def __enter__(self) -> None:
        """Begin."""
        self.busy.append(None)
        self.depth, self.here.depth = self.here.depth, 1
        passes.OURS.depth += 1

    def __exit__(self, *_: object) -> None:
        """End."""
        self.here.depth = self.depth
        self.busy.pop()
        passes.OURS.depth -= 1
