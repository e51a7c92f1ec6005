"""A second counter that shares no code and no method with flopcount.

It sits one storey higher: it sees the calls that a model makes to torch (``linear``, ``matmul``,
``conv2d``, attention ...), not the ops that they become, and it never runs a backward. The backward
follows from mathematics: each product has one more product for every operand that needs a gradient,
if the loss depends on its result. So a mistake in the ops, in autograd's path or in the phase of an
op shows as a difference. What each call costs is in ``second_products``.
"""

from __future__ import annotations

from contextlib import contextmanager

import torch
import torch.nn.attention.flex_attention
from torch.overrides import TorchFunctionMode

from benchmarks.second_products import PRODUCTS, SPECIAL


class SecondCounter(TorchFunctionMode):
    """Notes each product with its operands and its result."""

    def __init__(self):
        super().__init__()
        self.products = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        special = SPECIAL.get(func)
        if special is not None:
            return special(self, func, args, kwargs)
        out = func(*args, **kwargs)
        handler = PRODUCTS.get(func)
        if handler is not None:
            handler(self, args, kwargs, out)
        return out

    def note(self, flop, operands, out):
        """Remember one product; it has a gradient for every operand that needs one."""
        wants = [t.requires_grad for t in operands]
        self.products.append((flop, sum(wants), out.grad_fn if out.requires_grad else None, out))

    def totals(self, targets):
        """Forward and backward FLOP, given what is differentiated."""
        reached = _reachable([t.grad_fn for t in targets if t.grad_fn is not None])
        forward = sum(flop for flop, gradients, *_ in self.products if gradients >= 0)
        backward = sum(
            flop * abs(gradients)
            for flop, gradients, node, out in self.products
            if node is not None and not reached.isdisjoint(_nodes(node, out))
        )
        return forward, backward + sum(map(_own_backward, reached))


def _own_backward(node):
    """FLOP of a gradient that a model computes itself, in a function of its own.

    No mathematics tells what its author wrote; it is called, once, and the products in it counted.
    """
    function = getattr(node, "_forward_cls", None)
    if function is None:
        return 0
    results = node._input_metadata
    gradients = [torch.zeros(r.shape, dtype=r.dtype, device=r.device) for r in results]
    with torch.no_grad(), SecondCounter() as counter:
        function.backward(node, *gradients)
    return sum(flop for flop, *_ in counter.products)


def _nodes(node, out):
    """The nodes of a result: an operation in place, on it or on a view of it, gives it another."""
    base = out._base
    return {node, out.grad_fn} | (set() if base is None else {base.grad_fn})


def _reachable(nodes):
    seen, stack = set(), list(nodes)
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        stack += [edge[0] for edge in node.next_functions]
    return seen


def _plain_attention(query, key, value, *_, enable_gqa=False, **__):
    """What flex attention is without its mask: two products of every query with every key."""
    if enable_gqa:
        times = query.shape[-3] // key.shape[-3]
        key, value = (x.repeat_interleave(times, dim=-3) for x in (key, value))
    return torch.matmul(torch.softmax(torch.matmul(query, key.mT), dim=-1), value)


@contextmanager
def plain_flex_attention():
    """Inside, flex attention is what it computes: its own form has no backward on the CPU."""
    home = torch.nn.attention.flex_attention
    original, home.flex_attention = home.flex_attention, _plain_attention
    try:
        yield
    finally:
        home.flex_attention = original


def second_count(model, args, kwargs, loss=None):
    """Forward and backward FLOP of a step on meta tensors, by the second counter."""
    counter = SecondCounter()
    with plain_flex_attention(), counter, torch.enable_grad():
        out = model(*args, **kwargs)
    own = loss(out) if loss is not None else getattr(out, "loss", None)
    if torch.is_tensor(own):
        return counter.totals([own])
    leaves = torch.utils._pytree.tree_leaves(out)
    tensors = [leaf for leaf in leaves if torch.is_tensor(leaf)]
    return counter.totals([t for t in tensors if t.is_floating_point() or t.is_complex()])
