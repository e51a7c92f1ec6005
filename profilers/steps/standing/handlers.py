"""What a handler of a signal raised while our code ran is the program's: a timeout of its own, a way out.

It is told from what fails of ours by where it comes from. No torch is imported here.
"""

from __future__ import annotations

import signal
from types import CodeType
from typing import Any

MARK = "_flopledger_from_outside"
"""On an error that whoever holds signals back knows to be the program's (``flopcount.live.signals``)."""


def is_the_programs(error: BaseException) -> bool:
    """Whether a handler of one of the program's signals raised it."""
    if hasattr(error, MARK):
        return True
    handlers = _handlers()
    at = error.__traceback__
    while at is not None:
        if at.tb_frame.f_code in handlers:
            return True
        at = at.tb_next
    return False


def _handlers() -> set[CodeType]:
    found: set[CodeType] = set()
    for number in signal.valid_signals():
        handler: Any = signal.getsignal(number)
        for each in (handler, getattr(handler, "func", None), type(handler).__call__):
            code = getattr(getattr(each, "__func__", each), "__code__", None)
            if isinstance(code, CodeType):
                found.add(code)
    return found


class Shield:
    """Inside, what fails of ours is kept from the program; what its handlers raise is not."""

    __slots__ = ()

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _kind: object, error: BaseException | None, _at: object) -> bool:
        """End; answers whether the error goes no further."""
        return isinstance(error, Exception) and not is_the_programs(error)


SHIELD = Shield()
