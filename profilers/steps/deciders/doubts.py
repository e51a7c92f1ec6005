"""Parts or data of parameters that were exchanged past torch's own ways, some calls ago.

Nobody knows when: what such a call since the last look cost is not known. No torch is imported here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from profilers.steps.folding.events import Kind
    from profilers.steps.observer import Observer

EXCHANGED = "the model's parts or parameters had been exchanged, and nothing told when"


class Doubts:
    """Looks for them, before steps are written."""

    def __init__(
        self, observer: Observer, doubt_open: Callable[[Callable[[Kind], Kind], int], None]
    ) -> None:
        """Take whose models these are, and who puts other kinds into the steps that are open."""
        self._observer = observer
        self._doubt_open = doubt_open
        self._looked = 0
        """When (ns) somebody last looked."""
        self._unlooked = False
        """Whether steps are over at whose models nobody looked."""

    def look(self, *, counting: bool, beside: bool) -> None:
        """Look if it is time, or if steps may be written that nobody looked at.

        Args:
            counting: Whether counting is allowed; where it is not, what is over is written at once.
            beside: Whether this is another thread than the program's, which leaves it to that to look at
                the models anew.

        """
        observer = self._observer
        self._unlooked = self._unlooked or any(len(event) == 2 for event in observer.log)
        now = time.monotonic_ns()
        if not (now > observer.due or observer.listener.due if counting else self._unlooked):
            return
        changed = observer.modules.reshaped()
        self._doubt(changed, self._looked)
        if not (beside and changed):
            observer.modules.look_anew(changed)
            self._unlooked, self._looked = False, now

    def _doubt(self, changed: Collection[int], since: int) -> None:
        """Nobody knows what calls of some models cost that were made since some time and are not written."""
        if not changed:
            return
        known: dict[Kind, Kind] = {}

        def doubtful(kind: Kind) -> Kind:
            if kind.place not in changed or kind.doubt is not None:
                return kind
            if kind not in known:
                known[kind] = kind.in_doubt(EXCHANGED)
            return known[kind]

        log = self._observer.log
        for place, event in enumerate(log):
            if len(event) == 4 and event[2] > since:
                log[place] = doubtful(event[0]), *event[1:]
        self._doubt_open(doubtful, since)
        self._observer.listener.doubt(
            lambda variant: doubtful(variant.kind).as_of(variant), since // 1000
        )
