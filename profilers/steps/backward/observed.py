"""What an observer does where a backward pass begins, ends or breaks off."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
from torch._C import _current_graph_task_id as graph_task
from torch._C._functorch import is_legacy_batchedtensor, peek_interpreter_stack

from profilers.steps.backward import within
from profilers.steps.backward.hooks import hook
from profilers.steps.backward.passes import LOOKING, MOST_DERIVED, MOST_GRADIENTS, place_of
from profilers.steps.calls.asked import is_fake
from profilers.steps.folding.events import FIRING
from profilers.steps.products import outside

if TYPE_CHECKING:
    from profilers.steps.observer import Observer

LOOKS = 16
"""So many steps in a row are looked at for products outside of modules: at the start, after a new
kind of call, once a second, and as long as there are some."""

BATCHED = "a backward of several gradients at once, or under a function transform"


class Backwards:
    """Is told of each pass that is unlike those before it."""

    def __init__(self, observer: Observer) -> None:
        """Take for whom."""
        self._observer = observer

    def differentiated(self, began: int, gradients: tuple[Any, ...], linear: bool) -> None:
        """A differentiable backward is over: watch whether its gradients are differentiated.

        Only where it went through a single call; of several, it cannot be said which gradient is
        whose, and such calls keep an open bound.
        """
        observer = self._observer
        try:
            if not observer.watching or observer.inside():
                return
            calls = [
                call
                for call, _ in observer.open_calls()
                if len(call[1]) >= FIRING
                and call[1][1 - FIRING] and call[1][2 - FIRING] >= began
            ]  # fmt: skip
            if len(calls) != 1:
                return
            fired = calls[0][1]
            number = _derived_before(fired)
            if number >= MOST_DERIVED or len(gradients) > MOST_GRADIENTS:
                return
            for index, gradient in enumerate(gradients):
                if isinstance(gradient, torch.Tensor) and gradient.requires_grad:
                    hook(gradient, fired, place_of(number, index, linear=linear))
        except Exception as error:  # noqa: BLE001 - never into the program
            observer.trouble("a differentiable backward", error)

    def begins(
        self, outputs: Any, given: Sequence[Any], wanted: Sequence[Any], derived: bool
    ) -> bool:
        """A backward is about to begin: see what lies between it and the calls that were seen."""
        observer = self._observer
        if not observer.watching or observer.inside() or observer.derived or graph_task() != -1:
            return True
        if is_fake():  # a compiler traces: nothing is computed
            return True
        if peek_interpreter_stack() is not None or any(map(is_legacy_batchedtensor, given)):
            observer.derived = derived  # gradients with graphs that cannot be told apart
            observer.elsewhere.unseen(BATCHED)
            return True
        products, other = outside.outside(outputs, observer.calls(), wanted, derived=derived)
        if not products and not other:
            return False
        LOOKING[0], observer.looks = True, LOOKS
        observer.elsewhere.note(products, other)
        return True

    def runs(self, *, runs: bool) -> None:
        """A backward is about to run, or is over: products in it are none of the loop's."""
        beside = self._observer.beside
        try:
            beside.backward(runs=runs)
        except Exception as error:  # noqa: BLE001 - never into the program
            beside.failed(error)

    def begins_within(self, edges: Sequence[Any], wanted: Sequence[Any]) -> None:
        """A backward begins inside of a call: the graph alone says what it computes."""
        observer = self._observer
        if observer.watching and not observer.inside():
            products, other = within.within(edges, wanted)
            if products or other:
                observer.elsewhere.note(products, other)

    def raised(self, began: int) -> None:
        """A backward that began then (ns) broke off, nobody knows where: its least is nothing."""
        observer = self._observer
        with suppress(Exception):  # never into the program, which is raising already
            if not observer.watching or observer.inside():
                return
            for (_, fired, _, _), told in observer.open_calls():
                while len(fired) >= told + FIRING and fired[2 - FIRING] >= began:
                    del fired[-FIRING:]
            observer.elsewhere.unseen("a backward that raised")


def _derived_before(fired: Sequence[int]) -> int:
    """How many differentiable passes went through a call before the one that arrived last."""
    last = fired[-FIRING]
    return len({fired[at] for at in range(0, len(fired), FIRING) if fired[at + 1]} - {last})
