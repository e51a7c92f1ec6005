"""Figures that a run's own documents state: do they refute themselves, one another, or the count?"""

import math

from flopledger import fingerprints
from flopledger import verdict as bands
from flopledger.checks.of_a_run import Check, finding_of
from flopledger.combine import Combined
from flopledger.facts import Finding, Grade, Severity
from flopledger.inputs import RunFigures
from flopledger.methods import device_time, work
from flopledger.parts import Part
from flopledger.text import factor, number
from flopledger.verdict import Verdict


def statement_check(run: RunFigures, part: Part | None) -> Check:
    """Test figures that refute themselves (a utilisation above 1), or that nobody reached."""
    rate = device_time.refuted_rate(run, part)
    if rate is not None:
        return _refuted_rate(run, rate)
    found = [
        finding_of(
            "implausible-utilisation",
            "error",
            f"run {run.name}: a disclosed {stated.name.upper()} of {stated.quantity.interval.low:g} "
            "exceeds the peak itself; per cent written as a fraction, or the wrong peak; it enters no figure",
            run,
        )
        for stated in (run.mfu, run.hfu)
        if stated is not None and device_time.refutes_itself(stated)
    ]
    if found:
        return Check(verdict=Verdict.INCONSISTENT, findings=tuple(found))
    by_rate = _rate_check(run, part)
    if by_rate is not None:
        return by_rate
    high = run.mfu.quantity.interval.low if run.mfu is not None else None
    if high is None or high <= bands.PLAUSIBLE_UTILISATION:
        return Check(verdict=Verdict.UNDETERMINED)
    message = (
        f"run {run.name}: a disclosed MFU of {high:g} is above anything published over a run (0.60); "
        "ask for its peak, its precision and the stretch of the run that it was measured on"
    )
    finding = finding_of("implausible-utilisation", "warning", message, run)
    return Check(verdict=Verdict.NEEDS_EXPLANATION, findings=(finding,))


#: A rate and a utilisation of one run have two digits each, and attention is in one of them at times.
_RATE_AGREES = 0.12


def _rate_check(run: RunFigures, part: Part | None) -> Check | None:
    """Hold a stated rate of a device against its peak, and against the utilisation stated beside it."""
    rate = run.device_rate.quantity.interval if run.device_rate is not None else None
    if rate is None or rate.low is None or part is None:
        return None
    open_ones = [name for name in ("bf16", "fp16") if part.peak(name) is not None]
    precision = run.precision or next(iter(open_ones), None)
    peak = part.peak(precision) if precision is not None else None
    if precision is None or peak is None or peak.high is None:
        return None
    dense = f"dense {precision} peak of {part.spelled}"
    if run.precision is None:
        dense += " (no precision is stated)"
    stated = run.mfu or run.hfu
    share = stated.quantity.best if stated is not None else None
    words = f"run {run.name}: the stated {number(rate.best or rate.low)} FLOP/s a device are "
    if share is not None and rate.best is not None and share <= 1:
        implied = rate.best / share
        assert peak.low is not None
        if peak.low * math.exp(-_RATE_AGREES) <= implied <= peak.high * math.exp(_RATE_AGREES):
            return None
        name = "MFU" if run.mfu is not None else "HFU"
        message = (
            f"{words}{share:g} ({name}) of {number(implied)}, and the {dense} is {number(peak.high)}"
            f"{_other_peak(part, precision, implied)}: rate and utilisation are of different peaks, "
            "stretches or conventions"
        )
    elif rate.low > bands.PLAUSIBLE_UTILISATION * peak.high:
        message = (
            f"{words}{factor(rate.low / peak.high)} times the {dense}, above anything published over a run "
            "(0.60): ask for the peak and precision it was computed with (a sparse peak doubles it), and "
            "the stretch of the run that it was measured on"
        )
    else:
        return None
    finding = finding_of("wrong-peak", "warning", message, run)
    return Check(verdict=Verdict.NEEDS_EXPLANATION, findings=(finding,))


def _other_peak(part: Part, precision: str, implied: float) -> str:
    """Name the rates of the part that a utilisation seems to be of."""
    rates = part.other_rates(precision)
    fits = [name for name, rate in rates if abs(math.log(implied / rate)) <= _RATE_AGREES / 2]
    return f" (it fits the {' or the '.join(fits)})" if fits else ""


def _refuted_rate(run: RunFigures, share: float) -> Check:
    assert run.device_rate is not None
    ends = run.device_rate.quantity.interval
    stated = number(ends.best or ends.low or ends.high)
    words = f"run {run.name}: the stated {stated} FLOP/s a device are"
    if share > 1:
        message = (
            f"{words} {factor(share)} times what it can do at its maximum clock: a rate of all devices, "
            "a sparse peak, or another unit; it enters no figure"
        )
        finding = finding_of("implausible-utilisation", "error", message, run)
        return Check(verdict=Verdict.INCONSISTENT, findings=(finding,))
    message = (
        f"{words} {factor(share)} of what it can do: no device trains so slowly, so the rate is in another "
        "unit (TFLOP/s written without 1e12, say); it enters no figure"
    )
    finding = finding_of("unit-ambiguity", "warning", message, run)
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
        "epochs-taken-in",
        "hours-of-the-clock",
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


def _is_convention(stated: float, conventions: dict[str, float]) -> bool:
    """Say whether somebody's figure is the same work, counted as others count it."""
    known = [flop for name, flop in conventions.items() if name not in work.TRAPS and flop > 0]
    return any(abs(math.log(stated / flop)) <= _CONVENTION for flop in known)


def states_total(run: RunFigures) -> bool:
    """Say whether somebody's words, in the case or in a document, state the run's total."""
    return run.claimed_flop is not None and run.claimed_flop.grade is Grade.STATEMENT


#: A figure this near to a convention (in the logarithm) used it, as for a claim.
_CONVENTION = 0.05


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
    assert run.claimed_flop is not None
    whose = "software's"
    if run.claimed_flop.source.startswith(run.place):
        whose = "case's"
    elif states_total(run):
        whose = "document's"
    ceiling = part.ceiling(run.precision) if part is not None else None
    seconds = run.device_seconds.quantity.interval.high if run.device_seconds else None
    is_whole = run.device_seconds is not None and run.device_seconds.is_whole_run
    if is_whole and ceiling and seconds is not None and stated > seconds * ceiling.value:
        message = (
            f"run {run.name}: the {whose} total of {number(stated)} FLOP exceeds the "
            f"{number(seconds * ceiling.value)} that its devices could do ({ceiling.basis})"
        )
        finding = finding_of("counter-implausible", "error", message, run)
        return Check(verdict=Verdict.INCONSISTENT, findings=(finding,))
    if combined is None or combined.flop.best is None:
        return Check(verdict=Verdict.UNDETERMINED)
    ratio = stated / combined.flop.best
    if whose != "software's" and _is_convention(stated, conventions or {}):
        return Check(verdict=Verdict.CONSISTENT)
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
        f"run {run.name}: the {whose} total of {number(stated)} FLOP is {factor(ratio)} times the "
        f"estimate of {number(combined.flop.best)}" + (f"; the factor fits: {fits}" if fits else "")
    )
    if run.recorded_flop is not None:
        # Every step was counted as it ran; what a framework's estimate says accuses nobody.
        finding = finding_of("counter-implausible", "info", message, run)
        return Check(verdict=Verdict.UNDETERMINED, findings=(finding,))
    severity: Severity = "error" if outcome is Verdict.INCONSISTENT else "warning"
    finding = finding_of("counter-implausible", severity, message, run)
    return Check(verdict=outcome, findings=(finding,))
