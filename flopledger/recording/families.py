"""Kinds of calls that differ in sizes only, and what is kept of each kind until it is counted."""

from __future__ import annotations

from collections.abc import Hashable, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flopcount.live.capture import LiveCall
    from flopcount.live.fit import Fit, Sizes
    from flopledger.recording.cost import Cost
    from profilers.steps.calls.signature import Values

MOST_SIZES = 64
"""Of which a family remembers what they cost."""


@dataclass(kw_only=True, slots=True)
class Family:
    """Kinds of calls that differ in sizes only."""

    fits: dict[Hashable, Fit] = field(default_factory=dict)
    reads: bool | None = None
    """Whether values of whole numbers decide what a call costs; None before anything was counted."""
    costs: dict[Hashable, Cost] = field(default_factory=dict)
    """Exact ones, so that calls that are alike share a line of the ledger."""
    known: dict[Hashable, dict[Any, int]] = field(default_factory=dict)
    """What sizes cost when they were counted first."""
    alike: int = 0
    """So often other values of the same sizes cost the same."""
    share: tuple[int, int] = (1, 1)


@dataclass(kw_only=True, slots=True)
class Data:
    """What is kept of a kind."""

    family: Family
    sizes: Sizes
    values: Values
    """Of whole numbers among the inputs."""
    call: LiveCall | None
    model: Any
    """Weak reference to the module."""
    summed: Set[frozenset[int]] = frozenset()
    """Groups of ranks over which its gradients are summed."""
    exchanged: frozenset[str] = frozenset()
    """Parameters in whose place the program gave leaves of its own, by their names."""
