"""``flopcount.count``: chooses how to trace, traces, and states the figure by a convention."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flopcount.conventions import check, state
from flopcount.errors import CountError
from flopcount.summary import summarise

if TYPE_CHECKING:
    from flopcount.count import FlopCount
    from flopcount.trace import Step


def count(
    model: Any,
    *args: Any,
    backward: bool = True,
    loss: Callable[[Any], Any] | None = None,
    convention: str = "dense",
    optimizer: Callable[[Any], Any] | None = None,
    **kwargs: Any,
) -> FlopCount:
    """Count the FLOP of one step of ``model(*args, **kwargs)``. See :func:`flopcount.count`."""
    check(convention)
    from flopcount.exchange import replayable
    from flopcount.parallel import unwrap
    from flopcount.trace import Step

    if optimizer is not None and not (backward and hasattr(model, "parameters")):
        raise CountError(
            "an optimizer steps on gradients of a module's parameters; found "
            f"{type(model).__name__} with backward={backward}; count a module with its backward"
        )
    step = Step(
        model=unwrap(model),
        args=replayable(args),
        kwargs=replayable(kwargs),
        backward=backward,
        loss=loss,
        optimizer=optimizer,
    )
    with _few_collections():
        return _counted(step, convention)


def _counted(step: Step, convention: str) -> FlopCount:
    """The figure of a step, traced or by formula."""
    from flopcount.formula_rung import by_formula
    from flopcount.ladder import climb

    try:
        ledger, method, notes = climb(step)
    except CountError as failure:
        return by_formula(step, failure, convention)
    if ledger.unknown_masks:
        text = "masked: the values of some attention masks are unknown; every pair of them counts"
        notes = (*notes, text)
    notes = (*notes, *dict.fromkeys(ledger.remarks))
    dense = summarise(ledger, method=method, notes=notes)
    model, args, kwargs = step.model, step.args, step.kwargs
    return state(dense, convention, model, args, kwargs, backward=step.backward)


@contextmanager
def _few_collections() -> Iterator[None]:
    """Let Python's full garbage collections be ten times as rare; young objects are collected as ever.

    A full one takes half as long as a count, and finds nothing.
    """
    before = gc.get_threshold()
    gc.set_threshold(*before[:2], 10 * before[2])
    try:
        yield
    finally:
        gc.set_threshold(*before)
