"""What ``flopledger top`` shows: the newest word of each device.

The live feed reads a probe process, never a driver: a hanging driver leaves the screen alive and
says so. The record feed reads the journal that somebody else is writing.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flopledger import foreign_json
from flopledger.errors import FlopledgerError
from flopledger.text import per_cent
from profilers.values import Device, DeviceKey, Event
from profilers.wire import device_from_json

if TYPE_CHECKING:
    from profilers.trace import DeviceTrace

FIRST_LOOK_SECONDS = 20.0
NOTES = 6
"""Lines of notes on the screen."""


@dataclass(slots=True)
class DeviceView:
    """One device as it was last seen."""

    device: Device
    readings: dict[str, int | float] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    """Signal to reason, for what the last sweep could not read."""
    age_seconds: float = 0.0
    ended: bool = False
    """The run is over: that nothing more is heard is no fault."""


@dataclass(slots=True)
class View:
    """Everything on the screen."""

    devices: list[DeviceView]
    notes: list[str]
    """Faults and what else must be said."""
    title: str
    empty: str = "no device can be read here"
    """What is said where there is no device."""


class LiveFeed:
    """A probe process of our own, without a journal."""

    def __init__(self, sources: Sequence[Mapping[str, Any]], interval_seconds: float) -> None:
        from profilers.probe_process import ProbeProcess

        self._settings = {"sources": list(sources), "interval_ns": round(interval_seconds * 1e9)}
        self._interval = interval_seconds
        self._make = ProbeProcess
        self._probe = ProbeProcess(self._settings)
        self._columns: list[str] = []
        self._views: list[DeviceView] = []
        self._sources: list[dict[str, Any]] = []
        self._faults: list[str] = []
        self._heard = time.monotonic()

    def look(self, *, first: bool = False) -> View:
        """Wait for the next sweep (the second one at first, so that means are there)."""
        wanted = 2 if first else 1
        patience = FIRST_LOOK_SECONDS if first else self._interval + 3
        until = time.monotonic() + patience
        while wanted and time.monotonic() < until:
            wanted -= self._take()
            time.sleep(0.02)
        silence = time.monotonic() - self._heard
        for view in self._views:
            view.age_seconds = silence
        if silence > self._interval + 3:
            self._faults.append(f"no answer for {silence:.0f} s; {self._probe.kill()}")
            self._probe = self._make(self._settings)
            self._heard = time.monotonic()
        shut = [s for s in self._sources if not s["open"]]
        notes = [f"{s['name']}: {s['reason']} - {s['detail']}" for s in shut]
        return View(devices=self._views, notes=[*notes, *self._faults[-5:]], title="this host")

    def close(self) -> None:
        """End the probe."""
        self._probe.kill()

    def _take(self) -> int:
        messages = self._probe.messages()
        if messages is None:
            self._faults.append(f"the probe is gone: {self._probe.kill()}")
            self._probe = self._make(self._settings)
            return 0
        sweeps = 0
        for message in messages:
            self._heard = time.monotonic()
            if message["t"] == "devices":
                self._columns = message["columns"]
                self._sources = message["sources"]
                self._views = [DeviceView(device_from_json(d)) for d in message["devices"]]
                continue
            sweeps += 1
            for number, _, _, _, cells, absent in message["rows"]:
                _update(self._views[number], self._columns, cells, absent)
            for event in message["events"]:
                if event["event"] != "processes":
                    told = " ".join(_details(event.get("detail", {})))
                    self._faults.append(f"{event['event']} {event.get('device', '')} {told}")
        return sweeps


def _update(
    view: DeviceView, columns: Sequence[str], cells: Sequence[Any], absent: Mapping[str, Any]
) -> None:
    for name, cell in zip(columns, cells, strict=True):
        if cell is not None:
            view.readings[name] = cell
            view.absent.pop(name, None)
    for name, (reason, *_) in absent.items():
        view.readings.pop(name, None)
        view.absent[name] = reason


class RecordFeed:
    """The record in a run's folder, as far as it has come."""

    def __init__(self, run_dir: Path) -> None:
        from profilers.tail import RecordTail

        self._run_dir = run_dir
        self._tail = RecordTail(run_dir)
        self._views: dict[DeviceKey, DeviceView] = {}
        self._last_ns: dict[DeviceKey, int] = {}
        self._events: list[Event] = []
        self._steps_told: list[str] = []
        self._steps_again = 0.0

    def look(self, *, first: bool = False) -> View:
        """Read what the record has got since the last look; wait a second between two looks."""
        if not first:
            time.sleep(1.0)
        news = self._tail.news()
        for key, device in news.devices.items():
            self._view(device).device = device
            self._last_ns.setdefault(key, 0)
        for seen in news.traces:
            if len(seen):
                self._last_ns[seen.device.key] = int(seen.time_ns[-1])
                _update_from(self._view(seen.device), seen)
        told = [event for event in news.events if event.kind != "processes"]
        self._events = sorted([*self._events, *told], key=lambda event: event.time_ns)[-NOTES:]
        views = list(self._views.values())
        ended = _is_over(self._run_dir)
        for view in views:
            view.ended = ended
            if last := self._last_ns.get(view.device.key):
                view.age_seconds = time.time() - last / 1e9
        notes = [
            " ".join([e.kind, *([str(e.device)] if e.device else []), *_details(e.detail)])
            for e in self._events
        ]
        notes += self._summary_note(views)
        title = str(self._run_dir)
        return View(
            devices=views, notes=notes[-NOTES:], title=title, empty="no device is on record"
        )

    def _view(self, device: Device) -> DeviceView:
        return self._views.setdefault(device.key, DeviceView(device))

    def close(self) -> None:
        """Nothing is held open."""

    def _summary_note(self, views: Sequence[DeviceView]) -> list[str]:
        """How far the training has come and its MFU: from the summary, or from its steps so far."""
        try:
            told = (self._run_dir / "summary.json").read_bytes()
        except OSError:
            if _is_over(self._run_dir):
                return ["imported from recordings; nothing more is to come"]
            return self._steps_so_far(views)
        summary = foreign_json.table(told)
        if summary is None:
            raise FlopledgerError(f"{self._run_dir}/summary.json is not a summary")
        mfu = summary.get("mfu")
        ended = f"ended with exit code {summary.get('exit_code')}"
        return [ended if mfu is None else f"{ended}; MFU {per_cent(mfu)}"]

    def _steps_so_far(self, views: Sequence[DeviceView]) -> list[str]:
        """Return a line on a run that goes on; worked out again after twenty times what it took."""
        from flopledger.recording.totals import read_totals
        from flopledger.recording.utilisation import utilisation
        from profilers.errors import ProfilersError

        start = time.monotonic()
        if start < self._steps_again:
            return self._steps_told
        try:
            totals = read_totals(self._run_dir)
        except (ProfilersError, OSError):
            return self._steps_told  # being written this moment, or no training
        finally:
            self._steps_again = time.monotonic() + 20 * (time.monotonic() - start)
        if totals is None or not totals.steps:
            return []
        seen = [{"uuid": v.device.key.uuid, "name": v.device.name} for v in views]
        used = utilisation(totals, [one for one in seen if one["name"] is not None])
        rate = f"running: {totals.steps:,} steps"
        if used.mfu is not None:
            rate += (
                f", MFU {per_cent(used.mfu)} of {used.device_count} x {used.name} in {used.dtype}"
            )
        self._steps_told = [rate]
        return self._steps_told


def _is_over(run_dir: Path) -> bool:
    """Say whether nothing more is to come: a run ended, or all of it was imported from recordings."""
    if (run_dir / "summary.json").exists():
        return True
    own = ("run.json", "steps")
    return (run_dir / "imports.jsonl").exists() and not any((run_dir / x).exists() for x in own)


def _update_from(view: DeviceView, seen: "DeviceTrace") -> None:
    """Take a device's newest rows into its view; what was not asked in them stays as it was."""
    from profilers.reading import Unavailable

    for name, series in seen.series.items():
        last = seen.reading(name, len(seen) - 1)
        present = series.present.nonzero()[0]
        if not isinstance(last, Unavailable) or _waiting(last):
            if len(present):
                view.readings[name] = series.payload[present[-1]].item()
                view.absent.pop(name, None)
        elif name not in seen.device.missing:
            view.readings.pop(name, None)
            view.absent[name] = last.reason.value


#: Where an event is called as what it carries.
_SPANS = {"late_ns": "by"}


def _details(detail: Mapping[str, Any]) -> list[str]:
    """Return what an event carries for people: times in seconds, and nothing that is not there."""
    nothing = {("count", 1), ("skipped", 0)}
    return [
        f"{_SPANS.get(key, key.removesuffix('_ns').replace('_', ' '))} {value / 1e9:.2f} s"
        if key.endswith("_ns") and isinstance(value, int)
        else f"{value}"
        if key == "message"
        else f"{key.replace('_', ' ')} {value}"
        for key, value in detail.items()
        if value is not None and (key, value) not in nothing
    ]


def _waiting(reading: Any) -> bool:
    from profilers.reading import Reason, Unavailable

    return isinstance(reading, Unavailable) and reading.reason is Reason.PENDING


def as_rows(view: View) -> dict[str, Any]:
    """Return the view as plain JSON; what is not there is null with its reason."""
    return {
        "schema": "flopledger/top/1",
        "title": view.title,
        "devices": [
            {
                "uuid": v.device.key.uuid,
                "mig": v.device.key.mig or None,
                "name": v.device.name,
                "age_seconds": round(v.age_seconds, 3),
                "readings": v.readings,
                "absent": {**_missing(v.device), **v.absent},
            }
            for v in view.devices
        ],
        "notes": view.notes,
    }


def _missing(device: Device) -> dict[str, str]:
    return {name: why.reason.value for name, why in device.missing.items()}
