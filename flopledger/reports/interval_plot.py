"""What the interval plot shows, and its static drawing.

The rows and lines are decided once, here; the SVG below serves print and readers without
JavaScript, `interactive.py` draws the same for plotly.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopledger.quantity import Interval
from flopledger.reports.wording import interval, number, round_number

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One horizontal interval."""

    label: str
    flop: Interval
    role: str  #: "route", "bound", "combined" or "claim"

    @property
    def caption(self) -> str:
        """The figures in words."""
        return f"{self.label}: {interval(self.flop)} FLOP"


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One vertical threshold."""

    flop: float
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """All rows and lines with the axis, which is logarithmic."""

    rows: tuple[Row, ...]
    lines: tuple[Line, ...]
    first: float  #: log10 of the axis's left end
    last: float  #: log10 of its right end

    def ticks(self) -> list[float]:
        """Choose round FLOP figures: 1, 2, 5 of each decade, or decades alone on a long axis."""
        steps = (1, 2, 5) if self.last - self.first < 3 else (1,)
        decades = range(math.floor(self.first), math.ceil(self.last))
        return [
            step * 10.0**decade
            for decade in decades
            for step in steps
            if self.first <= math.log10(step * 10.0**decade) <= self.last
        ]


def plot(report: "AuditReport") -> Plot | None:
    """Collect what is to be drawn; ``None`` if there is no figure at all."""
    several = len(report.runs) > 1
    rows = [
        Row(
            label=f"{one.run}: {one.method}" if several else one.method,
            flop=one.flop,
            role="bound" if one.bound_only else "route",
        )
        for one in report.estimates
    ]
    if report.combined is not None:
        rows.append(Row(label="combined", flop=report.combined.flop, role="combined"))
    if report.claim is not None:
        rows.append(Row(label="claim", flop=report.claim.flop, role="claim"))
    ends = [
        end
        for row in rows
        for end in (row.flop.low, row.flop.best, row.flop.high)
        if end is not None
    ]
    if not ends:
        return None
    thresholds = sorted({standing.threshold_flop for standing in report.standings})
    # Thresholds far from every figure would squeeze the figures into a corner.
    low, high = math.log10(min(ends)) - 1, math.log10(max(ends)) + 1
    near = [value for value in thresholds if low <= math.log10(value) <= high]
    values = [math.log10(end) for end in (*ends, *near)]
    return Plot(
        rows=tuple(rows),
        lines=tuple(Line(flop=value, label=f"{round_number(value)} threshold") for value in near),
        first=min(values) - 0.15,
        last=max(values) + 0.15,
    )


WIDTH, ROW, LEFT, RIGHT, TOP, BOTTOM = 900, 34, 170, 30, 34, 44


def svg(drawing: Plot) -> str:
    """Draw as SVG; colours are CSS variables of the page. Labels are escaped."""
    from html import escape

    height = TOP + ROW * len(drawing.rows) + BOTTOM
    base = height - BOTTOM
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="plot-title plot-desc" '
        'xmlns="http://www.w3.org/2000/svg">',
        '<title id="plot-title">Training compute by route, against claim and thresholds</title>',
        f'<desc id="plot-desc">{escape("; ".join(row.caption for row in drawing.rows))}</desc>',
    ]
    for tick in drawing.ticks():
        x = _x(drawing, tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{base}"/>')
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{base + 18}" text-anchor="middle">{number(tick, 1)}</text>'
        )
    parts.append(
        f'<text class="tick" x="{WIDTH - RIGHT}" y="{base + 36}" text-anchor="end">FLOP, logarithmic</text>'
    )
    for line in drawing.lines:
        x = _x(drawing, line.flop)
        parts.append(
            f'<line class="threshold" x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{base}"/>'
        )
        parts.append(
            f'<text class="threshold-label" x="{x:.1f}" y="{TOP - 14}" text-anchor="middle">'
            f"{escape(line.label)}</text>"
        )
    for index, row in enumerate(drawing.rows):
        parts += _draw_row(drawing, row, TOP + ROW * index + ROW / 2, escape(row.label))
    return "\n".join([*parts, "</svg>"])


def _draw_row(drawing: Plot, row: Row, y: float, label: str) -> list[str]:
    low = LEFT if row.flop.low is None else _x(drawing, row.flop.low)
    high = WIDTH - RIGHT if row.flop.high is None else _x(drawing, row.flop.high)
    parts = [f'<text class="label" x="{LEFT - 12}" y="{y + 5}" text-anchor="end">{label}</text>']
    dashes = ' stroke-dasharray="5 5"' if row.role == "bound" else ""
    parts.append(
        f'<line class="{row.role}" x1="{low:.1f}" y1="{y}" x2="{max(high, low + 1):.1f}" y2="{y}"{dashes}/>'
    )
    for end, x in ((row.flop.low, low), (row.flop.high, high)):
        if end is not None:
            parts.append(
                f'<line class="{row.role}" x1="{x:.1f}" y1="{y - 6}" x2="{x:.1f}" y2="{y + 6}"/>'
            )
    if row.flop.best is not None:
        x = _x(drawing, row.flop.best)
        parts.append(f'<circle class="{row.role}" cx="{x:.1f}" cy="{y}" r="5"/>')
    return parts


def _x(drawing: Plot, flop: float) -> float:
    share = (math.log10(flop) - drawing.first) / (drawing.last - drawing.first)
    return LEFT + share * (WIDTH - LEFT - RIGHT)
