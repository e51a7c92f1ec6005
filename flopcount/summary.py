"""Ledger -> FlopCount: sums, coverage and bounds."""

from __future__ import annotations

from flopcount.count import (
    MODEL_PHASES,
    Convention,
    Coverage,
    Entry,
    Experts,
    FlopCount,
    RankCount,
    Uncounted,
)
from flopcount.formulas.known_unknown import KNOWN_UNKNOWN
from flopcount.ledger import Ledger, UnknownTally


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
    phases = {"forward": 0, "backward": 0, "recompute": 0, "optimizer": 0}
    for entry in entries:
        phases[entry.phase] += entry.flop
    model = [entry for entry in entries if entry.phase in MODEL_PHASES]
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
            zero.elementwise for key, zero in ledger.zero.items() if key[2] in MODEL_PHASES
        ),
        entries=entries,
        uncounted=uncounted,
        coverage=_coverage(ledger, entries, uncounted),
        flop_bounds=(0, None) if ledger.is_one_draw else _bounds(total, uncounted, _slack(ledger)),
        convention=Convention(),
        experts=_experts(ledger),
        per_rank=_per_rank(ledger, phases),
        method=method,
        notes=notes,
        optimizer=phases["optimizer"] if ledger.has_optimizer else None,
    )


def _uncounted(ledger: Ledger) -> tuple[Uncounted, ...]:
    by_op: dict[str, UnknownTally] = {}
    for (_, op, _), tally in ledger.unknown.items():
        by_op.setdefault(op, UnknownTally()).add(tally)
    return tuple(
        Uncounted(
            op=op,
            calls=tally.calls,
            shapes=tuple(tally.shapes),
            upper_bound=tally.upper_bound,
            reason=KNOWN_UNKNOWN.get(op.replace(".", "::", 1)),
        )
        for op, tally in by_op.items()
    )


def _coverage(
    ledger: Ledger, entries: tuple[Entry, ...], uncounted: tuple[Uncounted, ...]
) -> Coverage:
    reasons: dict[str, int] = {}
    for (_, reason, _), zero in ledger.zero.items():
        reasons[reason] = reasons.get(reason, 0) + zero.calls
    return Coverage(
        counted_ops=sum(entry.calls for entry in entries),
        zero_by_rule=sum(reasons.values()),
        unknown=tuple(item.op for item in uncounted),
        unknown_calls=sum(item.calls for item in uncounted),
        zero_reasons=dict(sorted(reasons.items())),
    )


def _slack(ledger: Ledger) -> int:
    """What lines whose data the trace had not may cost less than was counted."""
    return sum(tally.slack for key, tally in ledger.lines.items() if key[3] in MODEL_PHASES)


def _bounds(
    total: int, uncounted: tuple[Uncounted, ...], slack: int
) -> tuple[int, int | None] | None:
    if not uncounted and not slack:
        return None
    highs = [item.upper_bound for item in uncounted]
    known = [high for high in highs if high is not None]
    return total - slack, total + sum(known) if len(known) == len(highs) else None


def _experts(ledger: Ledger) -> Experts | None:
    grouped = [
        tally
        for (_, _, _, phase), tally in ledger.lines.items()
        if phase == "forward" and tally.rows + tally.padded
    ]
    if not grouped:
        return None
    return Experts(
        products=sum(tally.calls for tally in grouped),
        rows=sum(tally.rows for tally in grouped),
        padded=sum(tally.padded for tally in grouped),
        exact=not any(tally.inexact for tally in grouped),
        rows_low=sum(tally.rows_low for tally in grouped),
    )


def _per_rank(ledger: Ledger, phases: dict[str, int]) -> RankCount | None:
    """Local figures; ranks that repeat work on the same data make an excess, which is stated."""
    local = ledger.local
    if local is None:
        return None
    everything = local.forward + local.backward + local.recompute
    return RankCount(
        forward=local.forward,
        backward=local.backward,
        recompute=local.recompute,
        world_size=local.world_size,
        replicated=everything * local.world_size
        - sum(phases[name] for name in ("forward", "backward", "recompute")),
    )
