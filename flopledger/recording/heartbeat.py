"""Writes the ledger down while a slow step runs, so that a kill loses about a second of steps.

A program with quick steps writes by itself, once a second, and this thread finds nothing to do. It
pauses while the process forks: a child must not inherit a lock that a thread held, and Python warns
of forks beside threads. Where no thread can be started the program goes on writing by itself.
"""

from __future__ import annotations

import os
import signal
import threading
import weakref
from collections.abc import Callable

SECONDS = 1.0


class Heartbeat:
    """Calls a function every second, in a thread of its own, until it is stopped."""

    def __init__(self, beat: Callable[[], None], seconds: float = SECONDS) -> None:
        """Take what to call; it must not raise."""
        self._beat = beat
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        _LIVE.add(self)
        self._resume()

    def stop(self) -> None:
        """End; a beat that runs is waited for."""
        _LIVE.discard(self)
        self._pause()

    def _resume(self) -> None:
        if self._thread is None:
            self._ended.clear()
            self._thread = threading.Thread(target=self._run, name="flopledger", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # no more threads are allowed, or the interpreter ends
                self._thread = None

    def _pause(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            self._ended.set()
            thread.join()

    def _run(self) -> None:
        # Signals are the program's: one that it blocks must wait for it and not end it by way of us.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while not self._ended.wait(self._seconds):
            self._beat()


_LIVE: weakref.WeakSet[Heartbeat] = weakref.WeakSet()


def _before_fork() -> None:
    for heartbeat in list(_LIVE):
        heartbeat._pause()


def _after_fork() -> None:
    for heartbeat in list(_LIVE):
        heartbeat._resume()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork)
