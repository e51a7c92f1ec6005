"""The interval plot for plotly: the same rows and lines as the static drawing."""

import math
from typing import Any

from flopledger.reports.interval_plot import Plot, Row
from flopledger.text import number

#: Role -> colour, readable on light and dark; the page's stylesheet uses the same.
COLOURS = {"route": "#3b82c4", "bound": "#8a8f98", "combined": "#6d4aff", "claim": "#d9480f"}
_THRESHOLD = "#8a8f98"


def figure(drawing: Plot) -> dict[str, Any]:
    """Give data and layout as plain values, ready for ``Plotly.newPlot``."""
    from plotly import graph_objects as go  # its classes check every key

    made = go.Figure()
    ends = (10.0**drawing.first, 10.0**drawing.last)
    for row in drawing.rows:
        made.add_trace(_trace(go, row, ends))
    for line in drawing.lines:
        made.add_vline(x=line.flop, line={"color": _THRESHOLD, "dash": "dot", "width": 1.5})
        # On a logarithmic axis plotly places shapes by value but annotations by exponent.
        made.add_annotation(
            x=math.log10(line.flop),
            y=1,
            yref="paper",
            yanchor="bottom",
            text=line.label,
            showarrow=False,
            font={"size": 11},
        )
    made.update_layout(
        showlegend=False,
        height=120 + 44 * len(drawing.rows),
        margin={"l": 150, "r": 24, "t": 36, "b": 48},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hoverlabel={"namelength": -1},
    )
    made.update_xaxes(
        type="log",
        range=[drawing.first, drawing.last],
        tickvals=drawing.ticks(),
        ticktext=[number(tick, 1) for tick in drawing.ticks()],
        title="FLOP, logarithmic",
        gridcolor="rgba(138,143,152,0.25)",
    )
    made.update_yaxes(
        autorange="reversed", type="category", gridcolor="rgba(0,0,0,0)", fixedrange=True
    )
    answer: dict[str, Any] = made.to_plotly_json()
    answer["layout"].pop("template", None)
    return answer


def _trace(go: Any, row: Row, ends: tuple[float, float]) -> Any:
    low = ends[0] if row.flop.low is None else row.flop.low
    high = ends[1] if row.flop.high is None else row.flop.high
    best = row.flop.best
    # Labels come from the case: plotly reads a small HTML dialect, so they must be escaped too.
    label, caption = _plain(row.label), _plain(row.caption)
    return go.Scatter(
        x=[low, high] if best is None else [low, best, high],
        y=[label] * (2 if best is None else 3),
        mode="lines+markers",
        line={
            "color": COLOURS[row.role],
            "width": 4,
            "dash": "dash" if row.role == "bound" else "solid",
        },
        marker={"size": [1, 1] if best is None else [1, 12, 1], "color": COLOURS[row.role]},
        hovertemplate=f"{caption}<extra></extra>",
    )


def _plain(text: str) -> str:
    """Escape what plotly's labels and hover templates would interpret."""
    from html import escape

    return escape(text).replace("%{", "% {")
