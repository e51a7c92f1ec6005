"""Products that no module's call shows: a contrastive loss, a tied head written into the loop.

Where a backward pass begins, the graph is walked from there to the calls that were seen. Autograd
numbers its nodes as they are made, so what a call made lies between two numbers, whatever it returns;
its outputs carry a mark besides, since each thread has numbers of its own. What lies before them was
computed by the program itself, and each product's sizes are in the graph. As long as nothing is found
the walk is made only now and then. No torch is imported here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from math import prod
from operator import itemgetter
from typing import Any

MARK = "flopledger-output"
"""In a node's metadata: the output of a call that was seen (profilers.step_seam)."""
DONE = "flopledger-counted"
MOST_SPANS = 4096
"""So many calls are remembered by what they added to the graph."""
MOST_NODES = 4096
"""A graph outside of modules with more nodes is not walked to its end."""
OPERANDS = {
    "MmBackward0": (0, 1),
    "AddmmBackward0": (1, 2),
    "BmmBackward0": (0, 1),
    "BaddbmmBackward0": (1, 2),
}
"""Places of both factors of a product among what a node leads on to."""
OTHERS = ("ConvolutionBackward", "ScaledDotProduct", "AddbmmBackward", "LinearBackward")
"""Work whose cost the graph alone does not say."""

Span = tuple[int, int]
"""Numbers of the first node that a call made, and of the first one after it."""
Product = tuple[str, int, int]
"""Dtype that went in, FLOP of the forward, FLOP of the backward."""


class Spans:
    """What the last calls added to the graph, oldest first."""

    def __init__(self) -> None:
        self.fresh: deque[Span] = deque(maxlen=MOST_SPANS)
        """Where the hot path puts them."""
        self._known: list[Span] = []
        self._tangled = False
        """Calls of several threads, each with numbers of its own, lie side by side."""

    def ascending(self) -> Sequence[Span]:
        """All of them, by their numbers."""
        known, fresh = self._known, self.fresh
        while fresh:
            span = fresh.popleft()
            self._tangled |= bool(known) and span < known[-1]
            known.append(span)
        del known[:-MOST_SPANS]
        return sorted(known) if self._tangled else known


def outside(
    outputs: Iterable[Any], calls: Sequence[Span]
) -> tuple[tuple[Product, ...], tuple[str, ...]]:
    """Products between where a pass begins and the calls that were seen, and what is no product.

    Args:
        outputs: Tensors at which the pass begins.
        calls: Of each call that was seen, in ascending order.

    Returns:
        The products, and names of other work that was found and whose cost is not known.

    """
    found: list[Product] = []
    other: set[str] = set()
    waiting = [tensor.grad_fn for tensor in outputs if getattr(tensor, "grad_fn", None) is not None]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        facts = node.metadata
        if MARK in facts:
            continue
        if _is_within(node, calls):
            # What it asks of the call is not known: only outputs that were found are watched.
            other.add("a backward into a model by no output that was seen")
            continue
        name = type(node).__name__
        if name in OPERANDS:
            found.append(_product(node, name, again=DONE in facts))
            facts[DONE] = True
        elif name.startswith(OTHERS):
            other.add(name)
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)
        if len(seen) > MOST_NODES:
            other.add(f"a graph of more than {MOST_NODES} nodes")
            break
    return tuple(sorted(found)), tuple(sorted(other))


def _is_within(node: Any, calls: Sequence[Span]) -> bool:
    """Whether a call that was seen made a node."""
    number = node._sequence_nr()
    place = bisect_right(calls, number, key=itemgetter(0)) - 1
    return place >= 0 and number < calls[place][1]


def _product(node: Any, name: str, *, again: bool) -> Product:
    """``(…, m, k)`` times ``(…, k, n)``: 2mkn FLOP, and again for each factor's gradient."""
    out = node._input_metadata[0]
    edges = [node.next_functions[place] for place in OPERANDS[name]]
    inner = next(
        int(following._input_metadata[number].shape[-1 - place])
        for place, (following, number) in enumerate(edges)
        if following is not None
    )
    flop = 2 * prod(map(int, out.shape)) * inner
    times = sum(following is not None for following, _ in edges)
    return str(out.dtype), 0 if again else flop, flop * times
