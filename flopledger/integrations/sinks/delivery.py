"""Between the loop and a sink: a bounded queue and a thread, so that no sink can hold up a step.

The loop hands a value over and goes on: it takes one lock and never waits for room. A sink that is
slow loses values (the newest, so that what was delivered stays a whole beginning), one that fails
loses that value, one that hangs loses all that follow; each loss is counted and said at the end.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from flopledger.integrations.sinks.metrics import StepMetrics

CAPACITY = 1024
"""Values that may wait for one sink."""
_LOG = logging.getLogger("flopledger.sinks")


class Sink(Protocol):
    """Where figures go. Both methods run on the sink's own thread, and may block and raise."""

    name: str

    def emit(self, metrics: StepMetrics) -> None:
        """Take the figures of one step."""

    def close(self) -> None:
        """Flush, and let go of files and connections."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """What became of the values of one sink. ``handed`` is the sum of the other counts."""

    sink: str
    handed: int
    delivered: int
    dropped: int
    """Found the queue full."""
    failed: int
    """The sink raised on them."""
    waiting: int
    """Still in the queue when the time to close was over."""
    error: str | None
    """The sink's first error, in its own words."""

    @property
    def complete(self) -> bool:
        """Whether everything arrived."""
        return self.delivered == self.handed and self.error is None

    def __str__(self) -> str:
        if self.complete:
            return f"{self.sink}: {self.delivered} steps delivered"
        told = f": {self.error}" if self.error else ""
        return (
            f"{self.sink}: {self.delivered} of {self.handed} steps delivered, {self.dropped} "
            f"dropped, {self.failed} failed, {self.waiting} left waiting{told}"
        )


class Delivery:
    """Feeds one sink."""

    def __init__(self, sink: Sink, *, capacity: int = CAPACITY) -> None:
        self._sink = sink
        self._capacity = capacity
        self._queue: deque[StepMetrics] = deque()
        self._changed = threading.Condition()
        self._handed = self._delivered = self._dropped = self._failed = 0
        self._busy = self._closing = False
        self._error: str | None = None
        self._pid = os.getpid()
        self._thread = threading.Thread(
            target=self._work, name=f"flopledger-{sink.name}", daemon=True
        )
        self._thread.start()

    def emit(self, metrics: StepMetrics) -> None:
        """Hand one value over; never waits for the sink and never raises."""
        if os.getpid() != self._pid:
            return  # a forked data loader worker has the queue, but not the thread
        with self._changed:
            if self._closing:
                return
            self._handed += 1
            if len(self._queue) >= self._capacity:
                self._dropped += 1
                return
            self._queue.append(metrics)
            self._changed.notify()

    def close(self, timeout_seconds: float = 10.0) -> Delivered:
        """Let the sink finish for at most ``timeout_seconds`` and say what became of the values."""
        if os.getpid() == self._pid:
            with self._changed:
                first, self._closing = not self._closing, True
                self._changed.notify()
            self._thread.join(timeout_seconds)
            if self._thread.is_alive():
                with self._changed:
                    self._error = (
                        self._error or "it did not close in time; what it holds may be lost"
                    )
            report = self.report()
            if first and not report.complete:
                _LOG.warning("%s", report)
        return self.report()

    def report(self) -> Delivered:
        """Say what has become of the values so far."""
        with self._changed:
            return Delivered(
                sink=self._sink.name,
                handed=self._handed,
                delivered=self._delivered,
                dropped=self._dropped,
                failed=self._failed,
                waiting=len(self._queue) + self._busy,
                error=self._error,
            )

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closing:
                    self._changed.wait()
                if not self._queue:
                    break
                metrics = self._queue.popleft()
                self._busy = True
            delivered = self._try(partial(self._sink.emit, metrics))
            with self._changed:
                self._busy = False
                self._delivered += delivered
                self._failed += not delivered
        self._try(self._sink.close)

    def _try(self, act: Callable[[], object]) -> bool:
        try:
            act()
        except Exception as error:  # noqa: BLE001 - whatever a tracker raises, the run goes on
            with self._changed:
                self._error = self._error or f"{type(error).__name__}: {error}"[:500]
            return False
        return True


class Sinks:
    """Several sinks, each with its own queue and thread: one that hangs starves no other."""

    def __init__(self, *sinks: Sink, capacity: int = CAPACITY) -> None:
        self._deliveries = [Delivery(sink, capacity=capacity) for sink in sinks]

    def emit(self, metrics: StepMetrics) -> None:
        """Hand one value to every sink; never waits and never raises."""
        for delivery in self._deliveries:
            delivery.emit(metrics)

    def close(self, timeout_seconds: float = 10.0) -> tuple[Delivered, ...]:
        """Close all within ``timeout_seconds`` together; losses are logged as warnings."""
        deadline = time.monotonic() + timeout_seconds
        return tuple(
            delivery.close(max(0.0, deadline - time.monotonic())) for delivery in self._deliveries
        )
