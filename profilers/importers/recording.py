"""What an importer hands over: blocks of rows, the clock they were stamped with, and findings."""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from profilers.reading import Reading, Reason, Unavailable
from profilers.trace import Device, DeviceKey, Series

Ints = NDArray[np.int64]

_NOT_IN_ROW = Unavailable(reason=Reason.ABSENT, detail="not in this row")


class Clock(enum.StrEnum):
    """What the stamps of a recording are."""

    WALL = "wall"
    """Unix time: the zone is written in the file or was stated."""
    LOCAL = "local"
    """A local wall clock whose zone nobody wrote down; differences are good, dates are not."""
    MONOTONIC = "monotonic"
    """A host's monotonic clock; no date at all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something about a recording that its reader should know."""

    code: str
    """Kebab-case word, for machines."""
    message: str
    """One sentence, for people."""
    line: int | None = None
    """First line that shows it; None where it concerns the whole file."""
    count: int = 1
    """How often it was seen."""


class Findings:
    """Collects findings; the same code and message is kept once and counted."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Finding] = {}

    def add(self, code: str, message: str, *, line: int | None = None, count: int = 1) -> None:
        """Note something; repeated notes only raise the count of the first."""
        old = self._found.get((code, message))
        if old is not None:
            line, count = old.line, old.count + count
        self._found[code, message] = Finding(code=code, message=message, line=line, count=count)

    def __iter__(self) -> Iterator[Finding]:
        return iter(tuple(self._found.values()))

    def codes(self) -> set[str]:
        """Return the codes that were found."""
        return {finding.code for finding in self}


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A stretch of a recording in columns: rows of any devices, in the order of the file."""

    device: NDArray[np.int32]
    """For each row the place of its device in ``devices``."""
    devices: tuple[Device, ...]
    time_ns: Ints
    """Nanoseconds of the recording's clock."""
    series: Mapping[str, Series]
    """Signal name to one cell a row."""
    period_ns: Ints | None = None
    """The time that each row speaks for, where the format says so; None: the rows' own spacing."""

    def __len__(self) -> int:
        return len(self.time_ns)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """One file (or folder) of recorded telemetry, opened; its blocks are read once, lazily."""

    format: str
    """The importer's name, ``nvidia-smi-csv`` ..."""
    clock: Clock
    blocks: Iterator[Block]
    findings: Findings
    """Filled while the blocks are read; complete after the last one."""
    scope: str = "device"
    """What the figures cover: ``device`` or ``node`` (a node's power is not its GPUs')."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What else the file says about itself: tool version, zone, conversion efficiency ..."""


class Rows:
    """Collects single rows into a block: the way of every format that is not read in bulk."""

    def __init__(self) -> None:
        self._devices: dict[DeviceKey, int] = {}
        self._described: list[Device] = []
        self._device: list[int] = []
        self._time: list[int] = []
        self._period: list[int] = []
        self._cells: dict[str, list[Reading]] = {}

    def __len__(self) -> int:
        return len(self._time)

    def describe(self, device: Device) -> None:
        """Make a device known, or replace its description by a later one."""
        place = self._devices.setdefault(device.key, len(self._described))
        if place == len(self._described):
            self._described.append(device)
        else:
            self._described[place] = device

    def add(
        self,
        device: Device,
        time_ns: int,
        readings: Mapping[str, Reading],
        *,
        period_ns: int | None = None,
    ) -> None:
        """Append one row. Either every row states its period, or none does."""
        if device.key not in self._devices:
            self.describe(device)
        row = len(self._time)
        self._device.append(self._devices[device.key])
        self._time.append(time_ns)
        if period_ns is not None:
            self._period.append(period_ns)
        for name, value in readings.items():
            cells = self._cells.setdefault(name, [])
            if len(cells) < row:  # the signal was missing in the rows between
                cells.extend([_NOT_IN_ROW] * (row - len(cells)))
            cells.append(value)

    def block(self) -> Block:
        """Return everything collected so far as one block."""
        rows = len(self._time)
        if self._period and len(self._period) != rows:
            raise ValueError("some rows state their period and others do not")
        series = {
            name: Series.of_readings([*cells, *([_NOT_IN_ROW] * (rows - len(cells)))])
            for name, cells in self._cells.items()
        }
        return Block(
            device=np.array(self._device, np.int32),
            devices=tuple(self._described),
            time_ns=np.array(self._time, np.int64),
            series=series,
            period_ns=np.array(self._period, np.int64) if self._period else None,
        )
