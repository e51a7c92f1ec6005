"""One look at everything that a settled model's call is compared with, and the shorter way that it then goes.

Twice: in Python, and compiled (``csrc``) where the installation had a compiler. Both answer the same; the
compiled ones reach for less, and that is what a look costs after a step of training (design/123). Which is
taken, :mod:`profilers.steps.settled.compiled` says. No torch is imported here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from sys import getrefcount
from typing import TYPE_CHECKING, Any, Protocol

from profilers.steps.folding.events import RAISED

if TYPE_CHECKING:
    from profilers.steps.folding.events import Call, Kind
    from profilers.steps.products.outside import Span
    from profilers.steps.settled.pulse import Beside, End, Pulse, Way

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
        try:
            return self._same(args, kwargs)
        except Exception:  # noqa: BLE001 - something is no longer there
            return False

    def _same(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        values = (*args, *kwargs.values()) if kwargs else args
        looks, tensor = self._looks, self._tensor
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

    def part(self) -> None:
        """Take the seams out of their dictionaries."""
        for table, _ in self._swapped:
            table[self._entry] = None

    def join(self) -> None:
        """Put them back."""
        for table, seam in self._swapped:
            table[self._entry] = seam


class Caller(Protocol):
    """What stands before a module's call."""

    def left(
        self, call: Call, out: Any, span: Span, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """A call is over that did not end as all did: its outputs may need hooks.

        Args:
            call: As it was noted.
            out: What the forward answered.
            span: What it added to the graph.
            args: Of the call.
            kwargs: Likewise.

        """

    def failed(self, error: Exception) -> None:
        """Something of ours did, behind a forward."""

    def passed_on(self, error: Exception) -> None:
        """Before a forward something could not be asked; what a handler of the program's raised goes on."""


class Lane(Glance):
    """A settled model's call: all that is ours of it, before and behind the forward."""

    __slots__ = (
        "_alike",
        "_epoch",
        "_first",
        "_kept",
        "_module",
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
        module: Callable[[], Any],
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
        """Take where calls are noted, and what of their kind (profilers.steps.folding.events) is known.

        Args:
            pulse: Of the recording.
            kind: Of the calls.
            name: Of whom the nodes are that a call adds to the graph.
            module: Whose calls they are, weakly.
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
        self._pulse, self.kind, self._name, self._module = pulse, kind, name, module
        self._restore, self._alike = restore, alike
        self._kept, self._nodes = kept, nodes
        self.arrived, self.ways, self.beside, self.back = arrived, ways, beside, back
        self._epoch, self._first = pulse.epoch, 0

    def calls(self, seam: Caller, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call the module and note that; itself, and nothing done, where the call is not as all were.

        Args:
            seam: Does what is left to do where the call did not end as all did.
            args: Of the call.
            kwargs: Likewise.

        """
        try:
            call = self._begins(args, kwargs)
        except Exception as error:  # noqa: BLE001 - something is no longer there
            seam.passed_on(error)
            return self
        if call is None:
            return self
        try:
            self._first = self._pulse.sequence()
            self._pulse.settled = True
            self.part()
            out = self._module()._call_impl(*args, **kwargs)
        except BaseException:
            call[1].append(RAISED)
            with suppress(Exception):  # the program's error goes on
                self._over()
            raise
        try:
            span = self._ends(call, out)
        except Exception as error:  # noqa: BLE001 - never into the program
            seam.failed(error)
        else:
            if span is not None:
                seam.left(call, out, span, args, kwargs)
        return out

    def _begins(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call | None:
        pulse = self._pulse
        if (
            not pulse.watching
            or (pulse.settled or pulse.overdue or pulse.busy or pulse.waiting)
            or pulse.epoch != self._epoch
            or pulse.thread != threading.get_ident()
            or len(pulse.log) >= MOST_EVENTS
            or not self._same(args, kwargs)
            or not (self._alike is None or self._alike())
        ):
            return None
        call: Call = (self.kind, [], pulse.clock(), False)
        if pulse.boundary:
            pulse.boundary = False
            pulse.serial += 1
        pulse.log.append(call)
        return call

    def _ends(self, call: Call, out: Any) -> Span | None:
        """The forward is over; answers what it added to the graph, if its outputs need hooks."""
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
