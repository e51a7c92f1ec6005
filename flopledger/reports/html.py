"""One self-contained offline page: verdict first, then what it rests on.

Everything from the case is escaped by jinja2; a content security policy forbids the network and
every script but the two whose hashes it names. Without JavaScript the static drawing stays.
"""

import base64
import hashlib
import json
from functools import cache
from typing import TYPE_CHECKING, Any

import jinja2

from flopledger import __version__
from flopledger.reports import interactive, interval_plot, wording

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport

#: Swaps the static drawing for the interactive one; the figures come from the JSON block.
_START = """
(function () {
  var data = document.getElementById("plot-data"), target = document.getElementById("plot-live");
  if (!data || !target || !window.Plotly) { return; }
  var figure = JSON.parse(data.textContent);
  var ink = getComputedStyle(document.body).color;
  figure.layout.font = { color: ink, family: "inherit", size: 13 };
  target.hidden = false;
  Plotly.newPlot(target, figure.data, figure.layout, { displayModeBar: false, responsive: true });
  document.getElementById("plot-static").classList.add("print-only");
})();
"""


def render(report: "AuditReport") -> str:
    """Render ``report``; equal reports give equal bytes."""
    drawing = interval_plot.plot(report)
    library = _plotly_library() if drawing is not None else ""
    return _template().render(
        report=report,
        words=wording,
        version=__version__,
        conclusion=wording.conclusion(report),
        svg="" if drawing is None else interval_plot.svg(drawing),
        plot_data="" if drawing is None else _embed(interactive.figure(drawing)),
        plotly=library,
        start=_START,
        script_hashes=" ".join(f"'{_hash(script)}'" for script in (library, _START) if script),
        colours=interactive.COLOURS,
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("flopledger.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("audit.html.j2")


@cache
def _plotly_library() -> str:
    from plotly.offline import get_plotlyjs

    library: str = get_plotlyjs()
    return library


def _embed(figure: dict[str, Any]) -> str:
    """Write JSON that cannot end its script element, whatever a label says."""
    text = json.dumps(figure, default=list, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
