"""From an audit to what its report says: one section a file, in the order of reading."""

from typing import TYPE_CHECKING, cast

from flopledger.reports.content import (
    amendments,
    assumptions,
    findings,
    headline,
    ledgers,
    provenance,
    routes,
    sensitivity,
    sources,
    telemetry,
    terms,
    thresholds,
    utilisation,
)
from flopledger.reports.content.bounds import bounded
from flopledger.reports.document import Document, visible

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport

_ORDER = (
    routes.section,
    findings.section,
    thresholds.section,
    ledgers.section,
    utilisation.section,
    sensitivity.section,
    sensitivity.changes,
    telemetry.section,
    assumptions.section,
    sources.inputs,
    sources.facts,
    sources.register,
    amendments.section,
    terms.section,
    provenance.section,
)


def document(report: "AuditReport") -> Document:
    """Decide the whole report; a section that has nothing to say is left out."""
    found = [section(report) for section in _ORDER]
    sections = tuple(bounded(one) for one in found if one is not None)
    made = headline.document(report, sections)
    return cast("Document", visible(made))
