"""A call inside of a backward is recomputation. Whose: the loop's, or that of a model seen as a whole?

A checkpoint within a model belongs to the model's own count; one that the loop put around a call does
not. The node of the graph that is being differentiated tells: its number lies among those that some
call made. Where that was a call of a model around the one that is called again, the checkpoint is the
model's own. No torch is imported here; its inner part is handed in.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

CACHING = "_CachedTorchDispatchMode"
"""torch's mode of a selective checkpoint, which hands out what was kept in place of computing it."""

STOP = "_StopRecomputationError"
"""torch's, by which it ends a recomputation as soon as it has what was needed."""


def is_models_own(
    inner: Any, module: Any, calls: Sequence[tuple[int, int, int]], seams: Iterable[Any]
) -> bool:
    """Whether a model around this module made the checkpoint.

    Args:
        inner: ``torch._C``.
        module: What is called again.
        calls: Spans of the calls that were seen, in ascending order, each with its seam's id.
        seams: Those that live.

    """
    node = inner._current_autograd_node()
    if node is None:
        return False
    number = node._sequence_nr()
    place = bisect_right(calls, number, key=itemgetter(0)) - 1
    if place < 0 or number >= calls[place][1]:
        return False
    whole = next((seam.module() for seam in list(seams) if id(seam) == calls[place][2]), None)
    return whole is not None and whole is not module and any(m is module for m in whole.modules())


def is_partial(inner: Any) -> bool:
    """Whether some of what is called again is kept, and only the rest computed."""
    return any(
        type(inner._get_dispatch_stack_at(place)).__name__ == CACHING
        for place in range(inner._len_torch_dispatch_stack())
    )
