"""Products of strided nested tensors, which have elements and no common shape."""

from __future__ import annotations

from typing import Any

import torch

from flopcount.tensors import tensors

RAGGED = frozenset(
    {"aten.linear", "aten.linear_backward", "aten.bmm", "aten.matmul", "aten.matmul_backward"}
)


def is_ragged(args: Any) -> bool:
    """Whether an argument is a strided nested tensor."""
    return any(item.is_nested and item.layout is torch.strided for item in tensors(args))


def ragged_product(op: str, args: Any) -> tuple[int, Any]:
    """The FLOP of one of ``RAGGED``, and its first factor."""
    first, second = args[:2]
    if op == "aten.linear":
        return 2 * int(first.numel()) * int(second.shape[0]), first
    if op == "aten.linear_backward":
        return 2 * int(first.numel()) * int(args[2].shape[0]) * sum(map(bool, args[3][:2])), first
    times = 1
    if op == "aten.matmul_backward":
        first, second, times = args[1], args[2], sum(map(bool, args[3]))
    pairs = zip(first.unbind(), second.unbind(), strict=True)
    return times * sum(2 * int(a.numel()) * int(b.shape[-1]) for a, b in pairs), first
