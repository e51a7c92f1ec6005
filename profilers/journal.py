"""The record of a run on one node: append-only, hash-chained, safe against a crash at any moment.

``RUN_DIR/telemetry/node=<host>-<boot>/`` holds

- ``journal.jsonl``: a chained ledger (see ``profilers.ledger``) of everything that is not a sample:
  header, devices, gaps, events, and each segment of samples with its digest;
- ``samples-NNNNNN.arrows``: live segments, Arrow IPC streams, one batch a sweep
  (a second's worth of them at faster rates);
- ``samples-NNNNNN.parquet``: closed segments after compaction;
- ``spool.jsonl``, only while a fast recorder lives or after it was killed: the last sweeps before the
  next batch (see ``profilers.spool``).

Both sample formats have the same columns: ``device`` (key), ``time_us`` (Unix microseconds on the
monotonic axis), ``wall_offset_us`` (wall clock minus axis; null: unknown), ``period_us`` (the time
that the sample speaks for), one column a signal, and ``unavailable`` (why cells are null).
This module needs no pyarrow; ``profilers.record`` reads and ``profilers.compact`` compacts.
"""

import contextlib
import errno
import os
import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from profilers.clocks import Axis, ClockPair
from profilers.ledger import Ledger, LedgerError
from profilers.reading import SIGNALS
from profilers.segment import SCHEMA, Row, Segment, cells_of, row_of
from profilers.values import Device, Event, Gap, Sample
from profilers.wire import device_to_json, event_to_json, gap_to_json

TELEMETRY = "telemetry"
LEDGER = "journal.jsonl"
SEGMENT_BYTES = 8 << 20
PENDING_SWEEPS = 600
"""Sweeps that are kept in memory while the disk refuses them; the oldest is dropped first."""
MOST_MARKS = 64
_STANDING = ("header", "sources", "devices", "run")
SMALL_BATCH = 16
"""Rows below which a batch that the disk refuses is not divided any more."""


def node_folder(run_dir: Path, node: str, boot: str | None) -> Path:
    """Return the folder of one node and boot inside a run's folder."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", node) or "unknown"
    return run_dir / TELEMETRY / f"node={name}-{(boot or 'noboot')[:8]}"


class Journal:
    """The writing end of one node's record. One process has it at a time."""

    def __init__(self, folder: Path, ledger: Ledger, anchor: ClockPair) -> None:
        """Use ``Journal.open``."""
        self.folder = folder
        self.axis = Axis(anchor)
        self._ledger = ledger
        self._segment: Segment | None = None
        self._signals: tuple[str, ...] = ()
        self._number = sum(line.entry.get("kind") == "segment-open" for line in ledger.earlier)
        self._entries: deque[dict[str, Any]] = deque()
        self._sweeps: deque[tuple[Sequence[str], list[Row]]] = deque()
        self._refused: tuple[int, str] | None = None
        self._dropped = 0
        self._closed = 0
        self._replaced = {
            str(name)
            for line in ledger.earlier
            if line.entry.get("kind") == "compacted"
            for name in line.entry["of"]
        }
        """Segments that live in a Parquet file; a kill may have left them in the folder, too."""
        self._flushing = False
        self._announced = ""
        self._standing: dict[str, list[dict[str, Any]]] = {}
        """Entries without which the others say little, by kind, should the record be removed."""
        self.begun_anew = 0
        """How often the record was removed while it was written."""

    @classmethod
    def open(
        cls,
        run_dir: Path,
        *,
        node: str,
        boot: str | None,
        anchor: ClockPair,
        about: Mapping[str, Any] | None = None,
    ) -> "Journal":
        """Begin or continue the node's record.

        Raises ``LedgerError`` when another recorder has it (one recorder a node) and ``OSError``
        when the folder cannot be written.
        """
        folder = node_folder(run_dir, node, boot)
        folder.mkdir(parents=True, exist_ok=True)
        ledger = Ledger.open(folder / LEDGER)
        # A second recorder of the same boot keeps the first one's axis: no seam in time.
        for line in ledger.earlier:
            if line.entry.get("kind") == "header":
                clocks = line.entry["clock"]
                anchor = ClockPair(monotonic_ns=clocks["monotonic_ns"], wall_ns=clocks["wall_ns"])
                break
        journal = cls(folder, ledger, anchor)
        journal._entry(
            "header",
            schema=SCHEMA,
            node=node,
            boot_id=boot,
            clock={"monotonic_ns": anchor.monotonic_ns, "wall_ns": anchor.wall_ns},
            pid=os.getpid(),
            **(about or {}),
        )
        return journal

    def describe(self, devices: Sequence[Device], since_ns: int | None = None) -> None:
        """Record the devices and begin a segment whose columns fit them.

        ``since_ns``: the monotonic stamp from which on samples are of this description.
        """
        since = {} if since_ns is None else {"time_ns": self.axis.at(since_ns)}
        self._entry("devices", devices=[device_to_json(device) for device in devices], **since)
        offered = [n for n in SIGNALS if any(n not in device.missing for device in devices)]
        if tuple(offered) != self._signals:
            self.rotate()
            self._signals = tuple(offered)

    def resume(self, columns: Sequence[str]) -> bool:
        """Make ready for samples that an earlier recorder had not yet put into its journal.

        False where there was none, or where it ended in order: such samples are not its own.
        """
        before = self._ledger.earlier[-1:]
        if not before or before[0].entry.get("kind") in {"seal", "compacted"}:
            return False
        self._signals = tuple(name for name in SIGNALS if name in set(columns))
        return bool(self._signals)

    def sweep(self, samples: Sequence[Sample]) -> None:
        """Append one sweep. Never raises because of the disk: what it refuses waits in memory."""
        self.rows(self._signals, [row_of(sample, self._signals, self.axis) for sample in samples])

    def rows(self, columns: Sequence[str], rows: list[Row]) -> None:
        """Append one sweep whose cells are in the order of ``columns``; as ``sweep`` otherwise."""
        if rows:
            self._sweeps.append((columns, rows))
        while len(self._sweeps) > PENDING_SWEEPS:
            self._dropped += _sweeps_in(self._sweeps.popleft()[1])
        self.flush()

    def gap(self, gap: Gap) -> None:
        """Record a stretch of time in which nothing was seen."""
        self._entry("gap", **gap_to_json(gap))

    def event(self, event: Event) -> None:
        """Record something that happened."""
        self._entry("event", **event_to_json(event))

    def note(self, kind: str, **what: Any) -> None:
        """Record anything else that later readers may ignore (clock drift, run facts)."""
        self._entry(kind, **what)

    def flush(self) -> bool:
        """Write what waits; return False while the disk refuses it."""
        if self._flushing:
            return True  # closing a full segment queues its own entry: the flush under way takes it
        self._flushing = True
        try:
            if self._ledger.removed:
                self._begin_anew()
            # The ledger does not wait for samples: it may fit where they do not. Its header is first.
            if self._ledger.empty:
                self._flush_entries()
            found = (None if self._ledger.empty else self._flush_sweeps(), self._flush_entries())
            refusals = [refusal for refusal in found if refusal is not None]
        finally:
            self._flushing = False
        if refusals:
            if self._refused is None:
                now = ClockPair.now()
                self._refused = (self.axis.at(now.monotonic_ns), str(refusals[0]))
            return False
        self._report_refusal()
        return True

    def _begin_anew(self) -> None:
        """Somebody removed the folder: what comes from now on goes into another one of its name.

        Until there is room for it everything waits in memory, as on a disk that refuses.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            ledger = Ledger.open(self.folder / LEDGER)
        except (OSError, LedgerError):
            return  # the old one refuses in its own words
        gone, segment = self._ledger, self._segment
        self._ledger, self._segment, self._number, self._announced = ledger, None, 0, ""
        self._closed = 0
        self._replaced = set()
        self.begun_anew += 1
        with contextlib.suppress(OSError):
            gone.close()
        with contextlib.suppress(OSError):
            if segment is not None:
                segment.close()
        now = self.axis.at(ClockPair.now().monotonic_ns)
        told = event_to_json(Event(time_ns=now, kind="record-removed", detail={}))
        again = [one for kind in _STANDING for one in self._standing.get(kind, ())]
        self._entries.extendleft(reversed([*again, {"kind": "event", **told}]))

    def _flush_sweeps(self) -> OSError | None:
        while self._sweeps:
            columns, rows = self._sweeps[0]
            try:
                self._append(columns, rows)
            except OSError as error:
                if error.errno == errno.EFBIG and self._segment is not None and self._segment.rows:
                    self.rotate()  # this file may not grow further; another one may
                elif len(rows) > SMALL_BATCH:
                    # Half of it may fit, and a large batch must not keep small ones waiting.
                    half = len(rows) // 2
                    self._sweeps[0] = (columns, rows[half:])
                    self._sweeps.appendleft((columns, rows[:half]))
                else:
                    return error
            else:
                self._sweeps.popleft()
        return None

    def _flush_entries(self) -> OSError | None:
        while self._entries:
            try:
                self._ledger.append(self._entries[0])
            except OSError as error:
                return error
            self._entries.popleft()
        return None

    def rotate(self) -> str | None:
        """Close the live segment, if there is one; return its file name when it was closed."""
        segment, self._segment = self._segment, None
        if segment is None:
            return None
        closed = segment.close()
        self._entry("segment", **closed)
        self._closed += 1
        return str(closed["file"])

    def compacted(self, *, file: str, sha256: str, rows: int, of: Iterable[str]) -> None:
        """Record that closed segments now live in one Parquet file, and remove them."""
        sources = list(of)
        self._closed = 0
        self._replaced.update(sources)
        self._entry("compacted", file=file, sha256=sha256, rows=rows, of=sources)
        if not self._entries:
            with contextlib.suppress(OSError):  # what stays, no reader counts twice
                self._ledger.sync()
                for name in sources:
                    (self.folder / name).unlink(missing_ok=True)

    @property
    def has_closed(self) -> bool:
        """True when a closed live segment waits for compaction."""
        return self._closed > 0

    def closed_segments(self) -> list[str]:
        """Return the live-format segments that are closed and still there, oldest first."""
        live = self._segment.path.name if self._segment else None
        found = [p.name for p in sorted(self.folder.glob("samples-*.arrows")) if p.name != live]
        return [name for name in found if name not in self._replaced]

    def seal(self, reason: str) -> None:
        """Close everything. What the disk still refuses is lost; the counts say how much."""
        with contextlib.suppress(OSError):
            self.rotate()
            if self._segment is not None:  # what was refused before found room in a new one
                self.rotate()
        waiting = sum(_sweeps_in(rows) for _, rows in self._sweeps)
        self._entry("seal", reason=reason, unwritten_sweeps=waiting + self._dropped)
        with contextlib.suppress(OSError):
            self._ledger.sync()
        self._ledger.close()

    def next_parquet(self) -> Path:
        """Return the path of the next segment that is written as Parquet at once (imports)."""
        self._number += 1
        self._entry("segment-open", file=f"samples-{self._number:06d}.parquet")
        return self.folder / f"samples-{self._number:06d}.parquet"

    def _entry(self, kind: str, **what: Any) -> None:
        entry = {"kind": kind, **what}
        if kind in _STANDING:
            before = self._standing.setdefault(kind, [])
            self._standing[kind] = [*before[-MOST_MARKS:], entry] if kind == "run" else [entry]
        self._entries.append(entry)
        if len(self._entries) > PENDING_SWEEPS:
            # The others say little without those that stand: whatever else comes next goes first.
            oldest = next(
                (place for place, one in enumerate(self._entries) if one["kind"] not in _STANDING),
                0,
            )
            del self._entries[oldest]
            self._dropped += 1
        self.flush()

    def _append(self, columns: Sequence[str], rows: list[Row]) -> None:
        if self._segment is None:
            # The name goes into the chain first: a file that the chain does not know is foreign.
            path = self.folder / f"samples-{self._number + 1:06d}.arrows"
            if self._announced != path.name:
                self._ledger.append({"kind": "segment-open", "file": path.name})
                self._announced = path.name
            self._segment = Segment(path, self._signals)
            self._number += 1
        self._segment.append(cells_of(columns, rows, self._signals))
        if self._segment.size >= SEGMENT_BYTES:
            self.rotate()

    def _report_refusal(self) -> None:
        """After the disk came back: say from when to when it refused, and what was lost."""
        if self._refused is None:
            return
        (since, why), self._refused = self._refused, None
        lost, self._dropped = self._dropped, 0
        until = self.axis.at(ClockPair.now().monotonic_ns)
        self._entry(
            "event",
            **event_to_json(
                Event(
                    time_ns=since,
                    kind="disk-refused",
                    detail={"error": why, "until_ns": until, "lost_sweeps": lost},
                )
            ),
        )


def _sweeps_in(rows: Sequence[Row]) -> int:
    """Return how many sweeps some rows are: as many as their most frequent device has."""
    return max(Counter(row[0] for row in rows).values(), default=0)
