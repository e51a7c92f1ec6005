"""Findings, worst first: what was found, what it means, what would resolve it."""

from typing import TYPE_CHECKING

from flopledger.reports.document import Block, Card, Paragraph, Section, sentence
from flopledger.reports.explanations import explain
from flopledger.reports.ordering import worst_first
from flopledger.text import WITHHELD_SENTENCE

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.facts import Finding


def section(report: "AuditReport") -> Section:
    """Show each finding once; its code is explained at the first card that bears it."""
    explained: set[str] = set()
    blocks: list[Block] = []
    for one in worst_first(report.findings):
        blocks.append(_card(one, known=one.code in explained))
        explained.add(one.code)
    if not blocks:
        blocks.append(Paragraph(words=("None: nothing that an auditor would have to ask about.",)))
    return Section(key="findings", title="Findings", blocks=tuple(blocks))


def _card(one: "Finding", *, known: bool) -> Card:
    text = None if known else explain(one.code)
    return Card(
        severity=one.severity,
        code=one.code,
        message=sentence(one.message),
        places=tuple(place for place in one.evidence if place != WITHHELD_SENTENCE),
        meaning=() if text is None else text.meaning,
        resolves=() if text is None else text.resolves,
    )
