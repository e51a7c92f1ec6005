"""What was corrected since the case was opened, by whom and why."""

from typing import TYPE_CHECKING, Any

from flopledger.reports.document import Column, Paragraph, Row, Section, Table
from flopledger.text import number, significant

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.cases.amendments import Amendment


def section(report: "AuditReport") -> Section | None:
    """List every correction in order; ``None`` where there is none."""
    if not report.amendments:
        return None
    columns = tuple(
        Column(title=title, kind="long") for title in ("No.", "When and who", "Why", "What changed")
    )
    note = (
        "Corrections are appended to the case, each bound to the one before it by its digest. The "
        "figures in this report are those after the last one."
    )
    return Section(
        key="amendments",
        title="Amendments",
        blocks=(
            Paragraph(words=(note,)),
            Table(
                caption="Amendments to the case, oldest first",
                columns=columns,
                rows=tuple(_row(one) for one in report.amendments),
            ),
        ),
    )


def _row(one: "Amendment") -> Row:
    changes = "; ".join(f"{c.key}: {written(c.old)} → {written(c.new)}" for c in one.changes)
    return Row(
        cells=(
            (str(one.number),),
            (f"{one.time}, {one.author}",),
            (one.reason,),
            (changes or "nothing: a note",),
        )
    )


def written(value: Any) -> str:
    """Write what a key held, with every digit that it had."""
    if value is None:
        return "absent"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value, max(significant(value), 2))  # a correction may be in the last digit
    if isinstance(value, dict):
        return ", ".join(f"{key} {written(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return " to ".join(written(inner) for inner in value)
    return str(value)
