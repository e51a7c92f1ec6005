"""The section ``steps`` of ``summary.json``: what a run's step ledgers say, as plain JSON."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flopledger.recording.energy import energy_of_the_work
from flopledger.recording.totals import (
    AttemptTotals,
    RankTotals,
    RunFinding,
    RunTotals,
    read_totals,
)
from flopledger.recording.utilisation import Utilisation, utilisation

MOST_RANKS = 1024
"""Ranks that are listed one by one; the totals are over all of them."""


def steps_section(
    totals: RunTotals,
    *,
    telemetry: Sequence[Mapping[str, Any]] = (),
    energy_joules: float | None = None,
    attributed: bool = False,
) -> tuple[dict[str, Any], list[RunFinding]]:
    """Return the section and the findings that belong beside it.

    Args:
        totals: The run's totals.
        telemetry: The devices of ``summary.json``.
        energy_joules: Their measured energy, for FLOP per joule.
        attributed: Whether something shows that these devices are the run's, and no others.

    """
    energy = energy_of_the_work(totals, telemetry, energy_joules, attributed=attributed)
    used = utilisation(totals, telemetry)
    duration = totals.duration_seconds
    section = {
        "count": totals.steps,
        "count_bounds": [totals.steps, totals.steps_at_most + totals.steps_unwritten],
        "redone": totals.redone_steps,
        "tokens": totals.tokens,
        "samples": totals.samples,
        "model_flop": totals.model_flop,
        "hardware_flop": totals.hardware_flop,
        "model_flop_bounds": list(totals.model_bounds),
        "hardware_flop_bounds": list(totals.hardware_bounds),
        "by_phase": dict(totals.phases),
        "by_dtype": dict(totals.by_dtype),
        "hardware_by_dtype": dict(totals.hardware_by_dtype),
        "span_flop": dict(totals.span_flop),
        "duration_seconds": duration,
        "pause_seconds": totals.pause_seconds,
        "seconds_per_step": _over(duration, totals.steps),
        "tokens_per_second": _over(totals.tokens, duration),
        "samples_per_second": _over(totals.samples, duration),
        "model_flop_per_second": _over(totals.model_flop, duration),
        "model_flop_per_day": pace(totals),
        "goodput": goodput(totals),
        "time_shares": time_shares(totals),
        "energy_joules": energy.joules,
        "energy_devices": list(energy.devices),
        "model_flop_per_joule": _over(totals.model_flop, energy.joules),
        "joules_per_model_flop": _over(energy.joules, totals.model_flop),
        **_used(used),
        "trainings": totals.trainings,
        "processes": len(totals.ranks),
        "attempts": [_attempt(attempt) for attempt in totals.attempts],
        "ranks": [_rank(rank) for rank in totals.ranks[:MOST_RANKS]],
    }
    return section, [*totals.findings, *used.findings, *energy.findings]


def time_shares(totals: RunTotals) -> dict[str, float]:
    """Return where the processes' time went; the shares add up to one.

    ``steps`` is training that stands; ``redone`` was done again later; spans have their names;
    ``recorder`` is what recording itself took between steps (its start, counting new kinds of
    calls); ``waiting`` is what lies there otherwise (data, start-up, logging); ``pauses`` lie
    between a training's attempts. A span of such a name is told as ``span waiting``.
    """
    own = ("steps", "redone", "recorder", "waiting", "pauses")
    seconds = dict.fromkeys(own, 0.0)
    for rank in totals.ranks:
        seconds["steps"] += rank.step_seconds
        seconds["redone"] += rank.redone_seconds
        seconds["recorder"] += rank.recorder_seconds
        seconds["waiting"] += rank.wait_seconds
        for what, span in rank.span_seconds.items():
            name = f"span {what}" if what in own else what
            seconds[name] = seconds.get(name, 0.0) + span
    width = max((len(attempt.ranks) for attempt in totals.attempts), default=1)
    seconds["pauses"] = totals.pause_seconds * width
    whole = sum(seconds.values())
    return {what: share / whole for what, share in seconds.items()} if whole > 0 else {}


def goodput(totals: RunTotals) -> float | None:
    """Return the share of the time that went into steps that stand; None without any time."""
    return time_shares(totals).get("steps")


def pace(source: "RunTotals | Path | str", last_seconds: float | None = None) -> float | None:
    """Return how many model FLOP a day the run makes, pauses between attempts not counted.

    Args:
        source: A run's totals, or its folder.
        last_seconds: Look at this much of its end only, in whole steps (needs the folder): the
            pace now, after a change of batch size or of the number of ranks. By default all of it.

    Returns:
        FLOP a day, or None where nothing is known to say it.

    """
    if isinstance(source, RunTotals):
        return _per_day(source.model_flop, source.duration_seconds)
    if last_seconds is None:
        totals = read_totals(source)
        return None if totals is None else pace(totals)
    return _recent_pace(Path(source), last_seconds)


def _recent_pace(run_dir: Path, last_seconds: float) -> float | None:
    from fractions import Fraction

    from profilers.steps.record.ledger import read_steps

    processes = [process for process in read_steps(run_dir) if process.blocks]
    if not processes:
        return None
    end = max(process.wall_at(process.blocks[-1].end_us[-1]) for process in processes)
    since = end - round(last_seconds * 1e9)
    flop, first = Fraction(0), end
    for process in processes:
        for step in process.steps():
            begin = process.wall_at(step.end_us - step.duration_us - step.wait_us)
            if begin < since:
                continue
            first = min(first, begin)
            for cost, times in step.calls:
                model = process.costs[cost].model_flop
                if model is None:
                    return None
                flop += model * times
    return _per_day(round(flop), (end - first) / 1e9)


def _per_day(flop: int | None, seconds: float) -> float | None:
    return None if flop is None or seconds <= 0 else flop / seconds * 86_400


def _over(part: float | None, whole: float | None) -> float | None:
    return None if part is None or whole is None or whole <= 0 else part / whole


def _used(used: Utilisation) -> dict[str, Any]:
    return {
        "mfu": used.mfu,
        "hfu": used.hfu,
        "mfu_basis": None
        if used.device is None
        else {
            "device": used.device,
            "name": used.name,
            "count": used.device_count,
            "dtype": used.dtype,
            "peak_flop_per_second": used.peak_flop_per_second,
        },
    }


def _attempt(attempt: AttemptTotals) -> dict[str, Any]:
    return {
        "training": attempt.training,
        "attempt": attempt.attempt,
        "world_size": attempt.world_size,
        "ranks": len(attempt.ranks),
        "start": attempt.start_ns / 1e9,
        "end": attempt.last_ns / 1e9,
        "first_step": attempt.first_step,
        "last_step": attempt.last_step,
        "resumed_after": attempt.resumed_after,
        "steps": attempt.steps,
        "redone_steps": attempt.redone_steps,
        "model_flop": attempt.model_flop,
        "redone_flop": attempt.redone_flop,
        "sealed": attempt.sealed,
    }


def _rank(rank: RankTotals) -> dict[str, Any]:
    return {
        "rank": rank.rank,
        "node": rank.node,
        "pid": rank.pid,
        "ledger": rank.folder,
        "training": rank.training,
        "attempt": rank.attempt,
        "steps": rank.steps,
        "redone_steps": rank.redone_steps,
        "model_flop": rank.counted.model,
        "sealed": rank.sealed,
    }


def as_findings(findings: Iterable[RunFinding]) -> list[dict[str, Any]]:
    """Return findings as ``summary.json`` holds them."""
    return [
        {
            "code": finding.code,
            "severity": finding.severity,
            "message": finding.message,
            "evidence": list(finding.evidence),
        }
        for finding in findings
    ]
