"""Closed segments into Parquet: ``python -m profilers.compact FOLDER NAME...``.

It runs as a process of its own, so that the sampler never carries pyarrow in memory. It reads the
named streams of one node's folder, writes one Parquet file beside them and prints what the journal
records: ``{"file", "sha256", "rows", "of"}``. It removes nothing; the journal's owner does, after
the ledger knows the new file.

Integers are delta-encoded and zstd-compressed, rows sorted by device and time: about a dozen bytes
for a sample of twelve columns.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profilers.errors import ProfilersError
from profilers.ledger import open_regular

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 1 << 20
WORDS = ("device", "unavailable")
"""The text columns: few distinct values, so they are the only dictionary-encoded ones."""


def read_stream(path: Path) -> "tuple[pa.Table | None, int | None]":
    """Read a live segment up to its first damage. Raises ``OSError`` for what is no regular file.

    Returns the table (None when not even the schema is whole) and the byte offset after the last
    good batch when the tail is torn, else None.
    """
    import pyarrow as pa

    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            reader = pa.ipc.open_stream(file)
        except (pa.ArrowInvalid, OSError, EOFError):
            return None, 0
        batches: list[Any] = []
        good = file.tell()
        torn: int | None = None
        while True:
            try:
                batches.append(reader.read_next_batch())
            except StopIteration:
                # No end mark and bytes left over: a length prefix was cut short.
                torn = None if file.tell() >= size else good
                break
            except (pa.ArrowInvalid, OSError, EOFError):
                torn = good
                break
            good = file.tell()
        return pa.Table.from_batches(batches, reader.schema), torn


def write_parquet(table: "pa.Table", path: Path) -> str:
    """Write a table of samples whole or not at all; return the file's SHA-256."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        name: pa.types.is_integer(table.schema.field(name).type) for name in table.schema.names
    }
    draft = path.with_suffix(".parquet.part")
    pq.write_table(
        table,
        draft,
        compression="zstd",
        compression_level=9,
        use_dictionary=[name for name in WORDS if name in columns],
        column_encoding={n: "DELTA_BINARY_PACKED" for n, whole in columns.items() if whole},
        row_group_size=ROW_GROUP,
        store_schema=True,
    )
    with draft.open("rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    draft.replace(path)
    return digest


def compact(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """Turn streams of one folder into one Parquet file; return the journal's entry for it."""
    import pyarrow as pa

    tables = [table for table in _tables(folder, names) if table.num_rows]
    if not tables:
        raise ProfilersError(f"{folder}: {', '.join(names)} hold no sample to compact")
    table = pa.concat_tables(tables, promote_options="default")
    table = table.sort_by([("device", "ascending"), ("time_us", "ascending")])
    file = f"{Path(names[0]).stem}.parquet"
    digest = write_parquet(table, folder / file)
    return {"file": file, "sha256": digest, "rows": table.num_rows, "of": list(names)}


def _tables(folder: Path, names: Sequence[str]) -> Iterator[Any]:
    for name in names:
        table, _ = read_stream(folder / name)
        if table is not None:
            yield table


if __name__ == "__main__":
    print(json.dumps(compact(Path(sys.argv[1]), sys.argv[2:])))  # noqa: T201 - its answer
