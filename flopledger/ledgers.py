"""From audited runs to what each regime looks at: the sum of a ledger against its threshold."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopledger import scope
from flopledger.claims.claim import Claim
from flopledger.combine import Combined
from flopledger.estimate import Draws, quantiles, summarize
from flopledger.quantity import Interval, Quantity, Spread, exact
from flopledger.reconcile import RunAudit
from flopledger.regimes import Regime
from flopledger.verdict import zone

if TYPE_CHECKING:
    from flopledger.quantity import Samples


#: Thresholds whose third stands in where the original's compute is unknown (guidelines, 3.2).
_FALLBACK_SYSTEMIC, _FALLBACK_OTHER = 1e25 / 3, 1e23 / 3
ONE_THIRD = "one-third-of-original"
#: Totals of one case that lie further apart are of different things.
_OTHER = 1.5
SETTLED = 0.95  #: from this probability on a threshold counts as passed (design/003)


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
    #: "at least" or "at most" where the threshold, a third of a bound, is known at one end only
    threshold_bound: str | None = None


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
    claimed_total: Combined | None = None,
) -> Standing | None:
    """Place a case against one regime; ``None`` where the regime does not speak of such a case.

    ``claimed_total`` is the total that the claim was found to be of: it places no ledger that holds another.
    """
    if regime.rule == ONE_THIRD and (original is None or not original.is_stated):
        return None
    base = None if original is None else original.held
    threshold = _threshold(regime, original)
    figure = total(runs, draws, regime.ledger, base)
    if figure is None:
        known = _known(runs, draws, regime.ledger, base)
        flop = known.interval
        probability = _by_bounds(regime, threshold, base, draws, known)
    else:
        flop = figure.flop
        if _is_one_sided(threshold):
            known = _Known(low=figure.draws, high=figure.draws)
            probability = _by_bounds(regime, threshold, base, draws, known)
        else:
            probability = _share_above(regime, _limit(regime, threshold, base, draws), figure.draws)
    begins_open = base is not None and base.best is None and scope.counts_base(regime.ledger)
    reported, source = _reported(claim, flop, claimed_total)
    bare = threshold.best or threshold.interval.low or threshold.interval.high
    assert bare is not None
    return Standing(
        regime=regime,
        threshold_flop=bare,
        flop=flop,
        probability_exceeded=probability,
        zone=_zone(regime, reported, threshold, begins_open=begins_open),
        zone_of=source,
        threshold_bound=_bound_of(threshold),
    )


def _bound_of(threshold: Quantity) -> str | None:
    if not _is_one_sided(threshold):
        return None
    return "at least" if threshold.interval.high is None else "at most"


def _is_one_sided(threshold: Quantity) -> bool:
    """Say whether a threshold is known at one end only: a third of "at least 8e23"."""
    ends = threshold.interval
    return threshold.spread is Spread.BOUND and (ends.low is None or ends.high is None)


def _zone(
    regime: Regime, reported: float | None, threshold: Quantity, *, begins_open: bool
) -> str | None:
    """Place a bare report, where it can be placed at all.

    A regime that ended places nobody: it is "not in force", which is not "below". Nor does a report of a
    modification place what began with an unknown amount, unless it is above by itself.
    """
    if reported is None or regime.ended is not None:
        return None
    ends = threshold.interval
    limit = ends.best or ends.low or ends.high
    assert limit is not None
    found = zone(reported, limit)
    if _is_one_sided(threshold) and found != ("below" if ends.high is None else "above"):
        return None  # a threshold that may be higher is not passed by passing its lower end
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


def _share_above(regime: Regime, limit: "Samples | float", draws: "Samples | float") -> float:
    import numpy as np

    return float(np.mean(draws > limit if regime.comparator == ">" else draws >= limit))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    """What a ledger holds at least and at most: drawn where parts have figures, plain where they do not."""

    low: "Samples | float"
    high: "Samples | float | None"  #: ``None`` where it is open

    @property
    def interval(self) -> Interval:
        """The 5% and 95% ends of what is drawn; a plain bound is its own end."""
        low = _end(self.low, 0.05)
        high = None if self.high is None else _end(self.high, 0.95)
        return Interval(low=low if low > 0 else None, best=None, high=high or None)


def _end(side: "Samples | float", level: float) -> float:
    return side if isinstance(side, int | float) else quantiles(side, (level,))[0]


def _known(runs: list[RunAudit], draws: Draws, ledger: str, base: Quantity | None) -> _Known:
    """Add what is known: figures draw by draw, as in ``total``, and of the rest what bounds leave.

    The ends of 90% intervals are not added: that is right where all errors are one, and too wide where
    each is its own. Draws share what the runs share, and nothing else (design/003).
    """
    parts: list[tuple[Samples | float, Samples | float | None]] = []
    for run in (one for one in runs if scope.counts(one.figures, ledger)):
        if run.combined is not None:
            drawn = run.combined.draws * run.share(ledger)
            parts.append((drawn, drawn))
        else:
            parts.append((run.least(ledger) or 0.0, run.model_flop.high))
    if base is not None and scope.counts_base(ledger):
        if base.is_two_sided:
            drawn = draws.of("base_model", base)
            parts.append((drawn, drawn))
        else:
            parts.append((base.interval.low or 0.0, base.interval.high))
    highs = [high for _, high in parts if high is not None]
    return _Known(
        low=sum((low for low, _ in parts), start=0.0),
        high=sum(highs, start=0.0) if len(highs) == len(parts) else None,
    )


def _by_bounds(
    regime: Regime, threshold: Quantity, base: Quantity | None, draws: Draws, known: _Known
) -> float | None:
    """Give the probability where what is known settles it to ``SETTLED``, and nothing where it does not.

    It lies between that of the least and that of the most; of the two the less extreme is given.
    """
    limits: tuple[Samples | float | None, Samples | float | None]
    limits = threshold.interval.low, threshold.interval.high
    if regime.rule == ONE_THIRD and base is not None and base.is_two_sided:
        limits = (_limit(regime, threshold, base, draws),) * 2
    low, high = limits
    if high is not None and (least := _share_above(regime, high, known.low)) >= SETTLED:
        return least
    if low is not None and known.high is not None:
        most = _share_above(regime, low, known.high)
        return most if most <= 1 - SETTLED else None
    return None


def _reported(
    claim: Claim | None, flop: Interval, claimed_total: Combined | None
) -> tuple[float | None, str | None]:
    """Give the figure whose zone is told: the claim, unless it is of another total than the ledger's."""
    of = None if claimed_total is None else claimed_total.flop.best
    other = bool(of and flop.best) and not 1 / _OTHER <= flop.best / of <= _OTHER  # type: ignore[operator]
    if claim is not None and claim.flop.best is not None and not other:
        return claim.flop.best, "claim"
    return (flop.best, "estimate") if flop.best is not None else (None, None)
