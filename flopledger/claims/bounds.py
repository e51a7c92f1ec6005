"""Bounds that refute a claim, whatever is assumed: what devices could do, what an amount trained takes.

Where a part of the total has no figure, the other parts still say how little and how much it may be.
"""

from typing import TYPE_CHECKING

from flopledger import verdict as bands
from flopledger.facts import Finding
from flopledger.methods import work
from flopledger.scope import counts
from flopledger.text import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flopledger.claims.claim import Claim
    from flopledger.quantity import Quantity
    from flopledger.reconcile import RunAudit

#: The highest exact count over 6ND among the disclosures, attention in full.
_WITH_ATTENTION = 1.31


def refuted(
    claim: "Claim", runs: "Sequence[RunAudit]", base: "Quantity | None" = None
) -> list[Finding]:
    """Refute a claim that no assumption can save: above the devices' ceiling, below a lower bound.

    ``base`` is the original's compute, where the claim is read as holding it: no hours here gave that.
    """
    original = None if base is None else base.interval
    added = 0.0 if original is None else original.high
    counted = [run for run in runs if counts(run.figures, claim.ledger)]
    found = []
    ceilings = [_ceiling(run) for run in counted]
    if ceilings and added is not None and all(ceiling is not None for ceiling in ceilings):
        limit = added + sum(ceiling for ceiling in ceilings if ceiling is not None)
        if claim.flop.low is not None and claim.flop.low > limit:
            said = number(claim.flop.best or claim.flop.low)
            message = (
                f"the claim of {said} FLOP exceeds the {number(limit)} FLOP that all stated device-"
                "hours (or the energy) could do at maximum clock"
            )
            found.append(_finding("exceeds-physical-limit", message, claim))
    is_open = bool(open_runs(counted, claim.ledger))
    known = most(counted, claim.ledger)
    if is_open and not found and added is not None and known is not None:
        limit = added + known
        limit *= 1.0 if claim.basis == "model" else 4 / 3  # it may hold recomputation
        if claim.flop.low is not None and claim.flop.low > limit * _WITH_ATTENTION:
            said = number(claim.flop.best or claim.flop.low)
            message = (
                f"the claim of {said} FLOP lies above {number(limit)} FLOP, the most that the stated "
                f"{_amounts(counted)} of training takes"
            )
            found.append(_finding("claim-contradicted", message, claim))
    begun = original.low or 0.0 if original else 0.0
    floors = [(bands.CLAIM_AGREES, begun + sum(_floor(run) for run in counted))]
    if is_open:
        least = sum(_least(run, claim.ledger) for run in counted)
        floors.append((bands.CLAIM_EXPLAINABLE, begun + least))
    high = claim.flop.high
    floor = max((one for room, one in floors if high is not None and high * room < one), default=0)
    if high is not None and floor:
        said = number(claim.flop.best or high)
        message = (
            f"the claim of {said} FLOP lies below {number(floor)} FLOP, the least that "
            "the stated amount of training takes"
        )
        found.append(_finding("claim-contradicted", message, claim))
    return found


def _ceiling(run: "RunAudit") -> float | None:
    """Give the most that hours or energy of the whole run allow; ``None`` where neither tells."""
    seconds, part = run.figures.device_seconds, run.part
    ceiling = part.ceiling(run.figures.precision) if part is not None else None
    limits = [
        one.flop.high
        for one in run.estimates
        if one.method == "energy" and one.is_firm_bound and one.flop.high is not None
    ]
    if ceiling is not None and seconds is not None and seconds.is_whole_run:
        high = seconds.quantity.interval.high
        limits += [] if high is None else [high * ceiling.value]
    return min(limits, default=None)


def _most(run: "RunAudit") -> float | None:
    """Give the most that the amount trained allows, or else the hours; ``None`` where both are open."""
    if run.combined is not None:
        return run.combined.flop.high
    limits = [
        one.flop.high
        for one in run.estimates
        if one.independence_group == work.GROUP and one.is_firm_bound and one.flop.high is not None
    ]
    by_hours = _ceiling(run)
    return min([*limits, *([] if by_hours is None else [by_hours])], default=None)


def open_runs(runs: "Sequence[RunAudit]", ledger: str) -> "list[RunAudit]":
    """List the runs of a ledger without a figure: its total has none, and may yet be bounded."""
    return [run for run in runs if run.combined is None and counts(run.figures, ledger)]


def most(runs: "Sequence[RunAudit]", ledger: str) -> float | None:
    """Give the most that a ledger's runs come to by amounts and hours; ``None`` where one is open."""
    ends = [_most(run) for run in runs if counts(run.figures, ledger)]
    known = [one for one in ends if one is not None]
    return sum(known) if known and len(known) == len(ends) else None


def is_bounded(run: "RunAudit") -> bool:
    """Say whether anything limits a run from above."""
    return _most(run) is not None


def _amounts(counted: "Sequence[RunAudit]") -> str:
    return "amount" if len(counted) == 1 else "amounts and hours"


def _least(run: "RunAudit", ledger: str) -> float:
    """Give the least that a ledger holds of a run by its own figure, or by a convention of the field."""
    figure = run.least(ledger) or 0.0
    rules = [
        flop * run.share(ledger) for name, flop in run.conventions.items() if name not in work.TRAPS
    ]
    return min([figure, *rules])


def _floor(run: "RunAudit") -> float:
    lows = [one.flop.low for one in run.estimates if one.is_firm_bound and one.flop.low is not None]
    return max(lows, default=0.0)


def _finding(code: str, message: str, claim: "Claim") -> Finding:
    return Finding(code=code, severity="error", message=message, evidence=(claim.place,))
