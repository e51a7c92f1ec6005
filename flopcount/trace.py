"""Runs one training step without computing it, under the counter's eyes: one rung each."""

from __future__ import annotations

import dataclasses
import logging
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import _disable_current_modes

from flopcount.autocasting import autocast_as_on
from flopcount.dispatch import watching
from flopcount.doubles import Doubles, FakeDoubles, MetaDoubles
from flopcount.draws import noticing_python_draws
from flopcount.errors import CountError, FlopcountError
from flopcount.exchange import convert_inputs, doubled, reachable
from flopcount.helpers import kept_helpers
from flopcount.known_values import KnownValues
from flopcount.layer_numbers import SharingRefusedError
from flopcount.scopes import Watch
from flopcount.shared_layers import Sharing

if TYPE_CHECKING:
    from flopcount.ledger import Ledger

Loss = Callable[[Any], Any]
NO_OUTPUT = (torch.nn.Module, type, types.ModuleType, types.FunctionType, types.MethodType)
"""Objects that hold tensors and are no result."""
NOTHING_DIFFERENTIATED = (
    "backward: no output needs a gradient (detached, computed without gradients, or no tensor "
    "among the outputs), so nothing was differentiated; pass loss= where it is hidden"
)


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

    def __init__(self, error: BaseException, where: str) -> None:
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
        stack.enter_context(noticing_python_draws(watch.ledger.remarks))
        stack.enter_context(doubles)
        stack.enter_context(autocast_as_on(doubles))
        stack.enter_context(doubled(reachable(step.model), doubles))
        stack.enter_context(kept_helpers([step.args, step.kwargs]))
        inputs, named = convert_inputs((step.args, step.kwargs), doubles)
        watch.has_shards = doubles.has_shards
        watch.on_fakes = isinstance(doubles, FakeDoubles)
        share = share and not doubles.has_shards
        sharing = Sharing(step.model, watch, doubles.known) if share else None
        stack.enter_context(watching(watch, doubles.known))
        out = drained(step.model(*inputs, **named))
        if step.backward and not backpropagate(out, step.loss) and _is_trained(step.model):
            watch.ledger.remarks.append(NOTHING_DIFFERENTIATED)
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
        stack.enter_context(unseen())
        stack.enter_context(_kept_settings())
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.set_grad_enabled(step.backward))
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(_flex_attention_anywhere())
        stack.enter_context(_quiet_fakes())
        yield


def _same(value: Any) -> Any:
    return value


@contextmanager
def unseen() -> Iterator[None]:
    """No checkpoint or mode of the program that is open around us sees our tensors."""
    with ExitStack() as stack:
        stack.enter_context(_disable_current_modes())
        # Only where there are any: function transforms refuse hooks, whatever they do.
        if torch._C._autograd._top_saved_tensors_default_hooks(False) is not None:  # noqa: FBT003
            stack.enter_context(torch.autograd.graph.saved_tensors_hooks(_same, _same))
        yield


@contextmanager
def _kept_settings() -> Iterator[None]:
    """What a forward may set for the whole program, set back."""
    dtype, precision = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warning = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        if precision != torch.get_float32_matmul_precision():
            torch.set_float32_matmul_precision(precision)
        torch.use_deterministic_algorithms(deterministic, warn_only=warning)


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


def drained(out: Any) -> Any:
    """A generator computes only when it is asked: ask for everything."""
    return list(out) if isinstance(out, types.GeneratorType) else out


def _is_trained(model: Any) -> bool:
    """Whether a module has parameters that wait for a gradient."""
    return isinstance(model, torch.nn.Module) and any(p.requires_grad for p in model.parameters())


def backpropagate(out: Any, loss: Loss | None) -> bool:
    """Run the backward of the loss, or of everything that can have a gradient.

    Answers whether there was anything to differentiate.

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
    return bool(targets)


def _default_targets(out: Any) -> list[Any]:
    """The output's ``.loss``, else all its floating-point tensors."""
    own = getattr(out, "loss", None)
    if isinstance(own, torch.Tensor):
        return [own]
    # What a plain object holds (a cache, for one) is a result only where there is no other.
    found = list(_tensors(out, 4, objects=False)) or list(_tensors(out, 4, objects=True))
    return [leaf for leaf in found if leaf.is_floating_point() or leaf.is_complex()]


def _tensors(value: Any, depth: int, *, objects: bool) -> Iterator[Any]:
    """All tensors of an output: containers and dataclasses are looked into, objects if asked."""
    for leaf in pytree.tree_leaves(value):
        if isinstance(leaf, torch.Tensor):
            yield leaf
        elif dataclasses.is_dataclass(leaf) and not isinstance(leaf, type) and depth:
            values = [getattr(leaf, field.name, None) for field in dataclasses.fields(leaf)]
            yield from _tensors(values, depth - 1, objects=objects)
        elif objects and hasattr(leaf, "__dict__") and not isinstance(leaf, NO_OUTPUT) and depth:
            yield from _tensors(list(vars(leaf).values()), depth - 1, objects=True)
