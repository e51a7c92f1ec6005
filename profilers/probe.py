"""The process that touches the instruments: ``python -m profilers.probe``, started by a recorder.

It may hang in a driver call or die of one; its recorder then kills it and starts another. It keeps
no state that matters and writes no file. One JSON object a line, on standard output:

- ``{"t": "devices", "columns": [...], "devices": [...], "sources": [...]}`` after each (re)opening;
- where the settings allow ``frames``: ``{"t": "layouts", "layouts": [...]}`` and lines that begin with
  ``#`` (see ``profilers.frames``);
- ``{"t": "sweep", "rows": [...], "events": [...], "late_ns": ..., "skipped": ..., "marks": [...],
  "shut": [...]}``; the same as ``news`` when there is more than samples in it, and as the sign of
  life when no device is there.

Standard input: first the settings, then ``mark NAME`` asks for a sweep at once. Its end means that
the recorder is gone: the probe leaves.
"""

import gc
import json
import os
import select
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from profilers.attempt import Attempt
from profilers.clocks import LATE_NS, Schedule
from profilers.frames import Layout, line_of
from profilers.reading import SIGNALS, Unavailable, is_number
from profilers.source import FramePass, FrameSource
from profilers.values import Device, DeviceKey, Event, Sample
from profilers.wire import device_to_json, event_to_json, first_line, sweep_message

_TO_JSON = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Probe:
    """The loop: open what can be opened, sweep on schedule, say everything at once."""

    def __init__(self, settings: Mapping[str, Any], out: int) -> None:
        self._attempts = [Attempt(s["name"], s.get("options", {})) for s in settings["sources"]]
        self._schedule = Schedule(int(settings["interval_ns"]))
        self._out = out
        self._columns: list[str] = []
        self._numbers: dict[DeviceKey, int] = {}
        self._due = self._began = time.monotonic_ns()
        self._frames = bool(settings.get("frames"))
        self._framing: FrameSource | None = None
        self._pass: FramePass | None = None
        self._layouts: list[Layout] = []

    def start(self) -> None:
        """Open the sources and describe what is there."""
        for attempt in self._attempts:
            attempt.ensure_open()
        self._describe()

    def wait(self, control: int) -> list[str] | None:
        """Wait for the next tick; return the marks asked for, or None when the recorder is gone."""
        while True:
            ahead = self._schedule.wait_ns()
            ready, _, _ = select.select([control], [], [], ahead / 1e9)
            if not ready:
                return []
            data = os.read(control, 65536)
            if not data:
                return None
            marks = [
                line.removeprefix("mark ")
                for line in data.decode("utf-8", "replace").splitlines()
                if line.startswith("mark ")
            ]
            if marks:
                return marks

    def sweep(self, marks: Sequence[str]) -> None:
        """Read everything once and say it."""
        self._began = time.monotonic_ns()
        late = 0 if marks else max(0, self._began - self._due)
        if not marks and late < LATE_NS and self._frame():
            return
        opened = [attempt.ensure_open() for attempt in self._attempts]
        if any(opened):
            self._describe()
        rows: dict[DeviceKey, Sample] = {}
        events: list[Event] = []
        changed = False
        for attempt in self._attempts:
            sweep = attempt.sweep()
            if sweep is None:
                continue
            changed |= sweep.devices is not None
            events.extend(sweep.events)
            for sample in sweep.samples:
                rows[sample.device] = _united(rows.get(sample.device), sample)
        if rows:  # where nothing at all is seen, the recorder says so of the whole node
            for sample in chain.from_iterable(attempt.dark() for attempt in self._attempts):
                rows.setdefault(sample.device, sample)
        if changed or any(key not in self._numbers for key in rows):
            self._describe()
        skipped = 0 if marks else self._schedule.advance()
        self._due = time.monotonic_ns() + self._schedule.wait_ns()
        shut = [a.as_json() for a in self._attempts if a.source is None]
        calm = bool(rows) and not (events or marks or shut)
        self._say(
            sweep_message(
                [self._row(sample) for sample in rows.values()],
                kind="sweep" if calm else "news",
                events=[event_to_json(event) for event in events],
                late_ns=late,
                skipped=skipped,
                marks=list(marks),
                shut=shut,
            )
        )

    def _frame(self) -> bool:
        """Sweep by a frame, if everything is so ordinary that a frame can say it."""
        source = self._framing
        found = None if source is None else source.frame_pass()
        if source is None or found is None:
            return False
        if found is not self._pass:
            self._lay_out(found)
        numbers = found.read(time.monotonic_ns())
        if numbers is None:
            source.spoil_pass()
            return False
        layout = self._layouts[found.form]
        frame = layout.pack(numbers)
        skipped = self._schedule.advance()
        self._due = time.monotonic_ns() + self._schedule.wait_ns()
        if skipped:
            self._say(sweep_message(layout.rows(frame), skipped=skipped))
        else:
            self._write(line_of(found.form, frame) + b"\n")
        return True

    def _lay_out(self, found: FramePass) -> None:
        """Say what the numbers of the next frames are."""
        devices = [self._numbers[key] for key in found.devices]
        self._layouts = [Layout.of(self._columns, devices, form) for form in found.forms]
        self._pass = found
        self._say({"t": "layouts", "layouts": [layout.as_json() for layout in self._layouts]})

    def _describe(self) -> None:
        alone = self._frames and len(self._attempts) == 1
        only = self._attempts[0].source if alone else None
        self._framing = only if isinstance(only, FrameSource) else None
        self._pass = None
        devices: dict[DeviceKey, Device] = {}
        for attempt in self._attempts:
            for device in attempt.devices():
                known = devices.get(device.key)
                if known is not None:
                    # A second instrument of the same device offers what the first one misses.
                    kept = {n: w for n, w in known.missing.items() if n in device.missing}
                    device = _with_missing(known, kept)
                devices[device.key] = device
        self._columns = [
            name for name in SIGNALS if any(name not in d.missing for d in devices.values())
        ]
        self._numbers = {key: number for number, key in enumerate(devices)}
        self._say(
            {
                "t": "devices",
                "since_ns": self._began,
                "columns": self._columns,
                "devices": [device_to_json(device) for device in devices.values()],
                "sources": [attempt.as_json() for attempt in self._attempts],
            }
        )

    def _row(self, sample: Sample) -> list[Any]:
        """Return device number, clocks, period, the cells and what is absent against the probe."""
        cells: list[Any] = list(map(sample.readings.get, self._columns))
        absent: dict[str, list[Any]] = {}
        if Unavailable in set(map(type, cells)):
            for place, why in enumerate(cells):
                if isinstance(why, Unavailable):
                    cells[place] = None
                    told = [why.reason.value, why.since, why.detail, why.raw]
                    absent[self._columns[place]] = told
        number = self._numbers[sample.device]
        return [number, sample.monotonic_ns, sample.wall_ns, sample.period_ns, cells, absent]

    def _say(self, message: Mapping[str, Any]) -> None:
        self._write(_TO_JSON(message).encode() + b"\n")

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._out, data) :]


def _with_missing(device: Device, missing: Mapping[str, Unavailable]) -> Device:
    from dataclasses import replace

    return replace(device, missing=missing)


def _united(first: Sample | None, second: Sample) -> Sample:
    """Join what two instruments said of one device; the first one's numbers win."""
    if first is None:
        return second
    from dataclasses import replace

    readings = dict(second.readings)
    readings.update({n: r for n, r in first.readings.items() if is_number(r) or n not in readings})
    return replace(first, readings=readings)


def settle() -> None:
    """Take what is there out of the collector's rounds: it stays for good, and looking costs."""
    gc.collect()
    gc.freeze()


def main() -> int:
    """Run until the recorder is gone."""
    # Whatever a vendor's library prints must not end up in our answers.
    out = os.dup(1)
    os.dup2(2, 1)
    settings = json.loads(first_line(0))
    probe = Probe(settings, out)
    try:
        probe.start()
        settle()
        marks: list[str] | None = []
        while marks is not None:
            probe.sweep(marks)
            marks = probe.wait(0)
    except BrokenPipeError:
        pass
    return 0


if __name__ == "__main__":
    # Not sys.exit: a library thread that hangs must not keep us here.
    os._exit(main())
