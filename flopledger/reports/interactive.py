"""The drawings for plotly: the same rows, rules and panels as the static ones."""

import math
from typing import Any

from flopledger.reports.charts import Axis, Chart, Line, Panel, TimeChart
from flopledger.reports.svg import cut

#: Role -> colour, readable on light and dark.
COLOURS = {
    "route": "#3b82c4",
    "bound": "#8a8f98",
    "combined": "#7a6cf0",
    "claim": "#d9602b",
    "doubt": "#d4483b",
}
#: The axis's length in pixels on a page that is not wide; on a wider one labels have room to spare.
_AXIS = 480
_LANE = 14
_QUIET, _GRID, _BAND = "#8a8f98", "rgba(138,143,152,0.25)", "rgba(160,140,90,0.20)"


def figure(chart: Chart | TimeChart) -> dict[str, Any]:
    """Give data and layout as plain values, ready for ``Plotly.newPlot``."""
    from plotly import graph_objects as go  # its classes check every key

    made = _over_time(go, chart) if isinstance(chart, TimeChart) else _intervals(go, chart)
    made.update_layout(
        showlegend=False,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hoverlabel={"namelength": -1},
    )
    answer: dict[str, Any] = made.to_plotly_json()
    answer["layout"].pop("template", None)
    return answer


def _intervals(go: Any, chart: Chart) -> Any:
    made = go.Figure()
    names = [f"{_plain(cut(row.label, 38))}{chr(0x200B) * at}" for at, row in enumerate(chart.rows)]
    for name, row in zip(names, chart.rows, strict=True):
        if row.band is not None:
            made.add_trace(_band(go, chart.axis, row, name))
        if row.target is not None:
            made.add_trace(_target(go, row, name))
        made.add_trace(_trace(go, chart.axis, row, name))
    lanes = chart.lanes(0, _AXIS, _AXIS)
    for rule, lane in zip(chart.rules, lanes, strict=True):
        made.add_vline(x=rule.at, line={"color": _QUIET, "dash": "dot", "width": 1.5})
        made.add_annotation(
            x=_place(chart.axis, rule.at), y=1, yref="paper", yanchor="bottom",
            yshift=_LANE * lane, text=_plain(rule.label), showarrow=False, font={"size": 11},
        )  # fmt: skip
    for name, row in zip(names, chart.rows, strict=True):
        made.add_annotation(
            x=1, xref="paper", xanchor="left", xshift=8, y=name, text=_plain(row.value),
            showarrow=False, font={"size": 12},
        )  # fmt: skip
    ticks = chart.axis.ticks()
    first, last = chart.axis.first, chart.axis.last
    made.update_xaxes(
        type=chart.axis.kind,
        range=[_place(chart.axis, first), _place(chart.axis, last)],
        tickvals=[tick for tick, _ in ticks],
        ticktext=[label for _, label in ticks],
        title=chart.axis.title,
        gridcolor=_GRID,
        zeroline=False,
    )
    made.update_yaxes(
        type="category", categoryorder="array", categoryarray=names[::-1],
        gridcolor="rgba(0,0,0,0)", fixedrange=True, automargin=True,
    )  # fmt: skip
    above = _LANE * max(lanes, default=0)
    made.update_layout(
        height=120 + above + 38 * len(chart.rows),
        margin={"l": 24, "r": 140, "t": 40 + above, "b": 52},
    )
    return made


def _place(axis: Axis, value: float) -> float:
    """On a logarithmic axis plotly places shapes by value but ranges and words by exponent."""
    return math.log10(value) if axis.kind == "log" else value


def _trace(go: Any, axis: Axis, row: Line, name: str) -> Any:
    span = row.span
    low = axis.first if span.low is None else span.low
    high = axis.last if span.high is None else span.high
    known = any(end is not None for end in (span.low, span.best, span.high))
    across = ([low, high] if span.best is None else [low, span.best, high]) if known else []
    sizes = {0: [], 2: [1, 1], 3: [1, 12, 1]}[len(across)]
    return go.Scatter(
        x=across,
        y=[name] * len(across),
        mode="lines+markers",
        line={
            "color": COLOURS[row.role],
            "width": 4,
            "dash": "dash" if row.role == "bound" else "solid",
        },
        marker={"size": sizes, "color": COLOURS[row.role], "opacity": 1, "line": {"width": 0}},
        hovertemplate=f"{_plain(row.caption)}<extra></extra>",
    )


def _band(go: Any, axis: Axis, row: Line, name: str) -> Any:
    assert row.band is not None
    low = axis.first if row.band.low is None else row.band.low
    high = axis.last if row.band.high is None else row.band.high
    return go.Scatter(
        x=[low, high], y=[name, name], mode="lines",
        line={"color": _BAND, "width": 26}, hoverinfo="skip",
    )  # fmt: skip


def _target(go: Any, row: Line, name: str) -> Any:
    return go.Scatter(
        x=[row.target], y=[name], mode="markers", hoverinfo="skip",
        marker={"symbol": "line-ns-open", "size": 18, "line": {"width": 2}, "color": _QUIET},
    )  # fmt: skip


def _over_time(go: Any, chart: TimeChart) -> Any:
    from plotly.subplots import make_subplots

    titles = [", ".join(filter(None, (_plain(p.label), _plain(p.unit)))) for p in chart.panels]
    made = make_subplots(
        rows=len(chart.panels), cols=1, shared_xaxes=True, vertical_spacing=0.06,
        subplot_titles=titles,
    )  # fmt: skip
    for at, panel in enumerate(chart.panels, start=1):
        across, outline = _outline(chart, panel)
        made.add_trace(
            go.Scatter(
                x=across, y=outline, mode="lines", fill="toself", hoverinfo="skip",
                line={"width": 0}, fillcolor="rgba(59,130,196,0.25)",
            ),
            row=at, col=1,
        )  # fmt: skip
        lone = {stretch[0] for stretch in panel.stretches() if len(stretch) == 1}
        made.add_trace(
            go.Scatter(
                x=list(chart.times), y=list(panel.mean), connectgaps=False,
                # A line through one point is nothing to see.
                mode="lines+markers" if lone else "lines",
                marker={"size": [5 if place in lone else 0 for place in range(len(chart.times))]},
                line={"width": 1.6, "color": COLOURS["route"]},
                hovertemplate=f"%{{y:.4g}} {_plain(panel.unit)} at %{{x:.4g}} {chart.unit}<extra></extra>",
            ),
            row=at, col=1,
        )  # fmt: skip
        air = 0.03 * (panel.top - panel.bottom)  # else the edge halves a line at its end
        made.update_yaxes(
            range=[panel.bottom - air, panel.top + air], gridcolor=_GRID, zeroline=False,
            row=at, col=1,
        )  # fmt: skip
    for band in chart.stretches:
        made.add_vrect(
            x0=band.start, x1=band.end, row="all", col=1, line_width=0, layer="below",
            fillcolor="rgba(190,160,90,0.22)",
        )  # fmt: skip
    made.update_xaxes(range=[0, chart.span], gridcolor=_GRID, zeroline=False)
    # Below the scale's own 0, not on it.
    last = {"row": len(chart.panels), "col": 1}
    made.update_xaxes(title=chart.axis.title, ticklabelstandoff=6, **last)
    made.update_layout(
        height=90 + 150 * len(chart.panels), margin={"l": 56, "r": 24, "t": 40, "b": 52}
    )
    return made


def _outline(chart: TimeChart, panel: Panel) -> tuple[list[float | None], list[float | None]]:
    """Walk around each stretch between two gaps: along its highs and back along its lows."""
    across: list[float | None] = []
    outline: list[float | None] = []
    for stretch in panel.stretches():
        there = [chart.times[at] for at in stretch]
        across += [*there, *there[::-1], None]
        outline += [panel.high[at] for at in stretch]
        outline += [*(panel.low[at] for at in stretch[::-1]), None]
    return across, outline


def _plain(text: str) -> str:
    """Escape what plotly's labels and hover templates would interpret."""
    from html import escape

    return escape(text).replace("%{", "% {")
