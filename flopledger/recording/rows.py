"""Steps on their way to the ledger."""

from __future__ import annotations

from collections.abc import Sequence

from flopledger.recording.cost import Cost
from profilers.steps.observer import Variant

Calls = Sequence[tuple[Cost | Variant, int]]
"""What was called and how often; a variant stands for its cost, once that is known."""


class Row:
    """One step, or several in a row that differ in their times only, as they will be written."""

    __slots__ = (
        "calls", "durations_us", "ends_us", "number", "optimizer", "said", "samples", "tokens",
        "tokens_from", "waits_us",
    )  # fmt: skip

    def __init__(self) -> None:
        self.number = 0
        """Of the first one."""
        self.ends_us: list[int] = []
        self.durations_us: list[int] = []
        self.waits_us: list[int] = []
        self.optimizer: str | None = None
        self.tokens: int | None = None
        self.tokens_from: str | None = None
        self.samples: int | None = None
        self.said = False
        """Whether the program already said what the step processed."""
        self.calls: Calls = ()

    @property
    def steps(self) -> int:
        """How many."""
        return len(self.ends_us)

    def part(self, count: int) -> Row:
        """Split the first ``count`` steps off."""
        first = Row()
        for name in Row.__slots__:
            setattr(first, name, getattr(self, name))
        for name in ("ends_us", "durations_us", "waits_us"):
            column = getattr(self, name)
            setattr(first, name, column[:count])
            setattr(self, name, column[count:])
        self.number += count
        return first
