"""Runs one training step without computing it, under the counter's eyes: one rung each."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils import _pytree as pytree

from flopcount.dispatch import watching
from flopcount.doubles import Doubles, FakeDoubles, MetaDoubles, convert_inputs, doubled, reachable
from flopcount.errors import CountError, FlopcountError
from flopcount.known_values import KnownValues
from flopcount.scopes import Watch
from flopcount.shared_layers import Sharing, SharingRefusedError

if TYPE_CHECKING:
    from flopcount.ledger import Ledger

Loss = Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What is to be counted.

    Attributes:
        model: A module or a function.
        args: Positional inputs.
        kwargs: Keyword inputs.
        backward: Whether gradients are part of the step.
        loss: See :func:`flopcount.count`.
        optimizer: See :func:`flopcount.count`.

    """

    model: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    backward: bool
    loss: Loss | None
    optimizer: Callable[[Any], Any] | None = None


class StepError(Exception):
    """A rung failed; internal. ``where`` is the module that raised first."""

    def __init__(self, error: Exception, where: str) -> None:
        super().__init__(str(error))
        self.error = error
        self.where = where


def trace(
    step: Step, doubles: Doubles, *, share: bool = False, most_flop: int | None = None
) -> Ledger:
    """Run a step on doubles of its tensors and answer the ledger.

    Raises:
        StepError: when the model raises on such tensors.
        SharingRefusedError: when layers cannot be shared.
        CountError: when the caller's ``loss`` is no loss.

    """
    watch = Watch(step.model, most_flop)
    try:
        sharing = _run(step, doubles, watch, share=share)
    except (FlopcountError, SharingRefusedError):
        raise
    except Exception as error:
        raise StepError(error, watch.failed_at or "") from error
    if sharing is not None:
        sharing.settle()
    watch.ledger.unknown_masks = doubles.known.unknown_masks
    watch.ledger.local = watch.local if watch.has_shards else None
    return watch.ledger


def _run(step: Step, doubles: Doubles, watch: Watch, *, share: bool) -> Sharing | None:
    """The step itself, under the counter's eyes."""
    with ExitStack() as stack:
        stack.enter_context(_neutral_torch(step))
        stack.enter_context(doubles)
        stack.enter_context(doubled(reachable(step.model), doubles))
        inputs, named = convert_inputs((step.args, step.kwargs), doubles)
        watch.has_shards = doubles.has_shards
        watch.on_fakes = isinstance(doubles, FakeDoubles)
        share = share and not doubles.has_shards
        sharing = Sharing(step.model, watch) if share else None
        stack.enter_context(watching(watch, doubles.known))
        out = step.model(*inputs, **named)
        if step.backward:
            backpropagate(out, step.loss)
        if step.optimizer is not None:
            watch.optimizing = watch.ledger.has_optimizer = True
            step.optimizer(list(step.model.parameters())).step()
    return sharing


@contextmanager
def _neutral_torch(step: Step) -> Iterator[None]:
    """Gradients as the step needs them, compiled code in its eager form, random state kept."""
    with ExitStack() as stack:
        # What a model would warn of when it really runs is none of a count's business.
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.set_grad_enabled(step.backward))
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(_flex_attention_anywhere())
        stack.enter_context(_quiet_fakes())
        yield


@contextmanager
def _quiet_fakes() -> Iterator[None]:
    """Fake tensors log each failure at length; a rung's failure is told once, by the ladder."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


@contextmanager
def _flex_attention_anywhere() -> Iterator[None]:
    """Flex attention refuses devices without its kernel; a trace runs no kernel."""
    module = sys.modules.get("torch.nn.attention.flex_attention")
    check = getattr(module, "_validate_device", None)
    if check is None:
        yield
        return
    module._validate_device = lambda *_args: None  # type: ignore[union-attr]
    try:
        yield
    finally:
        module._validate_device = check  # type: ignore[union-attr]


def trace_on_meta(step: Step) -> Ledger:
    """The first rung: no storage anywhere, repeated layers shared where that is exact."""
    whole = step.optimizer is not None  # every parameter needs its own gradient
    if isinstance(step.model, torch.nn.Module) and not whole and not _asks_for_outputs(step.kwargs):
        try:
            return trace(step, MetaDoubles(KnownValues()), share=True)
        except (SharingRefusedError, StepError):
            pass  # the unshared trace decides what is right, and which error is told
    return trace(step, MetaDoubles(KnownValues()))


def _asks_for_outputs(kwargs: dict[str, Any]) -> bool:
    return any(key.startswith("output_") and bool(value) for key, value in kwargs.items())


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
