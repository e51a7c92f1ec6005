"""The other forms: PDF, Markdown, CSV, frames; harmless whatever the evidence says."""

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopledger.auditing import AuditReport
from flopledger.errors import FlopledgerError
from flopledger.reports import content, csv_report, markdown, tables
from flopledger.unseen import written

pytest.importorskip("typst", reason="NOT CHECKED: the extra pdf is not installed")


def _text(pdf: Path) -> str:
    from pypdf import PdfReader

    return "\n".join(page.extract_text() for page in PdfReader(pdf).pages)


def test_the_pdf_says_what_the_page_says(full: AuditReport, tmp_path: Path) -> None:
    full.save(tmp_path / "r.pdf")
    text = " ".join(_text(tmp_path / "r.pdf").split())
    made = content.document(full)
    places = [text.index(section.title) for section in made.sections if section.key != "facts"]
    assert places == sorted(places)
    for stat in made.stats:
        assert stat.value in text
    assert "claim of 6.2e19 FLOP" in text


def test_the_pdf_is_accessible_and_has_no_clock(usual: AuditReport, tmp_path: Path) -> None:
    usual.save(tmp_path / "r.pdf")
    raw = (tmp_path / "r.pdf").read_bytes()
    assert b"pdfuaid:part" in raw  # PDF/UA: tagged, with alternative texts
    assert b"/CreationDate" not in raw
    assert b"xmp:CreateDate" not in raw


def test_hostile_words_are_set_as_words(hostile: AuditReport, tmp_path: Path) -> None:
    hostile.save(tmp_path / "r.pdf")
    text = "".join(_text(tmp_path / "r.pdf").split()).replace("\u200b", "")
    assert "#letx=sys.inputs$x$" in text
    assert "\\u202e" in text


@pytest.mark.parametrize(
    "title", ["训练算力审计 模型", "تدقيق الحوسبة", "аудит", "🙂 emoji", "a" * 400]
)
def test_every_script_gives_a_pdf(usual: AuditReport, title: str) -> None:
    import dataclasses

    from flopledger.reports import pdf

    made = dataclasses.replace(content.document(usual), title=title)
    assert pdf.render(made).startswith(b"%PDF-")


def test_without_typst_the_line_to_install_it(
    usual: AuditReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(FlopledgerError, match=r"pip install 'flopledger\[pdf\]'"):
        usual.save(tmp_path / "r.pdf")
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- Markdown
def test_markdown_is_inert(hostile: AuditReport) -> None:
    from markdown_it import MarkdownIt

    made = (
        MarkdownIt("commonmark", {"html": True})
        .enable("table")
        .render(markdown.render(content.document(hostile)))
    )
    assert "<script" not in made
    assert "<img" not in made
    assert "href=" not in made


@given(st.text(max_size=80))
def test_markdown_gives_every_text_back(text: str) -> None:
    from html.parser import HTMLParser

    from markdown_it import MarkdownIt

    seen: list[str] = []

    class Reader(HTMLParser):
        def handle_data(self, data: str) -> None:
            seen.append(data)

    Reader().feed(MarkdownIt("commonmark").render(f"x {markdown.escape(text)} y"))
    printable = " ".join(text.replace("\0", "\N{REPLACEMENT CHARACTER}").split())
    assert " ".join("".join(seen).split()) == " ".join(f"x {printable} y".split())


def test_tables_keep_their_columns(hostile: AuditReport) -> None:
    lines = markdown.render(content.document(hostile)).splitlines()
    width = 0
    for line in lines:
        bars = line.replace("\\|", "").count("|")
        if line.startswith("| "):
            assert bars == width or width == 0, line
            width = bars
        else:
            width = 0


# ---------------------------------------------------------------- CSV and frames
def test_csv_is_one_table_that_any_reader_takes(full: AuditReport) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_report.dumps(full))))
    assert {row["table"] for row in rows} == set(tables.NAMES)
    found = {row["method"]: row for row in rows if row["table"] == "estimates"}
    assert full.combined is not None
    assert float(found["combined"]["flop_best"]) == full.combined.flop.best
    unknown = [row for row in rows if row["table"] == "runs" and row["run"] == "pre-training"]
    assert unknown[0]["energy_joules"] == ""  # missing is empty, never 0


def test_csv_by_folder(full: AuditReport, tmp_path: Path) -> None:
    full.save(tmp_path)
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(tables.NAMES)
    facts = list(csv.DictReader(io.StringIO((tmp_path / "facts.csv").read_text())))
    assert len(facts) == len(full.facts)
    assert {"file", "locator"} <= set(facts[0])


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "\uff1d"])
def test_no_cell_is_a_formula(start: str) -> None:
    assert csv_report.cell(f"{start}cmd|' /C calc'!A0").startswith("'")
    assert csv_report.cell(-1.5) == "-1.5"  # a number of our own stays a number


def test_a_cell_steers_no_terminal_and_is_whole() -> None:
    # A bound on length would drop what CSV is for: all of it.
    assert csv_report.cell("a\x1b[2J\u202e\0b\nc" + "x" * 5000) == (
        "a\\u001b[2J\\u202e\\u0000b\nc" + "x" * 5000
    )


def test_code_without_a_letter_is_nothing() -> None:
    assert markdown._code("") == ""
    assert markdown._code("a`b") == "``a`b``"


@given(
    st.text(max_size=40) | st.floats(allow_nan=False) | st.integers() | st.none() | st.booleans()
)
def test_csv_cells_survive_a_reader(value: object) -> None:
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n").writerow([csv_report.cell(value), "end"])  # type: ignore[arg-type]
    (read,) = csv.reader(io.StringIO(sink.getvalue(), newline=""))
    if isinstance(value, float):
        assert float(read[0]) == value
    elif isinstance(value, str):
        clean = written(value.replace("\r\n", "\n").replace("\r", "\n"))
        assert read[0].removeprefix("'") == clean.removeprefix("'")


def test_frames_keep_missing_missing(full: AuditReport, metered: AuditReport) -> None:
    pd = pytest.importorskip("pandas", reason="NOT CHECKED: the extra frame is not installed")
    frame = full.to_frame("runs").set_index("run")
    assert frame.loc["pre-training", "energy_joules"] is pd.NA
    # 1200 s at 503 W and 553 W; a recording with a hole gives a lower bound, which is no number.
    whole = metered.to_frame("runs").set_index("run")
    assert whole.loc["rollouts", "energy_joules"] == pytest.approx(1.267e6, rel=0.01)
    assert frame.loc["rollouts", "energy_joules"] is pd.NA
    assert list(full.to_frame().columns)[:3] == ["run", "method", "basis"]
    for name in tables.NAMES:
        assert len(full.to_frame(name)) == len(tables.table(full, name).rows)


def test_an_unknown_table_is_named(full: AuditReport) -> None:
    with pytest.raises(FlopledgerError, match="there are: estimates, runs"):
        full.to_frame("nonsense")


def test_without_pandas_the_line_to_install_it(
    full: AuditReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(FlopledgerError, match=r"pip install 'flopledger\[frame\]'"):
        full.to_frame()


# ---------------------------------------------------------------- the same bytes
_EVERY_FORM = """
import hashlib, json, sys
from flopledger.auditing import audit
from flopledger.cases.case import AuditCase
from flopledger.exports import FORMATS, render
report = audit(AuditCase.load("case.toml"), trace=False)
made = {}
for name, form in FORMATS.items():
    for suffix in form.suffixes:
        content = render(report, name, suffix)
        content = content if isinstance(content, bytes) else content.encode()
        made[name + suffix] = hashlib.sha256(content).hexdigest()
print(json.dumps(made))
"""


def test_the_same_bytes_in_every_process(hostile: AuditReport, root: Path) -> None:
    import os

    answers = []
    for seed, zone, language in (
        ("1", "Asia/Tokyo", "C"),
        ("2", "America/New_York", "de_DE.UTF-8"),
    ):
        environment = os.environ | {
            "PYTHONHASHSEED": seed, "TZ": zone, "LANG": language, "LC_ALL": language,
            "PYTHONPATH": str(root),
        }  # fmt: skip
        environment.pop("SOURCE_DATE_EPOCH", None)
        done = subprocess.run(
            [sys.executable, "-c", _EVERY_FORM], cwd=hostile.case.folder, env=environment,
            capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        answers.append(json.loads(done.stdout))
    assert answers[0] == answers[1]
    assert len(answers[0]) > 15


def test_a_short_table_stays_in_one_piece_and_a_long_one_is_broken(
    usual: AuditReport, tmp_path: Path
) -> None:
    from pypdf import PdfReader

    from flopledger.reports import content, pdf
    from flopledger.reports.document import Section, Table, columns, row

    made = content.document(usual)

    def pages(start: int, *rows: str) -> list[str]:
        filler = Table(
            caption="f", columns=columns("A"), rows=tuple(row(f"fill {n}") for n in range(start))
        )
        table = Table(caption="t", columns=columns("B"), rows=tuple(row(text) for text in rows))
        blocks = (filler, table)
        one = replace(made, sections=(Section(key="s", title="S", blocks=blocks),))
        (tmp_path / "t.pdf").write_bytes(pdf.render(one))
        return [page.extract_text() for page in PdfReader(tmp_path / "t.pdf").pages]

    # Wherever it begins, a table of six rows is on one page.
    for start in range(20, 44, 3):
        found = pages(start, *(f"short {n}" for n in range(6)))
        assert sum("short" in text for text in found) == 1
    # One with more than a page holds is broken, and nothing of it is cut.
    text = "\n".join(pages(0, *(f"long{n}. {'word ' * 380}" for n in range(8))))
    assert all(f"long{n}." in text for n in range(8))


# Five signals of a training, six with its loss; a GPU has seven.
@pytest.mark.parametrize("panels", [5, 6, 7])
def test_a_run_s_drawing_stands_below_its_headline(
    usual: AuditReport, tmp_path: Path, panels: int
) -> None:
    from pypdf import PdfReader

    from flopledger.reports import pdf
    from flopledger.reports.charts import Panel, TimeChart
    from flopledger.reports.document import Figure, Section, Stat

    values = tuple(float(n) for n in range(15))
    panel = Panel(label="p", unit="s", low=values, mean=values, high=values, top=20.0, caption="c")
    chart = TimeChart(
        title="t", times=values, span=15.0, panels=(panel,) * panels, unit="s", axis_title="seconds"
    )
    # Six figures over the drawing and three lines below it, as a training without telemetry has.
    stats = tuple(Stat(label="MFU", value="not known", note="no peak" * 5) for _ in range(6))
    figure = Figure(key="steps", chart=chart, caption=("word " * 60,))
    made = replace(
        content.document(usual), title="python " * 10, lead="30 steps.", quote=None, cite=None,
        stats=stats, sections=(Section(key="time", title="Over time", blocks=(figure,)),),
    )  # fmt: skip
    (tmp_path / "r.pdf").write_bytes(pdf.render(made))
    first, *rest = PdfReader(tmp_path / "r.pdf").pages
    assert "Over time" in first.extract_text()
    assert first.extract_text().count("not known") == 6
    assert rest == []
