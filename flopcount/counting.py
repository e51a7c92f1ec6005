"""``flopcount.count``: chooses how to trace, traces, and states the figure by a convention."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flopcount.summary import summarise

if TYPE_CHECKING:
    from flopcount.count import FlopCount


def count(
    model: Any,
    *args: Any,
    backward: bool = True,
    loss: Callable[[Any], Any] | None = None,
    convention: str = "dense",
    **kwargs: Any,
) -> FlopCount:
    """Count the FLOP of one step of ``model(*args, **kwargs)``. See :func:`flopcount.count`."""
    del convention
    from flopcount.ladder import climb
    from flopcount.trace import Step

    step = Step(model=model, args=args, kwargs=kwargs, backward=backward, loss=loss)
    ledger, method, notes = climb(step)
    return summarise(ledger, method=method, notes=notes)
