"""Signals that reach a program while one of its calls is counted: none is lost, none breaks a model.

A model's forward may raise anything, ``KeyboardInterrupt`` and ``SystemExit`` too; a count that runs
it again has no business handing that on. A Ctrl-C of somebody's is another thing: it must arrive,
and not while the model's tensors are exchanged. Both are the same class, so they are told apart by
where they come from: whatever a handler of a signal raised came from outside
(:func:`arrived`), everything else is the model's own doing.

For the time of a count a handler of ours stands before each of the program's. While the model's code
runs (:func:`let_through`) it calls the program's at once; otherwise the signal waits until everything
is put back. Python runs handlers in the main thread only, so other threads need none of this.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _thread
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

_interrupt: Callable[[int], None] = _thread.interrupt_main  # type: ignore[assignment]
MARK = "_flopledger_from_outside"
"""On what a handler of a signal raised: nobody who shields the program from us may keep it."""
NUMBERS = tuple(int(number) for number in sorted(signal.valid_signals()))
"""As numbers: the names that ``signal`` gives them take fifty times as long as to ask for their handlers, and
the recorder holds signals back once a second."""


class _Signals:
    """A handler before the program's own ones."""

    def __init__(self) -> None:
        self.theirs: dict[int, Callable[[int, Any], Any]] = {}
        self.error: BaseException | None = None
        """What a handler of the program's raised."""
        self.open = False
        self._late: list[int] = []
        self._over = False

    def __call__(self, number: int, frame: Any) -> None:
        """Call the program's handler, now or when all is put back."""
        if self._over:
            _signal.signal(number, self.theirs[number])
        elif not self.open:
            self._late.append(number)
            return
        try:
            self.theirs[number](number, frame)
        except BaseException as error:
            self.open = False  # a second Ctrl-C waits until what the first one ended is put back
            self.error = error
            with suppress(AttributeError):
                setattr(error, MARK, True)
            raise

    def install(self) -> None:
        """Stand before every handler that the program has."""
        for number in NUMBERS:
            theirs = _signal.getsignal(number)
            # asyncio's does nothing, and how it was installed cannot be read back.
            if callable(theirs) and not str(getattr(theirs, "__module__", "")).startswith(
                "asyncio"
            ):
                self.theirs[number] = theirs
                _signal.signal(number, self)

    def remove(self) -> None:
        """Give the program's handlers their places, and what waited."""
        # First: one of theirs may raise among these lines, and ours, where it still stands, hands on then.
        self._over = True
        try:
            for number, theirs in self.theirs.items():
                if _signal.getsignal(number) is self and number not in self._late:
                    _signal.signal(number, theirs)
        finally:
            # Not called here: each is due, as if it came now, also where another one raises. Ours still
            # stands before those, to mark what they raise.
            list(map(_interrupt, self._late))


_present: _Signals | None = None


@contextmanager
def held_back() -> Iterator[None]:
    """Inside, signals wait; afterwards they arrive, and what a handler raised goes on.

    Raises:
        BaseException: whatever a handler of the program's raised meanwhile.

    """
    global _present
    if _present is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = _present = _Signals()
    try:
        signals.install()
        yield
    finally:
        signals.open = False
        _present = None
        signals.remove()
        if signals.error is not None:
            # Also where the model, or we, caught it: it was meant for the program.
            raise signals.error


@contextmanager
def let_through() -> Iterator[None]:
    """Inside, the program's handlers are called at once: its own code runs, which may wait forever."""
    signals = _present
    if signals is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    signals.open = signals.error is None
    try:
        yield
    finally:
        signals.open = False


def arrived() -> bool:
    """Whether a handler of the program's raised something since signals are held back."""
    return _present is not None and _present.error is not None
