"""From audited runs to what each regime looks at: the sum of a ledger against its threshold."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopledger import scope
from flopledger.claim import Claim
from flopledger.combine import Combined
from flopledger.estimate import Draws, summarize
from flopledger.quantity import Interval, Quantity
from flopledger.reconcile import RunAudit
from flopledger.regimes import Regime
from flopledger.verdict import zone

if TYPE_CHECKING:
    from flopledger.quantity import Samples


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where the case stands against one regime."""

    regime: Regime
    flop: Interval  #: of the regime's ledger; all ends ``None`` where nothing is known
    probability_exceeded: float | None  #: ``None`` where neither figure nor bound settles it
    zone: str | None  #: of the bare report under the 30 % margin: below, indeterminate, above
    zone_of: str | None  #: what was placed in the zone: "claim" or "estimate"


def total(
    runs: list[RunAudit], draws: Draws, ledger: str, base: Quantity | None = None
) -> Combined | None:
    """Add the runs that ``ledger`` counts; ``None`` if one of them has no figure.

    Runs are added draw by draw; inputs that they share stay shared.
    """
    parts: list[Samples] = []
    for run in runs:
        if not scope.counts(run.figures, ledger):
            continue
        if run.combined is None:
            return None
        parts.append(run.combined.draws)
    if base is not None and scope.counts_base(ledger):
        if not base.is_two_sided:
            return None
        parts.append(draws.of("base_model", base))
    if not parts:
        return None
    sample = sum(parts[1:], start=parts[0])
    names = [run.figures.name for run in runs if scope.counts(run.figures, ledger)]
    only = runs[0].combined if len(runs) == len(parts) == 1 else None
    if only is not None:
        return only
    return Combined(flop=summarize(sample), rule=f"sum of {', '.join(names)}", draws=sample)


def standing(
    regime: Regime,
    runs: list[RunAudit],
    draws: Draws,
    *,
    base: Quantity | None,
    claim: Claim | None,
) -> Standing:
    """Place a case against one regime's threshold."""
    figure = total(runs, draws, regime.ledger, base)
    if figure is None:
        bounds = _bounds(runs, regime.ledger, base)
        probability = _by_bounds(regime, bounds)
        flop = bounds
    else:
        flop = figure.flop
        probability = _share_above(regime, figure.draws)
    reported, source = _reported(claim, flop)
    return Standing(
        regime=regime,
        flop=flop,
        probability_exceeded=probability,
        zone=None if reported is None else zone(reported, regime.threshold_flop),
        zone_of=source,
    )


def _share_above(regime: Regime, draws: "Samples") -> float:
    import numpy as np

    above = (
        draws > regime.threshold_flop
        if regime.comparator == ">"
        else draws >= regime.threshold_flop
    )
    return float(np.mean(above))


def _bounds(runs: list[RunAudit], ledger: str, base: Quantity | None) -> Interval:
    """Add what is known one-sidedly: at least this much, at most that much."""
    low, high = 0.0, 0.0
    open_above = False
    for run in runs:
        if not scope.counts(run.figures, ledger):
            continue
        ends = _run_bounds(run)
        low += ends.low or 0.0
        open_above = open_above or ends.high is None
        high += ends.high or 0.0
    if base is not None and scope.counts_base(ledger):
        low += base.interval.low or 0.0
        open_above = open_above or base.interval.high is None
        high += base.interval.high or 0.0
    return Interval(
        low=low if low > 0 else None, best=None, high=None if open_above or high == 0 else high
    )


def _run_bounds(run: RunAudit) -> Interval:
    if run.combined is not None:
        return run.combined.flop
    bounds = [one.flop for one in run.estimates if one.bound_only]
    low = max((bound.low for bound in bounds if bound.low is not None), default=None)
    high = min((bound.high for bound in bounds if bound.high is not None), default=None)
    if low is not None and high is not None and low > high:
        return Interval(low=None, best=None, high=None)
    return Interval(low=low, best=None, high=high)


def _by_bounds(regime: Regime, bounds: Interval) -> float | None:
    if bounds.high is not None and not regime.exceeded_by(bounds.high):
        return 0.0
    if bounds.low is not None and regime.exceeded_by(bounds.low):
        return 1.0
    return None


def _reported(claim: Claim | None, flop: Interval) -> tuple[float | None, str | None]:
    if claim is not None and claim.flop.best is not None:
        return claim.flop.best, "claim"
    return (flop.best, "estimate") if flop.best is not None else (None, None)
