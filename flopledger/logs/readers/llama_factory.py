"""LLaMA-Factory's ``trainer_log.jsonl``: how far the run was, row by row.

``elapsed_time`` starts again when a run is resumed, ``current_steps`` goes on. ``total_tokens`` is the
Trainer's counter of input tokens, padding included unless it was told otherwise.
"""

from typing import Any

from flopledger import foreign_json
from flopledger.facts import Grade
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count, parse_duration
from flopledger.logs.process_clocks import Tick, note_processes
from flopledger.logs.reader import Reader


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
    note_processes(_ticks(rows), notes)
    number, last = rows[-1]
    notes.positive("epochs", last.get("epoch"), line(number))
    notes.count("tokens", last.get("total_tokens"), line(number), grade=Grade.CLAIM)


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


def _ticks(rows: list[tuple[int, dict[str, Any]]]) -> list[Tick]:
    return [
        Tick(
            number,
            int(row["current_steps"]),
            _elapsed(row.get("elapsed_time")),
            parse_count(row.get("total_steps")),
        )
        for number, row in rows
    ]


def _elapsed(value: object) -> float | None:
    return parse_duration(value) if isinstance(value, str) else None


READER = Reader(format="llama-factory-log", sniff=sniff, read=read)
