"""``flopcount.count``: chooses how to trace, traces, and states the figure by a convention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flopcount.count import FlopCount
from flopcount.summary import summarise


def count(
    model: Any,
    *args: Any,
    backward: bool = True,
    loss: Callable[[Any], Any] | None = None,
    convention: str = "dense",
    **kwargs: Any,
) -> FlopCount:
    """Count the FLOP of one step of ``model(*args, **kwargs)``. See :func:`flopcount.count`."""
    from flopcount.trace import trace_on_meta

    ledger = trace_on_meta(model, args, kwargs, backward=backward, loss=loss)
    return summarise(ledger, method="meta")
