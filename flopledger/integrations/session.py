"""What every framework's callback does: a recording, a feed to sinks, and spans that are opened in
one hook and closed in another."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from flopledger.integrations.feed import Feed
from flopledger.integrations.sinks.delivery import Delivered, Sink
from flopledger.integrations.sinks.metrics import StepMetrics
from flopledger.recording import Recording, record


class Session:
    """One recording of one process, as a framework's hooks drive it."""

    def __init__(
        self, path: str | Path, *, sinks: Sequence[Sink] = (), model: Any = None, **options: Any
    ) -> None:
        """``options`` are those of ``flopledger.record``; ``sinks`` get this process's steps."""
        self.recording: Recording = record(path, model, **options)
        self.delivered: tuple[Delivered, ...] = ()
        """What became of the sinks' values, once the session has stopped."""
        self._sinks = tuple(sinks)
        self._feed: Feed | None = None
        self._latest: StepMetrics | None = None
        self._span: tuple[str, AbstractContextManager[None]] | None = None

    @property
    def latest(self) -> StepMetrics | None:
        """The last step that reached the ledger; needs a sink or ``follow``."""
        return self._feed.latest if self._feed is not None else self._latest

    def start(self, *, resume_step: int = 0, follow: bool = False) -> None:
        """Begin; with ``resume_step`` the run goes on after that optimizer step.

        ``follow`` reads the ledger back even without a sink, so that ``latest`` is known.
        """
        begun = time.time_ns()
        self.recording.start()
        if resume_step:
            self.recording.resume(resume_step)
        if self._sinks or follow:
            self._feed = Feed(self.recording.path, *self._sinks, since_ns=begun)

    def enter(self, what: str) -> None:
        """Begin a span; one that is open ends first."""
        self.leave()
        span = self.recording.span(what)
        span.__enter__()
        self._span = (what, span)

    def leave(self, what: str | None = None) -> None:
        """End the open span, if it is ``what`` (or whatever it is)."""
        if self._span is not None and what in (None, self._span[0]):
            span, self._span = self._span[1], None
            span.__exit__(None, None, None)

    def stop(self, reason: str = "finished") -> None:
        """End: the ledger is sealed, the sinks get the rest. Stopping twice changes nothing."""
        self.leave()
        self.recording.stop(reason)
        if self._feed is not None:
            feed, self._feed = self._feed, None
            self.delivered = feed.close()
            self._latest = feed.latest
