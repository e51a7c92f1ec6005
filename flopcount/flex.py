"""Flex attention: dense by shape, masked by its block mask's own function.

It is met before autograd, so neither its kernels nor their reference, which would materialise every
score, ever run. What a score function does to a score is elementwise and is not counted.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from flopcount.dtypes import dtype_name
from flopcount.formulas.attention import attention
from flopcount.registry import Cost

if TYPE_CHECKING:
    from flopcount.dispatch import Counter

ROWS_AT_ONCE = 1024
"""Rows of the mask that are evaluated together."""


def attend(counter: Counter, args: Any, kwargs: Any) -> Any:
    """Answer a call of the operator and count it."""
    query, key, value = args[:3]
    given = list(args[3:]) + list(kwargs.values())
    block_mask = next((item for item in given if isinstance(item, tuple) and len(item) > 4), None)
    buffers = [
        item
        for group in given
        if isinstance(group, tuple) and group is not block_mask
        for item in group
        if isinstance(item, torch.Tensor) and item.requires_grad
    ]
    pairs = _allowed_pairs(query, key, block_mask)
    if pairs is None and block_mask is not None:  # every pair counts as allowed, and a note says so
        counter.known.unknown_masks += 1
    return _Flex.apply(counter, pairs, query, key, value, *buffers)


class _Flex(torch.autograd.Function):  # type: ignore[misc]
    """Shapes of results and gradients, and the cost of making them."""

    @staticmethod
    def forward(
        ctx: Any, counter: Counter, pairs: Any, query: Any, key: Any, value: Any, *rest: Any
    ) -> Any:
        ctx.counter, ctx.pairs = counter, pairs
        ctx.save_for_backward(query, key, value, *rest)
        out = query.new_empty((*query.shape[:-1], value.shape[-1]))
        lse = query.new_empty(query.shape[:-1], dtype=torch.float32)
        most = torch.empty_like(lse)
        ctx.mark_non_differentiable(most)
        _record(ctx, query, key, value, backward=False)
        return out, lse, most

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        query, key, value, *rest = ctx.saved_tensors
        _record(ctx, query, key, value, backward=True)
        grads = [torch.empty_like(tensor) for tensor in (query, key, value, *rest)]
        return (None, None, *grads)


def _record(ctx: Any, query: Any, key: Any, value: Any, *, backward: bool) -> None:
    shapes = tuple(query.shape), tuple(key.shape), tuple(value.shape)
    cost = attention(*shapes, causal=False, backward=backward)
    if ctx.pairs is not None:
        allowed, pairs = ctx.pairs
        cost = Cost(
            cost.flop,
            attention=cost.attention,
            masked=cost.flop * allowed // pairs,
            rescored=cost.rescored,
        )
    phase, scope = ctx.counter.watch.here()
    op = "higher_order.flex_attention" + ("_backward" if backward else "")
    # torch's own counter raises on this operator, so it charges nothing that could be reproduced.
    ctx.counter.record(op, dtype_name(query.dtype), phase, scope, cost)


def _allowed_pairs(query: Any, key: Any, block_mask: Any) -> tuple[int, int] | None:
    """Pairs that the mask function allows, and all pairs it was asked about."""
    if block_mask is None or not callable(block_mask[-1]):
        return None
    blocks = next(item for item in block_mask if isinstance(item, torch.Tensor))
    batch, heads = blocks.shape[:2]
    with suppress(Exception), _disable_current_modes(), torch._C.DisableTorchFunction():
        return _evaluate(block_mask[-1], batch, heads, query.shape[-2], key.shape[-2])
    return None


def _evaluate(mask: Any, batch: int, heads: int, queries: int, keys: int) -> tuple[int, int]:
    """Ask the mask function about every pair, some rows at a time."""
    allowed = 0
    columns = torch.arange(keys)[None, :]
    for b in range(batch):
        for h in range(heads):
            for start in range(0, queries, ROWS_AT_ONCE):
                rows = torch.arange(start, min(start + ROWS_AT_ONCE, queries))[:, None]
                answer = mask(torch.tensor(b), torch.tensor(h), rows, columns)
                allowed += int(torch.broadcast_to(answer, (len(rows), keys)).sum())
    return allowed, batch * heads * queries * keys
