"""Figures that a run's own documents state: do they refute themselves, one another, or the count?"""

import math

from flopledger import fingerprints
from flopledger import verdict as bands
from flopledger.combine import Combined
from flopledger.facts import Finding, Severity
from flopledger.inputs import RunFigures
from flopledger.parts import Part
from flopledger.run_checks import Check, finding_of
from flopledger.text import factor, number
from flopledger.verdict import Verdict


def statement_check(run: RunFigures) -> Check:
    """Test figures that refute themselves (a utilisation above 1), or that nobody reached."""
    found = [
        finding_of(
            "implausible-utilisation",
            "error",
            f"run {run.name}: a disclosed {stated.name.upper()} of {stated.quantity.interval.low:g} "
            "exceeds the peak itself; per cent written as a fraction, or the wrong peak",
            run,
        )
        for stated in (run.mfu, run.hfu)
        if stated is not None and (stated.quantity.interval.low or 0) > 1
    ]
    if found:
        return Check(verdict=Verdict.INCONSISTENT, findings=tuple(found))
    high = run.mfu.quantity.interval.low if run.mfu is not None else None
    if high is None or high <= bands.PLAUSIBLE_UTILISATION:
        return Check(verdict=Verdict.UNDETERMINED)
    message = (
        f"run {run.name}: a disclosed MFU of {high:g} is above anything published over a run (0.60); "
        "ask for its peak, its precision and the stretch of the run that it was measured on"
    )
    finding = finding_of("implausible-utilisation", "warning", message, run)
    return Check(verdict=Verdict.NEEDS_EXPLANATION, findings=(finding,))


#: Findings by which documents contradict one another, or the part that they name.
MISMATCHES = frozenset(
    {
        "accelerator-mismatch",
        "active-exceeds-total",
        "amount-mismatch",
        "coverage-unproven",
        "device-count-mismatch",
        "device-time-mismatch",
        "precision-unsupported",
        "broken-chain",
        "digest-mismatch",
        "missing-segment",
        "model-mismatch",
        "unknown-segment",
        "record-mismatch",
        "ledger-broken",
    }
)


def document_check(findings: list[Finding]) -> Check:
    """Ask for an explanation where documents disagree, or state what the part cannot do."""
    if any(one.code in MISMATCHES and one.severity != "info" for one in findings):
        return Check(verdict=Verdict.NEEDS_EXPLANATION)
    return Check(verdict=Verdict.UNDETERMINED)


def counter_check(
    run: RunFigures,
    part: Part | None,
    combined: Combined | None,
    conventions: dict[str, float] | None = None,
) -> Check:
    """Test the total that the run's own software states (`total_flos` and the like).

    It is rederived, never used: a claim like any other, and the bands of a claim apply.
    """
    stated = None if run.claimed_flop is None else run.claimed_flop.quantity.best
    if stated is None:
        return Check(verdict=Verdict.UNDETERMINED)
    ceiling = part.ceiling(run.precision) if part is not None else None
    seconds = run.device_seconds.quantity.interval.high if run.device_seconds else None
    is_whole = run.device_seconds is not None and run.device_seconds.is_whole_run
    if is_whole and ceiling and seconds is not None and stated > seconds * ceiling.value:
        message = (
            f"run {run.name}: the software's total of {number(stated)} FLOP exceeds the "
            f"{number(seconds * ceiling.value)} that its devices could do ({ceiling.basis})"
        )
        finding = finding_of("counter-implausible", "error", message, run)
        return Check(verdict=Verdict.INCONSISTENT, findings=(finding,))
    if combined is None or combined.flop.best is None:
        return Check(verdict=Verdict.UNDETERMINED)
    ratio = stated / combined.flop.best
    spread = math.log((combined.flop.high or stated) / (combined.flop.low or stated)) / 2
    outcome = bands.of_claim(math.exp(max(0.0, abs(math.log(ratio)) - spread)))
    if outcome is Verdict.CONSISTENT:
        return Check(verdict=outcome)
    context = fingerprints.Context(
        run=run, part=part, conventions=conventions or {}, estimate=combined.flop.best
    )
    known = fingerprints.of_total(stated, context, spread=spread)
    fits = "; ".join(one.words for one in known)
    message = (
        f"run {run.name}: the software's total of {number(stated)} FLOP is {factor(ratio)} times the "
        f"estimate of {number(combined.flop.best)}" + (f"; the factor fits: {fits}" if fits else "")
    )
    if run.recorded_flop is not None:
        # Every step was counted as it ran; what a framework's estimate says accuses nobody.
        finding = finding_of("counter-implausible", "info", message, run)
        return Check(verdict=Verdict.UNDETERMINED, findings=(finding,))
    severity: Severity = "error" if outcome is Verdict.INCONSISTENT else "warning"
    finding = finding_of("counter-implausible", severity, message, run)
    return Check(verdict=outcome, findings=(finding,))
