"""Which way leads from a loss to the call that it was made of, where all steps are alike.

A hook on each output is the dearest part of a step's recording. So the call of a settled model (``SURE``
passes in a row came to it by a way that is known) gets none, but waits here until a backward begins. If
the graph got as many nodes since the call as it always does, and the known way leads to the call's last
node, the gradient is going to arrive there. Any other pass (another loss, a graph that is kept or
differentiated, several calls at once) is walked from its beginning, and the outputs that it reaches get
their hooks then. Whether a pass is a usual one, :mod:`.pulse` says; here the ways are learned
and doubted. No torch is imported here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from profilers.steps.deciders.functions import is_own
from profilers.steps.folding.events import FIRING, SURE, Call, Kind, together
from profilers.steps.products.outside import MOST_WITHIN, Span
from profilers.steps.settled.pulse import Added, Beside, End, Pulse, Waiting, Way, types_of

MOST_WAYS = 64
FEW_NODES = 256
"""A way that has more nodes beside it is not learned."""
AGE = 16
"""After so many steps without a backward, a call is not waited for any more."""
CALM_NS = 10_000_000_000
"""A kind of call that went its way for so long is trusted as soon as one that is new."""

Outputs = tuple[tuple[int, int], ...]
"""Place of each output that has a hook, and how many nodes before the call's end its own was made."""

MOST_BESIDE = 32
"""So many nodes beside a way are compared, which most losses have none of."""

Found = tuple[End, Way, int, Beside]
"""How the graph ends, the way to a call, how far before the call's end the way enters, and what is beside."""
Hooked = tuple[Span, Call, Outputs | None]
"""A call, what it added to the graph, and its outputs if each can be told by its node alone."""


class Ways:
    """The ways from losses to the calls of one observer, and what becomes of calls that none reaches."""

    __slots__ = ("_bypassed", "_hook", "_hooked", "_pulse", "_rest", "_unseen", "newest")

    def __init__(
        self,
        pulse: Pulse,
        hook: Callable[[Any, list[int], int, Span], None],
        unseen: Callable[[str], None],
        bypassed: Callable[[Kind], None],
    ) -> None:
        """Take what is needed.

        Args:
            pulse: Has the calls that wait (``Engine`` sees whether a pass reaches one by its usual way).
            hook: Puts a hook on a node; takes the list for its facts, the output's place, the call's span.
            unseen: Told that a step's upper end is open.
            bypassed: Told that an optimizer stepped after a call of this kind, and no pass was seen between.

        """
        self._pulse, self._hook, self._unseen, self._bypassed = pulse, hook, unseen, bypassed
        self._rest: dict[int, Outputs] = {}
        """Of a call that was reached by some outputs, the others; by the call's end."""
        self._hooked: list[Hooked] = []
        """Calls with hooks, while graphs are looked at."""
        self.newest: list[int] | None = None
        """What is known of the last call with hooks on its outputs, until a pass begins."""

    def added(self) -> Added:
        """How many nodes the graph got since the last call ended, and between the calls before it."""
        pulse = self._pulse
        number = pulse.sequence()
        found = number - pulse.end, pulse.between
        pulse.end, pulse.between = number, 0
        return found

    # ------------------------------------------------------------ learning

    def hooked(self, span: Span, call: Call, outputs: Sequence[tuple[int, Any]]) -> None:
        """A call ended whose outputs, each with its place, have hooks."""
        for _, other, _ in self._hooked:
            if not other[1]:
                _unsettle(other[0])  # two calls and no backward between them
                _unsettle(call[0])
        back = tuple((place, span[1] - tensor.grad_fn._sequence_nr()) for place, tensor in outputs)
        numbers = {number for _, number in back}
        own = all(0 < number <= span[1] - span[0] for number in numbers)
        made = back if own and len(numbers) == len(back) else None
        self._hooked = [*self._hooked[-3:], (span, call, made)]

    def look(self, outputs: Sequence[Any]) -> Found | None:
        """The way of a pass that is about to begin, if it is a plain one."""
        new = [one for one in self._hooked if not one[1][1]]
        for _, call, _ in new[1:]:
            _unsettle(call[0])
            _unsettle(new[0][1][0])
        if len(new) != 1 or len(outputs) != 1:
            return None
        (first, end, _), _, made = new[0]
        own = {end - number for _, number in made or ()}
        return self._entry(outputs, first, end, own)

    def _entry(self, outputs: Sequence[Any], first: int, end: int, own: set[int]) -> Found | None:
        """The way to the only node of a call to which the graph leads, if that is one of its outputs."""
        entry: tuple[Way, int] | None = None
        nodes = 0
        for node, way in _walk(outputs, end, FEW_NODES):
            nodes += 1
            if is_own(type(node)):
                return None  # it may hand on a gradient at one time, and none at another
            for place, (following, _) in enumerate(node.next_functions):
                number = -1 if following is None else following._sequence_nr()
                if not first <= number < end:
                    continue
                if number not in own or (entry is not None and entry[1] != number):
                    return None
                entry = entry or ((*way, (place, types_of(node))), number)
        if nodes >= FEW_NODES:
            return None
        if entry is None:  # the pass begins at an output
            node = outputs[0].grad_fn
            if node is None or node._sequence_nr() not in own:
                return None
            entry = (), node._sequence_nr()
        how = self._pulse.sequence() - end, self._pulse.between, type(outputs[0].grad_fn)
        return (
            how,
            entry[0],
            end - entry[1],
            _beside(outputs[0].grad_fn, entry[0], first, end, set()),
        )

    def learn(self, found: Found | None) -> None:
        """The pass is over: did it reach its call by the way that was found?"""
        for span, (kind, fired, _, _), made in self._hooked:
            if not fired:
                continue
            usual = not any(fired[1::FIRING]) and not any(fired[4::FIRING])
            if found is None or made is None or not usual or len(set(fired[::FIRING])) != 1:
                _unsettle(kind)
                kind.made = ()
                continue
            end, way, entry, beside = found
            facts = span[1] - span[0], entry, together(fired[3::FIRING]), made
            if facts != (kind.nodes, kind.entry, kind.arrived, kind.made):
                _unsettle(kind)
                kind.usual = None
                kind.nodes, kind.entry, kind.arrived, kind.made = facts
                kind.ways, kind.beside = {}, {}
            if kind.ways.get(end) == way and kind.beside.get(end, ()) == beside:
                kind.sure += 1
            elif len(kind.ways) < MOST_WAYS:
                _leave_lane(kind)
                kind.ways[end] = way
                kind.beside.pop(end, None)
                if beside:
                    kind.beside[end] = beside
        self._hooked = [one for one in self._hooked if not one[1][1]]

    # ------------------------------------------------------------ what is not as it always was

    def attach(self, outputs: Sequence[Any]) -> None:
        """Put hooks where a pass is going to reach calls that wait."""
        ends: dict[int, tuple[Waiting, int]] = {}
        for one in self._pulse.waiting:
            end = one[0][1]
            known = self._rest.get(end, one[1][0].made)
            if not known:
                self.lost()
            for place, number in known:
                ends[end - number] = one, place
        nodes = 0
        for node, _ in _walk(outputs, min(ends, default=0), MOST_WITHIN):
            nodes += 1
            found = ends.pop(node._sequence_nr(), None)
            if found is not None:
                (span, call, *_), place = found
                self._hook(node, call[1], place, span)
                distrust(call[0])
            if not ends:
                break
        if nodes >= MOST_WITHIN:
            self._unseen(f"a backward over more than {MOST_WITHIN} nodes")
        self._keep(ends)

    def lost(self) -> None:
        """A backward begins, and nobody can say to which calls it leads."""
        self._unseen("a backward that could not be followed")

    def _keep(self, ends: Mapping[int, tuple[Waiting, int]]) -> None:
        """Wait on for what was not reached."""
        rest: dict[int, list[tuple[int, int]]] = {}
        for number, (one, place) in ends.items():
            rest.setdefault(one[0][1], []).append((place, one[0][1] - number))
        self._rest = {end: tuple(outputs) for end, outputs in rest.items()}
        self._pulse.waiting[:] = [one for one in self._pulse.waiting if one[0][1] in rest]

    def stepped(self, serial: int) -> None:
        """An optimizer stepped, and calls still wait: they were for something else.

        Or for a pass that began past torch's Python functions, if there was none since.
        """
        for one in list(self._pulse.waiting):
            distrust(one[1][0])
            if one[2] == serial and self._pulse.began < one[1][2]:
                self._bypassed(one[1][0])
            if serial - one[2] > AGE:
                self._pulse.waiting.remove(one)
                self._rest.pop(one[0][1], None)


def distrust(kind: Kind) -> None:
    """A call did not go its way: calls of its kind are hooked again.

    For twice as long as the last time, if that is not long ago; what happens once in an epoch costs an epoch
    nothing.
    """
    now = time.monotonic_ns()
    _unsettle(kind)
    kind.trust = min(2 * kind.trust, 1 << 30) if now - kind.doubted < CALM_NS else SURE
    kind.doubted = now


def _unsettle(kind: Kind) -> None:
    """Calls of a kind are not known by their way any more, and go without a hook no longer."""
    kind.sure = 0
    _leave_lane(kind)


def _leave_lane(kind: Kind) -> None:
    """What is known of a kind is going to change: its lane knows it by heart."""
    seam = kind.seam()
    if seam is not None:
        seam.lane = None


def _beside(node: Any, way: Way | None, first: int, end: int, seen: set[Any]) -> Beside:
    """What leads to a node beside the way to a call, which made the nodes from one number to another.

    No closure, which would be around itself and keep the graph alive.
    """
    found: list[tuple[int, tuple[type, ...], Beside]] = []
    for place, (following, _) in enumerate(node.next_functions):
        if following is None or following in seen or len(seen) >= MOST_BESIDE:
            continue
        if first <= following._sequence_nr() < end or not following.next_functions:
            continue
        seen.add(following)
        if way and place == way[0][0]:
            further = _beside(following, way[1:], first, end, seen)
            if further:
                found.append((place, types_of(following), further))
        else:
            further = _beside(following, None, first, end, seen)
            found.append((place, types_of(following), further))
    return tuple(found)


def _walk(outputs: Sequence[Any], least: int, most: int) -> Iterator[tuple[Any, Way]]:
    """Nodes that lead to outputs and have at least a number, breadth first, and the way to each.

    A node's number is above those of all that lead to it; only leaves stand above all.
    """
    found: list[tuple[Any, Way]] = []
    for output in outputs:
        node = getattr(output, "grad_fn", None) or getattr(output, "node", None)
        if node is not None and node._sequence_nr() >= least:
            found.append((node, ()))
    seen = {node for node, _ in found}
    for node, way in found:
        yield node, way
        types = types_of(node)
        for place, (following, _) in enumerate(node.next_functions):
            if following is None or following in seen or following._sequence_nr() < least:
                continue
            if len(seen) >= most:
                return
            seen.add(following)
            found.append((following, (*way, (place, types))))
