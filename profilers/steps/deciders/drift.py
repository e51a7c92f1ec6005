"""Settings of a model that change always, and whether that decides anything (design/107).

No torch is imported here.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from profilers.steps.deciders.places import KEPT, MOST_ITEMS, Name, hollow

DRIFTING = 8
"""After so many different values, it is tried whether an attribute decides anything."""
RENEWALS = 2
"""After so many other lists in its place, a list is compared by what it holds."""


class Drift:
    """What is known of one model's settings that do not stay."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._values: dict[Name, dict[Hashable, None]] = {}
        self._renewals: dict[Name, int] = {}
        self._judged: dict[Name, tuple[bool, Any]] = {}
        """Whether an attribute that drifted decides something, and who holds it."""
        self.suspects: dict[Name, tuple[Any, ...]] = {}
        """Attributes of many values, of which nobody knows yet whether they decide."""

    def drifted(self, name: Name, value: Hashable) -> None:
        """A setting has another value than before."""
        seen = self._values.setdefault(name, {})
        seen[value] = None
        if len(seen) > DRIFTING and name not in self._judged:
            self.suspects[name] = tuple(seen)
        while len(seen) > 2 * DRIFTING:
            del seen[next(iter(seen))]
        while len(self._values) > MOST_ITEMS:
            del self._values[next(iter(self._values))]

    def renewed(self, name: Name) -> None:
        """A list or dictionary gave way to another one of its type, as where a call begins with ``[]``."""
        self._renewals[name] = self._renewals.get(name, 0) + 1
        while len(self._renewals) > MOST_ITEMS:
            del self._renewals[next(iter(self._renewals))]

    def is_made_anew(self, name: Name, value: Any) -> bool:
        """Whether a container is replaced so often that its contents are compared, and not itself."""
        if self._renewals.get(name, 0) <= RENEWALS or type(value) not in (list, dict):
            return False
        return len(value) <= MOST_ITEMS and hollow(value, self._torch) is not KEPT

    def judge(self, name: Name, holder: Any, *, decides: bool) -> None:
        """Take whether an attribute of many values decides anything."""
        self._judged[name] = decides, holder
        self.suspects.pop(name, None)

    def is_idle(self, name: Name) -> bool:
        """Whether it is known to decide nothing."""
        return name in self._judged and not self._judged[name][0]
