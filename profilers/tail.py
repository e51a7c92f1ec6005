"""What a record has got since the last look: bounded work, however long the run is already.

``read_record`` reads everything; a live view needs the newest word of each device only. A tail
remembers how far it has read in each ledger and in the segment that is being written, and looks at
a finished segment once, at its end. The chain is not checked: that is ``verify``'s work.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from profilers.clocks import Axis, ClockPair
from profilers.journal import LEDGER, TELEMETRY
from profilers.journal_entries import what_is_wrong
from profilers.ledger import open_regular
from profilers.record import RecordError, said_by
from profilers.record_columns import device_trace_of, table_of_rows
from profilers.spool import read_spool
from profilers.trace import Device, DeviceKey, DeviceTrace, Event
from profilers.wire import device_from_json, event_from_json

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 256
"""Rows of a device that one look takes, the newest ones; older ones are passed over."""
_LONGEST = 64 << 20
"""Bytes of a file that one look reads at most."""
_BACK = 3
"""Finished segments that a first look goes back for a device that the newest one lacks."""


@dataclass(slots=True)
class News:
    """What came since the last look."""

    devices: dict[DeviceKey, Device] = field(default_factory=dict)
    """New descriptions."""
    traces: list[DeviceTrace] = field(default_factory=list)
    """New rows, the newest of each device, in the order of their stamps."""
    events: list[Event] = field(default_factory=list)


class RecordTail:
    """Follows all nodes of a record that somebody else is writing."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._nodes: dict[Path, _Node] = {}

    def news(self) -> News:
        """Read on. Raises ``RecordError`` where no record is."""
        for ledger in sorted((self._run_dir / TELEMETRY).glob(f"node=*/{LEDGER}")):
            if ledger.parent not in self._nodes:
                self._nodes[ledger.parent] = _Node(ledger.parent)
        if not self._nodes:
            raise RecordError(
                f"{self._run_dir}: no run record here (expected {TELEMETRY}/node=*/{LEDGER}); "
                "give the folder that `flopledger run --out` or `flopledger import --out` wrote"
            )
        news = News()
        for folder, node in self._nodes.items():
            with said_by(folder):
                node.read(news)
        return news


class _Node:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ledger = _Appended(folder / LEDGER)
        self._rest = b""
        self._header: Mapping[str, Any] = {}
        self._devices: dict[DeviceKey, Device] = {}
        self._acknowledged: list[str] = []
        """Parquet files that the ledger knows and no look has read yet."""
        self._live: _Stream | None = None
        self._sealed = False

    def read(self, news: News) -> None:
        for entry in self._entries():
            self._take(entry, news)
        tables = [*self._finished(), *self._written()]
        for table in tables:
            news.traces.extend(self._traces(table))

    def _entries(self) -> Iterator[dict[str, Any]]:
        whole, found, self._rest = (self._rest + self._ledger.more()).rpartition(b"\n")
        for line in whole.split(b"\n") if found else ():
            with suppress(ValueError, RecursionError):
                entry = json.loads(line)
                if isinstance(entry, dict) and what_is_wrong(entry) is None:
                    yield entry

    def _take(self, entry: Mapping[str, Any], news: News) -> None:
        kind = entry.get("kind")
        self._sealed = kind in {"seal", "compacted"}
        if kind == "header":
            self._header = entry
        elif kind == "devices":
            told = [device_from_json(item) for item in entry["devices"]]
            self._devices.update((device.key, device) for device in told)
            news.devices.update((device.key, device) for device in told)
        elif kind == "event":
            news.events.append(event_from_json(entry))
        elif kind == "compacted":
            streams = {str(name) for name in entry["of"]}
            if self._live is None or self._live.name not in streams:
                self._acknowledged.append(str(entry["file"]))

    def _finished(self) -> "Iterator[pa.Table]":
        """Yield the newest finished segment's last rows, and earlier ones for devices that it lacks."""
        import pyarrow.parquet as pq

        lacking = set(self._devices)
        for name in reversed(self._acknowledged[-_BACK:]):
            path = self._folder / name
            if not path.is_file():
                continue
            with suppress(OSError), pq.ParquetFile(path) as file:
                if file.num_row_groups:
                    table = file.read_row_group(file.num_row_groups - 1)
                    yield table
                    lacking -= {
                        DeviceKey.parse(word) for word in table["device"].unique().to_pylist()
                    }
            if not lacking:
                break
        self._acknowledged = []

    def _written(self) -> "Iterator[pa.Table]":
        """Yield what the segment has got that is being written, and what waits for its next batch."""
        streams = sorted(self._folder.glob("samples-*.arrows"))
        if self._live is not None:
            yield from self._live.more()
        elif len(streams) > 1:
            yield from _Stream(streams[-2]).more()  # the newest may have been opened just now
        if streams and (self._live is None or self._live.name != streams[-1].name):
            self._live = _Stream(streams[-1])
            yield from self._live.more()
        clock = self._header.get("clock")
        if self._sealed or not isinstance(clock, dict):
            return
        anchor = ClockPair(monotonic_ns=clock["monotonic_ns"], wall_ns=clock["wall_ns"])
        columns, rows, _ = read_spool(self._folder, Axis(anchor))
        if rows:
            yield table_of_rows(columns, rows)

    def _traces(self, table: "pa.Table") -> Iterator[DeviceTrace]:
        coded = table["device"].combine_chunks().dictionary_encode()
        codes = np.asarray(coded.indices)
        described = {str(key): key for key in self._devices}
        for code, word in enumerate(coded.dictionary.to_pylist()):
            key = described.get(word) or DeviceKey.parse(word)
            device = self._devices.get(key) or Device(key=key, node=self._header.get("node"))
            rows = np.flatnonzero(codes == code)[-ROWS:]
            yield device_trace_of(table.take(rows), device)


class _Appended:
    """A file that grows: each look reads what came since the one before it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.at = 0

    def more(self) -> bytes:
        with suppress(OSError), open_regular(self.path) as stream:
            stream.seek(self.at)
            data = stream.read(_LONGEST)
            self.at += len(data)
            return data
        return b""


class _Stream:
    """An Arrow stream that grows, message by message."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._file = _Appended(path)
        self._schema: Any = None

    def more(self) -> "Iterator[pa.Table]":
        """Yield what was written since the last look, if anything; a half batch waits for the next."""
        import pyarrow as pa

        batches: list[Any] = []
        before = self._file.at
        source = pa.BufferReader(self._file.more())
        good = 0
        with suppress(pa.ArrowInvalid, OSError, EOFError):
            while True:
                message = pa.ipc.read_message(source)
                if self._schema is None:
                    self._schema = pa.ipc.read_schema(message)
                else:
                    batches.append(pa.ipc.read_record_batch(message, self._schema))
                good = source.tell()
        self._file.at = before + good
        if batches:
            yield pa.Table.from_batches(batches)
