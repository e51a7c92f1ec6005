"""Tables of a run's report: time, work, attempts, processes, devices."""

from collections.abc import Mapping

from flopledger.recording.totals import RunTotals
from flopledger.reports.document import (
    Block,
    Code,
    Paragraph,
    Row,
    Section,
    Table,
    columns,
    row,
)
from flopledger.reports.run_report import RunReport
from flopledger.reports.run_words import figure, moment
from flopledger.text import duration, energy, number, per_cent

MOST_RANKS = 64
_PHASES = (
    ("forward", "forward", "model and hardware"),
    ("backward", "backward", "model and hardware"),
    ("recompute", "recomputation", "hardware"),
    ("redone", "steps done again", "hardware"),
)
_SHARES = {
    "steps": "training steps that stand",
    "redone": "steps that were done again later",
    "recorder": "recording itself: its start, counting new kinds of calls",
    "waiting": "waiting: data, start-up, logging",
    "pauses": "pauses between attempts",
}


def time(report: RunReport) -> Section | None:
    """Say where the processes spent their time."""
    if report.section is None or not report.section["time_shares"]:
        return None
    shares: Mapping[str, float] = report.section["time_shares"]
    rows = [
        row(_SHARES.get(what, what), per_cent(share))
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


def work(report: RunReport) -> Section | None:
    """Say what was computed, by phase and by precision."""
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


def executed(report: RunReport) -> Section | None:
    """Say what the devices can have executed, from what was seen of them."""
    bounds = report.summary.get("flop_bounds")
    if not isinstance(bounds, dict) or executed_bounds(report) is None:
        return None
    each = bounds.get("by_precision")
    rows = [
        row(Code(str(name)), *(number(end) for end in found))
        for name, ends in (each.items() if isinstance(each, dict) else ())
        if (found := _ends(ends)) is not None
    ]
    note = (
        f"Of the matrix units, by {bounds.get('grade')}; dense: structured sparsity would double each. "
        "With vector arithmetic, and any clock between two samples: ",
        Code("hard"),
        " in summary.json.",
    )
    return Section(
        key="executed",
        title="What the devices can have executed",
        blocks=(
            Table(
                caption="Executed FLOP, if all of it was of one precision",
                columns=columns("If all of it was", "#At least", "#At most"),
                rows=tuple(rows),
            ),
            Paragraph(words=note, role="note"),
        ),
    )


def executed_bounds(report: RunReport) -> tuple[float | None, float | None] | None:
    """Give least and most FLOP that the devices executed; ``None`` where nothing bounds them."""
    return _ends(report.summary.get("flop_bounds"))


def _ends(bounds: object) -> tuple[float | None, float | None] | None:
    if not isinstance(bounds, dict) or (low := figure(bounds, "low")) is None:
        return None
    return low, figure(bounds, "high")


def attempts(report: RunReport) -> Section | None:
    """List the attempts of a run that was begun more than once."""
    totals = report.totals
    if totals is None or len(totals.attempts) < 2:
        return None
    several = totals.trainings > 1
    rows = [
        row(
            f"{one.training + 1}.{one.attempt + 1}" if several else str(one.attempt + 1),
            moment(one.start_ns),
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


def ranks(report: RunReport) -> Section | None:
    """List the processes, where there are several."""
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
        per_cent(share),
        one.sealed or "without a word (killed, or still running)",
    )


def devices(report: RunReport) -> Section | None:
    """List the devices, as the wrapper saw them."""
    devices = report.summary.get("devices")
    found = [one for one in devices if isinstance(one, dict)] if isinstance(devices, list) else []
    if not found:
        return None
    rows = tuple(
        row(
            str(one.get("name") or "not named"),
            Code(str(one.get("mig") or one.get("uuid") or "")),
            str(one.get("status") or ""),
            energy(figure(one, "energy_joules")),
            duration(figure(one, "busy_seconds")),
            per_cent(figure(one, "tensor_activity")),
            duration(figure(one, "covered_seconds")),
        )
        for one in found[:MOST_RANKS]
    )
    more = len(found) - len(rows)
    text = f"The first {len(rows)} of {len(found):,} devices; --json lists all."
    notes = (Paragraph(words=(text,), role="note"),) if more else ()
    heads = columns("Device", "~Id", "Seen", "#Energy", "#Busy", "#Tensor pipes", "#Time seen")
    return Section(
        key="devices",
        title="Devices",
        blocks=(Table(caption="Devices of the run", columns=heads, rows=rows), *notes),
    )
