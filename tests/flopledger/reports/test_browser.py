"""The page in a real browser: no requests, no foreign scripts, readable by everybody."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import browser

from flopledger.auditing import AuditReport
from flopledger.reports import content, html
from flopledger.reports.document import Figure, Paragraph, Section, Table, columns, row
from flopledger.reports.html import render_document
from flopledger.reports.run_document import document
from flopledger.reports.run_report import read_run
from profilers.ledger import Ledger
from profilers.steps.record.ledger import StepLedger
from tests.injection.ledgers import process

_DARK = "--blink-settings=preferredColorScheme=0"
SCREENS = {
    "desktop": ("--window-size=1200,900",),
    "desktop, dark": ("--window-size=1200,900", _DARK),
    "telephone, dark": ("--window-size=420,900", _DARK),
}


@pytest.fixture(scope="module")
def page(full: AuditReport) -> str:
    return html.render(full)


@pytest.mark.parametrize("screen", SCREENS)
def test_everybody_can_read_it(page: str, tmp_path: Path, screen: str) -> None:
    found = browser.accessibility(page, tmp_path, *SCREENS[screen])
    assert [one for one in found if one["impact"] in {"serious", "critical"}] == []
    assert found == []


@pytest.mark.parametrize("screen", SCREENS)
def test_everybody_can_read_a_runs_page(tmp_path: Path, screen: str) -> None:
    process(tmp_path / "run", steps=30, evaluate=2)
    page = render_document(document(read_run(tmp_path / "run")))
    assert browser.accessibility(page, tmp_path, *SCREENS[screen]) == []


def test_a_printed_run_has_its_drawing_on_the_first_sheet(tmp_path: Path) -> None:
    folder = process(tmp_path / "run", steps=30, evaluate=2, seal=None)
    ledger = StepLedger(folder, Ledger.open(folder / "ledger.jsonl"))
    ledger.losses([(6_000_000, 3.0), (7_000_000, 2.0)])
    ledger.close()
    file = tmp_path / "run.html"
    file.write_text(render_document(document(read_run(tmp_path / "run"))))
    first, *rest = browser.printed(file, tmp_path)
    assert "Over time" in first
    assert "seconds from the start of the first process" in first  # the axis, below six signals
    assert "Every figure rests on the full ledgers" in first
    # What follows stays whole: headings with their tables.
    assert "Where the time went" not in first
    assert "Provenance" in rest[0]


def test_a_printed_drawing_does_not_hold_on_to_the_table_below(
    full: AuditReport, tmp_path: Path
) -> None:
    made = content.document(full)
    found = [block for one in made.sections for block in one.blocks]
    figure = replace(next(one for one in found if isinstance(one, Figure)), caption=("Caption.",))
    # A third of a sheet of words, the drawing, and a table of eight rows that stays in one piece.
    words = Paragraph(words=("word " * 250,))
    rows = tuple(row(f"row {n} " + "long " * 60) for n in range(8))
    table = Table(caption="t", columns=columns("Column"), rows=rows)
    one = replace(
        made, sections=(Section(key="s", title="S", blocks=(words, figure, table)),), stats=()
    )
    file = tmp_path / "report.html"
    file.write_text(render_document(one))
    sheets = browser.printed(file, tmp_path)
    assert "Caption." in sheets[0]
    assert "row 0" not in sheets[0]


def test_axe_would_find_something(tmp_path: Path) -> None:
    page = '<html><head><title>t</title></head><body><img src="x.png"></body></html>'
    found = {one["id"]: one["impact"] for one in browser.accessibility(page, tmp_path)}
    assert found["image-alt"] == "critical"


def test_it_asks_nobody_and_draws_live(page: str, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page)
    made, asked = browser.visit(file, tmp_path, "--window-size=1200,900")
    assert asked == []
    # One live drawing a figure: plotly marks its own containers.
    assert made.count('class="live js-plotly-plot"') == page.count('class="live"')


def test_the_log_would_show_a_request(tmp_path: Path) -> None:
    file = tmp_path / "asks.html"
    file.write_text('<html><body><img src="http://127.0.0.1:9/pixel.png"></body></html>')
    assert browser.visit(file, tmp_path)[1] == ["http://127.0.0.1:9/pixel.png"]


def test_hostile_words_do_nothing(hostile: AuditReport, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    probe = "<script>document.title = String(window.pwned);</script>"
    # Without the policy even: escaping alone must hold.
    bare = html.render(hostile).replace("http-equiv", "data-off")
    file.write_text(bare.replace("</body>", f"{probe}</body>"))
    made, asked = browser.visit(file, tmp_path)
    assert "<title>undefined</title>" in made
    assert asked == []
