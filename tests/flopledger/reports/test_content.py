"""What a report says: every part that the page, the PDF and the Markdown share."""

import dataclasses
import math
import re

import pytest

from flopledger.auditing import AuditReport
from flopledger.facts import Fact, Finding, Grade
from flopledger.quantity import Interval
from flopledger.reports import content, csv_report, explanations, html, json_report, markdown, svg
from flopledger.reports.charts import Axis, Chart, TimeChart
from flopledger.reports.content import assumptions, sensitivity, utilisation
from flopledger.reports.content.bounds import MOST_CARDS, MOST_ROWS
from flopledger.reports.document import Card, Figure, Table, plain, sentence, visible, words
from flopledger.sensitivity import Share

ORDER = [
    "routes", "findings", "thresholds", "ledgers", "utilisation", "sensitivity", "change",
    "telemetry", "assumptions", "inputs", "facts", "evidence", "terms", "provenance",
]  # fmt: skip


def _figures(report: AuditReport) -> dict[str, Chart | TimeChart]:
    return {
        block.key: block.chart
        for section in content.document(report).sections
        for block in section.blocks
        if isinstance(block, Figure)
    }


def test_everything_is_there_in_the_order_of_reading(full: AuditReport) -> None:
    made = content.document(full)
    assert [section.key for section in made.sections] == ORDER
    assert made.verdict == str(full.verdict)
    assert list(_figures(full)) == [
        "routes", "thresholds", "utilisation", "sensitivity", "telemetry-1",
    ]  # fmt: skip


def test_every_rendering_has_the_same_sections(full: AuditReport) -> None:
    titles = [section.title for section in content.document(full).sections]
    text = markdown.render(content.document(full))
    assert re.findall(r"^## (.+)$", text, re.M) == titles
    page = html.render(full)
    assert re.findall(r"<h2[^>]*>(.+?)</h2>", page) == titles


def test_what_is_not_known_is_said(nothing_known: AuditReport) -> None:
    made = content.document(nothing_known)
    stats = {one.label: one.value for one in made.stats}
    assert stats["Estimated"] == "not known"
    assert stats["Highest threshold passed"] == "not known"
    text = markdown.render(made)
    assert "No route can give a figure or a bound" in text
    assert not re.search(r"\b(nan|inf|None)\b", text)


def test_findings_come_worst_first_and_are_explained_once(full: AuditReport) -> None:
    (section,) = [one for one in content.document(full).sections if one.key == "findings"]
    cards = [block for block in section.blocks if isinstance(block, Card)]
    assert [card.severity for card in cards] == sorted(
        (card.severity for card in cards), key=["error", "warning", "info"].index
    )
    assert len(cards) == len(set(full.findings))
    for code in {card.code for card in cards}:
        with_text = [card for card in cards if card.code == code and card.meaning]
        assert len(with_text) == 1, code
        assert with_text[0].resolves


def test_explanations_are_the_page_s_own_words(root) -> None:
    page = (root / "docs/findings.md").read_text()
    codes = re.findall(r"^\| `([a-z0-9-]+)` \|", page, re.M)
    assert len(codes) > 60
    for code in codes:
        found = explanations.explain(code)
        assert found is not None, code
        assert plain(found.meaning).replace("`", "")[:40] in page.replace("`", "").replace(
            "\\|", "|"
        )
    assert explanations.explain("no-such-code") is None


def test_ledgers_say_who_counts_whom(full: AuditReport) -> None:
    (section,) = [one for one in content.document(full).sections if one.key == "ledgers"]
    table = next(block for block in section.blocks if isinstance(block, Table))
    rows = {plain(row.cells[0]): [plain(cell) for cell in row.cells] for row in table.rows}
    titles = [column.title for column in table.columns]
    updates, eu = titles.index("Parameter updates"), titles.index("EU cumulative")
    assert rows["pre-training"][updates] == "counted"
    assert rows["rollouts"][updates] == "not counted"
    assert rows["rollouts"][eu] == "counted"
    assert rows["Original model"][updates] == "not counted"
    assert rows["Original model"][eu] == "counted"


def test_the_tornado_is_the_total_over_one_input(usual: AuditReport) -> None:
    # An input that holds the whole variance moves the total over its whole interval.
    total = Interval(low=1.0, best=2.0, high=4.0)
    swing = sensitivity._swing(Share(input="x", log_variance_share=1.0), total)
    assert swing.low == pytest.approx(1.0)
    assert swing.high == pytest.approx(4.0)
    # A quarter of the variance is half of the standard deviation: a factor sqrt(2) each way.
    swing = sensitivity._swing(Share(input="x", log_variance_share=0.25), total)
    assert swing.high == pytest.approx(2 * math.sqrt(2))
    drawn = _figures(usual)["sensitivity"]
    assert isinstance(drawn, Chart)
    widths = [row.span.high / row.span.low for row in drawn.rows]
    assert widths == sorted(widths, reverse=True)


def test_utilisation_stands_beside_its_prior(usual: AuditReport) -> None:
    drawn = _figures(usual)["utilisation"]
    rows = {row.label: row for row in drawn.rows}
    # OPT-175B: 6 * 175e9 * 300e9 and more over 992 A100s for 34 days: 0.355 of 312e12.
    assert rows["bf16"].span.best == pytest.approx(0.355, abs=0.01)
    assert rows["bf16"].band == utilisation._prior(usual.runs[0]).interval
    assert rows["tf32"].band is None
    assert rows["tf32"].role == "doubt"


def test_what_favours_the_provider_is_named(full: AuditReport, usual: AuditReport) -> None:
    lines = assumptions.favours_provider(full)
    assert any("Recomputed activations" in line for line in lines)
    assert any("only the provider's word stands behind" in line for line in lines)
    assert any("doubt is taken off" in line for line in lines)
    estimate_only = dataclasses.replace(usual, claim=None)
    assert not any("doubt is taken" in one for one in assumptions.favours_provider(estimate_only))


def test_telemetry_is_thinned_and_says_so(full: AuditReport) -> None:
    (section,) = [one for one in content.document(full).sections if one.key == "telemetry"]
    figure = next(block for block in section.blocks if isinstance(block, Figure))
    # 1200 s less a hole of 200 s, two devices, one sample a second.
    assert "2,000 samples of 2 devices" in plain(figure.caption)
    assert "240 moments" in plain(figure.caption)
    tensor = next(one for one in figure.chart.panels if one.label == "tensor pipes active")
    assert len(tensor.mean) == 240
    assert len(tensor.stretches()) == 2
    assert max(value for value in tensor.high if value is not None) == pytest.approx(40)
    assert min(value for value in tensor.low if value is not None) == pytest.approx(30)


def test_a_flood_is_cut_and_counted(full: AuditReport) -> None:
    facts = tuple(
        Fact(name=f"n{i}", value=i, unit=None, file="f", locator=str(i), grade=Grade.LOG)
        for i in range(20_000)
    )
    findings = tuple(
        Finding(code="evidence-conflict", severity="warning", message=f"file {i}: {'x' * 5000}")
        for i in range(5_000)
    )
    flooded = dataclasses.replace(full, facts=facts, findings=findings)
    page = html.render(flooded)
    assert len(page) < 6_000_000
    assert f"{20_000 - MOST_ROWS:,} more rows" in page
    assert f"{5_000 - MOST_CARDS:,} more findings" in page
    assert "(4,700 more letters)" in page
    assert csv_report.dumps(flooded).count("\nfacts,") == 20_000
    assert len(json_report.to_dict(flooded)["facts"]) == 20_000


@pytest.mark.parametrize("value", [(1.0, 1e6), (2.9e23, 3.1e23), (3.0e23, 3.00001e23), (1e9, 1e26)])
def test_an_axis_has_figures_at_every_scale(value: tuple[float, float]) -> None:
    axis = Axis(kind="log", first=value[0], last=value[1], title="")
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 8
    assert len({label for _, label in ticks}) == len(ticks)
    assert all(value[0] <= tick <= value[1] for tick, _ in ticks)


def test_drawings_are_well_formed(hostile: AuditReport) -> None:
    from xml.etree import ElementTree as ET

    for chart in _figures(hostile).values():
        for layout in (svg.WIDE, svg.NARROW):
            root = ET.fromstring(svg.draw(chart, layout, svg.PRINT_STYLE))
            assert root.get("role") == "img"
            assert chart.title in (root.get("aria-label") or "")


def test_unseen_characters_are_shown() -> None:
    assert visible("a\u202eb\u0000c\n") == "a\\u202eb\\u0000c "
    assert visible(("x", words("a `b`"))) == ("x", words("a `b`"))
    assert visible("y z " * 750).endswith("(1,000 more letters)")
    # A word without end is none, and buries no verdict; scripts without spaces are left whole.
    assert visible(f"run {'y' * 3000} is") == f"run {'y' * 300}… (2,700 more letters) is"
    assert visible("計算量" * 500) == "計算量" * 500


def test_the_console_shows_strangers_words_as_words(hostile: AuditReport) -> None:
    import io

    from rich.console import Console

    from flopledger.reports.console import print_summary

    sink = io.StringIO()
    print_summary(hostile, Console(file=sink, width=160, no_color=True))
    assert "\u202e" not in sink.getvalue()
    assert "\\u202e" in sink.getvalue()
    assert "\x1b" not in sink.getvalue()


def test_sentences_begin_with_a_capital_and_names_do_not() -> None:
    assert sentence("run a: b") == "Run a: b"
    assert sentence("notes.bin: unread") == "notes.bin: unread"
    assert sentence("cpu: not there") == "cpu: not there"
    assert sentence("eu-gpai-1e23, x") == "eu-gpai-1e23, x"
    assert sentence("") == ""


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1207959552, "tokens", "1,207,959,552"),
        (467.607, "s", "467.607"),
        (2.0, "devices", "2"),
        (1_700_000_000.25, "unix s", "1700000000.25"),
        (-1, None, "-1"),
        (3.15e23, "FLOP", "3.15e23"),
        (float("nan"), None, "nan"),
        (10**400, None, str(10**400)),
        (True, None, "True"),
        ("words", None, "words"),
    ],
)
def test_facts_are_shown_as_they_were_read(value: object, unit: str | None, text: str) -> None:
    from flopledger.reports.content.sources import _value

    assert _value(value, unit) == text


def test_a_threshold_that_may_be_passed_is_not_called_passed() -> None:
    from flopledger.reports.passed import highest

    rows = [("a-1e23", 1e23, 0.556), ("b-1e23", 1e23, 0.9999), ("c-1e25", 1e25, 0.0001)]
    stat = highest(rows, not_known="x")
    assert (stat.value, stat.note) == (
        "1e23",
        "b-1e23, P(exceeded) > 99.9%; undecided: a-1e23, P(exceeded) 55.6%",
    )
    assert highest(rows[:1] + rows[2:], not_known="x").value == "none"
    assert highest([*rows[2:], ("d", 1e26, None)], not_known="x").note == "x"
