"""Of which total is a claim? Of what updated parameters, or of more: each ledger's is tried (design/129)."""

from dataclasses import dataclass, replace

from flopledger import verdict as bands
from flopledger.claims.claim import Claim, Judgement, claim_finding, judge
from flopledger.combine import Combined
from flopledger.quantity import Quantity
from flopledger.reconcile import RunAudit
from flopledger.scope import counts
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
            if one.base is not None and _may_hold(claim, one.base, first):
                return _of_an_open_total(first, claim, one)
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


def _may_hold(claim: Claim, base: Quantity, first: Judgement) -> bool:
    """Say whether a claim lies where a total with the original's compute, open at an end, may lie."""
    if first.ratio is None or first.ratio < 1:
        return False
    least, most = base.interval.low, base.interval.high
    if least is None and most is None:
        return first.ratio >= _ORIGINAL
    low, high = claim.flop.low or claim.flop.best, claim.flop.high or claim.flop.best
    return not (
        (least is not None and high is not None and high * bands.CLAIM_AGREES < least)
        or (most is not None and low is not None and low > most * bands.CLAIM_AGREES)
    )


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
    asked = [replace(one, severity="warning") for one in first.findings if one.severity == "error"]
    rest = [one for one in first.findings if one.severity != "error"]
    return replace(first, verdict=Verdict.NEEDS_EXPLANATION, findings=(found, *asked, *rest))


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
