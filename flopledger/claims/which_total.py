"""Of which total is a claim? Of what updated parameters, or of more: each ledger's is tried (design/129)."""

from dataclasses import dataclass, replace

from flopledger import verdict as bands
from flopledger.claims import bounds
from flopledger.claims.claim import Claim, Judgement, claim_finding, judge
from flopledger.combine import Combined
from flopledger.facts import Finding
from flopledger.quantity import Quantity
from flopledger.reconcile import RunAudit
from flopledger.scope import EVERYTHING, counts
from flopledger.text import interval, number
from flopledger.verdict import Verdict

_MILDER = (Verdict.CONSISTENT, Verdict.NEEDS_EXPLANATION, Verdict.INCONSISTENT)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A total that an honest claim may be of."""

    name: str
    total: Combined | None  #: ``None`` where a part of it has no figure
    base: Quantity | None = None  #: the original's share of it
    ledger: str = "eu_cumulative"  #: whose runs it holds


def judge_by_ledgers(claim: Claim, runs: list[RunAudit], readings: list[Reading]) -> Judgement:
    """Hold a claim that names no ledger against each, and keep the first reading that fits best.

    The first total is that of the compute which updates parameters. A claim that another ledger
    explains (rollouts, synthetic data or the original counted in) is no lie, and is said to be that.
    """
    first = judge(claim, runs, readings[0].total)
    if readings[0].total is None and first.verdict is Verdict.UNDETERMINED:
        return _by_another_ledger(claim, runs, readings[1:]) or first
    best, reading = first, None
    for one in readings[1:]:
        if best.verdict not in _MILDER[1:]:
            break
        if one.total is None:
            if _has_open_base(one) and _may_hold(claim, one, first, runs):
                return _of_an_open_total(first, claim, one)
            if _may_be_of_an_open_part(claim, one, runs, readings[0].total):
                return _of_an_open_part(first, claim, one, runs)
            continue
        other = judge(replace(claim, ledger=one.ledger), runs, one.total, one.base)
        if other.verdict in _MILDER and _MILDER.index(other.verdict) < _MILDER.index(best.verdict):
            best, reading = other, (one.name, one.total)
    if reading is None:
        return first
    message = (
        f"the claim agrees with {reading[0]} ({number(reading[1].flop.best)} FLOP) and not with the compute "
        "that updated parameters alone"
    )
    finding = claim_finding("claim-convention", "info", message, claim)
    return replace(best, findings=(*best.findings, finding), reading=reading)


#: What a model began with took many times what trained it further; a smaller excess is no sign of it.
_ORIGINAL = 10.0
#: What hours allow is about three times what training makes of them.
_OF_LIMIT = 3.0


def _has_open_base(reading: Reading) -> bool:
    return reading.base is not None and not reading.base.is_two_sided


def _may_hold(claim: Claim, reading: Reading, first: Judgement, runs: list[RunAudit]) -> bool:
    """Say whether a claim lies where a total with the original's compute, open at an end, may lie."""
    assert reading.base is not None
    least, most = reading.base.interval.low, reading.base.interval.high
    value = claim.flop.low or claim.flop.best or 0.0
    if first.ratio is None:  # nothing but limits to measure it by
        limit = bounds.most(runs, claim.ledger)
        ratio = 0.0 if limit is None else value * _OF_LIMIT / limit
    else:
        ratio = first.ratio
    if ratio < 1:
        return False
    if least is None and most is None:
        return ratio >= _ORIGINAL
    low, high = claim.flop.low or claim.flop.best, claim.flop.high or claim.flop.best
    return not (
        (least is not None and high is not None and high * bands.CLAIM_AGREES < least)
        or (most is not None and low is not None and low > most * bands.CLAIM_AGREES)
    )


def _may_be_of_an_open_part(
    claim: Claim, reading: Reading, runs: list[RunAudit], updates: Combined | None
) -> bool:
    """Say whether a claim that lies above the updates' total may be of one of which a run has no figure.

    Bounds still refute such a reading. What no ledger counts needs an upper end of its own: a run of which
    nothing is known would else excuse any claim.
    """
    value = claim.flop.low or claim.flop.best
    if value is None or (updates is not None and value <= (updates.flop.high or 0.0)):
        return False
    parts = bounds.open_runs(runs, reading.ledger)
    if not parts or _has_open_base(reading):
        return False
    if reading.ledger == EVERYTHING and not all(bounds.is_bounded(run) for run in parts):
        return False
    return not bounds.refuted(replace(claim, ledger=reading.ledger), runs, reading.base)


def _of_an_open_part(
    first: Judgement, claim: Claim, reading: Reading, runs: list[RunAudit]
) -> Judgement:
    """Ask about a claim that fits a larger total, of which a part has bounds at most."""
    names = ", ".join(run.figures.name for run in bounds.open_runs(runs, reading.ledger))
    message = (
        f"the claim may be of {reading.name}, of which no figure is known for run {names}: held against "
        "what updated parameters it stands above, and no bound refutes it; the tokens of that run settle it"
    )
    asked = _asked(first, claim_finding("tokens-missing", "warning", message, claim))
    # Without any figure there was no test, and an answer is not owed.
    return asked if first.ratio is not None else replace(asked, verdict=Verdict.UNDETERMINED)


def _of_an_open_total(first: Judgement, claim: Claim, reading: Reading) -> Judgement:
    """Ask about a claim that may be of a total with an original that nobody states, or only one end of it."""
    assert reading.base is not None
    ends = reading.base.interval
    stated = (
        f"of which the case states {interval(ends)} FLOP for the original"
        if ends.low is not None or ends.high is not None
        else "which the case does not state"
    )
    message = (
        f"the claim may be of {reading.name}, {stated}: held against what this case trained it stands above, "
        "and nothing here confirms or refutes the rest; [base_model] flop settles it"
    )
    found = claim_finding("original-unstated", "warning", message, claim)
    return _asked(first, found)


def _asked(first: Judgement, reason: Finding) -> Judgement:
    """Ask for what would settle it, where the first total alone would refute the claim."""
    asked = [replace(one, severity="warning") for one in first.findings if one.severity == "error"]
    rest = [one for one in first.findings if one.severity != "error"]
    return replace(first, verdict=Verdict.NEEDS_EXPLANATION, findings=(reason, *asked, *rest))


def _by_another_ledger(
    claim: Claim, runs: list[RunAudit], readings: list[Reading]
) -> Judgement | None:
    """Judge by the first other total, where no run of the case updated parameters (or none has a figure)."""
    known = next((one for one in readings if one.total is not None), None)
    name, total = ("", None) if known is None else (known.name, known.total)
    if (
        known is None
        or total is None
        or any(counts(run.figures, "parameter_update") for run in runs)
    ):
        return None
    judged = judge(replace(claim, ledger=known.ledger), runs, total, known.base)
    message = (
        f"no run of the case updated parameters: the claim was held against {name} "
        f"({number(total.flop.best)} FLOP)"
    )
    finding = claim_finding("claim-convention", "info", message, claim)
    return replace(judged, findings=(*judged.findings, finding), reading=(name, total))
