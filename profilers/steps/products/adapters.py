"""Adapters that are merged into their weights, and taken out again: products that no call and no graph shows.

They happen seldom, so that steps which are watched now and then (:mod:`.beside`) say nothing
of them. The library that does it most is known by name; its functions are watched each time. No torch is
imported here.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

Undo = Callable[[], None]
MERGING: dict[str, dict[str, tuple[str, ...]]] = {
    "peft.tuners.tuners_utils": {
        "BaseTuner": ("merge_adapter", "unmerge_adapter", "_unload_and_optionally_merge"),
        "BaseTunerLayer": ("merge", "unmerge"),
    },
    "peft.tuners.lora.model": {"LoraModel": ("add_weighted_adapter",)},
}
"""Methods by module and class; those of classes that inherit from these, too."""
MOST_CLASSES = 4096


class Adapters:
    """The wrapped methods of one observer."""

    def __init__(self, enter: Callable[[], object], leave: Callable[[], object]) -> None:
        """Take who is told that such a method begins, and that it is over."""
        self._enter, self._leave = enter, leave
        self._undo: dict[tuple[type, str], Undo] = {}

    def look(self) -> None:
        """Wrap what was imported since the last time."""
        for module, classes in MERGING.items():
            found = sys.modules.get(module)
            for name, methods in classes.items() if found is not None else ():
                base = getattr(found, name, None)
                for owner in _descended(base) if isinstance(base, type) else ():
                    for method in methods:
                        place = owner, method
                        if callable(vars(owner).get(method)) and place not in self._undo:
                            self._undo[place] = _around(owner, method, self._enter, self._leave)

    def stop(self) -> None:
        """Leave the classes as they were."""
        for undo in self._undo.values():
            undo()
        self._undo.clear()


def _descended(base: type) -> Iterator[type]:
    waiting: list[type] = [base]
    for kind in waiting:
        yield kind
        below: list[type] = type.__subclasses__(kind)
        if len(waiting) < MOST_CLASSES:
            waiting += [each for each in below if each not in waiting]


def _around(
    owner: type, name: str, enter: Callable[[], object], leave: Callable[[], object]
) -> Undo:
    original = vars(owner)[name]
    watching = [True]

    @functools.wraps(original)
    def method(*args: Any, **kwargs: Any) -> Any:
        if not watching:
            return original(*args, **kwargs)
        enter()
        try:
            return original(*args, **kwargs)
        finally:
            leave()

    setattr(owner, name, method)

    def undo() -> None:
        watching.clear()
        if vars(owner).get(name) is method:
            setattr(owner, name, original)

    return undo
