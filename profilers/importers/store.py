"""A recording into a run's record: one journal a file, samples straight into Parquet.

Memory stays flat: row groups are written as they fill. The columns are those of
``profilers.journal``; a figure that is not whole stays a float, nothing is rounded away.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from profilers.clocks import ClockPair
from profilers.importers.assemble import Assembler, Stretch
from profilers.importers.columns import table_of_block
from profilers.importers.errors import ImportFormatError
from profilers.importers.identity import safe
from profilers.importers.opened import Opened
from profilers.importers.recording import Block, Clock, Finding, Recording
from profilers.journal import LEDGER, Journal, node_folder
from profilers.trace import Device, DeviceKey, Event

PARSER_VERSION = 1
ROW_GROUP = 1 << 18
_TEXTS = ("device", "unavailable")


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """What became of one file."""

    file: str
    format: str
    sha256: str
    clock: str
    scope: str
    folder: Path
    rows: int
    devices: tuple[Device, ...]
    first_ns: int | None
    last_ns: int | None
    covered_seconds: float
    """Device-seconds that some sample speaks for."""
    findings: tuple[Finding, ...]


def folder_of(run_dir: Path, opened: Opened, recording: Recording, node: str | None) -> Path:
    """Return the folder that a recording goes to: its host and the first of its digest."""
    return node_folder(run_dir, safe(node or recording.format), opened.digest())


def store(
    run_dir: Path,
    opened: Opened,
    recording: Recording,
    *,
    node: str | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Imported:
    """Write a recording into ``run_dir``. ``progress`` is told the rows written so far.

    Raises ``ImportFormatError`` where the same content is there already.
    """
    digest = opened.digest()
    host = safe(node or recording.format)
    folder = node_folder(run_dir, host, digest)
    if (folder / LEDGER).exists():
        raise ImportFormatError(
            f"is already in this record ({folder.name}); the same content counts once",
            file=opened.name,
        )
    journal = Journal.open(
        run_dir,
        node=host,
        boot=digest,
        anchor=ClockPair(monotonic_ns=0, wall_ns=0),
        about={
            "imported": {
                "file": opened.path.name,
                "sha256": digest,
                "format": recording.format,
                "parser": PARSER_VERSION,
                "clock": recording.clock.value,
                "scope": recording.scope,
                **recording.facts,
            }
        },
    )
    writer = _Writer(journal, recording.clock)
    try:
        assembler = Assembler(recording)
        for block in recording.blocks:
            if parts := list(assembler.stretches(block)):
                writer.add(block, parts)
                progress(writer.rows)
        writer.close()
        if not writer.rows:
            raise ImportFormatError("holds no sample of any device", file=opened.name)
        _tell(journal, writer, recording)
    finally:
        writer.abandon()
        journal.seal("imported")
    return Imported(
        file=opened.name,
        format=recording.format,
        sha256=digest,
        clock=recording.clock.value,
        scope=recording.scope,
        folder=folder,
        rows=writer.rows,
        devices=tuple(writer.devices.values()),
        first_ns=writer.first_ns,
        last_ns=writer.last_ns,
        covered_seconds=writer.covered_ns / 1e9,
        findings=tuple(recording.findings),
    )


def _tell(journal: Journal, writer: "_Writer", recording: Recording) -> None:
    """Record devices, the run's ends and the findings, once all rows were read."""
    journal.describe(list(writer.devices.values()))
    assert writer.first_ns is not None
    assert writer.last_ns is not None
    journal.note("run", what="start", time_ns=writer.first_ns)
    journal.note("run", what="end", time_ns=writer.last_ns)
    for finding in recording.findings:
        detail: dict[str, str | int | float | bool | None] = {
            "message": finding.message,
            "count": finding.count,
        }
        if finding.line is not None:
            detail["line"] = finding.line
        journal.event(Event(time_ns=writer.first_ns, kind=finding.code, detail=detail))


@dataclass(slots=True)
class _Writer:
    """Collects tables until a row group is full and appends it to the segment's Parquet file.

    A block may bring a signal that the ones before it lacked (a device that appears late): the
    open file is closed and a new segment begins with the wider columns.
    """

    journal: Journal
    clock: Clock
    rows: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    covered_ns: int = 0
    devices: dict[DeviceKey, Device] = field(default_factory=dict)
    _waiting: list[pa.Table] = field(default_factory=list)
    _waiting_rows: int = 0
    _file: Any = None
    _path: Path | None = None
    _file_rows: int = 0
    _schema: Any = None
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(max_workers=1))
    _pending: Future[None] | None = None

    def add(self, block: Block, parts: Sequence[Stretch]) -> None:
        for part in parts:
            for gap in part.gaps:
                self.journal.gap(gap)
            device = block.devices[part.place]
            self.devices[device.key] = device
            first = int(part.time_ns[0] - part.period_ns[0])
            last = int(part.time_ns[-1])
            self.first_ns = first if self.first_ns is None else min(self.first_ns, first)
            self.last_ns = last if self.last_ns is None else max(self.last_ns, last)
            self.covered_ns += int(part.period_ns.sum())
            self.rows += len(part.rows)
            self._waiting_rows += len(part.rows)
        self._waiting.append(table_of_block(block, parts, self.clock))
        if self._waiting_rows >= ROW_GROUP:
            self._write()

    def close(self) -> None:
        if self._waiting:
            self._write()
        self._finish()

    def abandon(self) -> None:
        """Remove a segment that was never finished; nothing of it was acknowledged."""
        self._pool.shutdown(wait=True)
        if self._file is not None and self._path is not None:
            self._file.close()
            self._file = None
            self._draft().unlink(missing_ok=True)

    def _draft(self) -> Path:
        assert self._path is not None
        return self._path.with_suffix(".parquet.part")

    def _write(self) -> None:
        table = pa.concat_tables(self._waiting, promote_options="permissive")
        self._waiting, self._waiting_rows = [], 0
        if self._file is not None:
            fitted = _fitted(table, self._schema)
            if fitted is None:
                self._finish()
            else:
                table = fitted
        if self._file is None:
            self._open(table.schema)
        self._settle()
        self._pending = self._pool.submit(self._file.write_table, table, row_group_size=ROW_GROUP)
        self._file_rows += table.num_rows

    def _settle(self) -> None:
        """Wait for the row group that is being compressed beside the reading of the next."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _open(self, schema: pa.Schema) -> None:
        self._path = self.journal.next_parquet()
        self._schema = schema
        whole = [f.name for f in schema if pa.types.is_integer(f.type)]
        self._file = pq.ParquetWriter(
            self._draft(),
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=[name for name in _TEXTS if name in schema.names],
            column_encoding=dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
        )
        self._file_rows = 0

    def _finish(self) -> None:
        if self._file is None or self._path is None:
            return
        self._settle()
        self._file.close()
        self._file = None
        with self._draft().open("rb") as stream:
            os.fsync(stream.fileno())
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        self._draft().replace(self._path)
        self.journal.compacted(file=self._path.name, sha256=digest, rows=self._file_rows, of=[])


def _fitted(table: pa.Table, schema: pa.Schema) -> pa.Table | None:
    """Return a table in the columns of the open file; None where it would lose something."""
    if any(name not in schema.names for name in table.schema.names):
        return None
    columns = []
    for wanted in schema:
        if wanted.name not in table.schema.names:
            columns.append(pa.nulls(table.num_rows, wanted.type))
            continue
        column = table.column(wanted.name)
        if column.type != wanted.type:
            if pa.types.is_integer(wanted.type):
                return None
            column = column.cast(wanted.type)
        columns.append(column)
    return pa.table(columns, schema=schema)
