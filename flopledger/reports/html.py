"""One self-contained offline page: verdict first, then what it rests on.

Everything from the case is escaped by jinja2; a content security policy forbids the network and
every script but the two whose hashes it names. Without JavaScript the static drawings stay.
"""

import base64
import hashlib
import json
from functools import cache
from typing import TYPE_CHECKING, Any

import jinja2

from flopledger import __version__
from flopledger.reports import content, interactive, svg
from flopledger.reports.document import Document, Figure

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport

#: Draws the live figures beside the static ones, which stay in the page for readers who listen and
#: for print. Runs again when the reader's colour scheme changes.
_START = """
(function () {
  var data = document.getElementById("plot-data");
  if (!data || !window.Plotly) { return; }
  var figures = JSON.parse(data.textContent);
  var wide = matchMedia("(min-width: 44.01rem)"), dark = matchMedia("(prefers-color-scheme: dark)");
  function draw() {
    if (!wide.matches) { return; }  // a telephone keeps the static drawings, made for its width
    var style = getComputedStyle(document.body);
    Object.keys(figures).forEach(function (key) {
      var target = document.getElementById("live-" + key), figure = figures[key];
      if (!target) { return; }
      figure.layout.font = { color: style.color, family: style.fontFamily, size: 13 };
      target.hidden = false;
      Plotly.newPlot(target, figure.data, figure.layout, { displayModeBar: false, responsive: true });
      document.getElementById("static-" + key).classList.add("heard");
    });
  }
  draw();
  wide.addEventListener("change", draw);
  dark.addEventListener("change", draw);
})();
"""


def render(report: "AuditReport") -> str:
    """Render ``report``; equal reports give equal bytes."""
    return render_document(content.document(report))


def render_document(document: Document) -> str:
    """Set any document as a page."""
    figures = {
        block.key: interactive.figure(block.chart)
        for section in document.sections
        for block in section.blocks
        if isinstance(block, Figure)
    }
    library = _plotly_library() if figures else ""
    scripts = (library, _START) if figures else ()
    return _template().render(
        document=document,
        version=__version__,
        kind=lambda block: type(block).__name__,
        drawing=svg.both,
        plot_data=_embed(figures) if figures else "",
        plotly=library,
        start=_START,
        script_hashes=" ".join(f"'{_hash(script)}'" for script in scripts) or "'none'",
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
    return environment.get_template("document.html.j2")


@cache
def _plotly_library() -> str:
    from plotly.offline import get_plotlyjs

    library: str = get_plotlyjs()
    return library


def _embed(figures: dict[str, Any]) -> str:
    """Write JSON that cannot end its script element, whatever a label says."""
    text = json.dumps(figures, default=list, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
