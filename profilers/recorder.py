"""The process that keeps the record: ``python -m profilers.recorder``, started by a ``Sampler``.

It owns the journal and supervises the probe: a sweep that does not come before its deadline means
SIGKILL, a gap with its cause, and a new probe after a pause. It never touches a driver itself, and
it never waits for anything but bytes. When its parent is gone it seals the journal and leaves.
"""

import contextlib
import gc
import json
import os
import select
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profilers.clocks import ClockPair, boot_id
from profilers.compaction import Compaction
from profilers.frames import MARK, Layout
from profilers.journal import Journal
from profilers.ledger import LedgerError
from profilers.probe_process import ProbeProcess
from profilers.spool import Spool, message_of, read_spool, rows_of
from profilers.watch import Watch
from profilers.wire import CALM, device_from_json, event_from_json, first_line

if TYPE_CHECKING:
    from profilers.values import DeviceKey

ROTATE_NS = 3_600_000_000_000
DRIFT_NS = 600_000_000_000
LOOK_NS = 500_000_000
"""How often it looks for what nobody tells it: its parent's end, the time for a new segment ..."""
FIRST_PAUSE_NS = 100_000_000
LAST_PAUSE_NS = 30_000_000_000
COMPACTION_SECONDS = 120
BATCH_NS = 1_000_000_000
"""Calm sweeps of this long become one batch; they are on disk before (see ``profilers.spool``)."""
OVERSLEPT_NS = 500_000_000


class Recorder:
    """One node's record while it is being made."""

    def __init__(self, settings: Mapping[str, Any], journal: Journal, first: ClockPair) -> None:
        self._settings = settings
        self._journal = journal
        self._interval_ns = int(settings["interval_ns"])
        self._deadline_ns = int(settings["deadline_ns"])
        self._start_deadline_ns = int(settings["start_deadline_ns"])
        self._parent = os.getppid()
        self._poll = select.poll()
        self._probe: ProbeProcess | None = None
        self._due = 0
        self._pause_ns = FIRST_PAUSE_NS
        self._restart_at = time.monotonic_ns()
        self._watch = Watch(journal, str(settings["node"]), first)
        self._keys: list[DeviceKey] = []
        self._names: list[str] = []
        self._columns: list[str] = []
        self._layouts: list[Layout] = []
        self._ready = False
        self._compaction = Compaction(journal)
        self._spool = Spool(journal.folder)
        self._batch = round(BATCH_NS / self._interval_ns)
        self._rotate_at = time.monotonic_ns() + ROTATE_NS
        self._drift_at = time.monotonic_ns() + DRIFT_NS
        self._look_at = 0
        self._anew = 0
        self._pending_marks: list[str] = []
        self._stop = ""

    def run(self) -> None:
        """Record until told to stop, or until the parent is gone."""
        self._poll.register(0, select.POLLIN)
        os.set_blocking(0, False)
        os.set_blocking(1, False)
        while not self._stop:
            self._supervise()
            for descriptor, _ in self._poll.poll(self._patience()):
                if descriptor == 0:
                    self._control()
                elif self._probe is not None:
                    self._listen()
            if time.monotonic_ns() >= self._look_at:
                self._look_at = time.monotonic_ns() + LOOK_NS
                self._look_around()
        self._finish()

    # ---- the probe ----

    def _supervise(self) -> None:
        now = time.monotonic_ns()
        if self._probe is None:
            if now >= self._restart_at:
                self._start_probe()
        elif now >= self._due:
            # We wake at the deadline: much later means that we were stopped ourselves.
            if now - self._due > OVERSLEPT_NS:
                self._excuse(now - self._due)
            else:
                self._lose_probe("timed_out", "no sweep before the deadline")

    def _start_probe(self) -> None:
        settings = {
            "sources": self._settings["sources"],
            "interval_ns": self._interval_ns,
            "frames": True,
        }
        try:
            self._probe = ProbeProcess(settings)
        except OSError as error:  # no room for one more process, for now
            self._without_probe("failed", f"the probe does not start: {error}")
            return
        self._poll.register(self._probe.out, select.POLLIN)
        self._due = time.monotonic_ns() + self._start_deadline_ns

    def _lose_probe(self, reason: str, detail: str) -> None:
        probe, self._probe = self._probe, None
        assert probe is not None
        self._catch_up()
        self._poll.unregister(probe.out)
        self._without_probe(reason, f"{detail}; {probe.kill()}")

    def _without_probe(self, reason: str, detail: str) -> None:
        """Say why nothing is seen, and when the next attempt is due."""
        now = time.monotonic_ns()
        self._watch.blind(reason, detail)
        self._watch.event("sampler-restart", now, reason=reason, detail=detail)
        self._restart_at = now + self._pause_ns
        self._pause_ns = min(2 * self._pause_ns, LAST_PAUSE_NS)
        if not self._ready:
            self._say({"t": "trouble", "reason": reason, "detail": detail})

    def _excuse(self, overslept_ns: int) -> None:
        """After a pause of our own (a stopped process, a paused machine) the probe is not late."""
        now = time.monotonic_ns()
        self._due = now + self._interval_ns + self._deadline_ns
        self._watch.event("recorder-paused", now, seconds=overslept_ns / 1e9)

    def _patience(self) -> int:
        """Return for how many milliseconds nothing may happen before something must be done."""
        until = self._restart_at if self._probe is None else self._due
        left = until - time.monotonic_ns()
        return max(0, min(-(-left // 1_000_000), 1000))

    def _listen(self) -> None:
        assert self._probe is not None
        lines = self._probe.lines()
        try:
            for line in lines or ():
                self._hear(line)
        except ValueError:
            lines = None
        if lines is None:
            self._lose_probe("crashed", "the probe is gone")

    def _hear(self, line: bytes) -> None:
        """Keep a calm sweep for the next batch; act on everything else at once."""
        calm = line.startswith((MARK, CALM)) and self._ready and self._batch > 1
        if calm and self._spool.keep(line):
            self._due = time.monotonic_ns() + self._interval_ns + self._deadline_ns
            if len(self._spool.waiting) >= self._batch:
                self._catch_up()
            return
        self._catch_up()
        message = message_of(line, self._layouts)
        if message["t"] == "devices":
            self._describe(message)
        elif message["t"] == "layouts":
            self._layouts = [Layout.from_json(entry) for entry in message["layouts"]]
            self._describe_spool()
        else:
            self._take([message])

    def _catch_up(self) -> None:
        """Turn the sweeps that wait into one batch of the journal."""
        if self._spool.waiting:
            self._take([message_of(line, self._layouts) for line in self._spool.waiting])
            self._spool.clear()

    def _describe(self, message: Mapping[str, Any]) -> None:
        devices = [device_from_json(entry) for entry in message["devices"]]
        self._keys = [device.key for device in devices]
        self._names = [str(key) for key in self._keys]
        self._columns = list(message["columns"])
        self._sources = message["sources"]
        self._journal.note("sources", sources=self._sources)
        self._journal.describe(devices, message["since_ns"])
        self._layouts = []
        self._describe_spool()

    def _describe_spool(self) -> None:
        """Only while none is waiting."""
        self._spool.describe(self._columns, self._names, self._layouts)

    def _take(self, messages: list[dict[str, Any]]) -> None:
        """Take sweeps in, oldest first: watch what they say, and record them as one batch."""
        self._due = time.monotonic_ns() + self._interval_ns + self._deadline_ns
        self._pause_ns = FIRST_PAUSE_NS
        width = len(self._columns)
        rows = [
            row
            for message in messages
            for row in rows_of(message, self._names, self._journal.axis, width)
        ]
        self._journal.rows(self._columns, rows)
        for message in messages:
            self._tell(message)

    def _tell(self, message: Mapping[str, Any]) -> None:
        """Say what a sweep brings with it: events, marks, and that the first one is there."""
        rows = message["rows"]
        self._watch.sweep(message, self._keys)
        for entry in message["events"]:
            event = event_from_json(entry)
            self._watch.event(event.kind, event.time_ns, device=event.device, **event.detail)
        stamp: int = rows[0][1] if rows else time.monotonic_ns()
        for mark in message["marks"]:
            self._journal.note("run", what=mark, time_ns=self._journal.axis.at(stamp))
            self._say({"t": "marked", "mark": mark})
        if not self._ready:
            self._ready = True
            gc.collect()
            gc.freeze()
            self._say({"t": "ready", "devices": len(self._keys), "sources": self._sources})
            for mark in self._pending_marks:
                self._probe_mark(mark)
            self._pending_marks = []

    # ---- the parent ----

    def _control(self) -> None:
        try:
            data = os.read(0, 65536)
        except BlockingIOError:
            return
        if not data:
            self._stop = "parent-gone"
        for line in data.decode("utf-8", "replace").splitlines():
            if line == "stop":
                self._stop = "stopped"
            elif line.startswith("mark "):
                name = line.removeprefix("mark ")
                if self._ready:
                    self._probe_mark(name)
                else:
                    self._pending_marks.append(name)

    def _probe_mark(self, name: str) -> None:
        """Have a sweep at this moment; the moment itself is recorded even when none comes."""
        now = time.monotonic_ns()
        self._journal.note("run", what=name, time_ns=self._journal.axis.at(now))
        if self._probe is not None:
            self._probe.mark(f"{name}-sweep")
        else:
            self._say({"t": "marked", "mark": f"{name}-sweep"})

    def _say(self, message: Mapping[str, Any]) -> None:
        """Tell the parent, who need not listen: what does not fit into the pipe is not waited for."""
        with contextlib.suppress(OSError):
            os.write(1, json.dumps(message).encode() + b"\n")

    # ---- the journal ----

    def _look_around(self) -> None:
        if os.getppid() != self._parent:
            self._stop = "parent-gone"
        now = time.monotonic_ns()
        if now >= self._drift_at:
            self._drift_at = now + DRIFT_NS
            pair = ClockPair.now()
            self._journal.note("clock", monotonic_ns=pair.monotonic_ns, wall_ns=pair.wall_ns)
        if now >= self._rotate_at:
            self._rotate_at = now + ROTATE_NS
            self._catch_up()
            self._journal.rotate()
        if self._journal.begun_anew > self._anew:
            self._anew = self._journal.begun_anew
            self._catch_up()
            self._spool.close()  # what is kept next gets a file that somebody can read
        self._compaction.look()

    def _finish(self) -> None:
        if self._probe is not None:
            self._poll.unregister(self._probe.out)
            self._probe.kill()
        self._catch_up()
        self._spool.close()
        self._watch.end()
        self._journal.rotate()
        self._compaction.end(COMPACTION_SECONDS)
        if self._stop == "stopped":
            self._compaction.begin()
            self._compaction.end(COMPACTION_SECONDS)
        self._journal.seal(self._stop)
        self._say({"t": "done"})


def take_over(journal: Journal) -> None:
    """Put into the journal what a recorder before us had kept when it was killed."""
    columns, rows, _ = read_spool(journal.folder, journal.axis)
    if rows and journal.resume(columns):
        journal.rows(columns, rows)
        journal.rotate()


def main() -> int:
    """Record one node until told to stop."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the parent decides when it ends
    settings = json.loads(first_line(0))
    first = ClockPair.now()
    boot = boot_id()
    try:
        journal = Journal.open(
            Path(settings["run_dir"]),
            node=settings["node"],
            boot=boot,
            anchor=first,
            about=settings.get("about", {}),
        )
    except LedgerError as error:
        print(json.dumps({"t": "shared", "detail": str(error)}), flush=True)  # noqa: T201
        return 0
    except OSError as error:
        print(json.dumps({"t": "refused", "detail": str(error)}), flush=True)  # noqa: T201
        return 2
    take_over(journal)
    Recorder(settings, journal, first).run()
    return 0


if __name__ == "__main__":
    os._exit(main())
