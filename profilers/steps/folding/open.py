"""What was called since the last boundary, while the step or the span is open. No torch is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from profilers.steps.folding.events import Call, Variant
    from profilers.steps.folding.listener import Bucket


@dataclass(slots=True)
class Open:
    """Calls since the last boundary. Times in nanoseconds; 0 before there is one."""

    calls: Bucket = field(default_factory=dict)
    pending: list[Call] = field(default_factory=list)
    """Calls for which a backward may come."""
    start: int = 0
    last: list[int] = field(default_factory=list)
    """What is known of the last call's end."""

    @property
    def empty(self) -> bool:
        """Whether nothing was called."""
        return not (self.calls or self.pending)

    def add(self, variant: Variant, times: int = 1) -> None:
        """Count calls."""
        self.calls[variant] = self.calls.get(variant, 0) + times


def most_of(counted: dict[tuple[bool, int], int]) -> int | None:
    """Of several models the one with most; what has nothing to train (a loss) does not say how much was."""
    models = [number for (trained, _), number in counted.items() if trained]
    return max(models or counted.values(), default=None)


def end_of(open_: Open, otherwise: int) -> int:
    """The end of the last call, if it is known."""
    last: Any = open_.last
    return max(last[0], otherwise) if last else otherwise
