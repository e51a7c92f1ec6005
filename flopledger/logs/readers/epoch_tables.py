"""Tables with a row an epoch: Ultralytics' ``results.csv``, Keras' CSVLogger, timm's ``summary.csv``.

They give epochs; Ultralytics' ``time`` column is the seconds since the process started. Neither names
hardware, and none tells the amount of data.
"""

import csv
import re
from collections.abc import Iterator

from flopledger.facts import Grade
from flopledger.logs import limits
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_number, parse_positive
from flopledger.logs.reader import Reader
from flopledger.logs.stamps import short_lines

#: A column besides ``epoch`` by which such a table is known.
_LOSSES = ("loss", "train_loss", "train/box_loss", "train/loss", "train/cls_loss")


def _header(head: bytes) -> list[str]:
    first = head.lstrip(b"\xef\xbb\xbf").split(b"\n", 1)[0][:8_000].decode("utf-8", "replace")
    return [cell.strip().strip('"') for cell in first.split(",")]


def sniff(head: bytes, _name: str) -> bool:
    """Recognise a header that begins with the epoch and names a loss, and no step."""
    header = _header(head)
    return header[0] == "epoch" and "step" not in header and any(one in header for one in _LOSSES)


def read(document: Document, notes: Notes) -> None:
    """Write down epochs and, where the table has it, time."""
    lines = short_lines(document)
    try:
        header = [cell.strip() for cell in next(csv.reader([next(lines)[1]]))]
        rows = _rows(document, header, lines)
    except (csv.Error, StopIteration) as error:
        raise EvidenceError(f"{document.name}: not a readable table ({error})") from None
    if not rows:
        raise EvidenceError(f"{document.name}: a table of epochs without a row")
    numbers = [number for number, _, _ in rows]
    from_zero = min(numbers) == 0
    last = max(rows, key=lambda row: row[0])
    notes.fact("epochs", last[0] + (1 if from_zero else 0), last[2] + ", column epoch")
    clocks = [(clock, place) for _, clock, place in rows if clock is not None]
    if len(clocks) == len(rows):
        # The clock starts again when a run is resumed.
        total = sum(
            clock
            for index, (clock, _) in enumerate(clocks)
            if index + 1 == len(clocks) or clocks[index + 1][0] < clock
        )
        notes.fact("timed_seconds", round(total, 6), f"{clocks[-1][1]}, column time")
    if min(numbers) > 1:
        notes.fact("first_epoch", min(numbers), rows[0][2], unit="epochs")
    notes.finding(
        "not-evidence-alone",
        "info",
        "a table of epochs holds losses: neither hardware nor the amount of data",
        "the file",
    )


def _rows(
    document: Document, header: list[str], lines: Iterator[tuple[int, str]]
) -> list[tuple[int, float | None, str]]:
    """Give epoch, clock and place of each row; a row of another width is refused."""
    at_time = header.index("time") if "time" in header else None
    rows = []
    for number, text in lines:
        cells = next(csv.reader([text]), [])
        if not "".join(cells).strip():
            continue
        if len(cells) != len(header):
            raise EvidenceError(
                f"{document.name}: line {number}: {len(cells)} cells under {len(header)} columns"
            )
        epoch = parse_number(cells[0].strip())
        if epoch is None or epoch < 0 or epoch > 1e9:
            raise EvidenceError(f"{document.name}: line {number}: no epoch in the first column")
        clock = parse_positive(cells[at_time].strip()) if at_time is not None else None
        rows.append((int(epoch), float(clock) if clock is not None else None, f"line {number}"))
    return rows


_ARGUMENT = re.compile(r"^([a-z_]{2,30}): '?([^'\n]{1,200}?)'?\s*$")


def sniff_arguments(head: bytes, _name: str) -> bool:
    """Recognise the ``args.yaml`` that Ultralytics leaves beside its results."""
    return (
        head[:200].startswith(b"task: ") and b"\nimgsz: " in head and b"\nmode: train" in head[:400]
    )


def read_arguments(document: Document, notes: Notes) -> None:
    """Write down plan, batch of all devices, image size and devices as they were asked for."""
    names = {"epochs": "planned_epochs", "batch": "global_batch", "imgsz": "image_size"}
    for number, text in enumerate(document.text(limits.SMALL_BYTES).splitlines(), start=1):
        match = _ARGUMENT.match(text)
        if match is None:
            continue
        key, value, place = match[1], match[2], line(number)
        if key in names:
            unit = "pixels" if key == "imgsz" else None
            notes.count(names[key], value, place, unit=unit, grade=Grade.STATEMENT)
        elif key == "model":
            notes.fact("model", value, place, grade=Grade.STATEMENT)
        elif key == "device" and re.fullmatch(r"\d(?:,\d){0,15}", value):
            notes.fact("world_size", value.count(",") + 1, place, grade=Grade.STATEMENT)
        elif key == "amp" and value == "true":
            notes.fact("precision", "fp16", place, grade=Grade.STATEMENT)


ARGUMENTS = Reader(format="ultralytics-args", sniff=sniff_arguments, read=read_arguments)
READER = Reader(format="epoch-table", sniff=sniff, read=read)
