"""Where every figure was read: inputs of the routes, facts of the evidence, the files themselves."""

from typing import TYPE_CHECKING

from flopledger.reports.document import (
    Code,
    Paragraph,
    Row,
    Section,
    Table,
    columns,
    row,
)
from flopledger.text import interval, number

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.facts import Fact
    from flopledger.inputs import Input


def inputs(report: "AuditReport") -> Section | None:
    """List each figure that entered a route, once a run."""
    rows: list[Row] = []
    for run in report.runs:
        seen: dict[str, Input] = {}
        for estimate in run.estimates:
            for known in estimate.inputs:
                seen.setdefault(known.name, known)
        rows += [
            row(
                known.name.replace("_", " "),
                run.figures.name,
                interval(known.quantity.interval, 6),
                known.unit,
                str(known.grade),
                known.source,
            )
            for known in seen.values()
        ]
    if not rows:
        return None
    table = Table(
        caption="Inputs",
        columns=columns("Figure", "Run", "#Value", "Unit", "Grade", "~Source"),
        rows=tuple(rows),
    )
    return Section(key="inputs", title="Inputs and their sources", blocks=(table,))


def facts(report: "AuditReport") -> Section | None:
    """List what the evidence says, facts of one name side by side, conflicts included."""
    if not report.facts:
        return None
    ordered = sorted(report.facts, key=lambda fact: fact.name)  # stable: order of reading within
    table = Table(
        caption="Facts read from the evidence",
        columns=columns("Fact", "#Value", "Unit", "~File", "~Locator", "Grade"),
        rows=tuple(_fact_row(fact) for fact in ordered),
    )
    text = "Facts that contradict one another are kept side by side; nothing is averaged."
    note = Paragraph(words=(text,), role="note")
    return Section(key="facts", title="Facts and where they stand", blocks=(table, note))


def _fact_row(fact: "Fact") -> Row:
    value = fact.value
    text = number(float(value), 6) if _is_number(value) else str(value)
    return row(fact.name, text, fact.unit or "", Code(fact.file), fact.locator, str(fact.grade))


def _is_number(value: object) -> bool:
    """Say whether ``value`` is a number that a float holds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def register(report: "AuditReport") -> Section | None:
    """List every file that entered the audit, with the digest that identifies it."""
    rows = tuple(
        row(Code(name), run.figures.name, Code(digest))
        for run in report.runs
        for name, digest in run.evidence_digests.items()
    )
    if not rows:
        return None
    table = Table(caption="Evidence files", columns=columns("~File", "Run", "~SHA-256"), rows=rows)
    return Section(key="evidence", title="Evidence register", blocks=(table,))
