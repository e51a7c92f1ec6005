"""One look at everything that a settled model's call is compared with, and the shorter way that it then goes.

Twice: in Python, and compiled (``csrc``) where the installation had a compiler. Both answer the same; the
compiled ones reach for less, and that is what a look costs after a step of training (design/123). Which is
taken, :mod:`profilers.step_compiled` says. No torch is imported here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from sys import getrefcount
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from profilers.step_events import Call, Kind
    from profilers.step_pulse import Beside, End, Pulse, Way

Item = tuple[Any, Any, Any]
"""Dictionary or list, key, and what it holds there."""
MOST_EVENTS = 1024
"""So many facts wait, at most, for their replay."""


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


class Lane(Glance):
    """What of a settled model's call happens before its forward and behind it."""

    __slots__ = (
        "_alike",
        "_epoch",
        "_first",
        "_kept",
        "_name",
        "_nodes",
        "_pulse",
        "_restore",
        "arrived",
        "back",
        "beside",
        "kind",
        "ways",
    )  # fmt: skip

    def __init__(
        self,
        *,
        pulse: Pulse,
        kind: Kind,
        name: int,
        restore: Callable[[], object],
        alike: Callable[[], bool] | None,
        kept: type,
        arrived: int,
        ways: dict[End, Way],
        beside: dict[End, Beside],
        nodes: int,
        back: int,
        **glance: Any,
    ) -> None:
        """Take where calls are noted, and what of their kind (profilers.step_events) is known.

        Args:
            pulse: Of the recording.
            kind: Of the calls.
            name: Of whom the nodes are that a call adds to the graph.
            restore: Puts seams back where modules came or went meanwhile.
            alike: Answers whether what the glance does not compare is as it was, if there is such.
            kept: As ``Kind.kept``; and so on. Where one of these changes, there is another lane.
            arrived: Likewise.
            ways: Likewise.
            beside: Likewise.
            nodes: Likewise.
            back: ``Kind.entry``.
            **glance: As of ``Glance``.

        """
        super().__init__(**glance)
        self._pulse, self.kind, self._name = pulse, kind, name
        self._restore, self._alike = restore, alike
        self._kept, self._nodes = kept, nodes
        self.arrived, self.ways, self.beside, self.back = arrived, ways, beside, back
        self._epoch, self._first = pulse.epoch, 0

    def begins(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call | None:
        """Note a call that is about to run; None, and nothing done, where it is not as all were.

        Never raises.

        Args:
            args: Of the call.
            kwargs: Likewise.

        """
        pulse = self._pulse
        try:
            if (
                not pulse.watching
                or (pulse.settled or pulse.overdue or pulse.busy or pulse.waiting)
                or pulse.epoch != self._epoch
                or pulse.thread != threading.get_ident()
                or len(pulse.log) >= MOST_EVENTS
                or not self.same(args, kwargs)
                or not (self._alike is None or self._alike())
            ):
                return None
            call: Call = (self.kind, [], pulse.clock(), False)
        except Exception:  # noqa: BLE001 - something is no longer there
            return None
        if pulse.boundary:
            pulse.boundary = False
            pulse.serial += 1
        pulse.log.append(call)
        return call

    def part(self) -> None:
        """The forward runs from now on: nothing inside of it is a call."""
        self._first = self._pulse.sequence()
        self._pulse.settled = True
        super().part()

    def breaks(self) -> None:
        """The forward raised."""
        self._over()

    def ends(self, call: Call, out: Any) -> tuple[int, int, int] | None:
        """The forward is over; answers what it added to the graph, if its outputs need hooks.

        Args:
            call: What ``begins`` answered.
            out: What the forward did.

        """
        self._over()
        pulse = self._pulse
        first, last = self._first, pulse.sequence()
        span = first, last, self._name
        pulse.keep(span)
        pulse.between += first - pulse.end
        pulse.end = last
        if pulse.looking[0] or type(out) is not self._kept or last - first != self._nodes:
            return span
        pulse.waiting.append((span, call, pulse.serial, call[1], self))
        return None

    def _over(self) -> None:
        self._pulse.settled = False
        if self._pulse.epoch == self._epoch:
            self.join()
        else:
            self._restore()
