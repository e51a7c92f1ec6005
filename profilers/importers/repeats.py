"""Whether a new file repeats what a record holds already: no device may count twice.

A device without a UUID is known by its number on a host. Where nobody names the host, the recording
itself stands for it, so a copy of a log that has grown since would bring all its devices once more.
A file that begins with the bytes of an earlier one continues it. Any other pair of recordings whose
rows agree wherever their stamps meet is refused, because nobody but the user can tell a second host
from a second copy.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from profilers.importers.errors import ImportFormatError
from profilers.importers.opened import Opened
from profilers.importers.store import Imported
from profilers.journal import LEDGER
from profilers.reading import SIGNALS
from profilers.trace import Device
from profilers.wire import device_from_json

LOOK = 5000
"""Rows of a device that are compared, from where two recordings begin to overlap."""
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Earlier:
    """A recording that is in the record already."""

    folder: Path
    file: str
    sha256: str
    size: int
    mark: str
    """What stands for its host where nobody named it."""
    node: str | None
    """The host that the user named."""
    devices: tuple[Device, ...]


def earlier(folders: Iterable[Path]) -> list[Earlier]:
    """Return what was imported into these folders of a record; recordings of our own are none."""
    found = []
    for folder in folders:
        entries = list(_entries(folder / LEDGER))
        about = next((e["imported"] for e in entries if isinstance(e.get("imported"), dict)), None)
        if about is None or not isinstance(about.get("bytes"), int):
            continue
        told = [one for e in entries if e.get("kind") == "devices" for one in e["devices"]]
        found.append(
            Earlier(
                folder=folder,
                file=str(about.get("file")),
                sha256=str(about.get("sha256")),
                size=about["bytes"],
                mark=str(about.get("mark")),
                node=about.get("stated_node"),
                devices=tuple(device_from_json(one) for one in told),
            )
        )
    return found


def _entries(ledger: Path) -> Iterator[dict[str, Any]]:
    """Yield the ledger's first line and those that describe devices."""
    with ledger.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            if number == 0 or '"kind": "devices"' in line:
                entry = json.loads(line)
                if isinstance(entry, dict):
                    yield entry


def continued(opened: Opened, before: Sequence[Earlier]) -> Earlier | None:
    """Return the longest earlier recording with whose bytes this file begins."""
    sizes = {one.size for one in before if 0 < one.size < opened.size}
    by_digest = {(one.size, one.sha256): one for one in before}
    found, at, total = None, 0, hashlib.sha256()
    with opened.path.open("rb") as stream:
        for size in sorted(sizes):
            while at < size and (chunk := stream.read(min(_CHUNK, size - at))):
                total.update(chunk)
                at += len(chunk)
            found = by_digest.get((size, total.hexdigest()), found)
    return found


def refuse_repeats(new: Imported, before: Sequence[Earlier]) -> None:
    """Raise ``ImportFormatError`` where a recording brings rows of a slot that are there already."""
    for one in before:
        for device in new.devices:
            for other in one.devices:
                if _may_be_one(device, other) and _agree(new.folder, device, one.folder, other):
                    raise ImportFormatError(
                        f"repeats rows of {one.file}, which is in this record already: "
                        f"{_slot(device)} has the same readings at the same stamps. Import the "
                        "longer copy alone, or, if these are two hosts, name each with --node",
                        file=new.file,
                    )


def _may_be_one(one: Device, other: Device) -> bool:
    """Say whether two devices could be one: the same slot, under names of which one is made up."""
    unnamed = one.node is None or other.node is None
    return (
        unnamed and one.key != other.key and _slot(one) is not None and _slot(one) == _slot(other)
    )


def _slot(device: Device) -> str | None:
    """Return the slot of a device that is known by it; None for one with a UUID of its own."""
    _, found, slot = device.key.uuid.rpartition("/")
    return f"{slot}{device.key.mig}" if found else None


def _agree(folder: Path, device: Device, other_folder: Path, other: Device) -> bool:
    """Say whether two devices have stamps in common, and equal readings at all of them."""
    begin = max(_first(folder, device), _first(other_folder, other))
    one = _rows(folder, device, begin, None)
    if not one.num_rows:
        return False
    two = _rows(other_folder, other, begin, int(one["time_us"][-1].as_py()))
    _, at, there = np.intersect1d(
        one["time_us"].to_numpy(), two["time_us"].to_numpy(), return_indices=True
    )
    shared = [n for n in SIGNALS if n in one.column_names and n in two.column_names]
    if not len(at) or not shared:
        return False
    left, right = one.take(pa.array(at)), two.take(pa.array(there))
    return all(_same(left[name], right[name]) for name in shared)


def _same(one: pa.ChunkedArray, two: pa.ChunkedArray) -> bool:
    left, right = one.cast(pa.float64()), two.cast(pa.float64())
    return bool(left.combine_chunks().equals(right.combine_chunks()))


def _first(folder: Path, device: Device) -> int:
    table = _rows(folder, device, None, None, look=1, columns=["device", "time_us"])
    return int(table["time_us"][0].as_py()) if table.num_rows else 2**62


def _rows(
    folder: Path,
    device: Device,
    begin: int | None,
    end: int | None,
    *,
    look: int = LOOK,
    columns: list[str] | None = None,
) -> pa.Table:
    """Return a device's rows between two stamps (microseconds), at most ``look`` without an end."""
    found: list[pa.Table] = []
    rows = 0
    for path in sorted(folder.glob("samples-*.parquet")):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=columns):
                table = pa.Table.from_batches([batch])
                wanted = pc.equal(table["device"], str(device.key))
                if begin is not None:
                    wanted = pc.and_(wanted, pc.greater_equal(table["time_us"], begin))
                if end is not None:
                    wanted = pc.and_(wanted, pc.less_equal(table["time_us"], end))
                kept = table.filter(wanted)
                found.append(kept)
                rows += kept.num_rows
                past = end is not None and not kept.num_rows and rows
                if (end is None and rows >= look) or past:
                    return pa.concat_tables(found, promote_options="permissive").slice(0, look)
    return (
        pa.concat_tables(found, promote_options="permissive")
        if found
        else pa.table({"time_us": []})
    )
