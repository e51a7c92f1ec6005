"""Backward passes that come late: through calls of steps that are told already.

A loop may keep an output and differentiate it some steps later. What arrives then belongs to the step in
which the pass runs, not to the one of the call.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass, field

from profilers.steps.folding.equal import UNHOOKED, references
from profilers.steps.folding.events import FIRING, Call, Variant, apart

MOST_LINGERING = 64
"""Calls of earlier steps for which a further backward may still come."""


@dataclass(slots=True, order=True)
class LatePass:
    """A backward through a call of an earlier step, and when it began to arrive (ns)."""

    at: int
    variant: Variant = field(compare=False)


class Late:
    """Calls that are told, and passes through them that are not."""

    def __init__(self) -> None:
        """Begin with none."""
        self.lingering: list[tuple[Call, int]] = []
        """Calls whose outputs somebody holds, and how many of their facts are told."""
        self._passes: list[LatePass] = []

    def __bool__(self) -> bool:
        """Whether a pass waits for its step."""
        return bool(self._passes)

    def look_back(self) -> None:
        """Take the gradients that arrived at lingering calls since the last time."""
        kept = []
        for call, known in self.lingering:
            now = len(call[1])
            if now > known:
                self.arrived(call, known)
            if references(call) > UNHOOKED:
                kept.append((call, now))
        self.lingering = kept[-MOST_LINGERING:]

    def arrived(self, call: Call, known: int) -> None:
        """Take what arrived at a call beyond the facts that are known of it."""
        kind, fired, _, _ = call
        done = fired[known - FIRING] if known else -1
        tasks: dict[int, tuple[int, set[int], int]] = {}
        for at in range(known, len(fired), FIRING):
            if fired[at] != done:
                facts = (fired[at + 2], set[int](), fired[at + 4])
                tasks.setdefault(fired[at], facts)[1].update(apart(fired[at + 3]))
        for when, places, asked in tasks.values():
            variant = kind.variant("backward", (tuple(sorted(places)),), (asked,))
            insort(self._passes, LatePass(when, variant))

    def until(self, at: int) -> Iterator[LatePass]:
        """Give each pass that began up to a time, the earliest first, and forget it."""
        while self._passes and self._passes[0].at <= at:
            yield self._passes.pop(0)
