"""A recorded run as an instrument: its samples again, at their own pace or faster.

For demonstrations, for tests of everything behind a source, and for looking at somebody else's
record with the live tools.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from profilers.errors import ProfilersError
from profilers.reading import Reason
from profilers.source import SourceError, Sweep
from profilers.values import Device, DeviceKey, Sample


class ReplaySource:
    """Plays one run folder. Its devices keep their identity."""

    def __init__(self, path: str, speed: float = 1.0) -> None:
        """Play the record in the folder ``path``, ``speed`` times as fast as it was recorded."""
        self._path = Path(path)
        self._speed = float(speed)
        self._devices: list[Device] = []
        self._waiting: Iterator[tuple[int, Sample]] = iter(())
        self._next: tuple[int, Sample] | None = None
        self._start = 0
        self._origin = 0
        self._last: dict[DeviceKey, int] = {}

    @property
    def name(self) -> str:
        """The word for this source."""
        return "replay"

    def open(self) -> None:
        """Read the record. Raises ``SourceError``."""
        from profilers.record import read_record

        if self._speed <= 0:
            raise SourceError(Reason.ABSENT, f"a replay at {self._speed:g} times the speed")
        try:
            trace = read_record(self._path)
        except (ProfilersError, OSError) as error:
            raise SourceError(Reason.ABSENT, f"{self._path} cannot be replayed: {error}") from None
        rows = [
            (int(at), sample)
            for device in trace.devices.values()
            for at, sample in zip(device.time_ns, device.samples(), strict=True)
        ]
        if not rows:
            raise SourceError(Reason.ABSENT, f"{self._path} holds no sample to replay")
        rows.sort(key=lambda row: row[0])
        self._devices = [device.device for device in trace.devices.values()]
        self._waiting = iter(rows)
        self._next = next(self._waiting)
        self._origin = rows[0][0]
        self._start = time.monotonic_ns()
        self._last = {}

    def devices(self) -> Sequence[Device]:
        """Return the recorded devices."""
        return self._devices

    def sweep(self) -> Sweep:
        """Return what the record says about this moment: the newest sample of each device."""
        now = time.monotonic_ns()
        reached = self._origin + round((now - self._start) * self._speed)
        newest: dict[DeviceKey, Sample] = {}
        while self._next is not None and self._next[0] <= reached:
            newest[self._next[1].device] = self._next[1]
            self._next = next(self._waiting, None)
        wall = time.time_ns()
        samples = []
        for key, sample in newest.items():
            # The time that passed here, unless the record itself was blind.
            since = now - self._last[key] if key in self._last and sample.period_ns else 0
            self._last[key] = now
            samples.append(
                Sample(
                    device=key,
                    monotonic_ns=now,
                    wall_ns=wall,
                    period_ns=since,
                    readings=sample.readings,
                )
            )
        return Sweep(samples=tuple(samples), finished=self._next is None)

    def close(self) -> None:
        """Forget the record."""
        self._waiting, self._next = iter(()), None
