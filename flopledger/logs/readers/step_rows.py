"""Logs of one JSON object a line: Detectron2, OpenMMLab, ms-swift, Ray, DeiT's family, and others' own.

What a key says under its name is taken. A number whose key does not say its unit is a time only where the
program is known; the steps of an epoch that is not told how long it is are not guessed.
"""

import codecs
import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from flopledger import foreign_json
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes
from flopledger.logs.reader import Reader
from flopledger.logs.readers import step_row_kinds as kinds
from flopledger.logs.readers.step_row_kinds import Row
from flopledger.logs.stamps import short_lines

#: So many rows are looked at to recognise a program.
_LOOKED_AT = 60
#: Rows of one log; they are kept until its end.
_ROWS = 500_000


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    """One program's rows."""

    format: str
    is_row: Callable[[dict[str, Any]], bool]
    note: Callable[[list[Row], str, Notes], None]
    rows: int = 1  #: so many are needed to recognise it


#: The first that recognises a row reads the file.
_KINDS = (
    _Kind(format="swift-rows", is_row=kinds.is_swift, note=kinds.note_swift),
    _Kind(format="ray-result", is_row=kinds.is_ray, note=kinds.note_ray),
    _Kind(format="detectron2-metrics", is_row=kinds.is_detectron2, note=kinds.note_detectron2),
    _Kind(format="mmengine-scalars", is_row=kinds.is_mmengine, note=kinds.note_mmengine),
    _Kind(format="mmcv-rows", is_row=kinds.is_mmcv, note=kinds.note_mmcv),
    _Kind(format="epoch-rows", is_row=kinds.is_epoch, note=kinds.note_epochs),
    _Kind(format="step-rows", is_row=kinds.is_step, note=kinds.note_steps, rows=3),
)


def _tables(lines: Iterable[tuple[int, str]]) -> Iterator[Row]:
    """Give the rows; what is none (a torn end, a line of another program) is passed over."""
    for number, text in lines:
        if text.lstrip()[:1] != "{":
            continue
        table = foreign_json.table(text)
        if table is not None:
            inner = table.get("metrics")
            whole = table | inner if isinstance(inner, dict) else table
            yield Row(number, whole, hash(text))


def _sniff(kind: _Kind, head: bytes, _name: str) -> bool:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:2_000]
    if b"\0" in head[:4096] or not (start[:1] == b"{" or b"\n{" in start):
        return False
    lines = head.decode("utf-8", "replace").splitlines()[: 2 * _LOOKED_AT]
    found = (kind.is_row(row.table) for row in _tables(enumerate(lines, start=1)))
    return sum(found) >= kind.rows


def _read(kind: _Kind, document: Document, notes: Notes) -> None:
    rows: list[Row] = []
    for row in _tables(document.lines()):
        if kind.is_row(row.table):
            if len(rows) >= _ROWS:
                raise EvidenceError(
                    f"{document.name}: more than {_ROWS:,} rows; hand in an extract, and say so"
                )
            rows.append(row._replace(table=kinds.kept(row.table)))
        elif not rows:
            kinds.note_environment(row, notes)
    if not rows:
        raise EvidenceError(f"{document.name}: no row of {kind.format} that can be read")
    kind.note(rows, document.name, notes)


def _reader(kind: _Kind) -> Reader:
    return Reader(
        format=kind.format,
        sniff=lambda head, name: _sniff(kind, head, name),
        read=lambda document, notes: _read(kind, document, notes),
    )


def sniff_progress(head: bytes, _name: str) -> bool:
    """Recognise the header of Ray's ``progress.csv``."""
    header = head.split(b"\n", 1)[0].strip().split(b",")
    return {b"training_iteration", b"time_total_s"} <= {cell.strip(b'"') for cell in header}


def read_progress(document: Document, notes: Notes) -> None:
    """Write down what Ray's table of reports says: the same as its rows."""
    rows = csv.reader(text for _, text in short_lines(document))
    try:
        header = next(rows)
        found = [
            Row(number, dict(zip(header, row, strict=False))) for number, row in enumerate(rows, 2)
        ]
    except (csv.Error, StopIteration) as error:
        raise EvidenceError(f"{document.name}: not a readable table ({error})") from None
    kinds.note_ray([row for row in found if row.table], document.name, notes)


def _cells(text: str) -> list[str]:
    delimiter = "\t" if "\t" in text else ","
    return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter), [])]


def sniff_table(head: bytes, _name: str) -> bool:
    """Recognise a table with a row a step: its header names a step and a loss, and three rows have both."""
    lines = head.removeprefix(codecs.BOM_UTF8)[:65_536].decode("utf-8", "replace").splitlines()[:20]
    try:
        header = _cells(lines[0]) if lines else []
        rows = [dict(zip(header, _cells(text), strict=False)) for text in lines[1:]]
    except csv.Error:
        return False
    return len(set(header)) == len(header) > 1 and sum(map(kinds.is_step, rows)) >= _KINDS[-1].rows


def read_table(document: Document, notes: Notes) -> None:
    """Write down what a table with a row a step says: the same as such rows of JSON."""
    lines = document.lines()
    rows: list[Row] = []
    try:
        header = _cells(next(lines)[1])
        for number, text in lines:
            cells = _cells(text)
            if len(cells) > len(header):
                raise EvidenceError(
                    f"{document.name}: line {number} has {len(cells)} cells, the header {len(header)}"
                )
            table = {key: cell for key, cell in zip(header, cells, strict=False) if cell}
            if kinds.is_step(table):
                rows.append(Row(number, kinds.kept(table), hash(text)))
            if len(rows) > _ROWS:
                raise EvidenceError(
                    f"{document.name}: more than {_ROWS:,} rows; hand in an extract"
                )
    except (csv.Error, StopIteration) as error:
        raise EvidenceError(f"{document.name}: not a readable table ({error})") from None
    if not rows:
        raise EvidenceError(f"{document.name}: a table without a row of a step and a loss")
    kinds.note_steps(rows, document.name, notes)


TABLE = Reader(format="step-table", sniff=sniff_table, read=read_table)
PROGRESS = Reader(format="ray-progress", sniff=sniff_progress, read=read_progress)
SWIFT = _reader(_KINDS[0])
READERS: tuple[Reader, ...] = (*(_reader(kind) for kind in _KINDS[1:]), PROGRESS)
