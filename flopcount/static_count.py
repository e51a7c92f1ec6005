"""Building a count from a walk over a graph, for files that cannot be traced."""

from __future__ import annotations

from dataclasses import dataclass, field

from flopcount.count import Convention, Coverage, Entry, FlopCount, Uncounted
from flopcount.errors import ConventionError


@dataclass(slots=True)
class GraphLedger:
    """Lines of one walk; equal lines are joined at the end."""

    lines: dict[tuple[str, str, str, str], list[int]] = field(default_factory=dict)
    """(module, op, dtype, phase) -> [calls, FLOP, FLOP in attention]."""
    unknown: dict[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    elementwise: int = 0
    zero: int = 0

    def add(
        self, module: str, op: str, dtype: str, phase: str, flop: int, *, attention: bool = False
    ) -> None:
        """Enter one product of ``flop`` FLOP; nothing is entered for none."""
        if flop:
            line = self.lines.setdefault((module, op, dtype, phase), [0, 0, 0])
            line[0] += 1
            line[1] += flop
            line[2] += flop if attention else 0

    def miss(self, op: str, shapes: str) -> None:
        """Enter an op that multiplies something by no rule that is known."""
        calls, seen = self.unknown.get(op, (0, ()))
        self.unknown[op] = (calls + 1, (*seen, shapes)[:4])

    def costs(self) -> dict[tuple[str, str], int]:
        """FLOP by dtype and phase."""
        sums: dict[tuple[str, str], int] = {}
        for (_, _, dtype, phase), (_, flop, _) in self.lines.items():
            sums[dtype, phase] = sums.get((dtype, phase), 0) + flop
        return sums

    def join(self, other: GraphLedger, times: int = 1) -> None:
        """Enter all that another walk found, so many times."""
        if times == 0:
            return
        for key, found in other.lines.items():
            line = self.lines.setdefault(key, [0, 0, 0])
            line[:] = [mine + times * theirs for mine, theirs in zip(line, found, strict=True)]
        for op, (calls, shapes) in other.unknown.items():
            before, seen = self.unknown.get(op, (0, ()))
            self.unknown[op] = (before + times * calls, (*seen, *shapes)[:4])
        self.elementwise += times * other.elementwise
        self.zero += times * other.zero

    def close(self, *, method: str, convention: str, notes: tuple[str, ...]) -> FlopCount:
        """Draw the sums.

        Raises:
            ConventionError: a graph without module structure knows ``dense`` only.
        """
        if convention not in ("dense", "hardware"):
            msg = (
                f"the convention '{convention}' needs a traced model; a graph file knows 'dense'\n"
                "  give the model's config.json, or a package.module:factory"
            )
            raise ConventionError(msg)
        entries = tuple(
            Entry(
                module=module,
                op=op,
                dtype=dtype,
                phase="backward" if phase == "backward" else "forward",
                calls=calls,
                flop=flop,
                attention=attention,
                masked=flop,
            )
            for (module, op, dtype, phase), (calls, flop, attention) in self.lines.items()
        )
        forward = sum(e.flop for e in entries if e.phase == "forward")
        backward = sum(e.flop for e in entries if e.phase == "backward")
        return FlopCount(
            forward=forward,
            backward=backward,
            recompute=0,
            total=forward + backward,
            attention_flop=sum(e.attention for e in entries),
            masked_total=forward + backward,
            rescored=0,
            elementwise=self.elementwise,
            entries=entries,
            uncounted=tuple(
                Uncounted(op=op, calls=calls, shapes=shapes, upper_bound=None)
                for op, (calls, shapes) in sorted(self.unknown.items())
            ),
            coverage=Coverage(
                counted_ops=sum(e.calls for e in entries if e.phase == "forward"),
                zero_by_rule=self.zero,
                unknown=tuple(sorted(self.unknown)),
            ),
            flop_bounds=(forward + backward, None) if self.unknown else None,
            convention=Convention(name=convention, source="graph"),
            method=method,
            notes=notes,
        )
