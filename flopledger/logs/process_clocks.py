"""Steps with a clock that starts again with each process, as bars and JSON rows print it.

A resumed run prints the time of its own process. The steps go on where they were, the clock begins at 0:
processes are told apart by the clock, and their times are added up.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from flopledger.logs.notes import Notes, line
from flopledger.logs.stepping import ENDED, note_several_runs

#: A clock that fell below this share of its reading started again; nodes differ by minutes.
_RESTARTED = 0.5


class Tick(NamedTuple):
    """One printed step with the clock beside it."""

    line: int
    step: int  #: steps done so far
    seconds: float | None  #: since this process began; ``None`` where it is not printed
    planned: int | None = None  #: steps that the run means to do


@dataclass(slots=True)
class _Process:
    """What one process did: from the start of its clock on."""

    line: int
    first: int
    last: int
    end: int = 0
    seconds: float = 0.0
    gaps: list[int] = field(default_factory=list)  #: steps between two rows
    repeated: list[int] = field(default_factory=list)  #: lines of steps printed before


def _processes(ticks: Sequence[Tick]) -> list[_Process]:
    """Cut where the clock started again; several nodes that write one file share a clock, nearly."""
    found: list[_Process] = []
    for tick in ticks:
        if not found or (
            tick.seconds is not None and tick.seconds < _RESTARTED * found[-1].seconds
        ):
            found.append(_Process(line=tick.line, first=tick.step, last=tick.step))
        now = found[-1]
        if tick.step > now.last:
            now.gaps.append(tick.step - now.last)
        elif tick.line != now.line:
            now.repeated.append(tick.line)
        now.last, now.end = max(now.last, tick.step), tick.line
        now.seconds = max(now.seconds, tick.seconds or 0.0)
    return found


def note_processes(ticks: Sequence[Tick], notes: Notes) -> None:
    """Write down steps, the plan, and the time to the last row of each process."""
    processes = _processes(ticks)
    interval = statistics.median_low([gap for one in processes for gap in one.gaps] or [1])
    first, last = processes[0], processes[-1]
    before = first.first - interval if first.first > interval else 0
    places = f"lines {first.line} to {last.end}"
    notes.fact("planned_steps", ticks[-1].planned, line(ticks[-1].line))
    if last.last > before:
        notes.fact("steps", last.last - before, line(last.end))
    if before:
        notes.fact("first_step", before, line(first.line))
    if seconds := sum(one.seconds for one in processes):
        notes.fact("seen_seconds", seconds, places)
    lost = sum(max(0, one.last - (after.first - interval)) for one, after in pairwise(processes))
    if lost:
        notes.fact("lost_steps", lost, line(last.line))
    if before or len(processes) > 1:
        notes.finding(
            "resumed-run",
            "info",
            f"the log begins at step {first.first:,} and its clock {len(processes)} times; the "
            f"times were added up, and {lost:,} steps were done again",
            places,
        )
    _note_repeated(processes, notes)


def note_several(ticks: Sequence[Tick], notes: Notes) -> bool:
    """Say whether the rows are of several trainings, after which nothing may be added up or chosen."""
    starts = [
        after.line
        for before, after in pairwise(ticks)
        if after.step < before.step
        and after.step <= ticks[0].step
        and before.planned is not None
        and (before.step >= ENDED * before.planned or after.planned != before.planned)
    ]
    if starts:
        note_several_runs(notes, [ticks[0].line, *starts])
    return bool(starts)


def _note_repeated(processes: Sequence[_Process], notes: Notes) -> None:
    # The end of a training prints its last step once more.
    end = processes[-1].end
    repeated = [number for one in processes for number in one.repeated if number != end]
    if len(repeated) > len(processes):
        notes.finding(
            "duplicate-lines",
            "info",
            f"{len(repeated)} rows repeat a step, as when several nodes write one file; each step "
            "was counted once",
            *(line(number) for number in repeated[:5]),
        )
