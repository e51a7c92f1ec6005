"""Counts one call of a model that is training right now, and disturbs nothing.

``flopcount.count`` is asked by somebody who waits for the answer. Here nobody asked: the count
happens between two steps of a run, so it must not fire the user's hooks, draw from any generator of
random numbers, talk to another rank, compute at full size or take long. The call is captured when
it is made (:func:`capture`: shapes, flags and settings, no storage) and counted when it is known
what was differentiated (:func:`count_call`).
"""

from __future__ import annotations

import copy
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import _disable_current_modes

from flopcount.attention_scopes import AttentionScopes
from flopcount.count import MODEL_PHASES, FlopCount
from flopcount.dispatch import Counter
from flopcount.doubles import CpuDoubles, Doubles, FakeDoubles, MetaDoubles, convert_inputs, doubled
from flopcount.dtypes import dtype_name
from flopcount.errors import CountError, FlopcountError
from flopcount.kernels import recording
from flopcount.known_values import KnownValues
from flopcount.parallel import unwrap
from flopcount.scopes import Attention, Scope, Watch, seeing_engines
from flopcount.shared_layers import Sharing, SharingRefusedError
from flopcount.summary import summarise
from flopcount.trace import Step, StepError, _neutral_torch

if TYPE_CHECKING:
    from flopcount.count import Phase
    from flopcount.ledger import Ledger, Tally
    from flopcount.registry import Cost

Targets = Callable[[Any], Sequence[Any]]
"""From a model's output to the tensors at which one backward pass began."""

SMALL = 1 << 13
"""Whole numbers of so many elements are kept by value: models ask questions about them."""
MOST_CPU_FLOP = 10**10
"""A model that only runs on real numbers may compute so much, about a tenth of a second."""
LIBRARIES = frozenset({"torch", "transformers", "peft", "accelerate", "diffusers", "timm"})
"""Hooks of these take part in the computation; everybody else's might write a log."""
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
LOWERED = frozenset({"fp32", "fp16", "bf16"})


class LiveTimeoutError(Exception):
    """A trace took too long; internal."""


@dataclass(kw_only=True, slots=True)
class LiveCall:
    """One call as it was made. Holds the model, and no storage of its inputs."""

    model: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    gradients: bool
    """Whether gradients were enabled."""
    training: tuple[bool, ...]
    """Each module's flag."""
    trainable: tuple[bool, ...]
    """Each parameter's flag."""
    autocast: tuple[str, str] | None
    """Device type and short dtype name where autocast was on around the call."""
    device: str = "cpu"
    """Device type whose autocast a model may switch on inside the call."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveCount:
    """What one call costs: the whole model's FLOP.

    Attributes:
        forward: Forward pass.
        backward: All backward passes that were asked for, together.
        recompute: What is computed again in them.
        by_dtype: FLOP by phase and dtype; ``by_dtype["forward"]["bf16"]``.
        uncounted: Names of operations that no rule covers.
        bounds: Least and greatest FLOP of all phases together where the figure is not exact.
        reason: Why there are bounds, or what a reader should know.
        world_size: Ranks that work on this call together.
        method: The rung that traced.

    """

    forward: int
    backward: int
    recompute: int
    by_dtype: Mapping[str, Mapping[str, int]]
    uncounted: tuple[str, ...]
    bounds: tuple[int, int | None] | None
    reason: str | None
    world_size: int
    method: str


def capture(
    model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, device: str = "cpu"
) -> LiveCall:
    """Note a call before it runs. Copies no storage but that of small whole numbers.

    Args:
        model: The module that is called.
        args: Its positional inputs.
        kwargs: Its keyword inputs.
        device: Type of the device that it computes on, for autocast.

    """
    given, named = without_storage((args, kwargs))
    lowered = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device)
    return LiveCall(
        model=model,
        args=given,
        kwargs=named,
        gradients=torch.is_grad_enabled(),
        training=tuple(module.training for module in model.modules()),
        trainable=tuple(parameter.requires_grad for parameter in model.parameters()),
        autocast=(device, dtype_name(lowered)) if lowered else None,
        device=device,
    )


def without_storage(value: Any) -> Any:
    """The same objects with tensors that hold nothing, however deep the tensors are.

    Caches and batches are copied around their tensors; an object that cannot be copied stays.
    """
    memo: dict[int, Any] = {}
    kept: list[Any] = []
    with torch.no_grad():
        for tensor in tensors_within(value):
            memo[id(tensor)] = _hollow(tensor)
            kept.append(tensor)
        leaves, spec = pytree.tree_flatten(value)
        fresh = []
        for leaf in leaves:
            if id(leaf) in memo:
                fresh.append(memo[id(leaf)])
            elif isinstance(leaf, torch.nn.Module) or not hasattr(leaf, "__dict__"):
                fresh.append(leaf)
            else:
                fresh.append(_copied(leaf, memo))
    return pytree.tree_unflatten(fresh, spec)


def _copied(leaf: Any, memo: dict[int, Any]) -> Any:
    if callable(leaf) and not hasattr(leaf, "__getitem__"):
        return leaf
    try:
        return copy.deepcopy(leaf, dict(memo))
    except Exception:  # noqa: BLE001 - an input of the user's may refuse in any way
        return leaf


def _hollow(tensor: Any) -> Any:
    if tensor.is_nested or tensor.layout is not torch.strided:
        return tensor.detach()  # what a product costs is in its lengths
    whole = not (tensor.is_floating_point() or tensor.is_complex())
    if whole and tensor.device.type == "cpu" and tensor.numel() <= SMALL:
        return tensor.detach().clone()
    fresh = torch.empty_like(tensor.detach(), device="meta")
    return fresh.requires_grad_(tensor.requires_grad)


def tensors_within(value: Any, depth: int = 6, seen: set[int] | None = None) -> Iterator[Any]:
    """Every tensor in nested containers and in the attributes of objects."""
    if isinstance(value, torch.Tensor):
        yield value
        return
    if depth < 0 or isinstance(value, str | bytes | int | float | type | None):
        return
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, torch.nn.Module):
        return
    seen.add(id(value))
    if isinstance(value, Mapping):
        inner = list(value.values())
    elif isinstance(value, list | tuple | set | frozenset):
        inner = list(value)
    else:
        inner = list(getattr(value, "__dict__", {}).values())
    for item in inner[:4096]:
        yield from tensors_within(item, depth - 1, seen)


def count_call(
    call: LiveCall, passes: Sequence[Targets] = (), *, seconds: float = 60.0, real: bool = True
) -> LiveCount:
    """Count a captured call.

    Args:
        call: The call.
        passes: For each backward pass through it, the outputs at which the pass began.
        seconds: After so long a trace is given up.
        real: Whether small real numbers may be computed with where nothing else works.

    Raises:
        CountError: when the model raises on every way of tracing it.

    """
    counts = [
        _climb(call, targets, time.monotonic() + seconds, real=real)
        for targets in passes or (None,)
    ]
    return _merged(counts)


def _climb(
    call: LiveCall, targets: Targets | None, deadline: float, *, real: bool
) -> tuple[FlopCount, Ledger]:
    """The first way of tracing that works."""
    failures: list[str] = []
    for rung in ("meta", "fake", "cpu", "meta-invented"):
        if rung == "cpu" and (not real or _is_distributed()):
            continue
        try:
            with _undisturbed():
                ledger = _on(rung, call, targets, deadline)
        except (StepError, FlopcountError, MemoryError) as failure:
            failures.append(f"{rung}: {_said(failure)}")
            if time.monotonic() > deadline:
                break
            continue
        return summarise(ledger, method=rung, notes=tuple(failures)), ledger
    raise CountError(
        f"the model raised on every way of tracing it; {'; '.join(failures)}; "
        "check that it runs on these inputs by itself, or state its cost"
    )


def _on(rung: str, call: LiveCall, targets: Targets | None, deadline: float) -> Ledger:
    if rung == "fake":
        return _trace(call, targets, FakeDoubles(KnownValues()), deadline)
    if rung == "cpu":
        doubles = CpuDoubles(KnownValues(), most_bytes=1 << 28)
        return _trace(call, targets, doubles, deadline, most_flop=MOST_CPU_FLOP)
    if rung == "meta-invented":
        return _trace(call, targets, MetaDoubles(KnownValues(inventing=True)), deadline)
    if not any(key.startswith("output_") and value for key, value in call.kwargs.items()):
        try:
            return _trace(call, targets, MetaDoubles(KnownValues()), deadline, share=True)
        except (SharingRefusedError, StepError):
            pass  # the unshared trace decides
    return _trace(call, targets, MetaDoubles(KnownValues()), deadline)


def _trace(
    call: LiveCall,
    targets: Targets | None,
    doubles: Doubles,
    deadline: float,
    *,
    share: bool = False,
    most_flop: int | None = None,
) -> Ledger:
    """Run the call on doubles, as it was made."""
    model = unwrap(call.model)
    watch = LiveWatch(model, call, deadline, most_flop)
    sharing: Sharing | None = None
    try:
        with ExitStack() as stack:
            step = Step(
                model=model, args=(), kwargs={}, backward=call.gradients, loss=None, optimizer=None
            )
            stack.enter_context(_neutral_torch(step))
            stack.enter_context(doubles)
            stack.enter_context(doubled([model], doubles))
            _as_it_was(call, model)
            # A cache among the inputs is written to by each trace: each gets its own.
            given = without_storage((call.args, call.kwargs))
            inputs, named = convert_inputs(given, doubles)
            watch.has_shards = doubles.has_shards
            watch.on_fakes = isinstance(doubles, FakeDoubles)
            if share and not doubles.has_shards:
                sharing = Sharing(model, watch)
            stack.enter_context(_watching(watch, doubles.known))
            out = model(*inputs, **named)
            if targets is not None:
                began = [target for target in targets(out) if target.requires_grad]
                if began:
                    torch.autograd.backward(began, [torch.ones_like(item) for item in began])
    except (FlopcountError, SharingRefusedError):
        raise
    except Exception as error:
        raise StepError(error, watch.failed_at or "") from error
    if sharing is not None:
        sharing.settle()
    watch.ledger.local = watch.local if watch.has_shards else None
    return watch.ledger


def _as_it_was(call: LiveCall, model: Any) -> None:
    """Give the doubles the call's flags, and take away whatever is not the model's own doing."""
    whole = call.model
    for module, training in zip(whole.modules(), call.training, strict=False):
        if "training" in module.__dict__:
            module.__dict__["training"] = training
    for parameter, trainable in zip(whole.parameters(), call.trainable, strict=False):
        if parameter.is_floating_point() and parameter.requires_grad != trainable:
            parameter.requires_grad_(trainable)
    for module in model.modules():
        state = module.__dict__
        state.pop("_compiled_call_impl", None)  # also the seam by which the run is seen
        for table in HOOKS:
            hooks = state.get(table)
            for key in [key for key, hook in (hooks or {}).items() if not computes(hook)]:
                del hooks[key]


def computes(hook: Any) -> bool:
    """Whether a hook belongs to the computation: a library's, and not one that moves shards."""
    function = getattr(hook, "func", hook)
    owner = getattr(function, "__self__", None)
    names = (getattr(function, "__module__", None), type(owner).__module__ if owner else None)
    known = [str(name) for name in names if name]
    return any(name.partition(".")[0] in LIBRARIES for name in known) and not any(
        name.startswith(("torch.distributed.fsdp", "torch.nn.parallel")) for name in known
    )


def foreign_hooks(model: Any) -> tuple[str, ...]:
    """Names of forward hooks that a count leaves out, because they are the user's own."""
    found = {
        f"{getattr(hook, '__qualname__', type(hook).__name__)} on {type(module).__name__}"
        for module in model.modules()
        for table in HOOKS[:2]
        for hook in module.__dict__.get(table, {}).values()
        if not computes(hook) and not _moves_shards(hook)
    }
    return tuple(sorted(found))


def _moves_shards(hook: Any) -> bool:
    owner = getattr(hook, "__self__", None)
    names = (str(getattr(hook, "__module__", "")), type(owner).__module__)
    return any(name.startswith(("torch.distributed", "torch.nn.parallel")) for name in names)


class LiveWatch(Watch):
    """A watch with a deadline, that knows what autocast would feed to the matrix units."""

    def __init__(self, model: Any, call: LiveCall, deadline: float, most_flop: int | None) -> None:
        super().__init__(model, most_flop)
        self.deadline = deadline
        self.autocast = call.autocast
        self.device = call.device
        self.sharded_dtype = sharded_dtype(call.model)
        self.lowered: dict[str, str] = {}
        self.lowering: str | None = None
        """The dtype of autocast where the model is now, if it is on; Accelerate switches it on
        inside the outermost module's ``forward``."""

    def enter_module(self, module: Any, args: Any) -> None:
        """Global forward pre-hook."""
        if time.monotonic() > self.deadline:
            raise LiveTimeoutError("the trace took too long and was given up")
        super().enter_module(module, args)

    def fed(self, dtype: str, phase: Phase, scope: Scope) -> str:
        """The dtype that enters the matrix unit on the real device.

        Tensors without storage do not take part in autocast. Its state is seen all the same, and
        every product, convolution and attention is on its list; what follows in the backward pass,
        recomputation included, has the dtype of its forward.
        """
        if dtype not in LOWERED:
            return dtype
        if self.sharded_dtype is not None:
            return self.sharded_dtype
        if phase != "forward":
            return self.lowered.get(scope.path, dtype)
        if self.lowering is not None:
            self.lowered[scope.path] = self.lowering
            return self.lowering
        return dtype


class LiveScopes(AttentionScopes):
    """Sees each function before autocast would, where its state can still be told."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        watch = self.watch
        assert isinstance(watch, LiveWatch)
        on = torch.is_autocast_enabled(watch.device)
        watch.lowering = dtype_name(torch.get_autocast_dtype(watch.device)) if on else None
        return super().__torch_function__(func, types, args, kwargs)

    def _mask(self, bound: dict[str, Any]) -> Attention:
        """Attention's products have their queries' dtype, which autocast lowers as well."""
        watch, found = self.watch, super()._mask(bound)
        assert isinstance(watch, LiveWatch)
        phase, scope = watch.here()
        again = watch.lowered.get(scope.path) if phase == "recompute" else None
        low = watch.sharded_dtype or watch.lowering or again
        return replace(found, dtype=low) if low and found.dtype in LOWERED else found


class LiveCounter(Counter):
    """A counter that speaks for autocast and lets nothing out to other ranks."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "namespace", "") in ("c10d", "_c10d_functional"):
            args, kwargs = pytree.tree_map(_on_meta, (args, kwargs or {}))
            return func(*args, **kwargs)
        return super().__torch_dispatch__(func, types, args, kwargs)

    def record(
        self, op: str, dtype: str, phase: Phase, scope: Scope, cost: Cost, charged: int = 0
    ) -> Tally:
        """Add one call to the ledger."""
        assert isinstance(self.watch, LiveWatch)
        return super().record(op, self.watch.fed(dtype, phase, scope), phase, scope, cost, charged)


def _on_meta(value: Any) -> Any:
    """Real numbers that a model made itself stay at home, too."""
    if type(value) is torch.Tensor and value.device.type != "meta":
        return torch.empty_like(value, device="meta")
    return value


def sharded_dtype(model: Any) -> str | None:
    """The dtype to which fully sharded modules cast their parameters, where there is a policy."""
    kind = getattr(sys.modules.get("torch.distributed.fsdp"), "FSDPModule", None)
    if kind is None:
        return None
    for module in model.modules():
        if isinstance(module, kind):
            policy = getattr(module._get_fsdp_state(), "_mp_policy", None)
            dtype = getattr(policy, "param_dtype", None)
            return dtype_name(dtype) if dtype is not None else None
    return None


@contextmanager
def _watching(watch: LiveWatch, known: KnownValues) -> Iterator[None]:
    """Count everything that runs inside; autocast is as it was for the call."""
    counter = LiveCounter(watch, known)
    with ExitStack() as stack:
        before = register_module_forward_pre_hook(watch.enter_module)
        stack.callback(before.remove)
        after = register_module_forward_hook(watch.leave_module, always_call=True)
        stack.callback(after.remove)
        stack.enter_context(recording(counter.declared))
        stack.enter_context(seeing_engines(watch))
        if watch.autocast is not None:
            dtypes = {"bf16": torch.bfloat16, "fp16": torch.float16}
            dtype = dtypes.get(watch.autocast[1])
            stack.enter_context(torch.autocast(watch.autocast[0], dtype=dtype))
        stack.enter_context(LiveScopes(counter))
        stack.enter_context(counter)
        yield


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep the generators that are not torch's own; torch's is kept by the trace itself."""
    state = random.getstate()
    numpy = sys.modules.get("numpy")
    legacy = numpy.random.get_state() if numpy is not None else None
    autocast = {kind: torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda")}
    try:
        for kind, enabled in autocast.items():
            if enabled:
                torch.set_autocast_enabled(kind, enabled=False)
        # A checkpoint or a mode of the program that is open around us must not see our tensors.
        with _disable_current_modes(), torch.autograd.graph.saved_tensors_hooks(_same, _same):
            yield
    finally:
        for kind, enabled in autocast.items():
            if enabled:
                torch.set_autocast_enabled(kind, enabled=True)
        random.setstate(state)
        if numpy is not None:
            numpy.random.set_state(legacy)


def _same(value: Any) -> Any:
    return value


def _is_distributed() -> bool:
    """Whether other ranks exist, with whom a computation on real numbers might talk."""
    distributed = torch.distributed
    return bool(distributed.is_available() and distributed.is_initialized())


def _merged(counts: list[tuple[FlopCount, Ledger]]) -> LiveCount:
    """One forward, and the backward of every pass."""
    first = counts[0][0]
    by_dtype: dict[str, dict[str, int]] = {
        phase: defaultdict(int) for phase in (*MODEL_PHASES, "recompute")
    }
    for number, (count, _) in enumerate(counts):
        for entry in count.entries:
            if entry.flop and not (number and entry.phase == "forward"):
                by_dtype[entry.phase][entry.dtype] += entry.flop
    backward = sum(count.backward for count, _ in counts)
    recompute = sum(count.recompute for count, _ in counts)
    total = first.forward + backward + recompute
    bounds, reasons = _bounds(counts, total)
    if first.method == "meta-invented":
        reasons.append("control flow that depends on data got random answers")
    return LiveCount(
        forward=first.forward,
        backward=backward,
        recompute=recompute,
        by_dtype={phase: dict(figures) for phase, figures in by_dtype.items()},
        uncounted=tuple(sorted({item.op for count, _ in counts for item in count.uncounted})),
        bounds=bounds,
        reason="; ".join(reasons) or None,
        world_size=first.per_rank.world_size if first.per_rank is not None else 1,
        method=first.method,
    )


def _bounds(
    counts: list[tuple[FlopCount, Ledger]], total: int
) -> tuple[tuple[int, int | None] | None, list[str]]:
    """Least and greatest hardware FLOP, and why they differ."""
    low, high, reasons = total, total, []
    is_open = False
    for number, (count, ledger) in enumerate(counts):
        for item in count.uncounted:
            if number == 0 or item.op not in {o.op for o in counts[0][0].uncounted}:
                reasons.append(f"no rule covers {item.op}")
            is_open |= item.upper_bound is None
            high += item.upper_bound or 0
        guessed = sum(tally.flop for tally in ledger.lines.values() if tally.inexact)
        if guessed:
            low -= guessed
            reasons.append("how many rows reach the experts depends on data")
    if low == high and not is_open:
        return None, reasons
    return (low, None if is_open else high), reasons


def _said(failure: BaseException) -> str:
    error = getattr(failure, "error", failure)
    where = getattr(failure, "where", "")
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}{f' in {where}' if where else ''}: {text}"
