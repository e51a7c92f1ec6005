"""Does a convention decide on which side of a threshold a case lies?

6ND leaves attention out. At a short context that is a few per cent; at a long one it is most of the work, and
a claim that follows the rule to the letter may lie below a threshold that the exact count is certain to have
passed. The claim is no lie, and the threshold is not settled by the rule that was chosen: both are said.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from flopledger.checks.of_a_run import architecture_route
from flopledger.claims.claim import Claim, Judgement, totals
from flopledger.facts import Finding
from flopledger.ledgers import Standing
from flopledger.quantity import Interval
from flopledger.reconcile import RunAudit
from flopledger.regimes import Regime
from flopledger.scope import counts, counts_base
from flopledger.text import number, round_number
from flopledger.verdict import EU_MARGIN, Verdict

_WAYS = ("counted", "closed-form")
#: What the guidelines themselves name, or what differs by attention alone.
_RULES = ("6ND", "6ND over active parameters", "closed-form, no attention", "counted, no attention")


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """What was found, and whether the claim has to be explained for it."""

    findings: tuple[Finding, ...] = ()
    verdict: Verdict = Verdict.UNDETERMINED


def check(
    standings: Sequence[Standing],
    runs: list[RunAudit],
    claim: Claim | None,
    judgement: Judgement | None,
    *,
    has_original: bool,
) -> Check:
    """Find thresholds that lie between a rule's total and the whole interval of the exact count."""
    between: dict[str, list[Standing]] = {}
    figures: dict[str, float] = {}
    for one in standings:
        if one.regime.ended is not None or one.regime.rule is not None:
            continue
        # A rule speaks of training alone: passes beside it and the original's compute are no matter of it.
        if any(run.passes for run in runs) or (has_original and counts_base(one.regime.ledger)):
            continue
        exact = _by_count(runs, one.regime.ledger)
        if exact is None:
            continue
        for name, figure in totals(runs, one.regime.ledger):
            if name in _RULES and _parted(one, one.flop, figure) and _parted(one, exact, figure):
                between.setdefault(name, []).append(one)
                figures[name] = figure
    if not between:
        return Check()
    used = None if judgement is None else judgement.convention
    rests = claim is not None and used in between
    name = used if used is not None and rests else min(between, key=_RULES.index)
    first, figure = between[name][0], figures[name]
    exact = _by_count(runs, first.regime.ledger)
    assert exact is not None
    asks = rests and _outside_margin(exact, figure)
    finding = Finding(
        code="convention-decides-threshold",
        severity="warning" if asks else "info",
        message=_message(between[name], name, figure, exact) + _words(runs, asks=asks),
        evidence=tuple(
            dict.fromkeys(
                ([claim.place] if asks and claim is not None else [])
                + [run.figures.place for run in runs]
            )
        ),
    )
    return Check(
        findings=(finding,), verdict=Verdict.NEEDS_EXPLANATION if asks else Verdict.UNDETERMINED
    )


def _by_count(runs: list[RunAudit], ledger: str) -> Interval | None:
    """Add what the runs' dimensions give, attention counted in; ``None`` where a run has no dimensions."""
    low = high = 0.0
    for run in (one for one in runs if counts(one.figures, ledger)):
        route = architecture_route(list(run.estimates))
        # Of parameters alone nothing is known of attention, and the count is the rule itself.
        full, bare = (
            max((run.conventions.get(f"{way}, {kind}", 0.0) for way in _WAYS), default=0.0)
            for kind in ("attention in full", "no attention")
        )
        if route is None or route.flop.low is None or route.flop.high is None or full <= bare:
            return None
        low, high = low + route.flop.low, high + route.flop.high
    return Interval(low=low, best=None, high=high) if high else None


def _parted(standing: Standing, exact: Interval, figure: float) -> bool:
    """Say whether the threshold lies between a rule's figure and a whole interval."""
    low, high, limit = exact.low, exact.high, standing.threshold_flop
    if low is None or high is None:
        return False
    above = _passes(standing.regime, figure, limit)
    sides = {_passes(standing.regime, end, limit) for end in (low, high)}
    return sides == {not above}


def _passes(regime: Regime, figure: float, limit: float) -> bool:
    return figure > limit if regime.comparator == ">" else figure >= limit


def _outside_margin(exact: Interval, figure: float) -> bool:
    """Say whether the rule errs by more than the guidelines let a reported estimate err."""
    low, high = exact.low, exact.high
    assert low is not None
    assert high is not None
    return low > figure * (1 + EU_MARGIN) or high < figure * (1 - EU_MARGIN)


def _message(parted: list[Standing], name: str, figure: float, exact: Interval) -> str:
    first = parted[0]
    passed = _passes(first.regime, figure, first.threshold_flop)
    ids = ", ".join(one.regime.id for one in parted)
    by_rule, by_count = ("passed", "not passed") if passed else ("not passed", "passed")
    return (
        f"{ids}: by {name} ({number(figure)} FLOP) the threshold of "
        f"{round_number(first.threshold_flop)} is {by_rule}, by the exact count "
        f"({number(exact.low)} to {number(exact.high)}) it is {by_count}: the convention decides, and the "
        "probability given follows the count"
    )


def _words(runs: list[RunAudit], *, asks: bool) -> str:
    if not asks:
        return ""
    lengths = [run.figures.sequence_length for run in runs if run.figures.sequence_length]
    asked = (
        f" Were all tokens trained in sequences of {max(lengths):,}? A stage of another length is a run of "
        "its own."
        if lengths
        else ""
    )
    return (
        f". The claim rests on that rule, which differs by more than the {EU_MARGIN:.0%} that the EU "
        f"guidelines (A.2) allow an estimate.{asked}"
    )
