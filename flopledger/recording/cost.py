"""A call's cost as the ledger writes it, and what tells the costs of one model's calls apart."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from profilers.steps.calls.signature import Values

if TYPE_CHECKING:
    from flopcount.live.counting import LiveCount
    from flopcount.live.fit import Sizes
    from profilers.steps.observer import Variant
    from profilers.steps.record.ledger import StepLedger


@dataclass(kw_only=True, slots=True)
class Cost:
    """What one variant of a call costs, as the ledger writes it."""

    model: str
    mode: str
    inputs: tuple[str, ...]
    flop: dict[str, int] | None
    by_dtype: dict[str, int] = field(default_factory=dict)
    recompute_by_dtype: dict[str, int] = field(default_factory=dict)
    share: tuple[int, int] = (1, 1)
    how: str = "unknown"
    bounds: tuple[int, int | None] | None = None
    uncounted: tuple[str, ...] = ()
    reason: str | None = None
    id: int | None = None
    """Its number in the ledger, once written."""
    ledger: StepLedger | None = None
    """Which ledger that is."""


def unknown(variant: Variant, reason: str) -> Cost:
    """The cost of a call that could not be counted."""
    kind = variant.kind
    return Cost(
        model=kind.model, mode=variant.mode, inputs=kind.inputs, flop=None, bounds=(0, None),
        reason=reason[:1000],
    )  # fmt: skip


def figures_of(found: LiveCount, mode: str) -> dict[Any, int]:
    """The parts of a count that belong to a mode, by phase and dtype."""
    figures: dict[Any, int] = {}
    for phase, by_dtype in found.by_dtype.items():
        if mode == "backward" and phase == "forward":
            continue
        as_phase = "recompute" if mode == "again" and phase == "forward" else phase
        for dtype, flop in by_dtype.items():
            figures[as_phase, dtype] = figures.get((as_phase, dtype), 0) + flop
    return figures


def bounds_of(found: LiveCount, mode: str) -> tuple[int, int | None] | None:
    """The bounds of the parts of a count that belong to a mode.

    A backward of a call that an earlier step made is told without its forward, which that step has. Where
    data or dice decide, nobody knows how much of the whole that forward is.
    """
    if found.bounds is None or mode != "backward":
        return found.bounds
    low, high = found.bounds
    if found.decided:
        return 0, high
    return max(0, low - found.forward), None if high is None else max(0, high - found.forward)


def abstracted(key: Hashable) -> tuple[Hashable, Sizes, Values]:
    """Split a signature into what never changes within a family, its sizes, and its values."""
    fixed: list[Hashable] = []
    sizes: list[int] = []
    values = Values()
    assert isinstance(key, tuple)
    part: Any
    for part in key:
        if isinstance(part, Values):
            values = part
        elif type(part) is int:
            fixed.append("whole number")
            sizes.append(part)
        elif type(part).__name__ == "Size":
            fixed.append(("sizes", len(part)))
            sizes.extend(part)
        else:
            fixed.append(part)
    return tuple(fixed), tuple(sizes), values
