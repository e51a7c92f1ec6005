"""Steps in a row that are all alike: the same calls of one kind, one backward each, one optimizer.

They are most, and are made at once (design/097). No torch is imported here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from profilers.steps.folding.events import FIRING, Call, Kind, Variant


def references(call: Call) -> int:
    """How many hold a call's list; hooks that may still fire do."""
    return sys.getrefcount(call[1])


UNHOOKED = references((Kind("", ()), [], 0, False))
"""References to a call's list while no hook holds it."""


def equal_steps(
    events: Sequence[Any], place: int, times: int, usual: Variant, name: str
) -> tuple[list[int], list[int]]:
    """Beginnings and ends of the steps from a place on that are ``times`` usual calls and ``name``."""
    starts: list[int] = []
    ends: list[int] = []
    kind, most, counted = usual.kind, UNHOOKED + 1, sys.getrefcount
    usually = kind.arrived
    last = len(events) - times - 1
    while place < last:
        end = events[place + times]
        after = events[place + times + 1]
        if len(end) != 2 or end[0] != name or len(after) != 4 or after[3]:
            break
        until = end[1]
        for call in events[place : place + times]:
            if call[0] is not kind or call[3]:
                return starts, ends
            fired = call[1]
            if len(fired) != FIRING or fired[3] != usually or fired[2] > until:
                return starts, ends
            if fired[1] or fired[4]:
                return starts, ends
            if counted(call[1]) > most:
                return starts, ends  # its graph is still there: a further backward may come
        starts.append(events[place][2])
        ends.append(until)
        place += times + 1
    return starts, ends
