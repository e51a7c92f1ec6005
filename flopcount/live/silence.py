"""Nothing of a forward that is run once more for a count is seen: no print, no log, no file."""

from __future__ import annotations

import builtins
import io
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Muted:
    """A stream that one thread's writing does not reach."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._thread = stream, threading.get_ident()

    def write(self, text: Any) -> Any:
        """Write, from another thread."""
        return len(text) if threading.get_ident() == self._thread else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def silent() -> Iterator[None]:
    """Nothing that this thread prints, logs or writes to files is seen."""
    me = threading.get_ident()
    streams = [(name, getattr(sys, name)) for name in ("stdout", "stderr")]
    handle, opened, opened_by_io = logging.Logger.handle, builtins.open, io.open

    def handled(logger: Any, record: Any) -> None:
        if threading.get_ident() != me:
            handle(logger, record)

    def nowhere(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
        if threading.get_ident() == me and any(letter in mode for letter in "wax+"):
            binary = "b" if "b" in mode else ""
            return opened(
                os.devnull, f"r+{binary}" if "+" in mode else f"w{binary}", *rest, **named
            )
        return opened(file, mode, *rest, **named)

    muted = [(name, _Muted(stream)) for name, stream in streams if stream is not None]
    try:
        for name, stream in muted:
            setattr(sys, name, stream)
        logging.Logger.handle = handled  # type: ignore[method-assign,assignment]
        builtins.open = io.open = nowhere
        yield
    finally:
        builtins.open, io.open = opened, opened_by_io
        logging.Logger.handle = handle  # type: ignore[method-assign]
        now = dict(muted)
        for name, stream in streams:
            if getattr(sys, name, None) is now.get(name):
                setattr(sys, name, stream)
