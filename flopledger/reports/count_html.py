"""A count as an icicle plot: one self-contained file, each module as wide as its FLOP."""

from pathlib import Path
from typing import TYPE_CHECKING

from flopledger.errors import FlopledgerError

if TYPE_CHECKING:
    from flopcount.model_files.counted_model import CountedModel

_MOST_BOXES = 20_000
ROOT = "(whole)"
"""No module can be called so by an attribute; many are called "model", and two boxes of one name
make an empty plot."""


def write_icicle(model: "CountedModel", path: Path) -> None:
    """Write the plot; a click on a module shows what it contains.

    Raises:
        FlopledgerError: there is no count to draw.
    """
    if model.count is None:
        msg = f"{path}: the input size is unknown, so there is nothing to draw\n  give --sequence"
        raise FlopledgerError(msg)
    import html

    import plotly.graph_objects as go

    from flopledger.reports import write_whole

    modules = dict(list(model.count.by_module.items())[:_MOST_BOXES])
    name = html.escape(model.name)
    paths = sorted(modules, key=lambda path: (-modules[path], _numbered(path)))
    figure = go.Figure(
        go.Icicle(
            ids=[html.escape(path) or ROOT for path in paths],
            labels=[html.escape(path.rpartition(".")[2]) or name for path in paths],
            parents=[
                "" if not path else html.escape(path.rpartition(".")[0]) or ROOT for path in paths
            ],
            values=[modules[path] for path in paths],
            branchvalues="total",
            sort=False,  # plotly's order of equal layers is 0, 1, 10, 11
            root={"color": "lightgrey"},  # else the whole model is a box of white on white
            tiling={"orientation": "v"},
            maxdepth=6,
            hovertemplate="%{id}<br>%{value:,} FLOP<br>%{percentRoot:.2%} of all<extra></extra>",
        )
    )
    figure.update_layout(
        title={"text": f"{name}: {model.count.forward + model.count.backward:,} FLOP"},
        margin={"t": 60, "l": 10, "r": 10, "b": 10},
    )
    write_whole(path, figure.to_html(include_plotlyjs=True, full_html=True, div_id="flop"))


def _numbered(path: str) -> list[tuple[int, str]]:
    """Sort key of a module's path: layers by number."""
    return [(int(part) if part.isdecimal() else -1, part) for part in path.split(".")]
