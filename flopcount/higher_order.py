"""Operators that take functions: their bodies run under the counter.

What later versions of torch tell an operator beside these arguments (which of them it writes to) does
not change what its body computes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils import _pytree as pytree

if TYPE_CHECKING:
    from collections.abc import Callable

    from flopcount.dispatch import Counter


def run_higher_order(counter: Counter, func: Any, args: Any, kwargs: Any) -> Any:
    """Run one higher-order operator and count what it does."""
    name = func.name()
    loop = UNROLLED.get(func)
    if loop is not None:
        with counter:
            return loop(counter, *args, **kwargs)
    dense = func.py_kernels.get(torch._C.DispatchKey.CompositeExplicitAutograd)
    if dense is None or name.startswith("triton_kernel_wrapper"):
        out = func(*args, **kwargs)
        counter.unknown(f"higher_order.{name}", args, kwargs, out)
        return out
    with counter:
        return dense(*args, **kwargs)


def _truth(counter: Counter, predicate: Any) -> bool:
    """A predicate's value, which the trace must know."""
    if isinstance(predicate, torch.Tensor) and predicate.device.type == "meta":
        predicate = counter.known.value(predicate)
    return bool(predicate)


def _cond(
    counter: Counter, pred: Any, true_fn: Any, false_fn: Any, operands: Any = (), **_: Any
) -> Any:
    """Run the branch that the predicate chooses."""
    return (true_fn if _truth(counter, pred) else false_fn)(*operands)


def _while_loop(
    counter: Counter,
    cond_fn: Any,
    body_fn: Any,
    carried_inputs: Any,
    additional_inputs: Any = (),
    **_: Any,
) -> Any:
    """Run the body as long as the condition holds."""
    carried = carried_inputs
    while _truth(counter, cond_fn(*carried, *additional_inputs)):
        carried = body_fn(*carried, *additional_inputs)
    return carried


def _scan(
    _counter: Counter, combine_fn: Any, init: Any, xs: Any, additional_inputs: Any = (), **_: Any
) -> Any:
    """Carry a state over the leading axis of ``xs`` and stack what each step answers."""
    steps = pytree.tree_leaves(xs)[0].shape[0]
    state, stacks = list(init), []
    for step in range(steps):
        out = combine_fn(*state, *(x[step] for x in xs), *additional_inputs)
        state, answers = list(out[: len(state)]), out[len(state) :]
        stacks.append(answers)
    results = [torch.stack([row[i] for row in stacks]) for i in range(len(stacks[0]))]
    return [*state, *results]


def _map(_counter: Counter, f: Any, xs: Any, pos_args: Any = (), **_: Any) -> Any:
    """Apply a function along the leading axis and stack the results."""
    rows = [f(*(x[step] for x in xs), *pos_args) for step in range(xs[0].shape[0])]
    if isinstance(rows[0], torch.Tensor):
        return torch.stack(rows)
    return tuple(torch.stack([row[i] for row in rows]) for i in range(len(rows[0])))


UNROLLED: dict[Any, Callable[..., Any]] = {
    torch.ops.higher_order.cond: _cond,
    torch.ops.higher_order.while_loop: _while_loop,
    torch.ops.higher_order.scan: _scan,
    torch.ops.higher_order.map_impl: _map,
}
"""Operators whose bodies simply run, as often as they would; the counter must be watching."""
