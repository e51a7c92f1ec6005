"""Operators that take functions: their bodies run under the counter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils import _pytree as pytree

if TYPE_CHECKING:
    from flopcount.dispatch import Counter


def run_higher_order(counter: Counter, func: Any, args: Any, kwargs: Any) -> Any:
    """Run one higher-order operator and count what it does."""
    name = func.name()
    if name == "cond":
        return _cond(counter, *args, **kwargs)
    if name == "while_loop":
        return _while_loop(counter, *args, **kwargs)
    if name == "scan":
        return _scan(counter, *args, **kwargs)
    if name == "map_impl":
        return _map(counter, *args, **kwargs)
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


def _cond(counter: Counter, pred: Any, true_fn: Any, false_fn: Any, operands: Any = ()) -> Any:
    """Run the branch that the predicate chooses."""
    chosen = true_fn if _truth(counter, pred) else false_fn
    with counter:
        return chosen(*operands)


def _while_loop(
    counter: Counter, cond_fn: Any, body_fn: Any, carried_inputs: Any, additional_inputs: Any = ()
) -> Any:
    """Run the body as long as the condition holds."""
    carried = carried_inputs
    while True:
        with counter:
            condition = cond_fn(*carried, *additional_inputs)
        if not _truth(counter, condition):
            return carried
        with counter:
            carried = body_fn(*carried, *additional_inputs)


def _scan(
    counter: Counter, combine_fn: Any, init: Any, xs: Any, additional_inputs: Any = ()
) -> Any:
    """Carry a state over the leading axis of ``xs`` and stack what each step answers."""
    steps = pytree.tree_leaves(xs)[0].shape[0]
    state, stacks = list(init), []
    for step in range(steps):
        with counter:
            out = combine_fn(*state, *(x[step] for x in xs), *additional_inputs)
        state, answers = list(out[: len(state)]), out[len(state) :]
        stacks.append(answers)
    results = [torch.stack([row[i] for row in stacks]) for i in range(len(stacks[0]))]
    return [*state, *results]


def _map(counter: Counter, f: Any, xs: Any, pos_args: Any = ()) -> Any:
    """Apply a function along the leading axis and stack the results."""
    rows = []
    for step in range(xs[0].shape[0]):
        with counter:
            rows.append(f(*(x[step] for x in xs), *pos_args))
    return tuple(torch.stack([row[i] for row in rows]) for i in range(len(rows[0])))
