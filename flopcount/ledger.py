"""What a trace writes down. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from flopcount.count import Phase

INVENTED = "random: the figure depends on them"
"""How the note begins that invented values decided what was computed."""
LineKey = tuple[str, str, str, Phase]
"""Module path, op, dtype, phase."""
ZeroKey = tuple[str, str, Phase]
"""Module path, reason, phase."""
UnknownKey = tuple[str, str, Phase]
"""Module path, op, phase."""


@dataclass(slots=True)
class Tally:
    """Sums of one ledger line; see :class:`flopcount.count.Entry` for the fields."""

    calls: int = 0
    flop: int = 0
    attention: int = 0
    masked: int = 0
    rescored: int = 0
    torch: int = 0
    rows: int = 0
    padded: int = 0
    inexact: int = 0
    slack: int = 0
    rows_low: int = 0

    def add(self, other: Tally) -> None:
        """Add another tally."""
        self.calls += other.calls
        self.flop += other.flop
        self.attention += other.attention
        self.masked += other.masked
        self.rescored += other.rescored
        self.torch += other.torch
        self.rows += other.rows
        self.padded += other.padded
        self.inexact += other.inexact
        self.slack += other.slack
        self.rows_low += other.rows_low


@dataclass(slots=True)
class ZeroTally:
    """Calls that multiply no matrices, and their elementwise work."""

    calls: int = 0
    elementwise: int = 0

    def add(self, other: ZeroTally) -> None:
        """Add another tally."""
        self.calls += other.calls
        self.elementwise += other.elementwise


@dataclass(slots=True)
class UnknownTally:
    """Calls of one op without a rule."""

    calls: int = 0
    upper_bound: int = 0
    shapes: dict[str, None] = field(default_factory=dict)

    def add(self, other: UnknownTally) -> None:
        """Add another tally."""
        self.calls += other.calls
        self.upper_bound += other.upper_bound
        self.shapes.update(other.shapes)


@dataclass(slots=True)
class Local:
    """What this rank's shards cost, by phase (FLOP), and over how many ranks they spread."""

    forward: int = 0
    backward: int = 0
    recompute: int = 0
    world_size: int = 1

    def add(self, phase: Phase, flop: int) -> None:
        """Add one op on local shards; an optimizer's work is not part of the step."""
        if phase != "optimizer":
            setattr(self, phase, getattr(self, phase) + flop)


@dataclass(slots=True)
class Ledger:
    """Everything that a trace wrote down, by module."""

    lines: dict[LineKey, Tally] = field(default_factory=dict)
    zero: dict[ZeroKey, ZeroTally] = field(default_factory=dict)
    unknown: dict[UnknownKey, UnknownTally] = field(default_factory=dict)
    unknown_masks: int = 0
    remarks: list[str] = field(default_factory=list)
    asked: set[int] = field(default_factory=set)
    """Where the model's own tensors lie in memory whose values were asked for (flopcount.live.counting)."""
    has_optimizer: bool = False
    local: Local | None = None
    nodes: int = -1
    """So many the forward added to autograd's graph; -1 where nobody looked."""
    is_one_draw: bool = False
    """The figure depends on values that were invented: nothing bounds it."""

    def below(self, path: str, phase: Phase | None = None) -> Ledger:
        """The part inside one module, its path removed from the keys."""
        part = Ledger()
        for key, tally in self.lines.items():
            if _inside(key[0], path) and phase in (None, key[3]):
                part.lines[(key[0][len(path) :], *key[1:])] = tally
        for zero_key, zero in self.zero.items():
            if _inside(zero_key[0], path) and phase in (None, zero_key[2]):
                part.zero[(zero_key[0][len(path) :], *zero_key[1:])] = zero
        for unknown_key, unknown in self.unknown.items():
            if _inside(unknown_key[0], path) and phase in (None, unknown_key[2]):
                part.unknown[(unknown_key[0][len(path) :], *unknown_key[1:])] = unknown
        return part

    def add_at(self, path: str, part: Ledger) -> None:
        """Add what :meth:`below` answered, inside the module ``path``."""
        for (inner, op, dtype, phase), tally in part.lines.items():
            self.lines.setdefault((path + inner, op, dtype, phase), Tally()).add(tally)
        for (inner, reason, phase), zero in part.zero.items():
            self.zero.setdefault((path + inner, reason, phase), ZeroTally()).add(zero)
        for (inner, op, phase), unknown in part.unknown.items():
            self.unknown.setdefault((path + inner, op, phase), UnknownTally()).add(unknown)

    def calls_outside(self, path: str) -> int:
        """Executed ops so far that do not lie inside one module."""
        lines = sum(t.calls for key, t in self.lines.items() if not _inside(key[0], path))
        zero = sum(t.calls for key, t in self.zero.items() if not _inside(key[0], path))
        unknown = sum(t.calls for key, t in self.unknown.items() if not _inside(key[0], path))
        return lines + zero + unknown


def _inside(path: str, container: str) -> bool:
    return path == container or path.startswith(container + ".")
