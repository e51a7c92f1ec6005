"""Runs one training step without computing it, under the counter's eyes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch.utils import _pytree as pytree

from flopcount.dispatch import Ledger, watching
from flopcount.errors import CountError
from flopcount.shadow import Converter, convert_inputs, doubled

Loss = Callable[[Any], Any]


def trace_on_meta(
    model: Any, args: Any, kwargs: Any, *, backward: bool, loss: Loss | None
) -> Ledger:
    """Count a step on doubles without storage.

    Raises:
        Exception: whatever the model raises on such tensors.

    """
    convert = Converter()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.set_grad_enabled(backward))
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(doubled(model, convert))
        inputs, named = convert_inputs((args, kwargs), convert)
        watch = stack.enter_context(watching(model))
        out = model(*inputs, **named)
        if backward:
            backpropagate(out, loss)
    return watch.ledger


def backpropagate(out: Any, loss: Loss | None) -> None:
    """Run the backward of the loss, or of everything that can have a gradient.

    Raises:
        CountError: when ``loss`` does not answer a tensor.

    """
    if loss is not None:
        value = loss(out)
        if not isinstance(value, torch.Tensor):
            raise CountError(
                f"loss must answer a tensor; found {type(value).__name__}; "
                "pass a callable that takes the model's output"
            )
        targets = [value]
    else:
        targets = _default_targets(out)
    targets = [target for target in targets if target.requires_grad]
    if targets:
        torch.autograd.backward(targets, [torch.ones_like(target) for target in targets])


def _default_targets(out: Any) -> list[Any]:
    """The output's ``.loss``, else all its floating-point tensors."""
    own = getattr(out, "loss", None)
    if isinstance(own, torch.Tensor):
        return [own]
    leaves = pytree.tree_leaves(out)
    return [
        leaf
        for leaf in leaves
        if isinstance(leaf, torch.Tensor) and (leaf.is_floating_point() or leaf.is_complex())
    ]
