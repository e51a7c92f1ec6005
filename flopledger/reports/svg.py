"""The static drawings. Colours and fonts are classes of the page (or of `PRINT_STYLE` on paper).

Each drawing is made twice for the page: wide, with labels at the left, and narrow, with labels above
their rows, so that a telephone shows letters of the same size. Signals over time are drawn once more for
paper, where a drawing must stand on one page below what comes before it. Labels are escaped here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from html import escape

from flopledger.quantity import Interval
from flopledger.reports.charts import Axis, Chart, Line, Panel, TimeChart

#: For places without the page's stylesheet: the PDF. Same classes, colours that print well.
PRINT_STYLE = """
text { font-family: "Libertinus Serif"; font-size: 13px; fill: #1b1d21; }
.tick, .unit { font-size: 11.5px; fill: #565c66; } .value { font-size: 12.5px; }
.rule-label { font-size: 11.5px; fill: #565c66; } .grid { stroke: #e3e4e8; stroke-width: 1; }
.axis { stroke: #9aa0aa; stroke-width: 1; }
.rule { stroke: #565c66; stroke-width: 1.2; stroke-dasharray: 2 3; }
.band { fill: #e9e4d6; } .target { stroke: #1b1d21; stroke-width: 2; }
line.route, line.bound, line.combined, line.claim, line.doubt { stroke-width: 3; }
.route { stroke: #2568a8; fill: #2568a8; } .bound { stroke: #767c87; fill: #767c87; }
.combined { stroke: #3d3791; fill: #3d3791; } .claim { stroke: #b8420f; fill: #b8420f; }
.doubt { stroke: #a1271b; fill: #a1271b; } line.dashed { stroke-dasharray: 5 4; }
.envelope { fill: #c9d9ea; stroke: none; } .mean { fill: none; stroke: #2568a8; stroke-width: 1.4; }
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Sizes in the drawing's own units."""

    width: int
    left: int  #: most room for labels; 0: labels stand above their rows
    right: int  #: room for values
    row: int
    letters: int  #: of a label, before it is cut
    panel: int = 92  #: height of a signal over time
    between: int = 34  #: one signal and the next
    tallest: int | None = None  #: of all signals together; more of them become lower


WIDE = Layout(width=860, left=280, right=150, row=30, letters=38)
NARROW = Layout(width=380, left=0, right=0, row=46, letters=44)
#: A page of A4 or Letter holds a run's headline and, below it, so much.
PAPER = Layout(
    width=760, left=250, right=120, row=27, letters=34, panel=70, between=26, tallest=490
)
_TOP, _BOTTOM, _MARGIN = 30, 46, 14
#: Lower than that, a line has no shape.
_LEAST_PANEL = 30


def draw(chart: Chart | TimeChart, layout: Layout = WIDE, style: str = "") -> str:
    """Draw; ``style`` is put inside, for readers without the page's stylesheet."""
    parts = _time(chart, layout) if isinstance(chart, TimeChart) else _rows(chart, layout)
    height, body = parts
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {layout.width} {height}" '
        f'width="{layout.width}" height="{height}" role="img" aria-label="'
        f'{escape(f"{chart.title}. {chart.description}", quote=True)}">'
    )
    return "\n".join([head, *([f"<style>{style}</style>"] if style else []), *body, "</svg>"])


def both(chart: Chart | TimeChart) -> str:
    """Draw for wide and for narrow screens and for paper; the page's stylesheet shows one of them."""
    sizes = {"wide": WIDE, "narrow": NARROW}
    if isinstance(chart, TimeChart):
        sizes["paper"] = PAPER
    return "\n".join(
        f'<div class="{size}">{draw(chart, layout)}</div>' for size, layout in sizes.items()
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Field:
    """The area in which values are placed."""

    axis: Axis
    left: float
    right: float
    top: float
    base: float

    def x(self, value: float) -> float:
        return self.left + self.axis.share(value) * (self.right - self.left)


def _field(axis: Axis, layout: Layout, top: float, base: float) -> _Field:
    return _Field(
        axis=axis,
        left=max(layout.left, _MARGIN),
        right=layout.width - max(layout.right, _MARGIN),
        top=top,
        base=base,
    )


#: Room of a letter in the drawing's units: the page's face at 13 px, in which `m` and `w` take 12.
_LETTER = 7.0


def _fitted(chart: Chart, layout: Layout) -> Layout:
    """Give the labels the room that they take, so that none is cut and none of the axis is lost."""
    if not layout.left:
        return layout
    longest = max((len(cut(row.label, layout.letters)) for row in chart.rows), default=0)
    return replace(layout, left=min(max(round(24 + _LETTER * longest), 90), layout.left))


def _rows(chart: Chart, layout: Layout) -> tuple[int, list[str]]:
    layout = _fitted(chart, layout)
    across = _field(chart.axis, layout, 0, 0)
    lanes = chart.lanes(across.left, across.right, layout.width)
    top = _TOP + 15 * (max(lanes, default=0))
    base = top + layout.row * len(chart.rows) + 6
    field = _field(chart.axis, layout, top, base)
    body = _frame(field, layout, chart.axis.title)
    for index, row in enumerate(chart.rows):
        if row.band is not None:
            body.append(_band(field, row.band, top + layout.row * index, layout.row))
    for rule, lane in zip(chart.rules, lanes, strict=True):
        x, y = field.x(rule.at), top - 8 - 15 * lane
        body.append(f'<line class="rule" x1="{x:.1f}" y1="{y + 4:.1f}" x2="{x:.1f}" y2="{base}"/>')
        anchor, place = _anchor(x, len(rule.label) * 5.8, layout.width)
        body.append(
            f'<text class="rule-label" x="{place:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
            f"{escape(rule.label)}</text>"
        )
    for index, row in enumerate(chart.rows):
        body += _row(field, layout, row, top + layout.row * index)
    return round(base + _BOTTOM), body


def _frame(field: _Field, layout: Layout, title: str) -> list[str]:
    body = []
    for tick, label in field.axis.ticks(8 if layout.left else 5):
        x = field.x(tick)
        body.append(
            f'<line class="grid" x1="{x:.1f}" y1="{field.top}" x2="{x:.1f}" y2="{field.base}"/>'
        )
        anchor, place = _anchor(x, len(label) * 6.0, layout.width)
        body.append(
            f'<text class="tick" x="{place:.1f}" y="{field.base + 17}" text-anchor="{anchor}">{label}</text>'
        )
    body.append(
        f'<line class="axis" x1="{field.left}" y1="{field.base}" x2="{field.right}" y2="{field.base}"/>'
    )
    body.append(
        f'<text class="unit" x="{field.right}" y="{field.base + 36}" text-anchor="end">{escape(title)}</text>'
    )
    return body


def _anchor(x: float, length: float, width: float) -> tuple[str, float]:
    """Keep a centred label inside the drawing."""
    if x - length / 2 < 2:
        return "start", 2.0
    return ("end", width - 2.0) if x + length / 2 > width - 2 else ("middle", x)


def _band(field: _Field, band: Interval, top: float, height: float) -> str:
    low = field.left if band.low is None else field.x(band.low)
    high = field.right if band.high is None else field.x(band.high)
    return (
        f'<rect class="band" x="{low:.1f}" y="{top + 2:.1f}" width="{max(high - low, 1):.1f}" '
        f'height="{height - 4}"/>'
    )


def _row(field: _Field, layout: Layout, row: Line, top: float) -> list[str]:
    above = layout.left == 0
    y = top + (32 if above else layout.row / 2)
    label = escape(cut(row.label, layout.letters))
    if above:
        parts = [
            f'<text class="label" x="{_MARGIN}" y="{top + 17:.1f}">{label}</text>',
            f'<text class="value" x="{layout.width - _MARGIN}" y="{top + 17:.1f}" '
            f'text-anchor="end">{escape(row.value)}</text>',
        ]
    else:
        parts = [
            f'<text class="label" x="{layout.left - 14}" y="{y + 4.5:.1f}" text-anchor="end">{label}</text>',
            f'<text class="value" x="{field.right + 14}" y="{y + 4.5:.1f}">{escape(row.value)}</text>',
        ]
    return parts + _interval(field, row, y)


def _interval(field: _Field, row: Line, y: float) -> list[str]:
    parts = []
    span = row.span
    if row.target is not None:
        x = field.x(row.target)
        parts.append(
            f'<line class="target" x1="{x:.1f}" y1="{y - 9:.1f}" x2="{x:.1f}" y2="{y + 9:.1f}"/>'
        )
    if (span.low, span.best, span.high) == (None, None, None):
        return parts
    low = field.left if span.low is None else field.x(span.low)
    high = field.right if span.high is None else field.x(span.high)
    dashed = " dashed" if row.role == "bound" else ""
    parts.append(
        f'<line class="{row.role}{dashed}" x1="{low:.1f}" y1="{y:.1f}" x2="{max(high, low + 1):.1f}" '
        f'y2="{y:.1f}"/>'
    )
    parts += [
        f'<line class="{row.role}" x1="{x:.1f}" y1="{y - 5:.1f}" x2="{x:.1f}" y2="{y + 5:.1f}"/>'
        for end, x in ((span.low, low), (span.high, high))
        if end is not None
    ]
    if span.best is not None:
        x = field.x(span.best)
        parts.append(f'<circle class="{row.role}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>')
    return parts


def cut(text: str, letters: int) -> str:
    """Shorten a label to what its room holds."""
    return text if len(text) <= letters else f"{text[: letters - 1].rstrip()}…"


# ---------------------------------------------------------------- signals over time
_ABOVE = 28  #: the first signal's name


def _time(chart: TimeChart, layout: Layout) -> tuple[int, list[str]]:
    layout = _lowered(layout, len(chart.panels))
    body: list[str] = []
    top = float(_ABOVE)
    for panel in chart.panels:
        body += _panel(chart, panel, layout, top)
        top += layout.panel + layout.between
    base = top - layout.between
    field = _field(chart.axis, _flat(layout), base, base)
    body += _frame(field, _flat(layout), chart.axis.title)
    return round(base + _BOTTOM), body


def _lowered(layout: Layout, panels: int) -> Layout:
    """Make panels lower, so that all of them are not taller than the layout allows."""
    if layout.tallest is None:
        return layout
    room = layout.tallest - _ABOVE - _BOTTOM + layout.between
    return replace(
        layout, panel=min(layout.panel, max(room // panels - layout.between, _LEAST_PANEL))
    )


def _flat(layout: Layout) -> Layout:
    """Panels need a margin for their scale and no column of labels."""
    return replace(layout, left=48, right=0, row=0)


def _panel(chart: TimeChart, panel: Panel, layout: Layout, top: float) -> list[str]:
    base = top + layout.panel
    field = _field(chart.axis, _flat(layout), top, base)

    def y(value: float) -> float:
        share = (value - panel.bottom) / (panel.top - panel.bottom)
        return base - min(max(share, 0.0), 1.0) * layout.panel

    body = [
        f'<text class="label" x="{field.left}" y="{top - 9:.1f}">{escape(panel.label)}'
        f'<tspan class="unit" dx="6">{escape(panel.unit)}</tspan></text>'
    ]
    for band in chart.stretches:
        left, right = field.x(band.start), field.x(band.end)
        body.append(
            f'<rect class="band" x="{left:.1f}" y="{top:.1f}" width="{max(right - left, 1.5):.1f}" '
            f'height="{layout.panel}"><title>{escape(band.label)}</title></rect>'
        )
    for share in (0.0, 0.5, 1.0):
        value = panel.bottom + (panel.top - panel.bottom) * share
        at = y(value)
        body.append(
            f'<line class="grid" x1="{field.left}" y1="{at:.1f}" x2="{field.right}" y2="{at:.1f}"/>'
        )
        body.append(
            f'<text class="tick" x="{field.left - 6}" y="{at + 4:.1f}" text-anchor="end">'
            f"{value:.4g}</text>"
        )
    for stretch in panel.stretches():
        xs = [field.x(chart.times[at]) for at in stretch]
        high = [y(panel.high[at] or 0.0) for at in stretch]
        low = [y(panel.low[at] or 0.0) for at in stretch]
        if len(stretch) == 1:  # one moment alone: give it the width that an eye needs
            xs, high, low = [xs[0] - 0.7, xs[0] + 0.7], high * 2, low * 2
        outline = [*zip(xs, high, strict=True), *zip(xs[::-1], low[::-1], strict=True)]
        mean = [y(panel.mean[at] or 0.0) for at in stretch] * (2 if len(stretch) == 1 else 1)
        body.append(f'<polygon class="envelope" points="{_points(outline)}"/>')
        body.append(f'<polyline class="mean" points="{_points(zip(xs, mean, strict=True))}"/>')
    return body


def _points(pairs: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)
