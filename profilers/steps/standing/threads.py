"""Programs that train in several threads at once. No torch is imported here."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from profilers.steps.folding.events import Kind
    from profilers.steps.observer import Observer

PATIENCE_NS = 10_000_000_000
"""So long a thread is waited for that called a model and in which no optimizer has stepped."""


class Threads:
    """The threads in which optimizers stepped."""

    def __init__(self, observer: Observer) -> None:
        """Take whose calls they make."""
        self._observer = observer
        self._steppers: set[int] = set()

    @property
    def several(self) -> bool:
        """Whether more than one had an optimizer step."""
        return len(self._steppers) > 1

    def is_elsewhere(self, kind: Kind) -> bool:
        """Whether another thread trains with a model, which may run just now and must not be counted here.

        That thread does so itself, when an optimizer steps there. One that steps none is not waited for.
        """
        thread = kind.thread
        if thread in (0, threading.get_ident()):
            return False
        if thread not in self._steppers and time.monotonic_ns() - kind.since > PATIENCE_NS:
            return False
        return any(
            each.ident == thread and not isinstance(each, threading._DummyThread)
            for each in threading.enumerate()
        )

    def steps_here(self) -> None:
        """An optimizer other than the last one steps: perhaps in a thread that trains beside another one.

        The graph's numbers are each thread's own, and passes of two at once cannot be told apart.
        """
        here = threading.get_ident()
        if here in self._steppers:
            return
        others, self._steppers = self._steppers, self._steppers | {here}
        living = others & {each.ident or 0 for each in threading.enumerate()}
        if living:
            seams = list(self._observer.modules.seams)
            callers = {
                kind.thread for seam in seams for kind in list(seam.kinds.values()) if kind.watched
            }
            if here in callers and living & callers:
                self._observer.elsewhere.unseen("what several threads compute that train at once")
