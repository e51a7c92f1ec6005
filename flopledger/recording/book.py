"""Keeps the steps of one process until they are written, a block at a time.

Nothing grows: columns are written and emptied about once a second, and a disk that refuses is tried
again until a bound, beyond which what was lost is counted and said.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flopcount.live.signals import held_back
from flopledger.recording import blocks
from flopledger.recording.blocks import MOST_STEPS, Settle
from flopledger.recording.cost import Cost
from profilers.clocks import ClockPair
from profilers.ledger import LedgerError
from profilers.steps.record.identity import Identity, identity, versions
from profilers.steps.record.ledger import StepLedger

if TYPE_CHECKING:
    from flopledger.recording.rows import Calls, Row
    from profilers.steps.observer import Variant
    from profilers.steps.record.devices import DeviceFacts

FLUSH_SECONDS = 1.0
MOST_WAITING = 100_000
"""Steps, and lines, that wait for a disk that refuses."""
GONE = (errno.ENOENT, errno.ESTALE)
"""What the disk says of a ledger that was removed, or in whose place lies another file."""
MOST_LEDGERS = 256
"""So many ledgers of one process, where none may become longer (``RLIMIT_FSIZE``, some file systems)."""

Entry = Callable[[StepLedger], None]


class Book:
    """Rows and lines on their way to the ledger."""

    def __init__(self, run_dir: Path) -> None:
        """Name the run's folder; nothing is written yet."""
        self.run_dir = run_dir
        self.ledger: StepLedger | None = None
        self.steps = 0
        """Steps so far."""
        self.lost = 0
        """Steps that were given up, and are not yet said to be."""
        self.lost_lines = 0
        """Spans, notes and losses likewise."""
        self.refusal: str | None = None
        """Why nothing can be written; None while the disk takes it."""
        self._kept = 0
        """Steps in the ledger."""
        self._following = 1
        """The number after the last of them."""
        self._standing: list[Entry] = []
        """Heads that a further ledger of this process needs, too."""
        self._heads: list[Entry] = []
        self._unpriced: list[Calls] = []
        """Calls that were taken since costs were looked for."""
        self._rows: list[Row] = []
        self._waiting = 0
        """Steps in them."""
        self._lines: list[tuple[Entry, Calls]] = []
        self._losses: list[tuple[int, float | None]] = []
        self._lock = threading.RLock()
        self._flushed = time.monotonic()
        self._pid = os.getpid()
        self._clock = ClockPair.now()
        self._closed = False
        self._full = 0
        """Ledgers that may not become longer."""
        self.mesh: dict[str, int] | None = None
        """The mesh over which the models are spread, the widest of them."""
        self._who: Identity | None = None

    @property
    def last(self) -> Row | None:
        """The last step, while it is not written."""
        if not self._rows:
            return None
        row = self._rows[-1]
        if row.steps > 1:
            self._rows.insert(-1, row.part(row.steps - 1))
        return row

    def add(self, row: Row) -> None:
        """Take a step, or several."""
        self._rows.append(row)
        self._unpriced.append(row.calls)
        self.steps += row.steps
        self._waiting += row.steps

    def shift(self, by: int) -> None:
        """Give the steps that wait greater numbers."""
        with self._lock:
            for row in self._rows:
                row.number += by

    def head(self, entry: Entry, *, stands: bool = False) -> None:
        """Take a line that a reader needs before the steps that wait, of each ledger if it ``stands``."""
        self._heads.append(entry)
        if stands:
            self._standing.append(entry)

    def line(self, entry: Entry, calls: Calls = ()) -> None:
        """Take a line that is no step, and the calls in it."""
        self._lines.append((entry, calls))
        if calls:
            self._unpriced.append(calls)

    def loss(self, at_us: int, value: float | None) -> None:
        """Take a loss that the program told."""
        self._losses.append((at_us, value))

    def doubt(self, other: Callable[[Variant], Variant], since_us: int) -> None:
        """Have other variants stand for those that wait, in steps that ended since."""

        def doubtful(calls: Calls) -> Calls:
            return tuple(
                (item if isinstance(item, Cost) else other(item), times) for item, times in calls
            )

        with self._lock:
            for row in self._rows:
                if row.ends_us[-1] > since_us:
                    row.calls = doubtful(row.calls)
            for _, calls in self._lines:
                if isinstance(calls, list):
                    calls[:] = doubtful(calls)
            self._unpriced += [row.calls for row in self._rows]

    def price(self, settle: Settle) -> None:
        """Find the costs of all calls while their models are there."""
        unpriced, self._unpriced = self._unpriced, []
        try:
            unpriced = [calls for calls in unpriced if not blocks.is_priced(calls, settle)]
        finally:  # all of them, where a timeout of the program's broke off a count
            self._unpriced = unpriced + self._unpriced

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        if self.refusal is None and max(self._waiting, len(self._lines)) > MOST_STEPS:
            return True
        return time.monotonic() - self._flushed >= FLUSH_SECONDS

    def flush(self, settle: Settle | None, keep: int = 0) -> None:
        """Write what waits.

        Args:
            settle: Finds the cost of a call that has none yet; None where nothing may be counted:
                then such a call waits, with all that follows.
            keep: So many of the last steps stay, because more may be said about them.

        """
        if self._closed or os.getpid() != self._pid:
            return
        if settle is None and self.ledger is None and not self._waits:
            return  # its header would say who this is before the program does
        with self._lock, held_back():
            self._flushed = time.monotonic()
            if not self._written(settle, keep) and self.ledger is None:
                self._written(settle, keep)  # it was removed, and there may be room for another
            while self._waiting > MOST_WAITING:
                self.lost += self._rows[0].steps
                self._waiting -= self._rows.pop(0).steps
            for waiting in (self._heads, self._lines, self._losses):
                self.lost_lines += max(0, len(waiting) - MOST_WAITING)
                del waiting[:-MOST_WAITING]

    @property
    def _waits(self) -> bool:
        return bool(
            self._heads or self._rows or self._lines or self._losses or self.lost or self.lost_lines
        )

    def write_heads(self) -> None:
        """Write the lines that come before the steps that wait; what fails is tried with them again."""
        if self._closed or os.getpid() != self._pid or self.ledger is None:
            return
        with self._lock, held_back(), suppress(OSError, LedgerError):
            if self.refusal is None:
                self._write_heads(self.ledger)

    def _write_heads(self, ledger: StepLedger) -> None:
        while self._heads:
            self._say(self._heads[0], ledger)
            del self._heads[0]

    def _written(self, settle: Settle | None, keep: int) -> bool:
        try:
            self._write_all(self._open(), settle, keep)
        except (OSError, LedgerError) as error:
            first = self.refusal is None
            self.refusal = getattr(error, "strerror", None) or str(error)
            if getattr(error, "errno", None) in GONE:
                self._begin_anew()
            elif self._is_full(error):
                self._continue()
            elif first and self.ledger is not None:
                with suppress(OSError):
                    self.ledger.refused(self.refusal)
            return False
        if self.refusal is not None and self.ledger is not None:
            self.ledger.reserve()
        self.refusal = None
        return True

    def _write_all(self, ledger: StepLedger, settle: Settle | None, keep: int) -> None:
        if self.lost:
            text = f"{self.lost} steps are lost ({self.refusal}): no figure holds them"
            ledger.note("steps-lost", "error", text)
            self.lost = 0
        if self.lost_lines:
            text = (
                f"{self.lost_lines} spans, notes and losses are lost "
                f"({self.refusal or 'they could not be put into words'}): work in spans is a lower bound"
            )
            ledger.note("lines-lost", "warning", text)
            self.lost_lines = 0
        self._write_heads(ledger)
        while rows := blocks.take(self._rows, self._waiting - keep, settle):
            try:
                blocks.write(ledger, rows)
            except (OSError, LedgerError):
                self._rows[:0] = rows
                raise
            written = sum(row.steps for row in rows)
            self._waiting -= written
            self._kept += written
            self._following = rows[0].number + written
        # Last, since counting may have had something to say.
        while self._lines and blocks.is_priced(self._lines[0][1], settle):
            self._say(self._lines[0][0], ledger)
            del self._lines[0]
        while told := self._losses[:MOST_STEPS]:
            ledger.losses(told)
            del self._losses[: len(told)]

    def _say(self, entry: Entry, ledger: StepLedger) -> None:
        """Write a line; one that cannot be put into words keeps no other one waiting."""
        try:
            entry(ledger)
        except (TypeError, ValueError, OverflowError):
            self.lost_lines += 1

    def _begin_anew(self) -> None:
        """Let go of a ledger that was removed: what comes now goes into another one."""
        if self.ledger is None:
            return
        gone, self.ledger = self.ledger, None
        with suppress(OSError):
            gone.close()
        self.lost += self._kept
        self._go_on("removed")

    def _is_full(self, error: Exception) -> bool:
        """Whether the ledger may not become longer, and another one would hold steps again."""
        longest = getattr(error, "errno", None) == errno.EFBIG
        return longest and self._kept > 0 and self._full < MOST_LEDGERS

    def _continue(self) -> None:
        """Let go of a ledger that may not become longer: what comes now goes into another one."""
        assert self.ledger is not None
        full, self.ledger = self.ledger, None
        with suppress(OSError):
            # A short line: there is room for it more often than not.
            full.seal("continued", self._kept)
        with suppress(OSError):
            full.close()
        self._full += 1
        # They lie beside each other, and none tells the other's steps.
        self._clock = ClockPair.now()
        self._go_on("continued")

    def _go_on(self, source: str) -> None:
        """Have a further ledger say after which step it goes on, and what else it needs."""
        self._kept = 0
        following = self._rows[0].number if self._rows else self._following
        goes_on: Entry = lambda ledger: ledger.resume(following - 1, source)  # noqa: E731
        self._heads[:0] = [goes_on, *self._standing]

    @property
    def withheld(self) -> int:
        """Steps that no ledger holds, as long as nothing more is written."""
        return self.lost + (self._waiting if self.refusal is not None else 0)

    def meet(self) -> Identity:
        """Which rank this is, as it was said last; a program may have let go of the others since."""
        found = identity()
        if self._who is None or found.world_size > 1:
            self._who = found
        return self._who

    def _open(self) -> StepLedger:
        if self.ledger is None:
            who = self.meet()
            self.ledger = StepLedger.create(
                self.run_dir,
                rank=who.rank,
                local_rank=who.local_rank,
                world_size=who.world_size,
                mesh=self.mesh,
                versions=versions(),
                clock=self._clock,
            )
        return self.ledger

    def device(self, facts: DeviceFacts) -> None:
        """Say what the process computes on."""

        def write(ledger: StepLedger) -> None:
            ledger.device(
                facts.type, name=facts.name, uuid=facts.uuid, memory_bytes=facts.memory_bytes,
                index=facts.index,
            )  # fmt: skip

        self.head(write, stands=True)

    def seal(self, reason: str, settle: Settle) -> None:
        """Write everything and close the ledger."""
        if self._closed or os.getpid() != self._pid:
            return
        self.flush(settle)
        self._closed = True
        with suppress(OSError, LedgerError):
            if self.ledger is not None and not self._rows and self.refusal is None:
                self.ledger.seal(reason, self.steps)
            elif self.ledger is not None:
                self.ledger.close()

    def forget(self) -> None:
        """In a forked child: the ledger is the parent's."""
        self._closed = True
        with suppress(OSError):
            if self.ledger is not None:
                self.ledger.close()
        self._rows.clear()
        self._lines.clear()
        self._losses.clear()
