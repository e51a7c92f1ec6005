"""The words and rounded figures that every rendering shares, so that they can never disagree."""

from typing import TYPE_CHECKING

from flopledger.quantity import Interval
from flopledger.verdict import Verdict

if TYPE_CHECKING:
    from flopledger.audit import AuditReport
    from flopledger.ledgers import Standing

TITLES = {
    Verdict.CONSISTENT: "consistent",
    Verdict.NEEDS_EXPLANATION: "needs explanation",
    Verdict.INCONSISTENT: "inconsistent",
    Verdict.UNDETERMINED: "undetermined",
}


def number(value: float | None, digits: int = 3) -> str:
    """Write a figure with a few significant digits, exponents without padding: ``3.8e25``."""
    if value is None:
        return "not known"
    if 0.001 <= abs(value) < 1e6:
        return f"{value:,.{digits}g}" if value < 1000 else f"{value:,.0f}"
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}e{int(exponent)}"


def interval(value: Interval, digits: int = 3) -> str:
    """Write an interval as figure and ends, or as the bound that it is."""
    low, best, high = value.low, value.best, value.high
    if low is not None and low == high:
        return number(low, digits)
    ends = f"{number(low, digits)} to {number(high, digits)}"
    if best is not None:
        return f"{number(best, digits)} ({ends})"
    if low is None:
        return "not known" if high is None else f"at most {number(high, digits)}"
    return f"at least {number(low, digits)}" if high is None else ends


def percent(value: Interval) -> str:
    """Write a utilisation."""
    if value.best is not None:
        return f"{value.best:.1%}"
    if value.low is not None and value.high is not None:
        return f"{value.low:.1%} to {value.high:.1%}"
    return f"at least {value.low:.1%}" if value.low is not None else "not known"


def probability(standing: "Standing") -> str:
    """Write a probability without pretending to more certainty than the draws can show."""
    share = standing.probability_exceeded
    if share is None:
        return "not determined"
    if share < 0.001:
        return "< 0.1 %"
    return "> 99.9 %" if share > 0.999 else f"{share:.1%}".replace("%", " %")


def conclusion(report: "AuditReport") -> str:
    """Say in one or two sentences what was found."""
    return f"{_about_claim(report)} {_about_evidence(report)}".strip()


def _about_claim(report: "AuditReport") -> str:
    combined = None if report.combined is None else interval(report.combined.flop)
    if report.claim is None:
        return f"Estimated: {combined} FLOP." if combined else "No figure can be given."
    claimed = interval(report.claim.flop) if report.claim.flop.best is None else ""
    claimed = claimed or number(report.claim.flop.best)
    if combined is None:
        return f"The claim of {claimed} FLOP can be neither confirmed nor estimated."
    words = {
        Verdict.CONSISTENT: "agrees with",
        Verdict.NEEDS_EXPLANATION: "must be explained beside",
        Verdict.INCONSISTENT: "stands against",
        Verdict.UNDETERMINED: "could not be tested against",
    }
    return f"The claim of {claimed} FLOP {words[report.verdict]} an estimate of {combined} FLOP."


def _about_evidence(report: "AuditReport") -> str:
    if report.verdict is Verdict.CONSISTENT:
        return ""
    for severity in ("error", "warning"):
        for finding in report.findings:
            if finding.severity == severity:
                return f"{finding.message[0].upper()}{finding.message[1:]}."
    return ""
