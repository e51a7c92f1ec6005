"""Blocks of a recording into device traces: time order, periods, gaps, what was repeated.

The same rules for the strict and the bulk path, chunk by chunk, so that a file of any length needs
the memory of one block. A sample speaks for the time since the one before it; where that is much
longer than the device's usual spacing, the stretch between is a gap, not a stretched sample.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from profilers.importers.errors import ImportFormatError
from profilers.importers.recording import Block, Clock, Finding, Findings, Recording
from profilers.reading import Reason, Unavailable
from profilers.trace import Device, DeviceKey, DeviceTrace, Event, Gap, Series, Trace

GAP_FACTOR = 2.5
"""A spacing beyond this many usual spacings is a gap."""
USUAL_OVER = 1000
"""Spacings from which a device's usual one is taken (their median)."""

Ints = NDArray[np.int64]


@dataclass(slots=True)
class _Past:
    """What is remembered of a device between two chunks."""

    last_ns: int | None = None
    usual_ns: int | None = None
    early: list[int] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """One device's rows of a block, in time order, each stamp once."""

    place: int
    """The device's place in the block's ``devices``."""
    rows: Ints
    """The block's rows."""
    time_ns: Ints
    period_ns: Ints
    gaps: tuple[Gap, ...]


class Assembler:
    """Puts the blocks of one recording in order; remembers each device's last stamp and spacing."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._past: dict[DeviceKey, _Past] = {}

    def stretches(self, block: Block) -> Iterator[Stretch]:
        """Yield the block device by device.

        Raises ``ImportFormatError`` where the block goes back in time behind an earlier one:
        within a block rows are put in order, across blocks that would need the whole file in
        memory.
        """
        few = len(block.devices) < 1 << 16  # numpy sorts 16-bit codes by radix: six times faster
        codes = block.device.astype(np.uint16) if few else block.device
        order = np.argsort(codes, kind="stable")
        counts = np.bincount(block.device, minlength=len(block.devices))
        ends = np.cumsum(counts)
        for place in np.flatnonzero(counts).tolist():
            rows = order[ends[place] - counts[place] : ends[place]]
            yield self._stretch(block, place, rows.astype(np.int64, copy=False))

    def _stretch(self, block: Block, place: int, rows: Ints) -> Stretch:
        device, findings = block.devices[place], self.recording.findings
        past = self._past.setdefault(device.key, _Past())
        time, rows = _ordered(block.time_ns[rows], rows, device, findings)
        if past.last_ns is not None and time[0] <= past.last_ns:
            late = int((time <= past.last_ns).sum())
            if late > 1 or late == len(time):
                raise ImportFormatError(
                    f"the rows of {device.key} go back in time across {late} rows; "
                    "sort the file by time, or import its parts one by one with --append"
                )
            findings.add("duplicate-lines", f"{device.key} has several rows for one stamp")
            time, rows = time[1:], rows[1:]
        gaps: tuple[Gap, ...] = ()
        if block.period_ns is not None:
            period = block.period_ns[rows]
        else:
            period, gaps = _periods(time, past, device)
        past.last_ns = int(time[-1])
        return Stretch(place=place, rows=rows, time_ns=time, period_ns=period, gaps=gaps)


def traces(recording: Recording) -> Iterator[DeviceTrace]:
    """Yield the recording as chunks of device traces; a device's chunks follow each other."""
    assembler = Assembler(recording)
    for block in recording.blocks:
        for part in assembler.stretches(block):
            yield DeviceTrace(
                device=block.devices[part.place],
                time_ns=part.time_ns,
                period_ns=part.period_ns,
                wall_ns=part.time_ns if recording.clock is Clock.WALL else None,
                monotonic_ns=part.time_ns if recording.clock is Clock.MONOTONIC else None,
                series={name: column.take(part.rows) for name, column in block.series.items()},
                gaps=part.gaps,
            )


def collect(recordings: Iterable[Recording]) -> Trace:
    """Read whole recordings into one trace; the same device in several files is one device."""
    parts: dict[DeviceKey, list[DeviceTrace]] = {}
    events: list[Event] = []
    for recording in recordings:
        first: int | None = None
        for trace in traces(recording):
            parts.setdefault(trace.device.key, []).append(trace)
            if first is None:
                first = int(trace.time_ns[0])
        if first is not None:
            events.extend(event_of(finding, first) for finding in recording.findings)
    devices = {key: _joined(found) for key, found in parts.items()}
    starts = [int(t.time_ns[0] - t.period_ns[0]) for t in devices.values() if len(t)]
    ends = [int(t.time_ns[-1]) for t in devices.values() if len(t)]
    return Trace(
        devices=devices,
        events=tuple(events),
        started_ns=min(starts) if starts else None,
        ended_ns=max(ends) if ends else None,
    )


def event_of(finding: Finding, time_ns: int) -> Event:
    """Return a finding as an event of the trace, so that later readers (bounds) know of it."""
    detail: dict[str, str | int | float | bool | None] = {
        "message": finding.message,
        "count": finding.count,
    }
    if finding.line is not None:
        detail["line"] = finding.line
    return Event(time_ns=time_ns, kind=finding.code, detail=detail)


def _ordered(time: Ints, rows: Ints, device: Device, findings: Findings) -> tuple[Ints, Ints]:
    """Put a device's rows in time order; of rows with one stamp the first is kept."""
    steps = np.diff(time)
    if not len(steps) or bool((steps > 0).all()):
        return time, rows
    if bool((steps < 0).any()):
        findings.add(
            "backward-stamp",
            f"the stamps of {device.key} go back (a clock change, or files put together)",
            count=int((steps < 0).sum()),
        )
        order = np.argsort(time, kind="stable")
        time, rows = time[order], rows[order]
    fresh = np.concatenate([[True], np.diff(time) > 0])
    if not bool(fresh.all()):
        findings.add(
            "duplicate-lines",
            f"{device.key} has several rows for one stamp",
            count=int((~fresh).sum()),
        )
    return time[fresh], rows[fresh]


def _periods(time: Ints, past: _Past, device: Device) -> tuple[Ints, tuple[Gap, ...]]:
    """Return what each sample speaks for, and the gaps between them."""
    if not len(time):
        return time, ()
    first = 0 if past.last_ns is None else int(time[0]) - past.last_ns
    steps = np.concatenate([[first], np.diff(time)]).astype(np.int64)
    if past.usual_ns is None:
        past.early.extend(int(step) for step in steps[steps > 0][: USUAL_OVER - len(past.early)])
        if not past.early:
            return steps, ()
        usual = int(np.median(past.early))
        if len(past.early) >= USUAL_OVER:
            past.usual_ns = usual
            past.early = []
    else:
        usual = past.usual_ns
    far = steps > usual * GAP_FACTOR
    period = np.where(far, usual, steps)
    gaps = tuple(
        Gap(
            start_ns=int(time[row] - steps[row]),
            end_ns=int(time[row] - usual),
            reason="missing",
            device=device.key,
            detail="no row of the recording speaks for this time",
        )
        for row in np.flatnonzero(far)
    )
    return period, gaps


def _joined(parts: list[DeviceTrace]) -> DeviceTrace:
    """Concatenate a device's chunks where they follow each other, else unite them by time."""
    if len(parts) == 1:
        return parts[0]
    follow = all(
        len(a) and len(b) and int(a.time_ns[-1]) < int(b.time_ns[0])
        for a, b in itertools.pairwise(parts)
    )
    if not follow:
        whole = parts[0]
        for part in parts[1:]:
            whole = whole.merged(part)
        return whole
    names = dict.fromkeys(name for part in parts for name in part.series)
    return replace(
        parts[0],
        time_ns=np.concatenate([p.time_ns for p in parts]),
        period_ns=np.concatenate([p.period_ns for p in parts]),
        wall_ns=_all([p.wall_ns for p in parts]),
        monotonic_ns=_all([p.monotonic_ns for p in parts]),
        series={name: _column(parts, name) for name in names},
        gaps=tuple(gap for part in parts for gap in part.gaps),
        events=tuple(event for part in parts for event in part.events),
    )


def _all(columns: list[Ints | None]) -> Ints | None:
    known = [column for column in columns if column is not None]
    return np.concatenate(known) if len(known) == len(columns) else None


def _column(parts: list[DeviceTrace], name: str) -> Series:
    absent = Unavailable(reason=Reason.ABSENT, detail="not recorded in this part")
    return Series.joined([p.series.get(name) or Series.missing(len(p), absent) for p in parts])
