"""One look at everything that a settled model's call is compared with, and the way from its loss.

Twice: in Python, and compiled (``_glance.c``) where the installation had a compiler. Both answer the same;
the compiled one reaches for less, and that is what a look costs after a step of training (design/123).
No torch is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from sys import getrefcount
from typing import Any

Item = tuple[Any, Any, Any]
"""Dictionary or list, key, and what it holds there."""
Way = tuple[tuple[int, tuple[type, ...]], ...]
"""At each node from the last one on, which of those that lead to it, and what all of them are."""


class Glance:
    """What it was when it was made, and whether it still is."""

    __slots__ = (
        "_asked", "_classes", "_counts", "_entry", "_flag", "_flags", "_given", "_holders", "_items",
        "_looks", "_names", "_parameters", "_sizes", "_swapped", "_tensor",
    )  # fmt: skip

    def __init__(
        self,
        *,
        items: Sequence[Item],
        holders: list[Any],
        sizes: list[int],
        classes: list[type],
        counts: list[int],
        asked: Sequence[tuple[Callable[[], Any], Any]],
        required: Sequence[tuple[Any, bool]],
        given: Sequence[tuple[type, Any]],
        names: tuple[str, ...],
        swapped: Sequence[tuple[dict[str, Any], Any]],
        looks: tuple[Any, ...],
        flag: Any,
        tensor: type,
        entry: str,
    ) -> None:
        """Take what is compared.

        Args:
            items: Compared by identity.
            holders: What has a length.
            sizes: The length of each.
            classes: Of the model's parts.
            counts: How many hold each of them (``sys.getrefcount`` inside of ``map``). Both lists are kept,
                and what their owner changes in them is what counts.
            asked: Functions without arguments, in their order, and the answer of each.
            required: Parameters of torch's own class, and whether each requires a gradient.
            given: Of each input its type and, if that is ``tensor``, its ``looks``; else its value.
            names: Of the last inputs.
            swapped: Dictionaries of modules, and the seam that stands in each.
            looks: Descriptors of ``tensor``.
            flag: The one that tells whether a parameter requires a gradient.
            tensor: torch's class.
            entry: The key of a seam.

        """
        self._items, self._holders, self._sizes = items, holders, sizes
        self._classes, self._counts, self._asked = classes, counts, asked
        self._parameters = [parameter for parameter, _ in required]
        self._flags = [wanted for _, wanted in required]
        self._given, self._names, self._swapped = given, list(names), swapped
        self._looks = attrgetter(*(each.__name__ for each in looks))
        self._flag = attrgetter(flag.__name__)
        self._tensor, self._entry = tensor, entry

    def same(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Whether a call that is about to run finds everything as it was; never raises.

        Args:
            args: Of the call.
            kwargs: Likewise.

        """
        values = (*args, *kwargs.values()) if kwargs else args
        looks, tensor = self._looks, self._tensor
        try:
            for question, answer in self._asked:
                if question() != answer:
                    return False
            if len(values) != len(self._given) or list(kwargs) != self._names:
                return False
            for value, (kind, look) in zip(values, self._given, strict=True):
                if type(value) is not kind:
                    return False
                found = looks(value) if kind is tensor else value
                if found is not look and found != look:
                    return False
            for holder, name, value in self._items:
                if holder[name] is not value:
                    return False
            return (
                list(map(len, self._holders)) == self._sizes
                and list(map(getrefcount, self._classes)) == self._counts
                and list(map(self._flag, self._parameters)) == self._flags
            )
        except Exception:  # noqa: BLE001 - something is no longer there
            return False

    def part(self) -> None:
        """Take the seams out of their dictionaries."""
        for table, _ in self._swapped:
            table[self._entry] = None

    def join(self) -> None:
        """Put them back."""
        for table, seam in self._swapped:
            table[self._entry] = seam


def followed(node: Any, way: Way) -> Any:
    """The node to which a way through the graph leads; None where it is not that way any more.

    Args:
        node: Where the way begins.
        way: At each node, the place of the next one, and the types of all.

    """
    for place, types in way:
        following = node.next_functions
        if tuple(type(each) for each, _ in following) != types:
            return None
        node = following[place][0]
    return node


VERSION = 2
"""Of what is taken and answered here. A compiled file of another one is not taken."""


def _best() -> tuple[type[Glance], Callable[[Any, Way], Any]]:
    try:
        from profilers import _glance
    except ImportError:  # there was no compiler, or it is another kind of Python
        return Glance, followed
    if _glance.VERSION != VERSION:
        return Glance, followed
    return _glance.Glance, _glance.followed


BEST, best_followed = _best()
