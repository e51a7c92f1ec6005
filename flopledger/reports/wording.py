"""The words and rounded figures that every rendering shares, so that they can never disagree."""

from dataclasses import replace
from typing import TYPE_CHECKING

from flopledger.reports.document import sentence
from flopledger.reports.ordering import worst_first
from flopledger.text import WITHHELD_SENTENCE, chance, interval, number, percent, round_number
from flopledger.verdict import Verdict

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.combine import Combined
    from flopledger.ledgers import Standing

__all__ = [
    "TITLES",
    "chance",
    "conclusion",
    "heading",
    "interval",
    "number",
    "percent",
    "probability",
    "round_number",
]

TITLES = {
    Verdict.CONSISTENT: "consistent",
    Verdict.NEEDS_EXPLANATION: "needs explanation",
    Verdict.INCONSISTENT: "inconsistent",
    Verdict.UNDETERMINED: "undetermined",
}

_HOLDS = {
    Verdict.CONSISTENT: "agrees with",
    Verdict.NEEDS_EXPLANATION: "must be explained beside",
    Verdict.INCONSISTENT: "stands against",
    Verdict.UNDETERMINED: "could not be tested against",
}


def heading(report: "AuditReport") -> str:
    """Name the verdict; a figure without a claim, tested against nothing, is an estimate."""
    if report.claim is None and report.combined and report.verdict is Verdict.UNDETERMINED:
        return "estimate, untested"
    return TITLES[report.verdict]


def probability(standing: "Standing") -> str:
    """Write a probability without pretending to more certainty than the draws can show."""
    return chance(standing.probability_exceeded)


def zone(standing: "Standing", report: "AuditReport") -> str:
    """Name the zone, and of what it is where the claim is of another total than the regime's ledger."""
    if standing.zone is None:
        return "-"
    others = report.claim is not None and report.claim.flop.best is not None
    return (
        f"{standing.zone} (estimate)"
        if others and standing.zone_of == "estimate"
        else standing.zone
    )


def conclusion(report: "AuditReport") -> str:
    """Say in one or two sentences what was found."""
    evidence = _about_evidence(report)
    if report.claim is None and report.combined is None and "no figure can be given" in evidence:
        return evidence  # which says it, and of which run
    return f"{_about_claim(report)} {evidence}".strip()


def _about_claim(report: "AuditReport") -> str:
    combined = None if report.combined is None else interval(report.combined.flop)
    if report.claim is None:
        return f"Estimated: {combined} FLOP." if combined else "No figure can be given."
    claimed = interval(report.claim.flop) if report.claim.flop.best is None else ""
    claimed = claimed or number(report.claim.flop.best)
    if report.claim_reading is not None:
        name, held = report.claim_reading
        updates = f"; what updated parameters comes to {combined}" if combined else ""
        of = f"an estimate of {interval(held.flop)} FLOP, {name}{updates}"
        return f"The claim of {claimed} FLOP {_HOLDS[report.verdict]} {of}."
    if combined is None:
        if report.verdict is Verdict.INCONSISTENT:
            return (
                f"The claim of {claimed} FLOP stands against evidence that allows no one estimate."
            )
        return f"The claim of {claimed} FLOP can be neither confirmed nor refuted: no estimate is possible."
    if report.verdict is Verdict.CONSISTENT and report.claim_convention is not None:
        name, figure = report.claim_convention
        rule = name if figure is None else f"{name} ({number(figure)})"
        return (
            f"The claim of {claimed} FLOP equals the count by {rule}; the estimate comes to "
            f"{combined} FLOP."
        )
    estimate = f"an estimate of {combined} FLOP"
    if report.combined is not None and report.combined.is_contested:
        estimate = _contested(report.combined)
    return f"The claim of {claimed} FLOP {_HOLDS[report.verdict]} {estimate}."


def _contested(combined: "Combined") -> str:
    """Name the figures of routes that contradict one another; the middle of them is nobody's."""
    ends = interval(replace(combined.flop, best=None))
    routes = [f"{one.method} {number(one.flop.best)}" for one, _ in combined.weights]
    named = f": {', '.join(routes)}" if routes else ""
    return f"routes that disagree ({ends} FLOP{named})"


def _about_evidence(report: "AuditReport") -> str:
    if report.verdict is Verdict.CONSISTENT:
        return ""
    finding = next(iter(worst_first(report.findings)), None)
    if finding is None or finding.severity == "info":
        return ""
    if finding.message == WITHHELD_SENTENCE:
        return f"The finding {finding.code} says why; the figures in it are withheld here."
    return f"{sentence(finding.message)}{'' if finding.message.endswith(('.', '?')) else '.'}"
