"""Which way leads from a loss to the call that it was made of, where all steps are alike.

A hook on each output is the dearest part of a step's recording. So the call of a settled model (``SURE``
passes in a row came to it by a way that is known) gets none, but waits here until a backward begins. If
the graph got as many nodes since the call as it always does, and the known way leads to the call's last
node, the gradient is going to arrive there. Any other pass (another loss, a graph that is kept or
differentiated, several calls at once) is walked from its beginning, and the outputs that it reaches get
their hooks then. No torch is imported here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from profilers.step_events import FIRING, Call, Kind
from profilers.step_outside import MOST_WITHIN, Span

MOST_WAYS = 64
FEW_NODES = 256
"""A way that has more nodes beside it is not learned."""
AGE = 16
"""After so many steps without a backward, a call is not waited for any more."""

Way = tuple[int, ...]
"""At each node from the last one on, which of those that lead to it."""
Hooked = tuple[Span, Call]
Waiting = tuple[Span, Call, int]
"""A call, what it added to the graph, and the step (``Observer.serial``) that it belongs to."""


class Ways:
    """The calls of one observer that wait for their backward."""

    def __init__(
        self,
        hook: Callable[[Any, list[int], Span], None],
        sequence: Callable[[], int],
        unseen: Callable[[str], None],
        looking: list[bool],
    ) -> None:
        """Take what the hot path needs.

        Args:
            hook: Puts a hook on a node: the node, the list for its facts, and the call's span.
            sequence: The number that the graph's next node will have.
            unseen: Told that a step's upper end is open.
            looking: ``profilers.step_passes.LOOKING``.

        """
        self._hook, self._sequence, self._unseen, self._looking = hook, sequence, unseen, looking
        self.waiting: list[Waiting] = []
        """Settled calls that no backward reached yet; hardly ever more than one."""
        self.began = 0
        """When (ns) the last pass began that reached a call by a way."""
        self.end = 0
        """The number of the node that came next when the last call had ended."""
        self._hooked: list[Hooked] = []
        """Calls with a hook on their one output, while graphs are looked at."""

    # ------------------------------------------------------------ the hot path

    def reached(self, outputs: Any, rest: Sequence[Any]) -> bool:
        """Whether a pass is going to reach the one call that waits; if so, that is noted.

        Args:
            outputs: Where it begins.
            rest: What else torch's engine is given: gradients, whether the graph is kept and whether it
                is recorded for differentiation, and for whose gradients it was asked.

        """
        try:
            if self._looking[0] or rest[1] or rest[2] or rest[3]:
                return False
            ((span, call, _),), (output,) = self.waiting, outputs
            node = output.grad_fn
            for place in call[0].ways[self._sequence() - span[1]]:
                node = node.next_functions[place][0]
            if node._sequence_nr() != span[1] - 1:
                return False
        except Exception:  # noqa: BLE001 - whatever it is, it is no usual pass
            return False
        self.waiting.clear()
        now = self.began = time.monotonic_ns()
        call[1].extend((now, 0, now, 0, 0))  # the time stands for the engine's number of the pass
        return True

    def added(self) -> int:
        """How many nodes the graph got since the last call ended."""
        return self._sequence() - self.end

    # ------------------------------------------------------------ learning

    def hooked(self, span: Span, call: Call) -> None:
        """A call ended whose one output has a hook."""
        for _, other in self._hooked:
            if not other[1]:
                other[0].sure = call[0].sure = 0  # two calls and no backward between them
        self._hooked = [*self._hooked[-3:], (span, call)]

    def look(self, outputs: Sequence[Any]) -> tuple[int, Way] | None:
        """The way that a pass is about to go, and by what it is known, if the pass is a plain one."""
        new = [one for one in self._hooked if not one[1][1]]
        if len(new) == 1 and len(outputs) == 1:
            last = new[0][0][1]
            for node, way in _walk(outputs, last - 1, FEW_NODES):
                if node._sequence_nr() == last - 1:
                    return self._sequence() - last, way
        for _, call in new:
            call[0].sure = 0
        return None

    def learn(self, found: tuple[int, Way] | None) -> None:
        """The pass is over: did it reach its call by the way that was found?"""
        for span, (kind, fired, _, _) in self._hooked:
            if not fired:
                continue
            nodes = span[1] - span[0]
            usual = len(fired) == FIRING and not (fired[1] or fired[3] or fired[4])
            if found is None or not usual or nodes != kind.nodes:
                kind.sure, kind.nodes = 0, nodes
            elif kind.ways.get(found[0]) != found[1]:
                kind.sure = 0
                if len(kind.ways) < MOST_WAYS:
                    kind.ways[found[0]] = found[1]
            else:
                kind.sure += 1
        self._hooked = [one for one in self._hooked if not one[1][1]]

    # ------------------------------------------------------------ what is not as it always was

    def attach(self, outputs: Sequence[Any]) -> None:
        """Put hooks where a pass is going to reach calls that wait."""
        ends = {one[0][1] - 1: one for one in self.waiting}
        number = 0
        for node, _ in _walk(outputs, min(ends), MOST_WITHIN):
            number += 1
            found = ends.pop(node._sequence_nr(), None)
            if found is not None:
                span, call, _ = found
                self._hook(node, call[1], span)
                self.waiting.remove(found)
                distrust(call[0])
            if not ends:
                return
        if number >= MOST_WITHIN:
            self._unseen(f"a backward over more than {MOST_WITHIN} nodes")

    def stepped(self, serial: int) -> None:
        """An optimizer stepped, and calls still wait: they were for something else."""
        for one in list(self.waiting):
            distrust(one[1][0])
            if serial - one[2] > AGE:
                self.waiting.remove(one)


def distrust(kind: Kind) -> None:
    """A call did not go its way: calls of its kind are hooked again, for twice as long as the last time."""
    kind.sure = 0
    kind.trust = min(2 * kind.trust, 1 << 30)
    seam = kind.seam()
    if seam is not None:
        seam.lane = None


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
        for place, (following, _) in enumerate(node.next_functions):
            if following is None or following in seen or following._sequence_nr() < least:
                continue
            if len(seen) >= most:
                return
            seen.add(following)
            found.append((following, (*way, place)))
