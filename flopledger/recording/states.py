"""Optimizers' states as they are saved and loaded: after which step does this process go on?

Where the state says how often its optimizer stepped, the observer reads it at the first step. Where
it does not (SGD keeps no number, a fused optimizer keeps it on its device), the ledger says that a
state was loaded and what it looked like, and says so of each state that was saved: whoever reads the
ledgers of all attempts can tell which one it was, or between which ones (design/121).
"""

from __future__ import annotations

import sys
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from profilers.step_states import StateMark, mark_of, state_of, watch

if TYPE_CHECKING:
    from flopledger.recording.recorder import Recorder

MOST_SHARE = 20
"""A state that is saved is on the disk before the program has it; all in all a twentieth of the time
may go into that."""


class States:
    """The optimizers' states of one recording."""

    def __init__(self, recorder: Recorder) -> None:
        """Take the recording."""
        self._recorder = recorder
        self._loaded: weakref.WeakKeyDictionary[Any, StateMark] = weakref.WeakKeyDictionary()
        self._before: weakref.WeakSet[Any] = weakref.WeakSet()
        """Optimizers that were there before us: what was loaded into them, nobody saw."""
        self._looked = False
        self._next_write = 0.0
        self._undo: Callable[[], None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        optimizers = sys.modules["torch"].optim.Optimizer
        self._undo = watch(optimizers, self._safely(self._saved), self._safely(self._took))
        known = self._recorder.observer.optimizers
        known.begins = self._safely(self._begins)
        for optimizer in known.living:
            if getattr(optimizer, "param_groups", None):  # else it is just being made
                self._before.add(optimizer)

    def stop(self) -> None:
        """End, with a word on the states as they are now: a later recording may go on with them."""
        if self._undo is not None:
            self._undo()
        known = self._recorder.observer.optimizers
        for optimizer in known.living:
            name = known.known(optimizer)
            if name is not None and self._recorder.book.steps:
                self._safely(self._saved)(optimizer, state_of(optimizer), source="end")

    def look(self) -> None:
        """Once, before the first step: which optimizers have a state that nobody saw them load?"""
        if self._looked:
            return
        self._looked = True
        for optimizer in self._recorder.observer.optimizers.living:
            if getattr(optimizer, "state", None) and optimizer not in self._loaded:
                self._safely(self._took)(optimizer, state_of(optimizer))

    def _safely(self, tell: Callable[..., None]) -> Callable[..., None]:
        def told(*what: Any, **more: Any) -> None:
            if not self._recorder.active:
                return
            try:
                tell(*what, **more)
            except Exception as error:  # noqa: BLE001 - never into the program
                self._recorder.observer.trouble("an optimizer's state", error)

        return told

    def _took(self, optimizer: Any, state: Any) -> None:
        """A state was loaded."""
        mark = mark_of(state)
        if mark is not None:
            self._loaded[optimizer] = mark

    def _begins(self, optimizer: Any) -> None:
        """An optimizer made its first step."""
        mark, own = self._loaded.pop(optimizer, None), mark_of(state_of(optimizer))
        if own is None or own.steps is not None:
            return  # the observer reads it there
        name, recorder = type(optimizer).__name__, self._recorder
        if mark is not None and mark.steps is not None:
            recorder.resumed(mark.steps)
        elif mark is not None:
            recorder.goes_on(name, mark, "seen")
        elif optimizer in self._before and not own.entries:
            recorder.goes_on(name, own, "stateless")

    def _saved(self, optimizer: Any, state: Any, *, source: str = "state-dict") -> None:
        """A state was saved, or at least asked for."""
        mark, recorder = mark_of(state), self._recorder
        if mark is None or not recorder.observer.optimizers.any_stepped:
            return
        recorder.observer.fold(counting=False)  # what is over is in the book then
        step = recorder.reached
        if mark.steps is None and step:
            name, book = type(optimizer).__name__, recorder.book
            book.head(lambda ledger: ledger.saved(step, name, mark.layout, mark.values, source))
        began = time.monotonic()
        if began >= self._next_write:
            recorder.book.flush(None, keep=recorder.open_to_words)
            ended = time.monotonic()
            self._next_write = ended + MOST_SHARE * (ended - began)
