"""What a layer leaves behind beside its results: attributes that it or what it holds got.

A layer that is not traced leaves nothing, so one that does must be. Looked at are the layer's own
modules, plain objects that they hold, the attributes of their classes and the names beside those;
compared is which objects are where, in C, not what they are worth.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from flopcount.helpers import CONTAINERS, DEPTH, PLAIN, collect, is_same


class Places:
    """Everything that a call of a layer may write to, as it was before."""

    def __init__(self, modules: Iterable[Any]) -> None:
        found: dict[int, Any] = {}
        for module in modules:
            for value in module.__dict__.values():
                if type(value) not in PLAIN:
                    collect(value, found, DEPTH)
            found[id(module)] = module
        kinds = {kind for item in found.values() for kind in type(item).__mro__}
        kinds = {kind for kind in kinds if _is_users(kind.__module__)}
        homes = [sys.modules[home] for home in {kind.__module__ for kind in kinds}]
        holders = [*found.values(), *kinds, *homes]
        places = [vars(item) for item in holders if hasattr(item, "__dict__")]
        places += [item for item in found.values() if type(item) in CONTAINERS]
        self._before = [(place, place.copy()) for place in places]

    def are_changed(self) -> bool:
        """Whether anything is another than before."""
        return not all(is_same(place, before) for place, before in self._before)


def _is_users(home: str) -> bool:
    """Whether a Python module is loaded and neither torch's nor Python's own."""
    root = home.partition(".")[0]
    return home in sys.modules and root != "torch" and root not in sys.stdlib_module_names
