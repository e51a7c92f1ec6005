"""What each route finds: the interval plot and its table."""

from typing import TYPE_CHECKING

from flopledger.quantity import Interval
from flopledger.reports.charts import Axis, Chart, Line, Role, Rule, ends, log_axis
from flopledger.reports.document import (
    Block,
    Figure,
    Paragraph,
    Section,
    Table,
    columns,
    row,
)
from flopledger.text import interval, number, round_number

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport

_CAPTION = (
    "90% intervals, a dot at the best figure. Routes of one independence group share an origin and do "
    "not confirm one another. A dashed line is a bound: nothing is known on its open side. Dotted lines "
    "are the legal thresholds nearby."
)


def section(report: "AuditReport") -> Section:
    """Show every route, the combined figure and the claim on one axis."""
    drawing = chart(report)
    blocks: list[Block] = []
    if drawing is None:
        text = "No route can give a figure or a bound from what the case holds."
        blocks.append(Paragraph(words=(text,)))
    else:
        blocks.append(Figure(key="routes", chart=drawing, caption=(_CAPTION,)))
    if report.estimates:
        blocks.append(_table(report))
    if report.combined is not None:
        rule = f"How they were combined: {report.combined.rule}."
        blocks.append(Paragraph(words=(rule,), role="note"))
    return Section(key="routes", title="What each route finds", blocks=tuple(blocks))


def chart(report: "AuditReport") -> Chart | None:
    """Collect what is to be drawn; ``None`` if there is no figure at all."""
    several = len(report.runs) > 1
    lines = [
        _line(
            f"{one.run}: {one.title}" if several else one.title,
            one.flop,
            "bound" if one.bound_only else "route",
        )
        for one in report.estimates
    ]
    if report.combined is not None:
        lines.append(_line("combined", report.combined.flop, "combined"))
    if report.claim is not None:
        lines.append(_line("claim", report.claim.flop, "claim"))
    found = [end for line in lines for end in ends(line.span)]
    if not found:
        return None
    # Thresholds far from every figure would squeeze the figures into a corner.
    low, high = min(found) / 10, max(found) * 10
    thresholds = sorted({standing.threshold_flop for standing in report.standings})
    near = [value for value in thresholds if low <= value <= high]
    return Chart(
        title="Training compute by route, against claim and thresholds",
        rows=tuple(lines),
        rules=tuple(Rule(at=value, label=f"{round_number(value)} threshold") for value in near),
        axis=flop_axis([*found, *near]),
    )


def flop_axis(values: list[float]) -> Axis:
    """Span ``values`` on a logarithmic axis of FLOP."""
    return log_axis(values, "FLOP, logarithmic")


def _line(label: str, flop: Interval, role: Role) -> Line:
    return Line(
        label=label,
        span=flop,
        role=role,
        value=short(flop),
        caption=f"{label}: {interval(flop)} FLOP",
    )


def short(flop: Interval) -> str:
    """Write a figure in the room beside its row."""
    if flop.best is not None:
        return number(flop.best)
    if flop.low is None:
        return "not known" if flop.high is None else f"≤ {number(flop.high)}"
    return (
        f"≥ {number(flop.low)}"
        if flop.high is None
        else f"{number(flop.low)} to {number(flop.high)}"
    )


def _table(report: "AuditReport") -> Table:
    rows = [
        row(
            one.title,
            one.run,
            interval(one.flop),
            "bound" if one.bound_only else one.basis,
            one.independence_group,
        )
        for one in report.estimates
    ]
    if report.combined is not None:
        rows.append(row("combined", "all", interval(report.combined.flop), "model", "", total=True))
    if report.claim is not None:
        basis = "not stated" if report.claim.basis == "unknown" else report.claim.basis
        rows.append(row("claim", "", interval(report.claim.flop), basis, "what is tested"))
    return Table(
        caption="Estimates by route",
        columns=columns("Route", "Run", "#FLOP (90% interval)", "Basis", "Independence group"),
        rows=tuple(rows),
    )
