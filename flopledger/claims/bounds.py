"""Bounds that refute a claim, whatever is assumed: what devices could do, what an amount trained takes."""

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
    most = [_most(run) for run in counted]
    is_open = any(run.combined is None for run in counted)
    if is_open and added is not None and all(one is not None for one in most):
        limit = added + sum(one for one in most if one is not None)
        limit *= 1.0 if claim.basis == "model" else 4 / 3  # it may hold recomputation
        if claim.flop.low is not None and claim.flop.low > limit * _WITH_ATTENTION:
            said = number(claim.flop.best or claim.flop.low)
            message = (
                f"the claim of {said} FLOP lies above {number(limit)} FLOP, the most that the stated amount "
                "of training takes"
            )
            found.append(_finding("claim-contradicted", message, claim))
    floor = sum(_floor(run) for run in counted) + (original.low or 0.0 if original else 0.0)
    if claim.flop.high is not None and claim.flop.high * bands.CLAIM_AGREES < floor:
        said = number(claim.flop.best or claim.flop.high)
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
    """Give the most that the amount trained allows; ``None`` where that end is open."""
    if run.combined is not None:
        return run.combined.flop.high
    limits = [
        one.flop.high
        for one in run.estimates
        if one.independence_group == work.GROUP and one.is_firm_bound and one.flop.high is not None
    ]
    return min(limits, default=None)


def _floor(run: "RunAudit") -> float:
    lows = [one.flop.low for one in run.estimates if one.is_firm_bound and one.flop.low is not None]
    return max(lows, default=0.0)


def _finding(code: str, message: str, claim: "Claim") -> Finding:
    return Finding(code=code, severity="error", message=message, evidence=(claim.place,))
