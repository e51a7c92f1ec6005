"""Tables that trackers hand out: a W&B run's history, a TensorBoard series downloaded as CSV."""

import csv
from collections.abc import Iterator

from flopledger.logs import scalars
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes
from flopledger.logs.numbers import parse_number
from flopledger.logs.reader import Reader
from flopledger.logs.stamps import short_lines

_SERIES = ["Wall time", "Step", "Value"]
_COLUMNS = 500


def _header(head: bytes) -> list[str]:
    first = head.split(b"\n", 1)[0].decode("utf-8-sig", "replace").strip()
    return [cell.strip().strip('"') for cell in first.split(",")][:_COLUMNS]


def sniff_history(head: bytes, _name: str) -> bool:
    """Recognise ``run.history().to_csv()``: W&B's own columns stand beside the program's."""
    header = _header(head)
    return "_step" in header and bool({"_runtime", "_timestamp"} & set(header))


def sniff_series(head: bytes, _name: str) -> bool:
    """Recognise a series as TensorBoard's page downloads it."""
    return _header(head) == _SERIES


def _rows(document: Document) -> Iterator[tuple[int, dict[str, str]]]:
    rows = csv.reader(text for _, text in short_lines(document))
    try:
        header = next(rows)
        for count, row in enumerate(rows, start=2):
            if len(row) > len(header):
                raise EvidenceError(
                    f"{document.name}: row {count} has {len(row)} cells, the header {len(header)}"
                )
            yield count, dict(zip(header, row, strict=False))
    except (csv.Error, StopIteration) as error:
        raise EvidenceError(f"{document.name}: not a readable table ({error})") from None


def read_history(document: Document, notes: Notes) -> None:
    """Write down the last value of every tag that is understood, and how long the run took."""
    last: dict[str, tuple[int, str]] = {}
    counts = scalars.StepCounts()
    runtime: float | None = None
    first = latest = None
    for count, row in _rows(document):
        for tag, cell in row.items():
            if cell.strip() and scalars.is_understood(tag):
                last[tag] = (count, cell)
                counts.take(tag, cell, f"row {count}, column {tag}")
        runtime = max(
            (one for one in (runtime, parse_number(row.get("_runtime"))) if one), default=None
        )
        stamp = parse_number(row.get("_timestamp"))
        if stamp is not None:
            first, latest = (stamp if first is None else first), stamp
    counts.note(notes)
    for tag, (count, cell) in sorted(last.items()):
        scalars.note_metric(tag, cell, f"row {count}, column {tag}", notes)
    if runtime is not None:
        notes.fact("wall_seconds", runtime, "column _runtime")
    elif first is not None and latest is not None and latest > first:
        notes.fact("seen_seconds", latest - first, "column _timestamp")
    notes.finding(
        "not-evidence-alone",
        "info",
        "a history of W&B holds what the program logged: wandb-metadata.json and config.yaml beside it tell "
        "the hardware and the settings; rows may be a sample (history() gives 500)",
        "the file",
    )


def read_series(document: Document, notes: Notes) -> None:
    """Write down the span of a series; its steps are in the program's own count."""
    stamps = [
        stamp
        for _, row in _rows(document)
        if (stamp := parse_number(row.get("Wall time"))) is not None
    ]
    if len(stamps) > 1 and max(stamps) > min(stamps):
        notes.fact("seen_seconds", max(stamps) - min(stamps), "column Wall time, a lower bound")
    notes.finding(
        "not-evidence-alone",
        "info",
        "a series of TensorBoard holds stamps and one value: the event file itself tells which, and more",
        "the file",
    )


HISTORY = Reader(format="wandb-history", sniff=sniff_history, read=read_history)
SERIES = Reader(format="tensorboard-csv", sniff=sniff_series, read=read_series)
