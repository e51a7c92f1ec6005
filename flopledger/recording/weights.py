"""Models' weights as they are saved and loaded: with which ones does this process begin?

A resume may load the weights and nothing else: the optimizer is new then and tells nothing. So the
ledger says what the trained parameters looked like before their first step, and each time that a
model's weights were asked for, which is how checkpoints are made. Numbers on a device are not read:
there only files that were loaded into memory tell one beginning from another (design/121).
"""

from __future__ import annotations

import hashlib
import sys
import time
import weakref
from collections.abc import Callable, Iterable
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from profilers.steps.optimizers.weights import (
    UNREAD,
    WeightsMark,
    digest_of,
    mark_of,
    mark_of_all,
    trains,
    watch,
)

if TYPE_CHECKING:
    from flopledger.recording.keeping import Keeping
    from flopledger.recording.recorder import Recorder

Safely = Callable[[Callable[..., None]], Callable[..., None]]

MOST_LIVING = 64
"""A process may hold optimizers that it never steps, as a notebook does: so many are looked at once."""
MOST_SAVED = 4
"""So many are looked at whenever weights are saved."""
AT_ONCE = 8
"""A program may ask for weights at each step, for their averages: so often, and once a second more."""


class Weights:
    """The weights of one recording's models."""

    def __init__(self, recorder: Recorder, keeping: Keeping, safely: Safely) -> None:
        """Take the recording, what writes, and what keeps trouble from the program."""
        self._recorder = recorder
        self._keeping = keeping
        self._safely = safely
        self._marks: weakref.WeakKeyDictionary[Any, WeightsMark] = weakref.WeakKeyDictionary()
        """What each optimizer may train, as it was when it was last looked at."""
        self._files: list[tuple[weakref.ref[Any], str]] = []
        """What was loaded, and into which modules."""
        self._said: set[WeightsMark] = set()
        """What was said of the step that was last saved."""
        self._said_of = 0
        self._began = time.monotonic()
        self._asked = 0
        self._undo: Callable[[], None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        modules = sys.modules["torch"].nn.Module
        self._undo = watch(modules, self._safely(self._asked_for), self._safely(self._took))

    def stop(self) -> None:
        """End."""
        if self._undo is not None:
            self._undo()

    def look(self, module: Any) -> None:
        """Before the first step, a model is called: remember what will be trained."""
        known = self._recorder.observer.optimizers
        self._safely(lambda: self._look(trains(known.living, module)))()

    def _look(self, more: Iterable[Any] = ()) -> None:
        known = self._recorder.observer.optimizers
        for optimizer in dict.fromkeys([*known.living[-MOST_LIVING:], *more]):
            mark = mark_of(optimizer) if known.known(optimizer) is None else None
            if mark is not None:
                self._marks[optimizer] = mark

    def _took(self, module: Any, weights: Any) -> None:
        """A module was given weights."""
        if not self._recorder.observer.optimizers.any_stepped:
            self._files.append((weakref.ref(module), digest_of(weights)))
        if self._marks:
            self._look()  # what was seen before the load is gone

    def begins(self, optimizer: Any) -> None:
        """An optimizer made its first step: say with what it began.

        One that never steps tells nothing: it may belong to another training of this process.
        """
        known = self._recorder.observer.optimizers
        if known.number > MOST_SAVED:
            return
        mark = self._marks.pop(optimizer, None)
        loaded = self._loaded() if known.number == 1 else None
        if loaded is not None:
            mark = mark or WeightsMark(layout="", values=None)
        if mark is not None and (mark.values is not None or loaded is not None):
            self._recorder.book.head(
                lambda ledger: ledger.weights("begin", 0, mark.layout, mark.values, loaded)
            )

    def _loaded(self) -> str | None:
        """Return a digest of all that was loaded into what is trained; None where nothing was."""
        optimizers = self._recorder.observer.optimizers.living
        digests = [
            digest
            for found, digest in self._files
            if (module := found()) is not None and trains(optimizers, module)
        ]
        if not digests or UNREAD in digests:
            return UNREAD if digests else None
        return hashlib.sha256(" ".join(digests).encode()).hexdigest()[:32]

    def _asked_for(self, module: Any) -> None:
        """A model's weights were asked for, perhaps for a checkpoint."""
        known = self._recorder.observer.optimizers
        if known.any_stepped and self._has_room():
            self._asked += 1
            waiting = [each for each in known.living if known.known(each) is None]
            if self.saved(self._keeping.reached(), trains(waiting[-MOST_LIVING:], module)):
                self._keeping.keep()

    def _has_room(self) -> bool:
        return self._asked < AT_ONCE + time.monotonic() - self._began

    def saved(self, step: int, waiting: Iterable[Any] = ()) -> bool:
        """Say what the trained parameters look like after a step; answers whether there was news.

        Args:
            step: Its number.
            waiting: Optimizers that may begin later, and train what is being saved. Others that did not
                step, such as those of an earlier training in a notebook, have no part in it.

        """
        if not step:
            return False
        if step != self._said_of:
            self._said, self._said_of = set(), step
        news = self._now(waiting) - self._said
        for mark in news:
            self._recorder.book.head(
                lambda ledger, mark=mark: ledger.weights(  # type: ignore[misc]
                    "saved", step, mark.layout, mark.values
                )
            )
        self._said |= news
        return bool(news)

    def _now(self, waiting: Iterable[Any]) -> set[WeightsMark]:
        """Return what is trained looks like; of optimizers that wait, as far as there is room."""
        stepped = map(mark_of_all, self._recorder.observer.optimizers.lately())
        marks = islice(chain(stepped, map(mark_of, waiting)), MOST_SAVED)
        return {mark for mark in marks if mark is not None and mark.values is not None}
