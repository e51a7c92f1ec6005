"""Passes that begin inside of a model: the second half of a zero-bubble pipeline's backward.

Such a schedule asks first for the gradients of a stage's inputs, keeps the inner gradients at which the
ways to the weights part, and later begins there, for the weights alone. No output is on that way, so no
hook of ours sees it; but the graph says which products lie on it, and for which factor. No torch is
imported here.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Any

from profilers.steps.products.outside import (
    FACTORS,
    MARK,
    MOST_NODES,
    Product,
    forward_flop,
    is_checkpointed,
    is_work,
    leading_to,
    ranks_of,
)

AGAIN = "a checkpoint on a backward that begins inside of a model, computed again by each such pass"


def within(
    edges: Iterable[Any], wanted: Iterable[Any]
) -> tuple[tuple[Product, ...], tuple[str, ...]]:
    """Products of a pass from edges inside of a graph to the gradients of some weights.

    Args:
        edges: ``GradientEdge`` at which the pass begins. One that is an output of a call that was seen
            (and what lies behind such an output) is told of by that call.
        wanted: ``GradientEdge`` of each weight.

    Returns:
        The products, each with its backward alone, and what else there is whose cost is not known.

    """
    targets: list[Any] = [getattr(edge, "node", None) for edge in wanted]
    if not all(hasattr(node, "variable") for node in targets):  # others may lie anywhere
        return (), ("a backward that begins inside of a model",)
    starts = [edge.node for edge in edges if MARK not in edge.node.metadata]
    useful = leading_to(set(targets).__contains__, starts)
    if useful is None:
        return (), (f"a backward inside of a model over more than {MOST_NODES} nodes",)
    found: list[Product] = []
    other: set[str] = set()
    waiting = [node for node in starts if node in useful]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        name = type(node).__name__
        if name in FACTORS:
            found.append(_product(node, name, useful))
        elif hasattr(node, "_forward_cls") or is_work(node, name):  # Python's may do anything
            other.add(name)
        if AGAIN not in other and is_checkpointed(node):
            other.add(AGAIN)
        for following, _ in node.next_functions:
            if following in useful and following not in seen and MARK not in following.metadata:
                seen.add(following)
                waiting.append(following)
    return tuple(sorted(found)), tuple(sorted(other))


def _product(node: Any, name: str, useful: Set[Any]) -> Product:
    """The backward alone: a product for each factor whose gradient leads on."""
    times = sum(node.next_functions[place][0] in useful for place in FACTORS[name][1])
    dtype = str(node._input_metadata[0].dtype)
    return dtype, 0, forward_flop(node, name) * times, ranks_of(node)
