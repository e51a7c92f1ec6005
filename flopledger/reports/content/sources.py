"""Where every figure was read: inputs of the routes, facts of the evidence, the files themselves."""

import re
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
from flopledger.text import interval

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.facts import Fact
    from flopledger.inputs import Input


_WHOLE = 1e16  #: up to here a float holds every whole number


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
                _source(known.source, run.figures.name, report),
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


def _source(source: str, run: str, report: "AuditReport") -> str:
    """Say of a figure that was corrected which amendment gave it: its source said something else."""
    numbers = [
        str(one.number)
        for one in report.amendments
        for change in one.changes
        if change.key.startswith(f"run.{run}.")
        and re.search(rf"\]\.{re.escape(change.key.removeprefix(f'run.{run}.'))}\b", source)
    ]
    return f"{source}; as amended (no. {', '.join(numbers)})" if numbers else source


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
    return row(
        fact.name,
        _value(fact.value, fact.unit),
        fact.unit or "",
        Code(fact.file),
        fact.locator,
        str(fact.grade),
    )


def _value(value: float | int | str | bool, unit: str | None) -> str:
    """Write a fact as it was read: whole numbers in full, for they are held against their source."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if not abs(value) < _WHOLE:
        return _digits(float(value)) if abs(value) < 1e300 else str(value)
    if unit == "unix s":
        return f"{value:.3f}".rstrip("0").rstrip(".")
    if value == int(value):
        return f"{value:,.0f}"
    return f"{value:,.10g}" if abs(value) >= 1e-4 else _digits(value)


def _digits(value: float) -> str:
    """Write ten significant digits, without padding."""
    mantissa, _, exponent = f"{value:.10g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


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
