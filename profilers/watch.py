"""What sweeps say beside their numbers: when nothing was seen and why, clocks that moved, lateness.

All of it goes into the journal as gaps and events. A gap of the whole node (the probe is gone, or its
only instrument) ends with the next sweep; a gap of one device with its next number.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from profilers.clocks import LATE_NS, ClockPair, StepWatch
from profilers.journal import Journal
from profilers.values import DeviceKey, Event, Gap


class Watch:
    """The eyes on one node's sweeps."""

    def __init__(self, journal: Journal, node: str, first: ClockPair) -> None:
        """Nothing was seen yet."""
        self._journal = journal
        self._node = node
        self._steps = StepWatch(first)
        self._last_sweep: int | None = None
        self._failure: tuple[int, str, str] | None = None  # since, reason, detail
        self._dark: dict[DeviceKey, tuple[int, str]] = {}
        self._last_seen: dict[DeviceKey, int] = {}
        self._late = [0, 0, 0]  # sweeps, worst nanoseconds, ticks skipped

    def sweep(self, message: Mapping[str, Any], keys: Sequence[DeviceKey]) -> None:
        """Look at one sweep of the probe, whose device numbers are places in ``keys``."""
        rows = message["rows"]
        if rows:
            self._last_sweep = rows[-1][1]
            if self._failure is not None:
                since, reason, detail = self._failure
                self._failure = None
                self._gap(since, rows[0][1], reason, detail=detail)
        elif keys and message["shut"]:
            # The probe lives, but its instrument is gone as a whole.
            why = message["shut"][0]
            self.blind(why.get("reason", "failed"), why.get("detail", ""))
        for row in rows:
            self._look_for_darkness(row, keys)
        self._look_at_clocks(rows, message)

    def blind(self, reason: str, detail: str) -> None:
        """Nothing is seen any more, since the last sweep; an earlier reason stays."""
        if self._failure is None:
            since = time.monotonic_ns() if self._last_sweep is None else self._last_sweep
            self._failure = (since, reason, detail)

    def end(self) -> None:
        """Nothing more will come: what is dark was dark until now."""
        now = time.monotonic_ns()
        if self._failure is not None:
            since, reason, detail = self._failure
            self._gap(since, now, reason, detail=detail)
        for key, (since, reason) in self._dark.items():
            self._gap(since, now, reason, device=key)
        if self._late[0] > 1:
            sweeps, worst, skipped = self._late
            self.event("late-total", now, sweeps=sweeps, worst_ns=worst, skipped=skipped)

    def event(
        self, kind: str, monotonic_ns: int, device: DeviceKey | None = None, **detail: Any
    ) -> None:
        """Record something that happened at a monotonic time."""
        at = self._journal.axis.at(monotonic_ns)
        self._journal.event(
            Event(time_ns=at, kind=kind, device=device, node=self._node, detail=detail)
        )

    def _gap(
        self, since: int, until: int, reason: str, device: DeviceKey | None = None, detail: str = ""
    ) -> None:
        axis = self._journal.axis
        self._journal.gap(
            Gap(
                start_ns=axis.at(since),
                end_ns=axis.at(max(since, until)),
                reason=reason,
                device=device,
                node=self._node,
                detail=detail,
            )
        )

    def _look_for_darkness(self, row: Sequence[Any], keys: Sequence[DeviceKey]) -> None:
        """A device without a single number is dark; the gap begins where it was last seen."""
        number, stamp, _, _, cells, absent = row
        key = keys[number]
        if cells.count(None) < len(cells):
            self._last_seen[key] = stamp
            if key in self._dark:
                since, reason = self._dark.pop(key)
                self._gap(since, stamp, reason, device=key)
        elif absent and key not in self._dark:
            reason, _, detail, _ = next(iter(absent.values()))
            self._dark[key] = (self._last_seen.get(key, stamp), reason)
            self.event("device-dark", stamp, device=key, reason=reason, detail=detail)

    def _look_at_clocks(self, rows: Sequence[Any], message: Mapping[str, Any]) -> None:
        if rows:
            pair = ClockPair(monotonic_ns=rows[0][1], wall_ns=rows[0][2])
            step = self._steps.look(pair)
            if step is not None:
                self.event("clock-step", pair.monotonic_ns, step_ns=step)
        late_ns, skipped = message["late_ns"], message["skipped"]
        if late_ns > LATE_NS or skipped:
            if not self._late[0]:
                self.event("late", time.monotonic_ns(), late_ns=late_ns, skipped=skipped)
            self._late[0] += 1
            self._late[1] = max(self._late[1], late_ns)
            self._late[2] += skipped
