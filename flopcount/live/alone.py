"""One count at a time in a process.

A count puts things of the whole process aside while it runs: ``open``, the streams, settings of torch,
``Thread.start``. Two at once, in two threads, would each put back what it found, and what one of them had put
there would stay: that thread's files would go nowhere for ever.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


class _Turn:
    lock = threading.RLock()


def _forked() -> None:
    """Whoever held it in the parent is no thread of the child's."""
    _Turn.lock = threading.RLock()


os.register_at_fork(after_in_child=_forked)


def alone(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Have a function wait while another thread is in one of these; it may call others of them."""

    @functools.wraps(function)
    def in_turn(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with _Turn.lock:
            return function(*args, **kwargs)

    return in_turn
