"""Ledger -> FlopCount: sums, coverage and bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flopcount.count import Convention, Coverage, Entry, Experts, FlopCount, Uncounted

if TYPE_CHECKING:
    from flopcount.dispatch import Ledger


def summarise(ledger: Ledger, *, method: str, notes: tuple[str, ...] = ()) -> FlopCount:
    """Build the dense count of a ledger."""
    entries = tuple(
        Entry(
            module=module,
            op=op,
            dtype=dtype,
            phase=phase,
            calls=tally.calls,
            flop=tally.flop,
            attention=tally.attention,
            masked=tally.masked,
            rescored=tally.rescored,
            torch=tally.torch,
        )
        for (module, op, dtype, phase), tally in ledger.lines.items()
    )
    phases = {"forward": 0, "backward": 0, "recompute": 0}
    for entry in entries:
        phases[entry.phase] += entry.flop
    model = [entry for entry in entries if entry.phase != "recompute"]
    total = phases["forward"] + phases["backward"]
    uncounted = _uncounted(ledger)
    return FlopCount(
        forward=phases["forward"],
        backward=phases["backward"],
        recompute=phases["recompute"],
        total=total,
        attention_flop=sum(entry.attention for entry in model),
        masked_total=sum(entry.masked for entry in model),
        rescored=sum(entry.rescored for entry in model),
        elementwise=sum(
            amount for (_, phase), amount in ledger.elementwise.items() if phase != "recompute"
        ),
        entries=entries,
        uncounted=uncounted,
        coverage=_coverage(ledger, entries, uncounted),
        flop_bounds=_bounds(total, uncounted),
        convention=Convention(),
        experts=_experts(ledger),
        method=method,
        notes=notes,
    )


def _uncounted(ledger: Ledger) -> tuple[Uncounted, ...]:
    return tuple(
        Uncounted(op=op, calls=calls, shapes=tuple(shapes), upper_bound=bound)
        for op, (calls, shapes, bound) in ledger.unknown.items()
    )


def _coverage(
    ledger: Ledger, entries: tuple[Entry, ...], uncounted: tuple[Uncounted, ...]
) -> Coverage:
    reasons: dict[str, int] = {}
    for (reason, _), calls in ledger.zero.items():
        reasons[reason] = reasons.get(reason, 0) + calls
    return Coverage(
        counted_ops=sum(entry.calls for entry in entries),
        zero_by_rule=sum(reasons.values()),
        unknown=tuple(item.op for item in uncounted),
        unknown_calls=sum(item.calls for item in uncounted),
        zero_reasons=dict(sorted(reasons.items())),
    )


def _bounds(total: int, uncounted: tuple[Uncounted, ...]) -> tuple[int, int | None] | None:
    if not uncounted:
        return None
    highs = [item.upper_bound for item in uncounted]
    known = [high for high in highs if high is not None]
    return total, total + sum(known) if len(known) == len(highs) else None


def _experts(ledger: Ledger) -> Experts | None:
    if not ledger.expert_layers:
        return None
    return Experts(layers=ledger.expert_layers, rows=ledger.expert_rows, exact=ledger.expert_exact)
