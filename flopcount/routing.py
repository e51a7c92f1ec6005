"""Proves, without data, how many rows a router sends to experts.

Which expert a row goes to is data; that every choice goes somewhere is arithmetic. Indices that
``topk`` takes over E scores lie below E; a histogram over at least E bins of N such indices sums to
N; the last of its running sums is N. So the group ends of a grouped product are known as far as its
cost is concerned, and a count of a mixture without values is exact. A choice that may lie outside
(a sentinel for experts on other ranks, a dropped row) breaks the chain, and bounds are given.
"""

from __future__ import annotations

from typing import Any

import torch

BELOW = "_flopcount_below"
"""Whole numbers of at least 0, all below this."""
SUM = "_flopcount_sum"
"""Whole numbers of at least 0 that sum to this."""
LAST = "_flopcount_last"
"""Running sums, the last of which is this."""

PASSING = frozenset(
    """view _unsafe_view reshape alias detach clone _to_copy expand transpose permute t squeeze
    unsqueeze select slice index index_select gather contiguous sort cat unbind split""".split()  # noqa: SIM905
)
"""Ops whose result holds nothing but elements of their first argument."""
WHOLE = frozenset({"alias", "detach", "clone", "_to_copy", "view", "_unsafe_view", "contiguous"})
"""Those of them that keep every element in its order."""
CHOOSING = frozenset({"topk", "sort", "argsort", "argmax", "argmin", "max", "min"})
ROOMY = frozenset({torch.int16, torch.int32, torch.int64, torch.float32, torch.float64})
"""Dtypes in which no number of an expert is rounded."""
FOLLOWED = PASSING | CHOOSING | {"histc", "bincount", "cumsum"}


def follow(name: str, args: Any, kwargs: Any, out: Any) -> None:
    """Note what is known of the results of one op, ``name`` without its namespace."""
    first = args[0][0] if isinstance(args[0], list | tuple) and args[0] else args[0]
    if name in PASSING:
        _pass_on(name, args[0], first, out)
    if name in CHOOSING:
        _choose(name, first, args, kwargs, out)
    elif name == "histc":
        _histogram(first, args, kwargs, out)
    elif name == "bincount" and len(args) < 2 and kwargs.get("weights") is None:
        setattr(out, SUM, first.numel())
    elif name == "cumsum" and hasattr(first, SUM) and first.dim() == 1:
        setattr(out, LAST, getattr(first, SUM))


def forget(tensor: Any) -> None:
    """An op has written to a tensor."""
    for attribute in (BELOW, SUM, LAST):
        if hasattr(tensor, attribute):
            delattr(tensor, attribute)


def last_of(offsets: Any) -> int | None:
    """The proven last element of group ends, or None."""
    return getattr(offsets, LAST, None)


def note_last(offsets: Any, last: int) -> None:
    """The last element of group ends was read from their values."""
    setattr(offsets, LAST, last)


def _pass_on(name: str, given: Any, first: Any, out: Any) -> None:
    if isinstance(out, torch.Tensor) and not _keeps_whole_numbers(name, first, out):
        return
    several = given if isinstance(given, list | tuple) else [first]
    if all(hasattr(item, BELOW) for item in several):
        below = max(getattr(item, BELOW) for item in several)
        results = out[:1] if name == "sort" else out if isinstance(out, list | tuple) else [out]
        for result in results:
            setattr(result, BELOW, below)
    if name in WHOLE:
        for attribute in (SUM, LAST):
            if hasattr(first, attribute):
                setattr(out, attribute, getattr(first, attribute))


def _keeps_whole_numbers(name: str, first: Any, out: Any) -> bool:
    """Whether a result's dtype holds the same whole numbers as the first argument's."""
    if out.dtype == first.dtype:
        return True
    below = getattr(first, BELOW, 0)
    return name == "_to_copy" and (below <= 128 or out.dtype in ROOMY)


def _choose(name: str, scores: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Indices along one axis lie below its length."""
    position = 2 if name == "topk" else 1
    default = -1 if name in ("topk", "sort", "argsort") else None
    axis = kwargs.get("dim", args[position] if len(args) > position else default)
    if not isinstance(axis, int) or isinstance(axis, bool):
        return  # another overload, or over all elements
    indices = out[1] if isinstance(out, list | tuple) else out
    setattr(indices, BELOW, int(scores.shape[axis]) if scores.dim() else 1)


def _histogram(values: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Every value falls into a bin when the bins reach from 0 to the greatest of them."""
    low = kwargs.get("min", args[2] if len(args) > 2 else 0)
    high = kwargs.get("max", args[3] if len(args) > 3 else 0)
    below = getattr(values, BELOW, None)
    if below is not None and low <= 0 and high >= below - 1 and high > low:
        setattr(out, SUM, values.numel())
