"""``flopcount.count``: chooses how to trace, traces, and states the figure by a convention."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from flopcount.conventions import check, state
from flopcount.errors import CountError
from flopcount.summary import summarise

if TYPE_CHECKING:
    from flopcount.count import FlopCount


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
    if find_spec("torch") is None:
        raise CountError(
            "a model is traced with torch, which is not installed; "
            "pip install 'flopledger[trace]', or count from dimensions with flopcount.closed_form"
        )
    from flopcount.formula_rung import by_formula
    from flopcount.ladder import climb
    from flopcount.parallel import unwrap
    from flopcount.trace import Step

    if optimizer is not None and not (backward and hasattr(model, "parameters")):
        raise CountError(
            "an optimizer steps on gradients of a module's parameters; found "
            f"{type(model).__name__} with backward={backward}; count a module with its backward"
        )
    step = Step(
        model=unwrap(model),
        args=args,
        kwargs=kwargs,
        backward=backward,
        loss=loss,
        optimizer=optimizer,
    )
    try:
        ledger, method, notes = climb(step)
    except CountError as failure:
        return by_formula(step, failure, convention)
    if ledger.unknown_masks:
        text = "masked: the values of some attention masks are unknown; every pair of them counts"
        notes = (*notes, text)
    notes = (*notes, *dict.fromkeys(ledger.remarks))
    dense = summarise(ledger, method=method, notes=notes)
    return state(dense, convention, model, args, kwargs, backward=backward)
