"""The claim against the estimate: does the stated figure hold?"""

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flopledger import fingerprints
from flopledger import verdict as bands
from flopledger.cases.case import AuditCase
from flopledger.claims import bounds, derived
from flopledger.combine import Combined
from flopledger.facts import Finding, Grade, Severity
from flopledger.fingerprints import Context, Counted, Fingerprint
from flopledger.inputs import quantity
from flopledger.methods import work
from flopledger.quantity import Interval, Quantity, printed
from flopledger.reconcile import RunAudit
from flopledger.scope import counts
from flopledger.text import interval, number
from flopledger.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

CONVENTION_TOLERANCE = 0.05  #: a claim this near to a convention (in the logarithm) used it


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """What is said, with the interval that its printed digits stand for."""

    flop: Interval
    basis: str
    statement: str | None
    source: str | None
    place: str
    ledger: str = "parameter_update"  #: whose total it is held against
    is_range: bool = False  #: claimed as a range, and not one figure whose digits stand for one


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """The outcome for the claim."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    ratio: float | None  #: claim over estimate; ``None`` without an estimate
    convention: str | None = (
        None  #: by which the claim's figure was computed, where it was recognised
    )
    figure: float | None = None  #: the total by that convention
    #: the total that the claim was found to be of, where that is another than the parameter updates'
    reading: tuple[str, Combined] | None = None


def stated(case: AuditCase) -> Claim | None:
    """Read the claim of a case, rounding of its printed figure included."""
    spec = case.spec.claim
    if spec is None:
        return None
    flop = quantity(spec.flop).interval
    if isinstance(spec.flop, float) and case.claim_text is not None:
        flop = printed(case.claim_text)
    return Claim(
        flop=flop,
        basis=spec.basis,
        statement=spec.statement,
        source=spec.source,
        place=f"{case.name}: claim.flop",
        is_range=not isinstance(spec.flop, float),
    )


def judge(
    claim: Claim, runs: list[RunAudit], total: Combined | None, base: Quantity | None = None
) -> Judgement:
    """Hold the claim against bounds, then against the estimate; ``base`` is the original's share of it."""
    refuted = bounds.refuted(claim, runs, base)
    value = claim.flop.best or claim.flop.low or claim.flop.high
    assert value is not None
    if total is None or total.flop.best is None:
        outcome = Verdict.INCONSISTENT if refuted else Verdict.UNDETERMINED
        return Judgement(verdict=outcome, findings=tuple(refuted), ratio=None)
    spread = _spread(total)
    value = _nearest(claim, total.flop.best) or value
    model_ratio = value / total.flop.best
    ratio = model_ratio / _recompute_factor(claim, runs, model_ratio)
    found: list[Finding] = []
    name, figure = _convention(claim, value, runs)
    if claim.flop.best is None:
        outcome, found = _one_sided(claim, runs, total)
    elif name is not None and figure is not None:
        outcome, found = _by_convention(claim, name, figure, ratio, total)
    else:
        outcome, found = _against_estimate(claim, value, runs, ratio, spread)
    counted = [run for run in runs if counts(run.figures, claim.ledger)]
    if outcome is Verdict.INCONSISTENT and any(run.may_be_of_a_sample for run in counted):
        outcome, found = _only_asked(found)
    if refuted:
        outcome = Verdict.INCONSISTENT
    if len(runs) == 1:
        counts_of_it = [figure for _, figure in totals(runs)]
        found += derived.derived(claim, runs[0], counts_of_it)
    return Judgement(
        verdict=outcome,
        findings=(*refuted, *found),
        ratio=model_ratio,
        convention=name,
        figure=figure,
    )


def _only_asked(found: list[Finding]) -> tuple[Verdict, list[Finding]]:
    """Ask, where the estimate may be of a sample of the run: its recordings are all there is."""
    softened = [
        replace(
            one,
            severity="warning",
            message=f"{one.message}, which may be of a sample of the run",
        )
        if one.severity == "error"
        else one
        for one in found
    ]
    return Verdict.NEEDS_EXPLANATION, softened


def _nearest(claim: Claim, estimate: float) -> float | None:
    """Give the figure within a claimed range that lies nearest to the estimate: the range is the claim.

    ``None`` for a single figure: "1e22" may stand for 0.5e22 to 1.5e22, and is no claim of that range.
    """
    low, high = claim.flop.low, claim.flop.high
    if low is None or high is None or not claim.is_range:
        return None
    return min(max(estimate, low), high)


def _by_convention(
    claim: Claim, name: str, figure: float, ratio: float, total: Combined
) -> tuple[Verdict, list[Finding]]:
    """Accept a claim that follows a convention; say how far that convention lies from the count."""
    if abs(math.log(ratio)) <= math.log(bands.CLAIM_AGREES):
        return Verdict.CONSISTENT, []
    message = (
        f"the claim equals the count by {name} ({number(figure, 4)} FLOP): a convention, no error; the "
        f"estimate comes to {interval(total.flop)} FLOP, a factor {number(max(ratio, 1 / ratio))} "
        f"{'below' if ratio > 1 else 'above'} it"
    )
    return Verdict.CONSISTENT, [claim_finding("claim-convention", "info", message, claim)]


def _against_estimate(
    claim: Claim, value: float, runs: list[RunAudit], ratio: float, spread: float
) -> tuple[Verdict, list[Finding]]:
    distance = math.exp(max(0.0, abs(math.log(ratio)) - spread))
    outcome = bands.of_claim(distance)
    fits = _fits(value, runs, ratio, spread)
    if outcome is Verdict.CONSISTENT:
        # A figure with recomputation lies within many margins, and yet is another quantity; where
        # the estimate itself is as wide, nothing tells the two apart.
        hardware = [one for one in fits if one.code == "hardware-flop-claimed-as-model"]
        near = abs(math.log(ratio)) < max(math.log(1.2), spread + CONVENTION_TOLERANCE)
        if claim.basis == "hardware" or not hardware or near:
            return outcome, []
        return Verdict.NEEDS_EXPLANATION, [_fit_finding(fits[0], ratio, claim)]
    if outcome is Verdict.INCONSISTENT and _is_of_every_pass(value, runs, fits):
        outcome = Verdict.NEEDS_EXPLANATION
    severity: Severity = "error" if outcome is Verdict.INCONSISTENT else "warning"
    direction = "above" if ratio > 1 else "below"
    factor = max(ratio, 1 / ratio)
    message = (
        f"the claim of {number(value)} FLOP lies a factor {number(factor)} {direction} the estimate "
        f"({number(value / ratio)} on the claim's basis)"
    )
    found = [claim_finding("claim-contradicted", severity, message, claim)]
    return outcome, found + [_fit_finding(one, ratio, claim) for one in fits]


def _is_of_every_pass(value: float, runs: list[RunAudit], fits: list[Fingerprint]) -> bool:
    """Say whether a claim is the stated amount times the epochs, and somebody else speaks for all of them.

    Then the case gives the data set's size where all passes are asked for: a question, no refutation. It
    takes the hours or a text as a witness, for a claim that is too high looks alike.
    """
    if _is_of_a_texts_passes(value, runs):
        return True
    if len(runs) != 1 or not fits or fits[0].code != "dataset-size-not-trained":
        return False
    by_time = [
        one.flop for one in runs[0].estimates if one.method == "device-time" and not one.bound_only
    ]
    room = bands.CLAIM_EXPLAINABLE
    return fits[0].factor > 1 and any(
        one.low is not None and one.high is not None and one.low / room <= value <= one.high * room
        for one in by_time
    )


#: More runs whose passes a text states are not tried in all their combinations.
_MOST_READINGS = 6


def _is_of_a_texts_passes(value: float, runs: list[RunAudit]) -> bool:
    """Say whether a claim is the sum with some stated amounts times the passes that a text tells of them.

    Only of amounts that somebody stated: a log's own count holds what was seen.
    """
    fixed, readings = 0.0, []
    for run in runs:
        figure = run.combined.flop.best if run.combined is not None else None
        if figure is None or not counts(run.figures, "parameter_update"):
            continue
        passes = _passes_of_a_text(run)
        if passes is None:
            fixed += figure
        else:
            readings.append((figure, figure * passes))
    if not 0 < len(readings) <= _MOST_READINGS:
        return False
    sums = [fixed + sum(choice) for choice in itertools.product(*readings)]
    return any(abs(math.log(value / one)) <= math.log(bands.CLAIM_AGREES) for one in sums)


def _passes_of_a_text(run: RunAudit) -> float | None:
    figures = run.figures
    amount = figures.tokens or figures.samples
    if figures.passes is None or amount is None or amount.grade is not Grade.STATEMENT:
        return None
    passes = figures.passes.quantity.best
    return passes if figures.kind != "rl" and passes in figures.several_passes else None


#: A bound this near to the estimate's best figure is that figure, rounded.
_ROUNDED = 1.02


def _one_sided(
    claim: Claim, runs: list[RunAudit], total: Combined
) -> tuple[Verdict, list[Finding]]:
    """Judge "at least" and "at most" claims by which side of them the estimate lies on.

    Where its best figure lies on the wrong side and its interval does not, neither is shown: that asks.
    """
    best, at_most = total.flop.best, claim.flop.high is not None
    limit = claim.flop.high if at_most else claim.flop.low
    assert limit is not None
    assert best is not None
    limit /= _recompute_factor(claim, runs, limit / best)
    end = total.flop.low if at_most else total.flop.high
    assert end is not None

    def beyond(figure: float) -> float:
        return figure / limit if at_most else limit / figure

    if beyond(best) <= _ROUNDED:
        return Verdict.CONSISTENT, []
    side = "above" if at_most else "below"
    shown = interval(claim.flop)
    held = [
        (name, flop)
        for name, flop in totals(runs, claim.ledger)
        if claim.basis != "hardware" and flop > 0 and beyond(flop) <= 1
    ]
    if held and beyond(end) <= bands.CLAIM_AGREES:
        name, flop = held[0]
        message = (
            f"the claim of {shown} FLOP holds for the count by {name} ({number(flop, 4)} FLOP) and not for "
            f"the estimate's best figure ({number(best)}): a convention, no error"
        )
        return Verdict.CONSISTENT, [claim_finding("claim-convention", "info", message, claim)]
    is_open = beyond(end) <= bands.CLAIM_AGREES
    room = (
        f"; its 90% interval ({number(total.flop.low)} to {number(total.flop.high)}) leaves room for it"
        if beyond(end) <= 1
        else ""
    )
    message = (
        f"the estimate of {number(best)} FLOP lies a factor {number(beyond(best))} {side} the claimed bound "
        f"({shown}){room}"
    )
    outcome = Verdict.NEEDS_EXPLANATION if is_open else Verdict.INCONSISTENT
    severity: Severity = "warning" if is_open else "error"
    return outcome, [claim_finding("claim-contradicted", severity, message, claim)]


def _spread(total: Combined) -> float:
    """Give half the 90% interval of the estimate, in the logarithm."""
    assert total.flop.low is not None
    assert total.flop.high is not None
    return math.log(total.flop.high / total.flop.low) / 2


def _recompute_factor(claim: Claim, runs: list[RunAudit], ratio: float) -> float:
    """For a claim on hardware FLOP: how much recomputation adds, as the case or the claim says."""
    if claim.basis != "hardware":
        return 1.0
    if all(run.figures.recompute == "full" for run in runs):
        return 4 / 3
    if all(run.figures.recompute == "none" for run in runs):
        return 1.0
    return min(max(ratio, 1.0), 4 / 3)  # unknown or selective: any share of one forward pass


def _convention(
    claim: Claim, value: float, runs: list[RunAudit]
) -> tuple[str, float] | tuple[None, None]:
    """Find the convention whose total the claim equals, if any."""
    if claim.basis == "hardware":
        return None, None
    near = [
        (abs(math.log(value / figure)), name, figure)
        for name, figure in totals(runs, claim.ledger)
        if figure > 0 and abs(math.log(value / figure)) <= CONVENTION_TOLERANCE
    ]
    if not near:
        return None, None
    _, name, figure = min(near)
    return name, figure


def totals(runs: list[RunAudit], ledger: str = "parameter_update") -> "Iterable[tuple[str, float]]":
    """Give the totals that an honest publisher may quote, by convention: sums over a ledger's runs."""
    counted = [run for run in runs if counts(run.figures, ledger)]
    names = {name for run in counted for name in run.conventions}
    for name in sorted(names):
        if name not in work.TRAPS and all(name in run.conventions for run in counted):
            yield name, sum(run.conventions[name] for run in counted)


def _fits(value: float, runs: list[RunAudit], ratio: float, spread: float) -> list[Fingerprint]:
    """List known mistakes that the ratio fits; of several runs only those about one as a whole."""
    estimate = value / ratio
    if len(runs) == 1:
        return fingerprints.of_total(value, _context(runs[0], estimate), spread=spread)
    each = [(run, run.combined.flop.best) for run in runs if run.combined is not None]
    counted = [
        Counted(
            context=_context(run, flop),
            updates=_held(run, flop, "parameter_update"),
            cumulative=_held(run, flop, "eu_cumulative"),
        )
        for run, flop in each
        if flop
    ]
    known = (*fingerprints.UNITS, *fingerprints.of_runs(counted, estimate))
    return fingerprints.matching(ratio, spread=spread, known=known)


def _held(run: RunAudit, flop: float, ledger: str) -> float:
    return flop * run.share(ledger) if counts(run.figures, ledger) else 0.0


def _context(run: RunAudit, estimate: float) -> Context:
    """Gather what the case says of a run, for the mistakes that a total of it may hold."""
    best = run.combined.flop.best if run.combined is not None else None
    return Context(
        run=run.figures,
        part=run.part,
        conventions=run.conventions,
        estimate=estimate,
        passes=run.passes,
        trained=None if best is None or not run.passes else best * run.share("parameter_update"),
    )


def _fit_finding(fit: Fingerprint, ratio: float, claim: Claim) -> Finding:
    fits = f" fits a factor of {number(fit.factor)}" if fit.tolerance < 1 else " has a cause, where"
    message = f"claim / estimate = {number(ratio)}{fits}: {fit.words}. A question to ask, not a correction"
    return claim_finding(fit.code, "warning", message, claim)


def claim_finding(code: str, severity: Severity, message: str, claim: Claim) -> Finding:
    """Make a finding whose evidence is where the claim stands."""
    return Finding(code=code, severity=severity, message=message, evidence=(claim.place,))
