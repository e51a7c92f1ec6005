"""From several estimates of one run to one interval, without averaging disagreement away.

1. Estimates of one independence group share an origin: the group speaks once, through its most
   direct method (a traced count before a closed form).
2. Groups that agree confirm one another: their logarithms are averaged, each weighted by its
   inverse variance. "Agree" means that the ratio of their medians is within 2.33 standard
   deviations (99%) of its expected spread.
   A route that rests on a prior over other runs confirms and does not move the figure: what other
   runs did is no evidence about this one.
3. Groups that disagree are kept side by side: the result is the mixture of both, so the interval
   runs from the lowest to the highest, and the verdict says that they disagree.
4. Bounds cut off what they exclude. If nothing is left, the evidence contradicts itself: there is
   no combined figure.
"""

import math
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING

from flopledger.estimate import ComputeEstimate, Draws, quantiles, summarize
from flopledger.quantity import Z90, Interval

if TYPE_CHECKING:
    from flopledger.quantity import Samples

AGREE = 2.33
_DIRECTNESS = ("counted", "closed-form", "tensor-activity", "device-time", "energy")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two independent routes set side by side."""

    first: ComputeEstimate
    second: ComputeEstimate
    ratio: float  #: median of the second over median of the first
    z: float  #: its logarithm in standard deviations

    @property
    def agrees(self) -> bool:
        """Whether the two confirm one another."""
        return abs(self.z) <= AGREE


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Combined:
    """The one interval of a run (or of a ledger), and how it came about."""

    flop: Interval
    rule: str
    draws: "Samples" = field(repr=False)
    #: share of each estimate in the logarithm of the result
    weights: tuple[tuple[ComputeEstimate, float], ...] = field(default=(), repr=False)
    #: the run's own routes contradict one another: ``flop.best`` is the middle of all, and no route's figure
    is_contested: bool = False


LEVELS = (0.5, 0.9, 0.95)


def at_levels(combined: Combined) -> dict[float, tuple[float, float]]:
    """Give the central intervals of a result at 50, 90 and 95%."""
    found = {}
    for level in LEVELS:
        low, high = quantiles(combined.draws, ((1 - level) / 2, (1 + level) / 2))
        found[level] = (low, high)
    return found


def speakers(estimates: list[ComputeEstimate]) -> list[ComputeEstimate]:
    """Pick the two-sided estimate of model FLOP that speaks for each independence group."""
    chosen: dict[str, ComputeEstimate] = {}
    usable = [one for one in estimates if one.basis == "model" and one.draws is not None]
    for one in sorted(usable, key=lambda one: _DIRECTNESS.index(one.method)):
        chosen.setdefault(one.independence_group, one)
    return list(chosen.values())


def pairs(estimates: list[ComputeEstimate]) -> list[Pair]:
    """Compare every two independent routes."""
    return [_pair(one, two) for one, two in combinations(speakers(estimates), 2)]


def combine(estimates: list[ComputeEstimate], run: str, draws: Draws) -> Combined | None:
    """Combine the estimates of one run; ``None`` where only bounds, or contradictions, are left."""
    routes = speakers(estimates)
    # What may be of a sample stands in for the run only where nothing is of the whole.
    if any(route.is_whole_run for route in routes):
        estimates = [one for one in estimates if one.is_whole_run]
        routes = speakers(estimates)
    if not routes:
        return None
    firm = [route for route in routes if not route.from_prior] or routes
    if not all(pair.agrees for pair in pairs(estimates)):
        result = _mixture(routes, firm, run, draws)
    elif len(firm) == 1:
        result = _alone(firm[0], [route for route in routes if route is not firm[0]])
    else:
        result = _weighted(firm, run, draws)
    low = max(
        (one.flop.low for one in estimates if one.is_firm_bound and one.flop.low), default=None
    )
    high = min(
        (one.flop.high for one in estimates if one.is_firm_bound and one.flop.high), default=None
    )
    if any(_cut(_alone(route, []), low, high) is None for route in firm):
        # A bound that rules out a whole route is a contradiction: what a prior leaves standing
        # beside it is no figure of this run.
        return None
    return _cut(result, low, high)


def _pair(one: ComputeEstimate, two: ComputeEstimate) -> Pair:
    first, spread_first = log_moments(one)
    second, spread_second = log_moments(two)
    spread = math.hypot(spread_first, spread_second) or 1e-12
    return Pair(first=one, second=two, ratio=math.exp(second - first), z=(second - first) / spread)


def log_moments(one: ComputeEstimate) -> tuple[float, float]:
    """Give median and robust standard deviation (from the 90% interval) of the logarithm."""
    assert one.draws is not None
    low, middle, high = (math.log(value) for value in quantiles(one.draws, (0.05, 0.5, 0.95)))
    return middle, (high - low) / (2 * Z90)


def _alone(route: ComputeEstimate, witnesses: list[ComputeEstimate]) -> Combined:
    assert route.draws is not None
    rule = f"one route only: {route.method}"
    if witnesses:
        names = " and ".join(one.method for one in witnesses)
        verbs = ("agrees", "does") if len(witnesses) == 1 else ("agree", "do")
        rule = f"{route.method}; {names} {verbs[0]} within what a prior can tell, and {verbs[1]} not move it"
    return Combined(
        flop=route.flop,
        draws=route.draws,
        rule=rule,
        weights=((route, 1.0),),
    )


def _weighted(routes: list[ComputeEstimate], run: str, draws: Draws) -> Combined:
    import numpy as np

    moments = [log_moments(route) for route in routes]
    precision = [1 / max(spread, 1e-6) ** 2 for _, spread in moments]
    total = sum(precision)
    center = sum(w * middle for w, (middle, _) in zip(precision, moments, strict=True)) / total
    bests = [
        math.log(route.flop.best) if route.flop.best else middle
        for route, (middle, _) in zip(routes, moments, strict=True)
    ]
    best = math.exp(sum(w * figure for w, figure in zip(precision, bests, strict=True)) / total)
    noise = draws.generator(f"{run}/combined").standard_normal(draws.count)
    sample = np.exp(center + noise / math.sqrt(total))
    shares = tuple((route, w / total) for route, w in zip(routes, precision, strict=True))
    names = " and ".join(f"{route.method} ({share:.0%})" for route, share in shares)
    return Combined(
        flop=summarize(sample, best),
        draws=sample,
        rule=f"routes agree, weighted by precision: {names}",
        weights=shares,
    )


def _mixture(
    routes: list[ComputeEstimate], firm: list[ComputeEstimate], run: str, draws: Draws
) -> Combined:
    """Keep every route; where a prior alone disagrees, the best figure stays that of the documents."""
    import numpy as np

    choice = draws.generator(f"{run}/mixture").integers(0, len(routes), draws.count)
    stacked = np.stack([route.draws for route in routes if route.draws is not None])
    sample = stacked[choice, np.arange(draws.count)]
    lows = [route.flop.low for route in routes if route.flop.low is not None]
    highs = [route.flop.high for route in routes if route.flop.high is not None]
    (middle,) = quantiles(sample, (0.5,))
    documented = None
    if len(firm) < len(routes) and all(_pair(*two).agrees for two in combinations(firm, 2)):
        documented = _alone(firm[0], []) if len(firm) == 1 else _weighted(firm, run, draws)
        middle = documented.flop.best or middle
    flop = Interval(low=min(lows), best=min(max(middle, min(lows)), max(highs)), high=max(highs))
    names = " and ".join(route.method for route in routes)
    return Combined(
        flop=flop,
        draws=sample,
        rule=f"{names} disagree: both are kept, nothing is averaged"
        + (
            "; the best figure is the documents', since a prior moves none"
            if documented
            else "; the best figure is the middle of them, and none of them"
        ),
        weights=tuple((route, 1 / len(routes)) for route in routes),
        is_contested=documented is None,
    )


def _cut(result: Combined, low: float | None, high: float | None) -> Combined | None:
    """Drop the draws that a bound excludes; ``None`` if (nearly) nothing is left."""
    import numpy as np

    keep = np.ones(result.draws.shape, dtype=bool)
    if low is not None:
        keep &= result.draws >= low
    if high is not None:
        keep &= result.draws <= high
    if keep.all():
        return result
    if keep.mean() < 0.001:
        return None
    # Resampling keeps every ledger's draws the same length.
    kept = np.resize(result.draws[keep], result.draws.shape)
    best = result.flop.best
    inside = best is not None and (low or 0.0) <= best <= (math.inf if high is None else high)
    return replace(
        result,
        flop=summarize(kept, best if inside else None),
        draws=kept,
        rule=f"{result.rule}; cut by a bound",
    )
