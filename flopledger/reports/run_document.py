"""What a training run's report says: figures first, then how they came about."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, cast

from flopledger import __version__
from flopledger.recording.totals import RunTotals
from flopledger.reports import run_charts
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
    Row,
    Section,
    Stat,
    Table,
    Words,
    columns,
    row,
    sentence,
    visible,
)
from flopledger.reports.explanations import explain
from flopledger.reports.run_report import RunReport
from flopledger.text import number

MOST_RANKS = 64
MOST_FINDINGS = 60
_PHASES = (
    ("forward", "forward", "model and hardware"),
    ("backward", "backward", "model and hardware"),
    ("recompute", "recomputation", "hardware"),
    ("redone", "steps done again", "hardware"),
)
_SHARES = {
    "steps": "training steps that stand",
    "redone": "steps that were done again later",
    "waiting": "waiting: data, start-up, logging",
    "pauses": "pauses between attempts",
}


def document(report: RunReport) -> Document:
    """Decide the whole report; a section that has nothing to say is left out."""
    found = (
        _over_time(report),
        _time(report),
        _work(report),
        _attempts(report),
        _ranks(report),
        _devices(report),
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
        sections=tuple(section for section in found if section is not None),
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
        f"{done}: {section['mfu']:.1%} of what {basis['count']} × {basis['name']} can do in "
        f"{basis['dtype']}."
    )


def _stats(report: RunReport) -> tuple[Stat, ...]:
    section = report.section
    stats: list[Stat] = []
    if section is not None:
        stats += [
            Stat(label="Model FLOP", value=_flop(section, "model_flop"), note=_per_day(section)),
            Stat(
                label="Hardware FLOP",
                value=_flop(section, "hardware_flop"),
                note="with recomputation and steps done again",
            ),
            _utilisation(section),
            _amount(section),
            Stat(
                label="Goodput",
                value=_percent(section["goodput"]),
                note="of the processes' time went into steps that stand",
            ),
        ]
    joules = report.summary.get("energy_joules")
    per = None if section is None else section["model_flop_per_joule"]
    stats.append(
        Stat(
            label="Energy",
            value=energy(joules if isinstance(joules, int | float) else None),
            note="" if per is None else f"{number(per)} model FLOP a joule",
        )
    )
    return tuple(stats)


def _amount(section: Mapping[str, Any]) -> Stat:
    if section["tokens"] is None and section["samples"] is not None:
        rate = _rate(section["samples_per_second"], "a second; tokens are not known")
        return Stat(label="Samples", value=_count(section["samples"]), note=rate)
    rate = _rate(section["tokens_per_second"], "a second")
    return Stat(label="Tokens", value=_count(section["tokens"]), note=rate)


def _utilisation(section: Mapping[str, Any]) -> Stat:
    if section["mfu"] is None:
        return Stat(label="MFU", value="not known", note="no peak of the devices, or no FLOP")
    hfu = "" if section["hfu"] is None else f"HFU {section['hfu']:.1%}; "
    basis = section["mfu_basis"]
    rated = number(basis["peak_flop_per_second"])
    return Stat(
        label="MFU",
        value=_percent(section["mfu"]),
        note=f"{hfu}peak {rated} FLOP/s in {basis['dtype']}",
    )


def _over_time(report: RunReport) -> Section | None:
    blocks: list[Block] = []
    if report.series is not None and report.section is not None:
        basis = report.section["mfu_basis"]
        peak = None if basis is None else basis["peak_flop_per_second"] * basis["count"]
        chart = run_charts.steps_chart(report.series, peak)
        words = (run_charts.caption(report.series),)
        blocks.append(Figure(key="steps", chart=chart, caption=words))
    if report.telemetry is not None:
        chart = telemetry_chart(report.telemetry, "Devices over time")
        blocks.append(
            Figure(key="devices", chart=chart, caption=(telemetry_caption(report.telemetry),))
        )
    return Section(key="time", title="Over time", blocks=tuple(blocks)) if blocks else None


def _time(report: RunReport) -> Section | None:
    if report.section is None or not report.section["time_shares"]:
        return None
    shares: Mapping[str, float] = report.section["time_shares"]
    rows = [
        row(_SHARES.get(what, what), f"{share:.1%}")
        for what, share in sorted(shares.items(), key=lambda pair: -pair[1])
        if share > 0 or what == "steps"
    ]
    return Section(
        key="goodput",
        title="Where the time went",
        blocks=(
            Table(
                caption="Shares of the processes' time",
                columns=columns("What", "#Share"),
                rows=tuple(rows),
            ),
            Paragraph(
                words=("Shares of the time of all processes together, from a process's start to its "
                "last step.",),
                role="note",
            ),
        ),
    )  # fmt: skip


def _work(report: RunReport) -> Section | None:
    section = report.section
    if section is None:
        return None
    phases = section["by_phase"]
    rows = [
        row(words, number(phases[name]) if phases[name] else "0", counts)
        for name, words, counts in _PHASES
    ]
    rows += [
        row(what, number(flop), "in neither figure")
        for what, flop in section["span_flop"].items()
        if flop
    ]
    dtypes = [
        row(Code(name), number(flop), number(section["by_dtype"].get(name, 0)))
        for name, flop in section["hardware_by_dtype"].items()
    ]
    blocks: list[Block] = [
        Table(
            caption="FLOP by phase",
            columns=columns("Phase", "#FLOP", "Counts as"),
            rows=tuple(rows),
        )
    ]
    if dtypes:
        blocks.append(
            Table(
                caption="FLOP by what the matrix units were fed with",
                columns=columns("Precision", "#Hardware FLOP", "#Of these model FLOP"),
                rows=tuple(dtypes),
            )
        )
    if section["model_flop"] is None or section["hardware_flop"] is None:
        low, high = section["hardware_flop_bounds"]
        upper = "no upper bound" if high is None else f"at most {number(high)}"
        text = f"Something could not be counted: hardware FLOP are at least {number(low)}, {upper}."
        blocks.append(Paragraph(words=(text,)))
    return Section(key="work", title="What the work was", blocks=tuple(blocks))


def _attempts(report: RunReport) -> Section | None:
    totals = report.totals
    if totals is None or len(totals.attempts) < 2:
        return None
    several = totals.trainings > 1
    rows = [
        row(
            f"{one.training + 1}.{one.attempt + 1}" if several else str(one.attempt + 1),
            _when(one.start_ns),
            duration((one.last_ns - one.start_ns) / 1e9),
            "none" if one.first_step is None else f"{one.first_step:,} to {one.last_step:,}",
            "the beginning" if one.resumed_after is None else f"step {one.resumed_after:,}",
            f"{one.redone_steps:,}",
            number(one.model_flop),
            f"{len(one.ranks)} of {one.world_size}",
        )
        for one in totals.attempts
    ]
    return Section(
        key="attempts",
        title="Attempts",
        blocks=(
            Table(
                caption="The run's launches",
                columns=columns(
                    "Attempt", "Start", "#Time", "#Steps", "Went on from", "#Done again later",
                    "#Model FLOP that stand", "#Ranks",
                ),
                rows=tuple(rows),
            ),
        ),
    )  # fmt: skip


def _ranks(report: RunReport) -> Section | None:
    totals = report.totals
    if totals is None or len(totals.ranks) < 2:
        return None
    shown = totals.ranks[:MOST_RANKS]
    blocks: list[Block] = [
        Table(
            caption="Processes",
            columns=columns(
                "#Rank", "Node", "#Attempt", "#Steps", "#Model FLOP", "#In steps", "Ended"
            ),
            rows=tuple(_rank_row(totals, place) for place in range(len(shown))),
        )
    ]
    if len(totals.ranks) > len(shown):
        text = f"The first {len(shown)} of {len(totals.ranks):,} processes; --json lists more."
        blocks.append(Paragraph(words=(text,), role="note"))
    return Section(key="ranks", title="Processes", blocks=tuple(blocks))


def _rank_row(totals: RunTotals, place: int) -> Row:
    one = totals.ranks[place]
    seconds = (one.last_ns - one.start_ns) / 1e9
    share = one.step_seconds / seconds if seconds > 0 else None
    return row(
        str(one.rank),
        one.node,
        str(one.attempt + 1),
        f"{one.steps:,}",
        number(one.counted.model),
        _percent(share),
        one.sealed or "without a word (killed, or still running)",
    )


def _devices(report: RunReport) -> Section | None:
    devices = report.summary.get("devices")
    found = [one for one in devices if isinstance(one, dict)] if isinstance(devices, list) else []
    if not found:
        return None
    rows = tuple(
        row(
            str(one.get("name") or "not named"),
            Code(str(one.get("mig") or one.get("uuid") or "")),
            str(one.get("status") or ""),
            energy(_figure(one, "energy_joules")),
            duration(_figure(one, "busy_seconds")),
            _percent(_figure(one, "tensor_activity")),
            duration(_figure(one, "covered_seconds")),
        )
        for one in found[:MOST_RANKS]
    )
    heads = columns("Device", "~Id", "Seen", "#Energy", "#Busy", "#Tensor pipes", "#Time seen")
    return Section(
        key="devices",
        title="Devices",
        blocks=(Table(caption="Devices of the run", columns=heads, rows=rows),),
    )


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
        pairs.append(("Started", (started,)))
    processes = report.summary.get("processes")
    if isinstance(processes, dict):
        pairs.append(("Python processes", (_processes(processes),)))
    if report.totals is not None:
        nodes = sorted({rank.node for rank in report.totals.ranks})
        told = ", ".join(nodes[:8]) + (" ..." if len(nodes) > 8 else "")
        pairs.append(
            ("Step ledgers", (f"{len(report.totals.ranks)} of {len(nodes)} nodes: {told}",))
        )
    return Section(key="provenance", title="Provenance", blocks=(Pairs(rows=tuple(pairs)),))


def _processes(seen: Mapping[str, Any]) -> str:
    return (
        f"{seen.get('python')} seen, {seen.get('torch')} imported torch, "
        f"{seen.get('recording')} trained and were recorded"
    )


def duration(seconds: float | None) -> str:
    """Write a duration for people."""
    if seconds is None:
        return "not known"
    if seconds < 120:
        return f"{number(seconds)} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:,.1f} h" if hours < 72 else f"{hours / 24:,.1f} days"


def energy(joules: float | None) -> str:
    """Write an energy for people."""
    if joules is None:
        return "not known"
    if joules >= 360_000:
        return f"{number(joules / 3.6e6)} kWh"
    return f"{number(joules / 1000)} kJ" if joules >= 1000 else f"{number(joules)} J"


def _flop(section: Mapping[str, Any], name: str) -> str:
    if section[name] is not None:
        return number(section[name])
    low, high = section[f"{name}_bounds"]
    return f"at least {number(low)}" if high is None else f"{number(low)} to {number(high)}"


def _per_day(section: Mapping[str, Any]) -> str:
    pace = section["model_flop_per_day"]
    return "" if pace is None else f"{number(pace)} a day at this pace"


def _count(value: int | None) -> str:
    return number(value) if value is None or value >= 1_000_000 else f"{value:,}"


def _rate(value: float | None, words: str) -> str:
    return "" if value is None else f"{number(value)} {words}"


def _percent(share: float | None) -> str:
    return "not known" if share is None else f"{share:.1%}"


def _figure(entry: Mapping[str, Any], name: str) -> float | None:
    value = entry.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _when(at_ns: int) -> str:
    try:
        return datetime.fromtimestamp(at_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return "not known"
