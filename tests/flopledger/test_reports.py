"""The renderings: schema of the JSON, harmlessness of the HTML, nothing half-written."""

import json
import re
from pathlib import Path

import jsonschema
import pytest

from flopledger.auditing import AuditReport, audit
from flopledger.cases.case import AuditCase
from flopledger.errors import FlopledgerError
from flopledger.reports import html, json_report, svg
from flopledger.reports.console import print_summary
from flopledger.reports.content import routes
from flopledger.text import number

HOSTILE = '</script><script>alert(1)</script><img src=x onerror=alert(2)>" onload="alert(3)'


@pytest.fixture(scope="module")
def report(root: Path) -> AuditReport:
    return audit(AuditCase.load(root / "examples/opt-175b/case.toml"), trace=False)


@pytest.fixture(scope="module")
def schema(root: Path) -> dict:
    return json.loads((root / "docs/reference/audit-1.schema.json").read_text())


@pytest.mark.parametrize(
    "name", ["llama-3.1-405b", "llama-2-70b", "deepseek-v3", "mixtral-8x7b", "opt-175b"]
)
def test_json_fits_the_published_schema(root: Path, schema: dict, name: str) -> None:
    made = audit(AuditCase.load(root / "examples" / name / "case.toml"), trace=False)
    jsonschema.validate(json.loads(json_report.dumps(made)), schema)


def test_missing_is_null(root: Path) -> None:
    made = audit(AuditCase.load(root / "examples/mixtral-8x7b/case.toml"), trace=False)
    (run,) = json_report.to_dict(made)["runs"]
    for key in ("tokens", "accelerator", "accelerator_seconds", "model_flop", "energy_joules"):
        assert run[key] is None
    assert json_report.to_dict(made)["combined"] is None


def test_the_page_asks_nobody(report: AuditReport) -> None:
    page = html.render(report)
    head = page.split("<script", 1)[0]
    assert re.findall(r'(?:src|href)\s*=\s*["\']?(?:https?:)?//', head) == []
    assert "default-src 'none'" in head
    assert page.count("Plotly.newPlot(") >= 1
    assert len(page.encode()) < 6_000_000


def test_the_page_is_complete_without_scripts(report: AuditReport) -> None:
    page = re.sub(r"<script.*?</script>", "", html.render(report), flags=re.DOTALL)
    for text in (
        "needs explanation",
        "<svg",
        "C(2025) 5045",
        "arXiv:2205.01068",
        "claim-contradicted",
    ):
        assert text in page


def test_hostile_words_are_inert(run_audit) -> None:
    quoted = json.dumps(HOSTILE)
    made = run_audit(
        f"[claim]\nflop = 1e20\nstatement = {quoted}\nsource = {quoted}\n[model.m]\nparameters = 1e9\n"
        f"[model.m.sources]\nparameters = {quoted}\n"
        f'[[run]]\nname = {quoted}\nmodel = "m"\ntokens = 2e10\n[run.sources]\ntokens = {quoted}\n'
        f'[[run]]\nname = "b"\nmodel = "m"\ntokens = 2e10\n'
    )
    page = html.render(made)
    assert "alert(1)</script>" not in page
    assert "<img src=x" not in page
    assert page.count("<script") == html_scripts(page)
    drawing = routes.chart(made)
    assert drawing is not None
    assert "<script>" not in svg.both(drawing)


def html_scripts(page: str) -> int:
    """The page's own scripts: data, library, start; the library speaks of scripts in strings."""
    own = 3
    library = page.split('id="plot-data">', 1)[1]
    return own + library.count("<script") - 2


def test_unknown_suffix(report: AuditReport, tmp_path: Path) -> None:
    with pytest.raises(FlopledgerError, match=r"\.html, \.pdf"):
        report.save(tmp_path / "report.docx")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_half_written(
    report: AuditReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        report.save(tmp_path / "report.json")
    assert list(tmp_path.iterdir()) == []


def test_save(report: AuditReport, tmp_path: Path) -> None:
    report.save(tmp_path / "a.html")
    report.save(tmp_path / "a.json")
    assert (tmp_path / "a.html").read_text().startswith("<!DOCTYPE html>")
    assert json.loads((tmp_path / "a.json").read_text())["verdict"] == "needs-explanation"


@pytest.mark.parametrize("width", [40, 60, 80, 160])
def test_the_summary_fits_any_terminal(report: AuditReport, width: int) -> None:
    import io

    from rich.console import Console

    sink = io.StringIO()
    print_summary(report, Console(file=sink, width=width, no_color=True))
    text = sink.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "NEEDS EXPLANATION" in text
    # A figure is never folded in its middle.
    assert report.combined is not None
    for end in (report.combined.flop.low, report.combined.flop.best, report.combined.flop.high):
        assert number(end) in text
    assert ("independence group" in text) == (width > 60)
    # Nor is a regime's id, which is copied, where there is room for one.
    assert width < 50 or all(one.regime.id in text for one in report.standings)


def test_figures_have_the_digits_that_they_were_given() -> None:
    assert number(1.1e24) == "1.1e24"
    assert number(8.0e23) == "8.0e23"
    assert number(1.234567e24) == "1.23e24"
    assert number(15e12, 6) == "1.5e13"
    assert number(1.299999999e-7) == "1.30e-7"
