"""The last word of this node's devices, from the record that a sampler writes beside the steps."""

import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from flopledger.integrations.sinks.metrics import DeviceMetrics
from profilers.errors import ProfilersError

if TYPE_CHECKING:
    import pyarrow as pa

    from profilers.trace import DeviceTrace
    from profilers.values import Device

LOOK_SECONDS = 5.0
"""Time between two looks at the record."""


class Devices:
    """Reads the beginning and the end of a node's samples, never what lies between."""

    def __init__(self, run_dir: Path, *, node: str | None = None) -> None:
        self._run_dir = run_dir
        self._node = node or platform.node()
        self._first: dict[str, int] = {}
        """Energy counters (mJ) when they were first read, by device."""
        self._known: tuple[DeviceMetrics, ...] = ()
        self._looked = -LOOK_SECONDS

    def now(self) -> tuple[DeviceMetrics, ...]:
        """Give the devices as they were last seen; looks at most once in five seconds."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._known = tuple(self.look())
            self._looked = time.monotonic()
        return self._known

    def look(self) -> Iterator[DeviceMetrics]:
        """Read the record's ends. A node without a record has no devices."""
        from profilers.record import node_records
        from profilers.record_columns import device_trace_of

        try:
            records = [one for one in node_records(self._run_dir) if one.node == self._node]
        except (ProfilersError, OSError):
            return
        for record in records:
            files = record.segment_files()
            if not files:
                continue
            first, last = _table(files[0]), _table(files[-1])
            for device in record.devices().values():
                for table in (first, last):
                    rows = _rows(table, device)
                    if rows is not None:
                        yield from self._seen(device, device_trace_of(rows, device), table is last)

    def _seen(
        self, device: "Device", trace: "DeviceTrace", newest: bool
    ) -> Iterator[DeviceMetrics]:
        key = str(device.key)
        energy = _values(trace, "energy_mj")
        if energy:
            self._first.setdefault(key, energy[0])
        if not newest:
            return
        begin, memory = self._first.get(key), _scaled(trace, "memory_used_bytes", 1)
        spent = energy[-1] - begin if energy and begin is not None else None
        yield DeviceMetrics(
            uuid=key,
            name=device.name or key,
            # A counter that fell was reset: what was spent is not known.
            energy_joules=None if spent is None or spent < 0 else spent / 1000,
            power_watts=_scaled(trace, "power_mw", 1000),
            utilisation=_scaled(trace, "gpu_util_permille", 1000),
            memory_used_bytes=None if memory is None else int(memory),
        )


def _table(path: Path) -> "pa.Table | None":
    from profilers.compact import read_stream

    if path.suffix != ".parquet":
        return read_stream(path)[0]
    import pyarrow.parquet as pq

    return pq.read_table(path, partitioning=None)


def _rows(table: "pa.Table | None", device: "Device") -> "pa.Table | None":
    import pyarrow.compute as pc

    if table is None:
        return None
    rows = table.filter(pc.equal(table.column("device"), str(device.key))).combine_chunks()
    return rows if rows.num_rows else None


def _values(trace: "DeviceTrace", name: str) -> list[int]:
    series = trace.series.get(name)
    return [] if series is None else [int(value) for value in series.payload[series.present]]


def _scaled(trace: "DeviceTrace", name: str, by: int) -> float | None:
    """Give the last reading; None where the last sweep had none."""
    series = trace.series.get(name)
    if series is None or not len(series.present) or not series.present[-1]:
        return None
    return float(series.payload[-1]) / by
