"""What was seen: samples, gaps and events of devices, merged by what a device *is*.

Columns, not objects: an hour of eight devices at 10 Hz is 288,000 samples of thirty signals. A
``Series`` keeps one signal as an array beside a palette of absences, so that the reason for each
missing cell survives at one machine word a cell.

Three clocks. ``monotonic_ns`` is the recording host's monotonic clock (comparable within one
boot), ``wall_ns`` what its wall clock said, and ``time_ns`` the axis for integration: Unix
nanoseconds that advance with the monotonic clock where there is one. A stepped wall clock never
stretches a run.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from profilers.reading import (
    SIGNALS,
    Kind,
    Reading,
    Reason,
    Signal,
    Unavailable,
    UnavailableError,
    is_number,
)
from profilers.values import Device, DeviceKey, Event, Gap, Sample, TraceError

__all__ = [
    "SIGNALS",
    "Device",
    "DeviceKey",
    "DeviceTrace",
    "Event",
    "Gap",
    "Kind",
    "Reading",
    "Reason",
    "Sample",
    "Series",
    "Signal",
    "Trace",
    "TraceError",
    "Unavailable",
    "UnavailableError",
    "is_number",
]

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One signal over time: numbers where there are numbers, reasons where there are none."""

    payload: NDArray[np.int64] | NDArray[np.float64]
    """One cell a sample. **Meaningless where ``codes`` is not 0**: use ``masked`` or ``at``."""
    codes: NDArray[np.uint32]
    """0: the cell is a number; k: the cell is ``palette[k - 1]``."""
    palette: tuple[Unavailable, ...] = ()

    def __post_init__(self) -> None:
        if len(self.payload) != len(self.codes):
            raise TraceError(f"{len(self.payload)} cells but {len(self.codes)} codes")
        if len(self.codes) and int(self.codes.max()) > len(self.palette):
            raise TraceError("a cell's absence is not in the palette")

    def __len__(self) -> int:
        return len(self.payload)

    @property
    def present(self) -> NDArray[np.bool_]:
        """True where the cell is a number."""
        known: NDArray[np.bool_] = self.codes == 0
        return known

    @property
    def masked(self) -> "np.ma.MaskedArray[tuple[int], np.dtype[np.int64 | np.float64]]":
        """The numbers as a masked array; absent cells are masked, never 0."""
        return np.ma.MaskedArray(self.payload, mask=self.codes != 0)

    def at(self, row: int) -> Reading:
        """Return the reading of one row."""
        code = int(self.codes[row])
        if code:
            return self.palette[code - 1]
        value: int | float = self.payload[row].item()
        return value

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Series":
        """Return the chosen rows, in the order given."""
        return replace(self, payload=self.payload[rows], codes=self.codes[rows])

    @classmethod
    def of_numbers(cls, values: NDArray[np.int64] | NDArray[np.float64]) -> "Series":
        """Wrap an array in which every cell is a number."""
        return cls(payload=values, codes=np.zeros(len(values), np.uint32))

    @classmethod
    def missing(cls, length: int, why: Unavailable) -> "Series":
        """Return a series in which every cell is absent for one reason."""
        return cls(
            payload=np.zeros(length, np.int64),
            codes=np.ones(length, np.uint32),
            palette=(why,),
        )

    @classmethod
    def of_readings(cls, readings: Sequence[Reading]) -> "Series":
        """Build from single readings; integers stay integers unless one is a float."""
        codes = np.zeros(len(readings), np.uint32)
        palette: dict[Unavailable, int] = {}
        whole = all(isinstance(r, int | Unavailable) for r in readings)
        cells: list[int | float] = []
        for row, reading in enumerate(readings):
            if isinstance(reading, Unavailable):
                codes[row] = palette.setdefault(reading, len(palette) + 1)
                cells.append(0)
            else:
                cells.append(reading)
        return cls(
            payload=np.array(cells, np.int64) if whole else np.array(cells, np.float64),
            codes=codes,
            palette=tuple(palette),
        )

    @classmethod
    def joined(cls, parts: Sequence["Series"]) -> "Series":
        """Concatenate; the palettes are united."""
        palette: dict[Unavailable, int] = {}
        codes: list[NDArray[np.uint32]] = []
        for part in parts:
            table = [0, *(palette.setdefault(why, len(palette) + 1) for why in part.palette)]
            codes.append(np.array(table, np.uint32)[part.codes])
        return cls(
            payload=np.concatenate([p.payload for p in parts]),
            codes=np.concatenate(codes),
            palette=tuple(palette),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceTrace:
    """Everything that was seen of one device, in time order."""

    device: Device
    time_ns: Ints
    """The axis for integration: strictly increasing Unix nanoseconds (see the module)."""
    period_ns: Ints
    """The time that each sample speaks for, ending at its stamp; 0 or more."""
    series: Mapping[str, Series]
    """Signal name to one cell a sample."""
    wall_ns: Ints | None = None
    """What the wall clock said at each sample; None: not recorded."""
    monotonic_ns: Ints | None = None
    """The recorder's monotonic clock at each sample; None: not recorded, or several boots."""
    gaps: tuple[Gap, ...] = ()
    """Stretches in which this device was not seen, in time order."""
    events: tuple[Event, ...] = ()

    def __post_init__(self) -> None:
        rows = len(self.time_ns)
        columns = {"period_ns": self.period_ns, "wall_ns": self.wall_ns}
        columns["monotonic_ns"] = self.monotonic_ns
        for name, column in columns.items():
            if column is not None and len(column) != rows:
                raise TraceError(f"{name} of {self.device.key} has {len(column)} of {rows} rows")
        for name, series in self.series.items():
            if len(series) != rows:
                raise TraceError(f"{name} of {self.device.key} has {len(series)} of {rows} rows")
        if rows > 1 and not bool(np.all(np.diff(self.time_ns) > 0)):
            raise TraceError(f"the samples of {self.device.key} are not in time order")

    def __len__(self) -> int:
        return len(self.time_ns)

    def spans(self, signal: str | None = None) -> tuple[Ints, Ints]:
        """Return (start, end) of the time each sample speaks for, without overlap.

        A sample speaks for its period, up to its stamp or to the begin of a later sample's period:
        two recorders of one device never count a second twice. With a
        ``signal``, a number that follows ``pending`` cells begins where the first of them began
        (those cells themselves then speak for no time).
        """
        start, end = self.time_ns - self.period_ns, self.time_ns
        if len(end) > 1:
            # Where two overlap, the later sample has the time; one that speaks for no time (the
            # first of a chain) takes none from its neighbours.
            speaking = np.where(self.period_ns > 0, start, np.iinfo(np.int64).max)
            later = np.minimum.accumulate(speaking[::-1])[::-1]
            end = np.concatenate([np.minimum(end[:-1], later[1:]), end[-1:]])
            start = np.minimum(start, end)
        series = self.series.get(signal) if signal is not None else None
        if series is None:
            return start, end
        waiting = [n + 1 for n, w in enumerate(series.palette) if w.reason is Reason.PENDING]
        pending = np.isin(series.codes, waiting)
        if pending.any():
            start = start.copy()
            for row in np.flatnonzero(pending).tolist():
                if row + 1 < len(end) and start[row + 1] == end[row]:
                    start[row + 1] = start[row]
                start[row] = end[row]
        return start, end

    def covered_seconds(self) -> float:
        """Return the seconds for which some sample speaks."""
        start, end = self.spans()
        return float((end - start).sum()) / 1e9

    def reading(self, signal: str, row: int) -> Reading:
        """Return one cell; a signal that this trace does not have is ``absent``."""
        series = self.series.get(signal)
        if series is None:
            return self.device.missing.get(
                signal, Unavailable(reason=Reason.ABSENT, detail=f"{signal} was not recorded")
            )
        return series.at(row)

    def samples(self) -> Iterator[Sample]:
        """Walk over the samples as values, for small traces and tests."""
        for row in range(len(self)):
            yield Sample(
                device=self.device.key,
                monotonic_ns=None if self.monotonic_ns is None else int(self.monotonic_ns[row]),
                wall_ns=None if self.wall_ns is None else int(self.wall_ns[row]),
                period_ns=int(self.period_ns[row]),
                readings={name: series.at(row) for name, series in self.series.items()},
            )

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "DeviceTrace":
        """Return the chosen samples, which must stay in time order."""
        return replace(
            self,
            time_ns=self.time_ns[rows],
            period_ns=self.period_ns[rows],
            wall_ns=None if self.wall_ns is None else self.wall_ns[rows],
            monotonic_ns=None if self.monotonic_ns is None else self.monotonic_ns[rows],
            series={name: series.take(rows) for name, series in self.series.items()},
        )

    @classmethod
    def of_samples(
        cls,
        device: Device,
        samples: Sequence[Sample],
        *,
        gaps: Iterable[Gap] = (),
        events: Iterable[Event] = (),
    ) -> "DeviceTrace":
        """Build from single samples of one host and boot (or of wall-clock stamps alone).

        The axis is the monotonic clock laid onto the first sample's wall clock; without monotonic
        stamps it is the wall clock.
        """
        if not samples:
            none = np.zeros(0, np.int64)
            return cls(
                device=device,
                time_ns=none,
                period_ns=none,
                series={},
                gaps=tuple(gaps),
                events=tuple(events),
            )
        mono = _stamps([s.monotonic_ns for s in samples])
        wall = _stamps([s.wall_ns for s in samples])
        if mono is None and wall is None:
            raise TraceError(f"the samples of {device.key} carry no complete clock")
        axis = wall
        if mono is not None:
            axis = mono + (int(wall[0] - mono[0]) if wall is not None else 0)
        assert axis is not None
        names = dict.fromkeys(name for sample in samples for name in sample.readings)
        absent = Unavailable(reason=Reason.ABSENT, detail="not in this sample")
        series = {
            name: Series.of_readings([s.readings.get(name, absent) for s in samples])
            for name in names
        }
        return cls(
            device=device,
            time_ns=axis,
            period_ns=np.array([s.period_ns for s in samples], np.int64),
            wall_ns=wall,
            monotonic_ns=mono,
            series=series,
            gaps=tuple(gaps),
            events=tuple(events),
        )

    def merged(self, other: "DeviceTrace") -> "DeviceTrace":
        """Unite two recordings of the same device; a stamp that both have is kept once."""
        if other.device.key != self.device.key:
            raise TraceError(f"{self.device.key} and {other.device.key} are different devices")
        time = np.concatenate([self.time_ns, other.time_ns])
        # `unique` keeps the first of equal stamps: this recording wins over the other one.
        _, rows = np.unique(time, return_index=True)
        order = rows.astype(np.int64)
        absent = Unavailable(reason=Reason.ABSENT, detail="not recorded by this recorder")
        series = {
            name: Series.joined(
                [
                    part.series.get(name) or Series.missing(len(part), absent)
                    for part in (self, other)
                ]
            ).take(order)
            for name in dict.fromkeys([*self.series, *other.series])
        }
        return DeviceTrace(
            device=_richer(self.device, other.device),
            time_ns=time[order],
            period_ns=np.concatenate([self.period_ns, other.period_ns])[order],
            wall_ns=_joined(self.wall_ns, other.wall_ns, order),
            monotonic_ns=None,
            series=series,
            gaps=tuple(sorted({*self.gaps, *other.gaps}, key=lambda g: (g.start_ns, g.end_ns))),
            events=_united(self.events, other.events),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """Everything that was seen of a run: devices by identity, and what belongs to none of them."""

    devices: Mapping[DeviceKey, DeviceTrace]
    gaps: tuple[Gap, ...] = ()
    """Stretches in which no device of a node was seen."""
    events: tuple[Event, ...] = ()
    """Events of the recorder or the host rather than of one device."""
    started_ns: int | None = None
    """Axis nanoseconds at which the run began; None: not recorded."""
    ended_ns: int | None = None
    """Axis nanoseconds at which it ended; None: not recorded, or still running."""

    def merge(self, other: "Trace") -> "Trace":
        """Unite two recordings; the same device (UUID and partition) is never counted twice."""
        devices = dict(self.devices)
        for key, trace in other.devices.items():
            devices[key] = devices[key].merged(trace) if key in devices else trace
        starts = [t for t in (self.started_ns, other.started_ns) if t is not None]
        ends = [t for t in (self.ended_ns, other.ended_ns) if t is not None]
        return Trace(
            devices=devices,
            gaps=tuple(sorted({*self.gaps, *other.gaps}, key=lambda g: (g.start_ns, g.end_ns))),
            events=_united(self.events, other.events),
            started_ns=min(starts) if starts else None,
            ended_ns=max(ends) if ends else None,
        )


def _stamps(values: Sequence[int | None]) -> Ints | None:
    """Return the stamps as an array, or None unless every sample has one."""
    known = [value for value in values if value is not None]
    return np.array(known, np.int64) if len(known) == len(values) else None


def _joined(first: Ints | None, second: Ints | None, order: Ints) -> Ints | None:
    if first is None or second is None:
        return None
    return np.concatenate([first, second])[order]


def _richer(first: Device, second: Device) -> Device:
    """Fill what the first description does not say from the second."""
    told = {
        name: getattr(second, name)
        for name in Device.__dataclass_fields__
        if getattr(first, name) is None
    }
    # A signal is missing only where both recorders missed it.
    both = {name: why for name, why in first.missing.items() if name in second.missing}
    return replace(first, **told, missing=both)


def _united(first: Sequence[Event], second: Sequence[Event]) -> tuple[Event, ...]:
    """Unite events without repeating the same one (their details are not hashable)."""
    known = set(map(_identity, first))
    found = [*first, *(event for event in second if _identity(event) not in known)]
    return tuple(sorted(found, key=lambda event: event.time_ns))


def _identity(event: Event) -> tuple[object, ...]:
    told = repr(sorted(event.detail.items()))  # a forged one may hold what has no hash
    return event.time_ns, event.kind, event.device, event.node, told
