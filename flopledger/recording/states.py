"""Optimizers' states as they are saved and loaded: after which step does this process go on?

Where the state says how often its optimizer stepped, the observer reads it at the first step. Where
it does not (SGD keeps no number, a fused optimizer keeps it on its device), the ledger says that a
state was loaded and what it looked like, and says so of each state that was saved: whoever reads the
ledgers of all attempts can tell which one it was, or between which ones (design/121).
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flopledger.recording.keeping import Keeping
from flopledger.recording.weights import Weights
from profilers.steps.optimizers.states import StateMark, mark_of, state_of, watch

if TYPE_CHECKING:
    from flopledger.recording.recorder import Recorder


MOST_PLACES = 1024
"""So many states that were saved are remembered, should the program go back to one."""


class States:
    """The optimizers' states of one recording, and their models' weights."""

    def __init__(self, recorder: Recorder) -> None:
        """Take the recording."""
        self._recorder = recorder
        self._loaded: weakref.WeakKeyDictionary[Any, tuple[StateMark, str]] = (
            weakref.WeakKeyDictionary()
        )
        """What was loaded into optimizers that did not step yet, and whether that was seen."""
        self._own: weakref.WeakKeyDictionary[Any, StateMark] = weakref.WeakKeyDictionary()
        """What they answered when they were asked for their states: launchers hand that back to them."""
        self._before: weakref.WeakSet[Any] = weakref.WeakSet()
        """Optimizers that were there before us: what was loaded into them, nobody saw."""
        self._had: tuple[Any, StateMark | None] = (None, None)
        """The optimizer that is being loaded, and what it had before."""
        self._places: dict[tuple[str, str | None], int | None] = {}
        """After which step a state was saved that does not say so; None where several look the same."""
        self._looked = False
        self._keeping = Keeping(recorder)
        self.weights = Weights(recorder, self._keeping, self._safely)
        self._undo: Callable[[], None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        optimizers = sys.modules["torch"].optim.Optimizer
        safely = self._safely
        self._undo = watch(optimizers, safely(self._saved), safely(self._took), safely(self._loads))
        known = self._recorder.observer.optimizers
        known.begins.append(self._safely(self._begins))
        for optimizer in known.living:
            if getattr(optimizer, "param_groups", None):  # else it is just being made
                self._before.add(optimizer)
        self.weights.start()

    def stop(self) -> None:
        """End, with a word on the states as they are now: a later recording may go on with them."""
        self.unwatch()
        known = self._recorder.observer.optimizers
        for optimizer in known.living:
            name = known.known(optimizer)
            if name is not None and self._recorder.book.steps:
                self._safely(self._saved)(optimizer, state_of(optimizer), source="end")

    def unwatch(self) -> None:
        """Leave torch's classes as they were."""
        if self._undo is not None:
            self._undo()
        self.weights.stop()

    def shift(self, by: int) -> None:
        """Steps got greater numbers: what was saved after them, too."""
        self._places = {
            look: None if step is None else step + by for look, step in self._places.items()
        }

    def look(self, module: Any) -> None:
        """A model is called before the first step: which optimizers have a state that nobody saw?"""
        known = self._recorder.observer.optimizers
        if not known.any_stepped:
            self.weights.look(module)
        if self._looked:
            return
        self._looked = True
        for optimizer in known.living:
            if optimizer in self._loaded or known.was_readied(optimizer):
                continue
            if getattr(optimizer, "state", None):
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

    def _loads(self, optimizer: Any) -> None:
        """A state is about to be loaded."""
        if self._recorder.observer.optimizers.known(optimizer) is not None:
            self._had = optimizer, mark_of(state_of(optimizer))

    def _went_back(self, optimizer: Any, mark: StateMark) -> None:
        """An optimizer that stepped before was given a state, perhaps an earlier one of its own."""
        (whose, had), self._had = self._had, (None, None)
        if whose is not optimizer or had is None:
            return
        recorder = self._recorder
        counts = had.steps is not None and mark.steps is not None
        if had.steps is not None and mark.steps is not None:
            back = had.steps - mark.steps
        else:
            place = self._places.get((mark.layout, mark.values))
            back = 0 if place is None else self._keeping.reached() - place
        if back <= 0:
            return
        optimizers = recorder.observer.optimizers
        if optimizers.number == 1:
            recorder.numbers.goes_back(back)
        else:
            recorder.numbers.may_go_back(optimizers.known(optimizer) or "", back, counts=counts)

    def _took(self, optimizer: Any, state: Any) -> None:
        """A state was loaded."""
        mark = mark_of(state)
        if mark is None:
            return
        if self._recorder.observer.optimizers.known(optimizer) is not None:
            self._went_back(optimizer, mark)
            return
        self._recorder.observer.optimizers.forget_readying(optimizer)
        before = self._loaded.get(optimizer)
        if before is None or before[0] != mark:
            own = self._own.pop(optimizer, None) == mark
            self._loaded[optimizer] = mark, "own" if own else "seen"
        elif before[1] == "own":  # its own it was handed back before
            self._loaded[optimizer] = mark, "seen"

    def _begins(self, optimizer: Any) -> None:
        """An optimizer made its first step."""
        self.weights.begins(optimizer)
        loaded, own = self._loaded.pop(optimizer, None), mark_of(state_of(optimizer))
        if own is None or own.steps is not None:
            return  # the observer reads it there
        name, recorder = type(optimizer).__name__, self._recorder
        if loaded is not None and loaded[0].steps is not None:
            recorder.resumed(loaded[0].steps)
        elif loaded is not None:
            recorder.numbers.goes_on(name, *loaded)
        elif optimizer in self._before and not own.entries:
            recorder.numbers.goes_on(name, own, "stateless")

    def _saved(self, optimizer: Any, state: Any, *, source: str = "state-dict") -> None:
        """A state was saved, or at least asked for."""
        mark, recorder = mark_of(state), self._recorder
        if mark is None:
            return
        known = recorder.observer.optimizers
        if known.known(optimizer) is None:
            self._own[optimizer] = mark
        if not known.any_stepped:
            return
        step = self._keeping.reached()
        if mark.steps is None and mark.values is not None:
            look = mark.layout, mark.values
            self._places[look] = step if self._places.get(look, step) == step else None
            if len(self._places) > MOST_PLACES:
                del self._places[next(iter(self._places))]
        if mark.steps is None and step:
            name, book = type(optimizer).__name__, recorder.book
            book.head(lambda ledger: ledger.saved(step, name, mark.layout, mark.values, source))
        if source != "end":
            self.weights.saved(step, [optimizer] if known.known(optimizer) is None else ())
        self._keeping.keep()
