"""Tables of samples into the Parquet segments of a record, in memory of one row group.

All segments of one record have the same type for the same column, because readers put them
together. A column whose figures were whole so far and then are not begins a new segment; the
earlier ones are cast when everything was read, and nothing is rounded.
"""

import hashlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from profilers.journal import Journal

ROW_GROUP = 1 << 18
_BEHIND = 2
"""Row groups that may wait to be compressed."""
_TEXTS = ("device", "unavailable")


class Segments:
    """Collects tables until a row group is full and compresses it beside the reading of the next.

    What is written are drafts in ``folder`` until ``close`` hands them to a journal; ``abandon``
    leaves no file behind.
    """

    def __init__(self, folder: Path, row_group: int | None = None) -> None:
        self._folder = folder
        self._row_group = ROW_GROUP if row_group is None else row_group
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._drafts: list[tuple[Path, Any]] = []
        self._file: Any = None
        self._schema: Any = None
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._pending: deque[Future[None]] = deque()

    def add(self, table: pa.Table) -> None:
        """Take a table; write when a row group is full."""
        self._waiting.append(table)
        self._waiting_rows += table.num_rows
        if self._waiting_rows >= self._row_group:
            self._write()

    def close(self, journal: Journal) -> None:
        """Write what waits, give all segments the same types and put them into the journal."""
        if self._waiting:
            self._write()
        self._end()
        types = _united([schema for _, schema in self._drafts])
        for path, schema in self._drafts:
            if any(field.type != types[field.name] for field in schema):
                _rewrite(path, schema, types, self._row_group)
            _acknowledge(path, journal)
        self._drafts = []

    def abandon(self) -> None:
        """Remove what was never acknowledged; harmless after ``close``."""
        self._pool.shutdown(wait=True)
        if self._file is not None:
            self._file.close()
            self._file = None
        for path, _ in self._drafts:
            path.unlink(missing_ok=True)

    def _write(self) -> None:
        table = pa.concat_tables(self._waiting, promote_options="permissive")
        self._waiting, self._waiting_rows = [], 0
        if self._file is not None:
            fitted = _fitted(table, self._schema)
            if fitted is None:
                self._end()
            else:
                table = fitted
        if self._file is None:
            self._begin(table.schema)
        self._settle(_BEHIND - 1)
        self._pending.append(
            self._pool.submit(self._file.write_table, table, row_group_size=self._row_group)
        )

    def _settle(self, behind: int = 0) -> None:
        """Wait until at most so many row groups are still being written."""
        while len(self._pending) > behind:
            self._pending.popleft().result()

    def _begin(self, schema: pa.Schema) -> None:
        draft = self._folder / f"draft-{len(self._drafts):06d}.parquet.part"
        self._schema = schema
        self._drafts.append((draft, schema))
        self._file = _writer(draft, schema)

    def _end(self) -> None:
        if self._file is not None:
            self._settle()
            self._file.close()
            self._file = None


def _acknowledge(draft: Path, journal: Journal) -> None:
    with draft.open("rb") as stream:
        os.fsync(stream.fileno())
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    rows = pq.read_metadata(draft).num_rows
    path = journal.next_parquet()
    draft.replace(path)
    journal.compacted(file=path.name, sha256=digest, rows=rows, of=[])


def _writer(path: Path, schema: pa.Schema) -> Any:
    whole = [f.name for f in schema if pa.types.is_integer(f.type)]
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in _TEXTS if name in schema.names],
        store_schema=False,  # a dictionary is how texts are stored, not what a reader should see
        column_encoding=dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
        # Queries are narrowed by device and time; the least and most of a gauge narrow nothing.
        write_statistics=[name for name in ("device", "time_us") if name in schema.names],
    )


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


def _united(schemas: list[pa.Schema]) -> dict[str, pa.DataType]:
    """Return one type a column: whole numbers only where every segment has whole numbers."""
    types: dict[str, pa.DataType] = {}
    for schema in schemas:
        for field in schema:
            if field.name not in types or not pa.types.is_floating(types[field.name]):
                types[field.name] = field.type
    return types


def _rewrite(path: Path, schema: pa.Schema, types: dict[str, pa.DataType], row_group: int) -> None:
    """Write a segment again in wider types, a row group at a time."""
    kinds = {name: getattr(kind, "value_type", kind) for name, kind in types.items()}
    wide = pa.schema([pa.field(field.name, kinds[field.name]) for field in schema])
    again = path.with_suffix(".again")
    with pq.ParquetFile(path) as source, _writer(again, wide) as target:
        for number in range(source.num_row_groups):
            target.write_table(source.read_row_group(number).cast(wide), row_group_size=row_group)
    again.replace(path)
