"""LLaMA-Factory's ``trainer_log.jsonl``: how far the run was, row by row.

``elapsed_time`` starts again when a run is resumed, ``current_steps`` goes on. ``total_tokens`` is the
Trainer's counter of input tokens, padding included unless it was told otherwise.
"""

import statistics
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from flopledger import foreign_json
from flopledger.facts import Grade
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count, parse_duration, parse_positive
from flopledger.logs.reader import Reader

#: A clock that fell below this share of its reading started again; nodes differ by minutes.
_RESTARTED = 0.5


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


def sniff(head: bytes, _name: str) -> bool:
    """Recognise a row."""
    first = head.lstrip()[:2000].split(b"\n", 1)[0]
    return first[:1] == b"{" and b'"current_steps"' in first and b'"total_steps"' in first


def read(document: Document, notes: Notes) -> None:
    """Write down steps, epochs, time and tokens up to the last row."""
    runs = _runs(document)
    if not runs:
        raise EvidenceError(f"{document.name}: no row of a trainer log")
    rows = runs[-1]
    if not any(row.get("loss") is not None or row.get("epoch") for _, row in rows):
        notes.finding(
            "not-evidence-alone",
            "info",
            "the rows count evaluation or prediction, no training: no loss and no epoch",
            line(rows[-1][0]),
        )
        return
    if len(runs) > 1:
        notes.finding(
            "several-runs",
            "warning",
            f"the log holds {len(runs)} trainings, appended to each other; the last one is read, the "
            "others are compute spent as well",
            *(line(run[0][0]) for run in runs[:20]),
        )
    _note_steps(rows, notes)
    number, last = rows[-1]
    notes.fact("epochs", parse_positive(last.get("epoch")), line(number))
    tokens = parse_count(last.get("total_tokens"))
    notes.fact("tokens", tokens, line(number), grade=Grade.CLAIM)


def _runs(document: Document) -> list[list[tuple[int, dict[str, Any]]]]:
    """Give the rows by training: another one plans other steps, or begins where the first began."""
    runs: list[list[tuple[int, dict[str, Any]]]] = []
    for number, text in document.lines():
        row = foreign_json.table(text) or {}  # the last row of a run that was killed may be torn
        step = parse_count(row.get("current_steps"))
        if step is None or (row.get("eval_loss") is not None and row.get("loss") is None):
            continue  # an evaluation after a step
        before = runs[-1] if runs else []
        if (
            not before
            or row.get("total_steps") != before[-1][1].get("total_steps")
            or (step < before[-1][1]["current_steps"] and step <= before[0][1]["current_steps"])
        ):
            runs.append([])
        runs[-1].append((number, row))
    return runs


def _processes(rows: list[tuple[int, dict[str, Any]]]) -> list[_Process]:
    """Cut where the clock started again; several nodes that write one file share a clock, nearly."""
    found: list[_Process] = []
    for number, row in rows:
        seconds, step = _elapsed(row.get("elapsed_time")), int(row["current_steps"])
        if not found or (seconds is not None and seconds < _RESTARTED * found[-1].seconds):
            found.append(_Process(line=number, first=step, last=step))
        now = found[-1]
        if step > now.last:
            now.gaps.append(step - now.last)
        elif number != now.line:
            now.repeated.append(number)
        now.last, now.end = max(now.last, step), number
        now.seconds = max(now.seconds, seconds or 0.0)
    return found


def _note_steps(rows: list[tuple[int, dict[str, Any]]], notes: Notes) -> None:
    processes = _processes(rows)
    interval = statistics.median_low([gap for one in processes for gap in one.gaps] or [1])
    first, last = processes[0], processes[-1]
    before = first.first - interval if first.first > interval else 0
    places = f"lines {first.line} to {last.end}"
    planned = parse_count(rows[-1][1].get("total_steps"))
    notes.fact("planned_steps", planned, line(rows[-1][0]))
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
    # The end of a training prints its last step once more.
    repeated = [number for one in processes for number in one.repeated if number != last.end]
    if len(repeated) > len(processes):
        notes.finding(
            "duplicate-lines",
            "info",
            f"{len(repeated)} rows repeat a step, as when several nodes write one file; each step "
            "was counted once",
            *(line(number) for number in repeated[:5]),
        )


def _elapsed(value: object) -> float | None:
    return parse_duration(value) if isinstance(value, str) else None


READER = Reader(format="llama-factory-log", sniff=sniff, read=read)
