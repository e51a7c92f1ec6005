"""From audited runs to what each regime looks at: the sum of a ledger against its threshold."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopledger import scope
from flopledger.claim import Claim
from flopledger.combine import Combined
from flopledger.estimate import Draws, summarize
from flopledger.quantity import Interval, Quantity, Spread, exact
from flopledger.reconcile import RunAudit
from flopledger.regimes import Regime
from flopledger.verdict import zone

if TYPE_CHECKING:
    from flopledger.quantity import Samples


#: Thresholds whose third stands in where the original's compute is unknown (guidelines, 3.2).
_FALLBACK_SYSTEMIC, _FALLBACK_OTHER = 1e25 / 3, 1e23 / 3
ONE_THIRD = "one-third-of-original"


@dataclass(frozen=True, kw_only=True, slots=True)
class Original:
    """The model that was built upon: its compute, and whether it carries systemic risk."""

    flop: Quantity | None
    systemic_risk: bool
    #: whether the case speaks of it; else only the kinds of its runs say that there is one
    is_stated: bool = True

    @property
    def held(self) -> Quantity:
        """What a cumulative ledger begins with: an amount that is open where nobody states it, never 0."""
        return self.flop or Quantity(
            interval=Interval(low=None, best=None, high=None), spread=Spread.BOUND
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where the case stands against one regime."""

    regime: Regime
    threshold_flop: float  #: the regime's own, or what its rule makes of this case
    flop: Interval  #: of the regime's ledger; all ends ``None`` where nothing is known
    probability_exceeded: float | None  #: ``None`` where neither figure nor bound settles it
    #: of the bare report under the 30% margin: below, indeterminate, above; ``None`` without a figure
    #: and for a regime that is no longer in force
    zone: str | None
    zone_of: str | None  #: what was placed in the zone: "claim" or "estimate"


def total(
    runs: list[RunAudit],
    draws: Draws,
    ledger: str,
    base: Quantity | None = None,
    *,
    documented: bool = False,
) -> Combined | None:
    """Add the runs that ``ledger`` counts; ``None`` if one of them has no figure.

    Runs are added draw by draw; inputs that they share stay shared. ``documented``: without what
    priors say against a run's own documents.
    """
    parts: list[Samples] = []
    figures = [
        (run.documented if documented else run.combined, run.share(ledger))
        for run in runs
        if scope.counts(run.figures, ledger)
    ]
    for figure, share in figures:
        if figure is None:
            return None
        parts.append(figure.draws if share == 1 else figure.draws * share)
    if base is not None and scope.counts_base(ledger):
        if not base.is_two_sided:
            return None
        parts.append(draws.of("base_model", base))
    if not parts:
        return None
    sample = sum(parts[1:], start=parts[0])
    if len(runs) == len(parts) == len(figures) == 1 and figures[0][1] == 1:
        return figures[0][0]
    bests = [None if one is None else (one.flop.best, share) for one, share in figures]
    best = _sum_of_bests(bests, base if len(parts) > len(figures) else None)
    return Combined(flop=summarize(sample, best), rule=_rule(runs, ledger), draws=sample)


def _rule(runs: list[RunAudit], ledger: str) -> str:
    """Say what a ledger's total adds up, and what stands in the routes and not in it."""
    counted = [run for run in runs if scope.counts(run.figures, ledger)]
    names = [run.figures.name for run in counted]
    rule = (
        f"sum of {', '.join(names)}" if len(names) > 1 else "".join(names) or "the original alone"
    )
    passes = [one.name for run in counted for one in run.passes]
    beside = [name for name in dict.fromkeys(passes) if not scope.counts_pass(name, ledger)]
    if beside:
        rule += f", without the passes that update no parameters ({', '.join(beside)})"
    left_out = [run.figures.name for run in runs if run not in counted]
    return f"{rule}; not in it: {', '.join(left_out)}" if left_out else rule


def _sum_of_bests(
    figures: "list[tuple[float | None, float] | None]", base: Quantity | None
) -> float | None:
    """Add the best figures, so that a total is what its parts come to; ``None`` if one is missing."""
    total_best = 0.0
    for figure in figures:
        if figure is None or figure[0] is None:
            return None
        total_best += figure[0] * figure[1]
    if base is None:
        return total_best
    return None if base.best is None else total_best + base.best


def standing(
    regime: Regime,
    runs: list[RunAudit],
    draws: Draws,
    *,
    original: Original | None,
    claim: Claim | None,
) -> Standing | None:
    """Place a case against one regime; ``None`` where the regime does not speak of such a case."""
    if regime.rule == ONE_THIRD and (original is None or not original.is_stated):
        return None
    base = None if original is None else original.held
    threshold = _threshold(regime, original)
    figure = total(runs, draws, regime.ledger, base)
    if figure is None:
        flop = _bounds(runs, regime.ledger, base)
        probability = _by_bounds(regime, threshold.interval, flop)
    else:
        flop = figure.flop
        probability = _share_above(regime, _limit(regime, threshold, base, draws), figure.draws)
    begins_open = base is not None and base.best is None and scope.counts_base(regime.ledger)
    reported, source = _reported(claim, flop)
    bare = threshold.best or threshold.interval.low or threshold.interval.high
    assert bare is not None
    return Standing(
        regime=regime,
        threshold_flop=bare,
        flop=flop,
        probability_exceeded=probability,
        zone=_zone(regime, reported, bare, begins_open=begins_open),
        zone_of=source,
    )


def _zone(
    regime: Regime, reported: float | None, threshold: float, *, begins_open: bool
) -> str | None:
    """Place a bare report, where it can be placed at all.

    A regime that ended places nobody: it is "not in force", which is not "below". Nor does a report of a
    modification place what began with an unknown amount, unless it is above by itself.
    """
    if reported is None or regime.ended is not None:
        return None
    found = zone(reported, threshold)
    return found if found == "above" or not begins_open else None


def _threshold(regime: Regime, original: Original | None) -> Quantity:
    """Give the regime's threshold, which the one-third rule takes from the original."""
    if regime.rule != ONE_THIRD or original is None:
        return exact(regime.threshold_flop)
    if original.flop is None:
        return exact(_FALLBACK_SYSTEMIC if original.systemic_risk else _FALLBACK_OTHER)
    return Quantity(interval=original.flop.interval / 3.0, spread=original.flop.spread)


def _limit(
    regime: Regime, threshold: Quantity, base: Quantity | None, draws: Draws
) -> "Samples | float":
    """Give the threshold, drawn with the original's compute where that is uncertain."""
    if regime.rule == ONE_THIRD and base is not None and base.is_two_sided:
        return draws.of("base_model", base) / 3
    ends = (threshold.best, threshold.interval.high, threshold.interval.low)
    return next(end for end in ends if end is not None)


def _share_above(regime: Regime, limit: "Samples | float", draws: "Samples") -> float:
    import numpy as np

    return float(np.mean(draws > limit if regime.comparator == ">" else draws >= limit))


def _bounds(runs: list[RunAudit], ledger: str, base: Quantity | None) -> Interval:
    """Add what is known one-sidedly: at least this much, at most that much."""
    low, high = 0.0, 0.0
    open_above = False
    for run in runs:
        if not scope.counts(run.figures, ledger):
            continue
        ends = run.model_flop * run.share(ledger)
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


def _by_bounds(regime: Regime, threshold: Interval, bounds: Interval) -> float | None:
    """Decide by bounds alone, if they clear every threshold that is possible."""
    if bounds.high is not None and threshold.low is not None:
        strictly = bounds.high < threshold.low
        if strictly or (bounds.high == threshold.low and regime.comparator == ">"):
            return 0.0
    if bounds.low is not None and threshold.high is not None:
        strictly = bounds.low > threshold.high
        if strictly or (bounds.low == threshold.high and regime.comparator == ">="):
            return 1.0
    return None


def _reported(claim: Claim | None, flop: Interval) -> tuple[float | None, str | None]:
    if claim is not None and claim.flop.best is not None:
        return claim.flop.best, "claim"
    return (flop.best, "estimate") if flop.best is not None else (None, None)
