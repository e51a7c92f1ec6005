"""Series that were recorded one by one (a metric a file, a metric a line) into rows of devices."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from profilers.importers.recording import Block, Findings, Ints
from profilers.reading import BOARD_SIGNALS, Reading, Reason, Unavailable
from profilers.trace import Device, DeviceKey, Series

_NOT_AT_THIS_STAMP = Unavailable(reason=Reason.ABSENT, detail="no point at this stamp")


@dataclass(slots=True)
class _One:
    device: Device
    times: dict[str, list[int]] = field(default_factory=dict)
    readings: dict[str, list[Reading]] = field(default_factory=dict)


class BySeries:
    """Collects points (device, signal, time, reading) in any order and makes one block of them."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._devices: dict[DeviceKey, _One] = {}

    def point(self, device: Device, signal: str, time_ns: int, reading: Reading) -> None:
        """Add one point."""
        times, readings = self.series(device, signal)
        times.append(time_ns)
        readings.append(reading)

    @property
    def points(self) -> int:
        """Points so far."""
        return sum(len(times) for one in self._devices.values() for times in one.times.values())

    def series(self, device: Device, signal: str) -> tuple[list[int], list[Reading]]:
        """Return the growing lists of one series, for readers that add many points to it."""
        one = self._devices.setdefault(device.key, _One(device))
        return one.times.setdefault(signal, []), one.readings.setdefault(signal, [])

    def replace(self, judge: Callable[[Device, str, Reading], Reading]) -> int:
        """Let ``judge`` see every point again; return how many it changed."""
        changed = 0
        for one in self._devices.values():
            for signal, readings in one.readings.items():
                for row, old in enumerate(readings):
                    new = judge(one.device, signal, old)
                    if new is not old:
                        readings[row] = new
                        changed += 1
        return changed

    def block(self) -> Block:
        """Return all rows: for each device one row a stamp that any of its signals has."""
        for key in [key for key in self._devices if key.mig]:
            self._to_its_board(key)
        devices = [one for one in self._devices.values() if any(one.times.values())]
        stamps = [
            np.unique(np.concatenate([np.array(t, np.int64) for t in one.times.values()]))
            for one in devices
        ]
        signals = dict.fromkeys(signal for one in devices for signal in one.times)
        return Block(
            device=np.repeat(
                np.arange(len(devices), dtype=np.int32), [len(times) for times in stamps]
            ),
            devices=tuple(one.device for one in devices),
            time_ns=np.concatenate(stamps) if stamps else np.zeros(0, np.int64),
            series={
                signal: Series.joined(
                    [
                        self._column(one, signal, times)
                        for one, times in zip(devices, stamps, strict=True)
                    ]
                )
                for signal in signals
            },
        )

    def _to_its_board(self, key: DeviceKey) -> None:
        """Give what a partition says of its board to the board; several partitions say the same."""
        part, board = self._devices[key], DeviceKey(uuid=key.uuid)
        for signal in BOARD_SIGNALS & part.times.keys():
            device = replace(part.device, key=board)
            times, readings = self.series(device, signal)
            known = set(times)
            for time, reading in zip(
                part.times.pop(signal), part.readings.pop(signal), strict=True
            ):
                if time not in known:
                    times.append(time)
                    readings.append(reading)

    def _column(self, one: _One, signal: str, stamps: Ints) -> Series:
        if signal not in one.times:
            return Series.missing(len(stamps), _NOT_AT_THIS_STAMP)
        found = Series.of_readings([*one.readings[signal], _NOT_AT_THIS_STAMP])
        times = np.array(one.times[signal], np.int64)
        # `unique` keeps the first point of a stamp; what came later for it is counted, not used.
        kept, first = np.unique(times, return_index=True)
        if len(kept) != len(times):
            self._findings.add(
                "duplicate-lines",
                f"{signal} of {one.device.key} has several values for one stamp",
                count=len(times) - len(kept),
            )
        rows = np.full(len(stamps), len(times), np.int64)
        rows[np.searchsorted(stamps, kept)] = first
        return found.take(rows)
