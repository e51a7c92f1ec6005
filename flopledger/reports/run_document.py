"""What a training run's report says: figures first, then how they came about."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, cast

from flopledger import __version__
from flopledger.reports import run_charts, run_sections
from flopledger.reports.charts import TimeChart
from flopledger.reports.content.bounds import bounded
from flopledger.reports.content.telemetry import caption as telemetry_caption
from flopledger.reports.content.telemetry import chart as telemetry_chart
from flopledger.reports.document import (
    Block,
    Card,
    Code,
    Document,
    Figure,
    Pairs,
    Paragraph,
    Section,
    Stat,
    Words,
    sentence,
    visible,
)
from flopledger.reports.explanations import explain
from flopledger.reports.run_report import RunReport
from flopledger.reports.run_words import (
    between,
    count,
    figure,
    model_or_bounds,
    per_day,
    rate,
)
from flopledger.text import duration, energy, number, per_cent, plural

MOST_FINDINGS = 60
MOST_IMPORTS = 20
_Drawn = tuple[str, TimeChart, str, int, float]
"""Key, drawing, caption, Unix nanoseconds of the beginning, length in seconds."""


def document(report: RunReport) -> Document:
    """Decide the whole report; a section that has nothing to say is left out."""
    found = (
        _over_time(report),
        run_sections.time(report),
        run_sections.work(report),
        run_sections.executed(report),
        run_sections.attempts(report),
        run_sections.ranks(report),
        run_sections.devices(report),
        _findings(report),
        _provenance(report),
    )
    made = Document(
        kind="Training run",
        title=_title(report),
        verdict=None,
        mark=_mark(report),
        lead=_lead(report),
        quote=None,
        cite=None,
        stats=_stats(report),
        sections=tuple(
            bounded(one, "the record holds all of them") for one in found if one is not None
        ),
        footer=f"flopledger {__version__}. FLOP is a count; a multiply-add is 2 FLOP. Model FLOP are "
        "what the mathematics needs; hardware FLOP add recomputation and steps done again.",
    )
    return cast("Document", visible(made))


def _title(report: RunReport) -> str:
    command = report.summary.get("command")
    if isinstance(command, list) and command:
        return " ".join(str(word) for word in command)[:200]
    return report.name


def _mark(report: RunReport) -> str:
    code = report.summary.get("exit_code")
    if not isinstance(code, int):
        return "recorded"
    return "finished" if code == 0 else f"exit code {code}"


def _lead(report: RunReport) -> str:
    section = report.section
    if section is None:
        why = next((f for f in report.findings if f.get("code") == "model-flop-unknown"), {}).get(
            "message"
        )
        return sentence(str(why)) + "." if why else "No training step is on record."
    steps = f"{section['count']:,} {'step' if section['count'] == 1 else 'steps'}"
    took = f"in {duration(section['duration_seconds'])}"
    if section["model_flop"] is None:
        low = section["model_flop_bounds"][0]
        return f"{steps} {took} did at least {number(low)} model FLOP; the rest is not known."
    done = f"{steps} {took} did {number(section['model_flop'])} model FLOP"
    basis = section["mfu_basis"]
    if section["mfu"] is None or basis is None:
        return f"{done}."
    return (
        f"{done}: {per_cent(section['mfu'])} of what {basis['count']} × {basis['name']} can do in "
        f"{basis['dtype']}."
    )


def _stats(report: RunReport) -> tuple[Stat, ...]:
    section = report.section
    stats: list[Stat] = []
    if section is not None:
        stats += [
            Stat(
                label="Model FLOP",
                value=model_or_bounds(section, "model_flop"),
                note=per_day(section),
            ),
            Stat(
                label="Hardware FLOP",
                value=model_or_bounds(section, "hardware_flop"),
                note="with recomputation and steps done again",
            ),
            _utilisation(section),
            _amount(section),
            Stat(
                label="Goodput",
                value=per_cent(section["goodput"]),
                note="of the processes' time went into steps that stand",
            ),
        ]
    elif executed := run_sections.executed_bounds(report):
        note = "by the devices: dense, any precision"
        stats.append(Stat(label="Executed FLOP", value=between(executed), note=note))
    stats.append(_energy(report))
    return tuple(stats)


def _energy(report: RunReport) -> Stat:
    joules = figure(report.summary, "energy_joules")
    per = None if report.section is None else report.section["model_flop_per_joule"]
    note = "" if per is None else f"{number(per)} model FLOP a joule"
    if joules is None:
        note = "no device told it" if report.summary else "no device was read"
    return Stat(label="Energy", value=energy(joules), note=note)


def _amount(section: Mapping[str, Any]) -> Stat:
    if section["tokens"] is None and section["samples"] is not None:
        note = rate(section["samples_per_second"], "a second; tokens are not known")
        return Stat(label="Samples", value=count(section["samples"]), note=note)
    note = rate(section["tokens_per_second"], "a second")
    return Stat(label="Tokens", value=count(section["tokens"]), note=note)


def _utilisation(section: Mapping[str, Any]) -> Stat:
    if section["mfu"] is None:
        why = (
            "no device with a known peak" if section["model_flop"] is not None else "no FLOP figure"
        )
        return Stat(label="MFU", value="not known", note=why)
    hfu = "" if section["hfu"] is None else f"HFU {per_cent(section['hfu'])}; "
    basis = section["mfu_basis"]
    rated = number(basis["peak_flop_per_second"])
    return Stat(
        label="MFU",
        value=per_cent(section["mfu"]),
        note=f"{hfu}peak {rated} FLOP/s in {basis['dtype']}",
    )


def _over_time(report: RunReport) -> Section | None:
    series = report.series if report.section is not None else None
    view = report.telemetry
    drawn: list[_Drawn] = []
    if series is not None and report.section is not None:
        basis = report.section["mfu_basis"]
        peak = None if basis is None else basis["peak_flop_per_second"] * basis["count"]
        chart = run_charts.steps_chart(series, peak)
        drawn.append(("steps", chart, run_charts.caption(series), series.start_ns, series.seconds))
    if view is not None:
        chart = telemetry_chart(view, "Devices over time")
        drawn.append(("devices", chart, telemetry_caption(view), view.started_ns, view.seconds))
    if len(drawn) > 1:
        drawn = _side_by_side(drawn)
    blocks = tuple(
        Figure(key=key, chart=chart, caption=(words,)) for key, chart, words, *_ in drawn
    )
    return Section(key="time", title="Over time", blocks=blocks) if blocks else None


def _side_by_side(drawn: list[_Drawn]) -> list[_Drawn]:
    """Put steps and devices onto one time axis: the sampler starts before the first process."""
    start = min(at for *_, at, _ in drawn)
    whole = max((at - start) / 1e9 + seconds for *_, at, seconds in drawn)
    return [
        (
            key,
            run_charts.beside(chart, long, after=(at - start) / 1e9, whole=whole),
            words,
            at,
            long,
        )
        for key, chart, words, at, long in drawn
    ]


def _findings(report: RunReport) -> Section:
    blocks: list[Block] = []
    explained: set[str] = set()
    for one in report.findings[:MOST_FINDINGS]:
        code = str(one.get("code"))
        text = None if code in explained else explain(code)
        explained.add(code)
        severity = one.get("severity")
        blocks.append(
            Card(
                severity=cast(
                    "Literal['info', 'warning', 'error']",
                    severity if severity in {"info", "warning", "error"} else "info",
                ),
                code=code,
                message=sentence(str(one.get("message"))),
                places=tuple(str(place) for place in (one.get("evidence") or [])[:20]),
                meaning=() if text is None else text.meaning,
                resolves=() if text is None else text.resolves,
            )
        )
    if len(report.findings) > MOST_FINDINGS:
        text_ = f"{len(report.findings) - MOST_FINDINGS} more are in --json."
        blocks.append(Paragraph(words=(text_,), role="note"))
    if not blocks:
        blocks.append(Paragraph(words=("None.",)))
    return Section(key="findings", title="Findings", blocks=tuple(blocks))


def _provenance(report: RunReport) -> Section:
    pairs: list[tuple[str, Words]] = [("Record", (Code(report.name),))]
    started = report.summary.get("started")
    if isinstance(started, str):
        pairs.append(("Started", (_started(started),)))
    imported = report.summary.get("imports")
    for one in imported[:MOST_IMPORTS] if isinstance(imported, list) else ():
        digest = Code(f"sha256 {str(one.get('sha256'))[:16]}")
        pairs.append(("Imported", (f"{one.get('file')} ({one.get('format')}) ", digest)))
    processes = report.summary.get("processes")
    if isinstance(processes, dict):
        pairs.append(("Python processes", (_processes(processes),)))
    if report.totals is not None:
        nodes = sorted({rank.node for rank in report.totals.ranks})
        told = ", ".join(nodes[:8]) + (" ..." if len(nodes) > 8 else "")
        ledgers = len(report.totals.ranks)
        found = f"{plural(ledgers, 'ledger')}, written on {told}"
        pairs.append(("Steps", (found,)))
    return Section(key="provenance", title="Provenance", blocks=(Pairs(rows=tuple(pairs)),))


def _started(stamp: str) -> str:
    """Write a time as elsewhere on the page; a stamp that is none, or without a zone, as it stands."""
    try:
        at = datetime.fromisoformat(stamp)
        return stamp if at.tzinfo is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError):
        return stamp


def _processes(seen: Mapping[str, Any]) -> str:
    return (
        f"{seen.get('python')} seen, {seen.get('torch')} imported torch, "
        f"{seen.get('recording')} trained and were recorded"
    )
