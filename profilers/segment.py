"""A segment of samples while it is written: rows, their columns, and one Arrow stream of them.

The columns are those of :mod:`profilers.journal`. This module needs no pyarrow.
"""

import contextlib
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from profilers.arrowstream import END_OF_STREAM, StreamEncoder
from profilers.clocks import Axis
from profilers.errors import ProfilersError
from profilers.ledger import append_whole
from profilers.reading import Unavailable
from profilers.values import Sample
from profilers.wire import absences

SCHEMA = "flopledger/journal/1"
CLOCKS = {"device": "s", "time_us": "q", "wall_offset_us": "q", "period_us": "q"}


Row = tuple[str, int, int | None, int, list[int | None], str | None]
"""Device, time_us, wall_offset_us, period_us, the cells of the signals, the reasons as text."""


class JournalError(ProfilersError):
    """A record that cannot be written where it was asked for."""


class Segment:
    """One Arrow stream that is being written."""

    def __init__(self, path: Path, signals: Sequence[str]) -> None:
        """Begin a file of some signals."""
        columns = {**CLOCKS, **dict.fromkeys(signals, "q"), "unavailable": "s"}
        self._encoder = StreamEncoder(columns, {"schema": SCHEMA})
        self.path = path
        # A file of this name can only be what a refused attempt left behind, before its ledger
        # line: nothing in it was ever acknowledged.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o644)
        self._digest = hashlib.sha256()
        self.size = 0
        self.rows = 0
        self._times: list[int] = []
        try:
            self._write(self._encoder.head())
        except OSError:
            os.close(self._descriptor)
            path.unlink(missing_ok=True)  # nothing is in it
            raise

    def append(self, cells: Mapping[str, Sequence[Any]]) -> None:
        """Write a batch."""
        self._write(self._encoder.batch(cells))
        times = cells["time_us"]
        self.rows += len(times)
        self._times = [min([*self._times[:1], *times]), max([*self._times[1:], *times])]

    def close(self) -> dict[str, Any]:
        """End the stream; answers what the ledger says of it."""
        try:
            with contextlib.suppress(OSError):  # readable without the end mark, too
                self._write(END_OF_STREAM)
            with contextlib.suppress(OSError):
                os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)
        return {
            "file": self.path.name,
            "sha256": self._digest.hexdigest(),
            "bytes": self.size,
            "rows": self.rows,
            "first_us": self._times[0] if self._times else None,
            "last_us": self._times[-1] if self._times else None,
        }

    def _write(self, data: bytes) -> None:
        append_whole(self._descriptor, data)
        self._digest.update(data)
        self.size += len(data)


def row_of(sample: Sample, signals: Sequence[str], axis: Axis) -> Row:
    """Turn one sample into a journal row."""
    at = axis_us(sample, axis)
    offset = None if sample.wall_ns is None else sample.wall_ns // 1000 - at
    cells: list[int | None] = []
    for name in signals:
        reading = sample.readings.get(name)
        known = reading is not None and not isinstance(reading, Unavailable)
        cells.append(round(reading) if known else None)  # type: ignore[arg-type]
    told = absences(sample.readings)
    return str(sample.device), at, offset, period_us(sample.period_ns), cells, told


def period_us(period_ns: int) -> int:
    """Round a period up, so that neighbours meet although their stamps were rounded down."""
    return -(-period_ns // 1000)


def cells_of(
    columns: Sequence[str], rows: Sequence[Row], signals: Sequence[str]
) -> dict[str, Sequence[Any]]:
    """Turn rows into columns: the clocks, the signals, the reasons."""
    device, at, offset, period, cells, told = zip(*rows, strict=True)
    turned = dict(zip(columns, zip(*cells, strict=True), strict=False))
    none = (None,) * len(rows)
    return {
        "device": device,
        "time_us": at,
        "wall_offset_us": offset,
        "period_us": period,
        **{name: turned.get(name, none) for name in signals},
        "unavailable": told,
    }


def axis_us(sample: Sample, axis: Axis) -> int:
    """Return a sample's place on the axis in microseconds."""
    if sample.monotonic_ns is not None:
        return axis.at(sample.monotonic_ns) // 1000
    if sample.wall_ns is not None:
        return sample.wall_ns // 1000
    raise JournalError(f"a sample of {sample.device} carries no clock")
