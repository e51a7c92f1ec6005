"""The verdict, in a sentence and four figures."""

from typing import TYPE_CHECKING

from flopledger import __version__
from flopledger.reports import passed, wording
from flopledger.reports.document import Document, Section, Stat
from flopledger.text import number

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.claims.claim import Claim


def document(report: "AuditReport", sections: tuple[Section, ...]) -> Document:
    """Put the headline over ``sections``."""
    claim = report.claim
    return Document(
        kind="Training compute audit" if claim is not None else "Training compute estimate",
        title=report.case.spec.title,
        verdict=str(report.verdict),
        mark=wording.heading(report),
        lead=wording.conclusion(report),
        quote=claim.statement if claim is not None else None,
        cite=claim.source if claim is not None else None,
        stats=_stats(report),
        sections=sections,
        footer=f"flopledger {__version__}. FLOP is a count; a multiply-add is 2 FLOP. Intervals hold "
        "90% of the probability unless they say otherwise.",
    )


def _stats(report: "AuditReport") -> tuple[Stat, ...]:
    found = []
    if report.claim is not None:
        amended = any(
            change.key.startswith("claim") for one in report.amendments for change in one.changes
        )
        found.append(_claimed(report.claim, amended=amended))
    if report.combined is not None:
        flop = report.combined.flop
        ends = f"90%: {number(flop.low)} to {number(flop.high)} FLOP"
        found.append(Stat(label="Estimated", value=number(flop.best), note=ends))
    else:
        found.append(
            Stat(label="Estimated", value="not known", note="bounds at most; see the routes")
        )
    if report.claim_ratio is not None:
        note = "model FLOP, before the estimate's own doubt is taken off"
        found.append(Stat(label="Claim ÷ estimate", value=number(report.claim_ratio), note=note))
    return (*found, _highest(report))


def _claimed(claim: "Claim", *, amended: bool) -> Stat:
    basis = "FLOP, basis not stated" if claim.basis == "unknown" else f"{claim.basis} FLOP"
    basis += ", as amended" if amended else ""
    value = number(claim.flop.best) if claim.flop.best is not None else wording.interval(claim.flop)
    return Stat(label="Claimed", value=value, note=basis)


def _highest(report: "AuditReport") -> Stat:
    rows = [
        (one.regime.id, one.threshold_flop, one.probability_exceeded) for one in report.standings
    ]
    return passed.highest(rows, not_known="the evidence does not settle every regime")
