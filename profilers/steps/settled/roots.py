"""How a graph ends at which a backward pass begins. No torch is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MOST_OWN = 16
"""So many of a graph's last nodes are known by what leads to them."""
LEAF = 1 << 63
"""No node but a leaf has such a number."""
UNREACHED = "the last call was not reached"
"""Behind a root: a graph may end in the same way and yet lead past the call's outputs, which shows when the
pass is over. The graph is still there then."""
Root = tuple[Any, ...]


def root_of(outputs: Any, added: tuple[int, int], end: int) -> Root:
    """How a graph ends that got so many nodes outside of calls: what was made since the last call's end."""
    node = outputs[0].grad_fn
    types = [len(outputs), added, type(node)]
    waiting = [] if node is None else [node]
    for node in waiting:
        for following, _ in node.next_functions:
            types.append(type(following))
            if (
                following is not None
                and len(waiting) < MOST_OWN
                and end <= following._sequence_nr() < LEAF
            ):
                waiting.append(following)
    return tuple(types)


LINEAR = frozenset(
    {
        "AddBackward0", "AliasBackward0", "CloneBackward0", "ExpandBackward0", "MeanBackward0",
        "MeanBackward1", "NegBackward0", "ReshapeAliasBackward0", "SelectBackward0",
        "SliceBackward0", "SqueezeBackward0", "SqueezeBackward1", "SubBackward0", "SumBackward0",
        "SumBackward1", "ToCopyBackward0", "TransposeBackward0", "UnsafeViewBackward0",
        "UnsqueezeBackward0", "ViewBackward0",
    }
)  # fmt: skip
PRODUCTS = frozenset(
    {"AddmmBackward0", "BmmBackward0", "ConvolutionBackward0", "MmBackward0", "LinearBackward0"}
)
MOST_NODES = 64


def is_linear(outputs: Sequence[Any], given: Sequence[Any]) -> bool:
    """Whether each path from a pass's beginning meets nothing but linear nodes before a product."""
    if any(item is not None and item.requires_grad for item in given):
        return False
    waiting = [item.grad_fn for item in outputs]
    for _ in range(MOST_NODES):
        if not waiting:
            return True
        node = waiting.pop()
        name = type(node).__name__
        if node is None or name in PRODUCTS or name == "AccumulateGrad":
            continue
        if name not in LINEAR:
            return False
        waiting += [following for following, _ in node.next_functions]
    return False
