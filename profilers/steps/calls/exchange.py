"""Calls that are made with other parameters than the module's own (``torch.func.functional_call``)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch.compiler import is_dynamo_compiling
from torch.nn.utils import stateless

from profilers.steps.standing.layers import Undo, placed


class _Exchange:
    """torch's own exchange of parameters (``torch.func.functional_call``), told of at both ends."""

    def __init__(self, exchange: Any, tell: Callable[[], None]) -> None:
        self.exchange = exchange
        self.tell = tell

    def __enter__(self) -> Any:
        entered = self.exchange.__enter__()
        self.tell()
        return entered

    def __exit__(self, *error: Any) -> Any:
        self.tell()
        return self.exchange.__exit__(*error)


def exchanging(tell: Callable[[], None]) -> Undo:
    """Tell where a call is made with other parameters than the module's own."""
    original = getattr(stateless, "_reparametrize_module", None)
    if original is None:
        return lambda: None

    @functools.wraps(original)
    def exchange(*args: Any, **kwargs: Any) -> Any:
        if is_dynamo_compiling():
            return original(*args, **kwargs)
        return _Exchange(original(*args, **kwargs), tell)

    return placed(stateless, "_reparametrize_module", exchange)
