"""Which models were called with which shapes, and when did an optimizer step?

The only place of this pillar that imports torch. Nothing is counted here.

A model is seen through ``Module._compiled_call_impl``, the place where torch itself keeps what
``model.compile()`` made: an entry there is asked before any hook and before compiled code, is left
out when a module is copied or saved, and stays outside of every graph that torch traces. Every
module of the process gets such a *seam* at first; what lies inside a model that is called as a whole
loses it after a few steps. Optimizers are seen through torch's global hooks.

What runs on each call and each step is kept to microseconds and never raises into the program.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch._C import _current_graph_task_id as graph_task
from torch._C._dynamo.eval_frame import (
    _FrameAction,
    _FrameExecStrategy,
    set_code_exec_strategy,
    set_eval_frame,
)
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.optim.optimizer import register_optimizer_step_post_hook

from profilers.step_signature import MOST_OUTPUTS, Signer, text_of, tokens_of

if TYPE_CHECKING:
    from profilers.step_values import Mode

SEAM = "_compiled_call_impl"
DISCOVERY_STEPS = 3
"""So many steps every module keeps its seam."""
SWEEP_US = 60_000_000
"""So often all modules get their seams back for one step, to notice what changed."""
SEARCH_US = 10_000_000
"""So often, at most, modules are looked for because a step had no call."""
REFRESH_US = 10_000_000
"""So often the list of a model's parameters is read again."""
MOST_KINDS = 4096
"""Kinds of calls of one module that are remembered; the oldest are forgotten."""
ASIDE_US = 10_000_000
"""A long evaluation is written down in pieces of this length."""

_requires_grad = attrgetter("requires_grad")
_signer = Signer(torch.Tensor, torch.strided)
Passes = tuple[tuple[int, ...], ...]
"""For each backward pass, the output tensors at which it began, by their place."""


def now_us() -> int:
    """Return the monotonic clock in microseconds."""
    return time.monotonic_ns() // 1000


class Listener(Protocol):
    """Who wants to know."""

    def new_kind(self, kind: Kind, module: Any, args: Any, kwargs: Any) -> None:
        """A call of a kind that was not seen before is about to run."""

    def settle(self, variant: Variant) -> object:
        """What became of a call is known for the first time: the moment to count it."""

    def step(self, seen: StepSeen) -> None:
        """A step is over."""

    def aside(self, seen: AsideSeen) -> None:
        """Calls that belong to no step are over."""

    def trouble(self, where: str, error: BaseException) -> None:
        """The observer failed; the program did not notice."""

    def resumed(self, step: int) -> None:
        """An optimizer's own state says that it stepped before."""


class Kind:
    """One kind of call: the same module, flags and shapes."""

    __slots__ = (
        "data", "device", "inputs", "key", "model", "real", "samples", "tokens", "trained",
        "transformed", "usual", "variants",
    )  # fmt: skip

    def __init__(self, model: str, key: Hashable) -> None:
        self.model = model
        """Class name of the module."""
        self.key = key
        self.variants: dict[Hashable, Variant] = {}
        self.usual: Variant | None = None
        """Forward and backward of its one output."""
        self.inputs: tuple[str, ...] = ()
        self.tokens: int | None = None
        self.samples: int | None = None
        self.device = "cpu"
        self.real = True
        """False for a call that computes nothing: its tensors have no storage."""
        self.transformed = False
        """Called under a function transform, where gradients do not show."""
        self.trained: tuple[int, ...] = ()
        """Ids of a few parameters, by which the model's optimizer is known."""
        self.data: Any = None
        """The listener's own."""


class Variant:
    """A kind of call and what became of it."""

    __slots__ = ("data", "doubled", "kind", "mode", "passes")

    def __init__(self, kind: Kind, mode: Mode, passes: Passes, *, doubled: bool = False) -> None:
        self.kind = kind
        self.mode = mode
        self.passes = passes
        self.doubled = doubled
        """A backward was itself recorded for differentiation."""
        self.data: Any = None
        """The listener's own."""


Bucket = dict[Variant, int]


@dataclass(kw_only=True, slots=True)
class StepSeen:
    """One step as it was seen. Times in microseconds of the monotonic clock."""

    calls: Bucket
    optimizer: str | None
    before_us: int
    """End of the step before, or the start."""
    start_us: int
    """The first call."""
    end_us: int
    tokens: int | None
    tokens_from: str | None
    samples: int | None
    number: int | None
    """The step's number where the program said it."""


@dataclass(kw_only=True, slots=True)
class AsideSeen:
    """Calls beside training."""

    what: str
    calls: Bucket
    start_us: int
    end_us: int
    source: str


@dataclass(slots=True)
class Open:
    """Calls since the last boundary."""

    calls: Bucket = field(default_factory=dict)
    pending: list[Pending] = field(default_factory=list)
    start_us: int = 0
    end_us: int = 0


@dataclass(slots=True)
class _Cut:
    """A step that is over and not told yet."""

    step: Open
    by: list[str]
    said: dict[str, int | None]
    end_us: int
    units: tuple[int | None, int | None]


class Pending:
    """A call with gradients: is a backward going to come?  Also the hook on its outputs."""

    __slots__ = (
        "again", "closed", "doubled", "fired", "kind", "last", "observer", "seam", "usual",
    )  # fmt: skip
    __torch_unserializable__ = True  # a saved tensor goes without this hook, and without a warning

    def __init__(self, observer: Observer, seam: Seam, kind: Kind, *, again: bool) -> None:
        self.observer = observer
        self.seam = seam
        self.kind = kind
        self.again = again
        self.fired: list[tuple[int, int]] = []
        self.closed = False
        self.doubled = False
        self.usual = False
        """A plain call with one output."""
        self.last = -1

    def __call__(self, _grad: Any) -> None:
        """The first output's gradient arrived."""
        if self.closed or self.observer._stepped_at or torch.is_grad_enabled():
            self.arrived(0)
        else:
            self.last = task = graph_task()
            self.fired.append((task, 0))

    def arrived(self, place: int) -> None:
        """An output's gradient arrived: a backward pass is going through this call."""
        task = graph_task()
        if self.observer._stepped_at:
            self.observer.cut()
        if torch.is_grad_enabled():
            self.doubled = True
        if self.closed:
            if task != self.last:
                self.last = task
                self.observer.late(self.kind, place)
            return
        self.last = task
        self.fired.append((task, place))

    def variant(self) -> Variant:
        """What became of the call, as far as is known now."""
        fired = self.fired
        if len(fired) == 1 and self.usual and not self.doubled:
            found = self.kind.usual
            if found is None:
                found = self.kind.usual = _variant(self.kind, "train", ((0,),))
            return found
        if not fired:
            return _variant(self.kind, "again" if self.again else "forward", ())
        if len(fired) == 1:
            passes: Passes = ((fired[0][1],),)
        else:
            tasks: dict[int, set[int]] = {}
            for task, place in fired:
                tasks.setdefault(task, set()).add(place)
            passes = tuple(tuple(sorted(places)) for places in tasks.values())
        mode: Mode = "again" if self.again else "train"
        return _variant(self.kind, mode, passes, doubled=self.doubled)


class _Place:
    """The hook on one of several outputs."""

    __slots__ = ("pending", "place")
    __torch_unserializable__ = True

    def __init__(self, pending: Pending, place: int) -> None:
        self.pending = pending
        self.place = place

    def __call__(self, _grad: Any) -> None:
        self.pending.arrived(self.place)


def _variant(kind: Kind, mode: Mode, passes: Passes, *, doubled: bool = False) -> Variant:
    key = (mode, passes, doubled)
    found = kind.variants.get(key)
    if found is None:
        found = kind.variants[key] = Variant(kind, mode, passes, doubled=doubled)
    return found


class Seam:
    """Stands before one module's call and tells the observer of it when it is outermost."""

    __slots__ = (
        "__weakref__", "called", "device", "epoch", "graph", "inner", "keep", "kinds", "last", "last_key",
        "module", "observer", "parameters", "recent",
    )  # fmt: skip

    def __init__(self, observer: Observer, module: Any, inner: Any) -> None:
        self.observer = observer
        self.module = weakref.ref(module)
        self.inner = inner
        self.kinds: dict[Hashable, Kind] = {}
        self.parameters: list[Any] = []
        self.device = "cpu"
        self.epoch = -1
        self.called = 0
        """Outermost calls so far."""
        self.recent = 0
        """Whether it was outermost in this step."""
        self.keep = False
        self.graph = any(kind.__name__ == "GraphModule" for kind in type(module).__mro__)
        self.last: Kind | None = None
        self.last_key: Hashable = None

    def __reduce__(self) -> Any:
        return type(None), ()  # whoever copies or saves a module gets it without its seam

    def __deepcopy__(self, _memo: Any) -> None:
        return None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Answer for the module's call."""
        if torch.compiler.is_compiling():
            # Inlined into somebody's graph: nothing of ours may be traced.
            return _onwards(self.inner, self.module(), args, kwargs)
        # Whoever copied the module's dictionary (data-parallel replicas) calls us for another one.
        module = sys._getframe(1).f_locals.get("self")
        if module is None or type(module) is Seam:
            module = self.module()
        return self.run(module, args, kwargs)

    def run(self, module: Any, args: Any, kwargs: Any) -> Any:
        """Call the module, and watch the call if it is an outermost one."""
        observer = self.observer
        here = observer.here
        if here.depth or not observer.watching or module is not self.module():
            return _onwards(self.inner, module, args, kwargs)
        here.depth = 1
        frames = set_eval_frame(None)  # nothing of ours is worth compiling
        pending = None
        try:
            pending = observer.enter(self, module, args, kwargs)
        finally:
            set_eval_frame(frames)
        out = _NOTHING
        try:
            out = _onwards(self.inner, module, args, kwargs)
        finally:
            here.depth = 0
            if pending is not None:
                frames = set_eval_frame(None)
                observer.leave(self, pending, out)
                set_eval_frame(frames)
        return out


_NOTHING = object()
"""What a call answered that raised."""


def _onwards(inner: Any, module: Any, args: Any, kwargs: Any) -> Any:
    if inner is None:
        return module._call_impl(*args, **kwargs)
    if type(inner) is Seam:
        return inner.run(module, args, kwargs)
    return inner(*args, **kwargs)


for _function in (Seam.__call__, Seam.run, _onwards):
    set_code_exec_strategy(
        _function.__code__, _FrameExecStrategy(_FrameAction.SKIP, _FrameAction.DEFAULT)
    )


class _Compiled:
    """Whether an optimizer stepped inside of compiled code, which sets this and nothing else."""

    stepped = False


class _Here(threading.local):
    depth = 0


class Observer:
    """Watches one process for one recording."""

    def __init__(self, listener: Listener, *, automatic: bool = True) -> None:
        self.listener = listener
        self.automatic = automatic
        self.watching = False
        self.here = _Here()
        self.epoch = 0
        """Rises when a module or parameter is registered anywhere."""
        self.optimizers: dict[int, tuple[Any, str]] = {}
        self._trained: set[int] = set()
        self._lock = threading.RLock()
        self._step = Open()
        self._aside = Open()
        self._spans: list[tuple[str, Open]] = []
        self._stepped_at = 0
        self._stepped_by: list[str] = []
        self._ended_us = 0
        self._said: dict[str, int | None] = {}
        self._cuts: list[_Cut] = []
        self._until_disarm = DISCOVERY_STEPS
        self._swept_us = 0
        self._search_us = 0
        self._refreshed_us = 0
        self._seams: weakref.WeakSet[Seam] = weakref.WeakSet()
        self._recent: list[Seam] = []
        self._undo: list[Callable[[], None]] = []
        self._told: set[str] = set()
        self._pid = os.getpid()
        self.compiled = _Compiled()
        self._fresh = False
        """Whether a new kind of call was seen since the last step."""

    # ------------------------------------------------------------ beginning and end

    def start(self, models: tuple[Any, ...] = ()) -> None:
        """Begin to watch."""
        self._ended_us = self._swept_us = self._refreshed_us = now_us()
        for model in models:
            self._arm(model).keep = True
        self.sweep()
        self._undo = [
            register_optimizer_step_post_hook(self._stepped).remove,
            register_module_module_registration_hook(self._registered).remove,
            register_module_parameter_registration_hook(self._registered).remove,
            *self._see_new_modules(),
            _unseen_by_script(),
        ]
        self.watching = True

    def stop(self) -> None:
        """End: close what is open, and leave torch and the modules as they were."""
        if not self.watching:
            return
        with self._guarded("stop"):
            self._flush_open()
        self.watching = False
        for undo in reversed(self._undo):
            undo()
        self._undo = []
        for seam in list(self._seams):
            self._disarm(seam)

    def forked(self) -> None:
        """In a forked child: see nothing any more."""
        self.watching = False

    def _flush_open(self) -> None:
        if self.compiled.stepped:
            self._stepped_in_graph()
        if self._stepped_at or self._cuts:
            self.close(self._stepped_at or now_us())
        rest, self._step = self._step, Open()
        self._settle(rest)
        if rest.calls:
            # Calls after the last optimizer step; perhaps a step that was broken off.
            self._tell_aside("unfinished", rest, "seen")
        self._close_aside(final=True)

    # ------------------------------------------------------------ finding modules

    def sweep(self) -> None:
        """Give every module of the process its seam."""
        modules = [item for item in gc.get_objects() if _is_module(item)]
        inside = _inside_compiled(modules)
        for module in modules:
            if id(module) not in inside:
                self._arm(module)

    def _arm(self, module: Any) -> Seam:
        state = module.__dict__
        present = state.get(SEAM)
        found = present
        while type(found) is Seam:
            if found.observer is self:
                return found
            found = found.inner
        seam = Seam(self, module, present)
        self._seams.add(seam)
        state[SEAM] = seam
        return seam

    def _disarm(self, seam: Seam) -> None:
        """Take a seam out, where nobody has put another one around it."""
        module = seam.module()
        self._seams.discard(seam)
        if module is None or module.__dict__.get(SEAM) is not seam:
            return
        if seam.inner is None:
            del module.__dict__[SEAM]
        else:
            module.__dict__[SEAM] = seam.inner

    def _disarm_inner(self) -> None:
        """Take the seams out of what lies deep inside a model that is called as a whole.

        Whatever was not called yet keeps its seam, which costs nothing until it is: a teacher that
        joins after many steps must be seen at its first call.
        """
        modules = [module for seam in list(self._seams) if (module := seam.module()) is not None]
        whole = [
            module
            for seam in list(self._seams)
            if (seam.called or seam.keep) and (module := seam.module()) is not None
        ]
        kept = {id(item) for module in whole for item in (module, *_near(module))}
        kept |= _inside_compiled(modules)  # a change there would have torch compile again
        inner = {id(item) for module in whole for item in module.modules()}
        deep = inner - kept
        for seam in list(self._seams):
            if id(seam.module()) in deep:
                self._disarm(seam)

    def _see_new_modules(self) -> Iterator[Callable[[], None]]:
        """Modules that are made or copied from now on get their seam at once."""
        for name in ("__init__", "__setstate__"):
            yield _wrapped(torch.nn.Module, name, self._made)
        yield _wrapped(torch.nn.Module, "compile", self._compiled)
        yield _wrapped(torch.optim.Optimizer, "__init__", self._optimizer_made)

    def _optimizer_made(self, _optimizer: Any) -> None:
        """A training begins: its model may be an old one that nobody called for long."""
        if self.watching and os.getpid() == self._pid:
            self.sweep()
            self._until_disarm = max(self._until_disarm, DISCOVERY_STEPS)

    def _made(self, module: Any) -> None:
        if self.watching and os.getpid() == self._pid and _is_module(module):
            self._arm(module)
            self._until_disarm = max(self._until_disarm, DISCOVERY_STEPS)

    def _registered(self, _module: Any, name: str, child: Any) -> None:
        self.epoch += 1
        if name == "_orig_mod" and isinstance(child, torch.nn.Module):
            self._clear_inside(child)

    def _compiled(self, module: Any) -> None:
        """A module was compiled in place: stand before what torch put there."""
        if self.watching and os.getpid() == self._pid:
            self._arm(module)
            self._clear_inside(module)

    def _clear_inside(self, whole: Any) -> None:
        """About to be compiled: what lies inside is going to be part of a graph."""
        inner = {id(module) for module in whole.modules() if module is not whole}
        for seam in list(self._seams):
            if id(seam.module()) in inner:
                self._disarm(seam)

    # ------------------------------------------------------------ one call

    def enter(self, seam: Seam, module: Any, args: Any, kwargs: Any) -> Pending | None:
        """An outermost call is about to run."""
        try:
            if torch._C._get_tracing_state() is not None:
                return None  # TorchScript records what runs; ours is not the model's
            again = graph_task() != -1
            if seam.graph and next(module.parameters(), None) is None:
                return None  # a piece of compiled code; the model around it was not seen
            if again and not seam.recent:
                return None  # recomputation inside a model that is counted as a whole
            if self.compiled.stepped and not again:
                self._stepped_in_graph()
            if self._stepped_at and not again:
                self.close(self._stepped_at)
            kind = self._kind(seam, module, args, kwargs)
            if not kind.real:
                return None
            seam.called += 1
            if not seam.recent:
                seam.recent = 1
                self._recent.append(seam)
            open_ = self._where(module)
            if not open_.start_us:
                open_.start_us = now_us()
            return Pending(self, seam, kind, again=again)
        except Exception as error:  # noqa: BLE001 - never into the program
            self._trouble("a call", error)
            return None

    def leave(self, seam: Seam, pending: Pending, out: Any) -> None:
        """The call is over; watch whether a backward comes."""
        try:
            if out is _NOTHING and not pending.again:
                return  # it raised: nobody knows how far it came
            if (
                torch.is_grad_enabled()
                and not pending.kind.transformed
                and out is not _NOTHING
                and self._watch(pending, out)
            ):
                with self._lock:
                    (self._spans[-1][1] if self._spans else self._step).pending.append(pending)
                return
            module = seam.module()
            with self._lock:
                open_ = self._where(module)
                variant = pending.variant()
                open_.calls[variant] = open_.calls.get(variant, 0) + 1
                if open_ is self._aside:
                    open_.end_us = now_us()
                    if open_.end_us - open_.start_us > ASIDE_US:
                        self._close_aside()
        except Exception as error:  # noqa: BLE001 - never into the program
            self._trouble("a call's end", error)

    def _watch(self, pending: Pending, out: Any) -> int:
        """Put hooks on the outputs that can have a gradient."""
        if isinstance(out, torch.Tensor):
            if not out.requires_grad:
                return 0
            pending.usual = not pending.again
            out.register_hook(pending)
            return 1
        hooks = 0
        for place, tensor in enumerate(_signer.outputs(out)):
            if tensor.requires_grad and hooks < MOST_OUTPUTS:
                tensor.register_hook(_Place(pending, place))
                hooks += 1
        return hooks

    def _where(self, module: Any) -> Open:
        """Which book a call belongs to: a named span, evaluation, or the step."""
        if self._spans:
            return self._spans[-1][1]
        if not torch.is_grad_enabled() and not module.training and graph_task() == -1:
            return self._aside
        return self._step

    def _kind(self, seam: Seam, module: Any, args: Any, kwargs: Any) -> Kind:
        if seam.epoch != self.epoch:
            seam.parameters = list(module.parameters())
            seam.epoch = self.epoch
            seam.device = seam.parameters[0].device.type if seam.parameters else "cpu"
        device = seam.device
        parts: list[Any] = [
            module.training,
            torch.is_grad_enabled(),
            torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device),
            tuple(map(_requires_grad, seam.parameters)),
        ]
        add = _signer.add
        for value in args:
            add(value, parts)
        for name, value in kwargs.items():
            parts.append(name)
            add(value, parts)
        key = tuple(parts)
        if key == seam.last_key and seam.last is not None:
            return seam.last
        kind = seam.kinds.get(key)
        if kind is None:
            kind = self._new_kind(seam, key, module, args, kwargs)
        seam.last, seam.last_key = kind, key
        return kind

    def _new_kind(self, seam: Seam, key: Hashable, module: Any, args: Any, kwargs: Any) -> Kind:
        kind = Kind(_class_name(module), key)
        tensors = _signer.inputs(args, kwargs)
        kind.inputs = tuple(map(text_of, tensors[:MOST_OUTPUTS]))
        kind.real = not any(t.is_meta or type(t).__name__ == "FakeTensor" for t in tensors)
        kind.tokens, kind.samples = tokens_of(kwargs, tensors)
        kind.device = seam.device
        kind.transformed = torch._C._functorch.peek_interpreter_stack() is not None
        wanted = [p for p in seam.parameters if p.requires_grad]
        kind.trained = tuple(map(id, wanted[:8] + wanted[-8:]))
        if len(seam.kinds) >= MOST_KINDS:
            del seam.kinds[next(iter(seam.kinds))]
        seam.kinds[key] = kind
        if kind.real:
            self._fresh = True
            self.listener.new_kind(kind, module, args, kwargs)
        return kind

    def late(self, kind: Kind, place: int) -> None:
        """A backward came for a call of an earlier step."""
        if not self.watching:
            return
        with self._lock:
            variant = _variant(kind, "backward", ((place,),))
            self._step.calls[variant] = self._step.calls.get(variant, 0) + 1
            self._step.start_us = self._step.start_us or now_us()

    # ------------------------------------------------------------ one step

    def _stepped(self, optimizer: Any, _args: Any, _kwargs: Any) -> None:
        """Global optimizer hook: a step is over unless another optimizer follows at once."""
        if torch.compiler.is_compiling():
            self.compiled.stepped = True  # becomes part of the graph: nothing else may
            return
        if not self.watching or not self.automatic or os.getpid() != self._pid:
            return
        try:
            known = self.optimizers.get(id(optimizer))
            if known is None or known[0]() is not optimizer:
                known = self._new_optimizer(optimizer)
            if known[1] not in self._stepped_by:
                self._stepped_by.append(known[1])
            elif self._stepped_at and not (self._step.calls or self._step.pending):
                self.close(self._stepped_at)  # steps of a model whose calls cannot be seen
                self._stepped_by.append(known[1])
            self._stepped_at = now_us()
            if self._fresh:
                self._settle_fresh()
        except Exception as error:  # noqa: BLE001 - never into the program
            self._trouble("an optimizer's step", error)

    def _stepped_in_graph(self) -> None:
        """A compiled optimizer stepped since the last call."""
        self.compiled.stepped = False
        if not self.automatic:
            return
        if not self.optimizers:
            for item in gc.get_objects():
                if issubclass(type(item), torch.optim.Optimizer):
                    self._new_optimizer(item)
        self._stepped_by.append("compiled")
        self._stepped_at = now_us()
        if self._fresh:
            self._settle_fresh()

    def _settle_fresh(self) -> None:
        """Have new kinds counted while the model is still what it was when it was called."""
        self._fresh = False
        depth, self.here.depth = self.here.depth, 1
        try:
            with self._lock:
                for pending in self._step.pending:
                    variant = pending.variant()
                    if variant.data is None:
                        self.listener.settle(variant)
        finally:
            self.here.depth = depth

    def _new_optimizer(self, optimizer: Any) -> tuple[Any, str]:
        name = type(optimizer).__name__
        same = sum(1 for ref, other in self.optimizers.values() if other.split("#")[0] == name)
        name = f"{name}#{same + 1}" if same else name
        known = (weakref.ref(optimizer), name)
        self.optimizers[id(optimizer)] = known
        for group in optimizer.param_groups:
            self._trained.update(map(id, group["params"]))
        self._until_disarm = max(self._until_disarm, DISCOVERY_STEPS)
        before = _steps_before(optimizer)
        if before and len(self.optimizers) == 1:
            self.listener.resumed(before)
        return known

    def say(self, tokens: int | None, samples: int | None, number: int | None) -> bool:
        """The program says what a step processed; False where that step is closed already."""
        with self._lock:
            if not self._stepped_at and not (self._step.calls or self._step.pending):
                return False
            said = self._said
            for name, value in (("tokens", tokens), ("samples", samples)):
                if value is not None:
                    said[name] = (said.get(name) or 0) + value
            if number is not None:
                said["number"] = number
            if self._stepped_at:
                self.close(self._stepped_at)
            elif not self.automatic or not self._expects_optimizer():
                self.close(now_us())
            return True

    def _expects_optimizer(self) -> bool:
        """Whether an optimizer will step by itself: then this was one of several batches."""
        return bool(self.optimizers) or any(
            issubclass(type(item), torch.optim.Optimizer) for item in gc.get_objects()
        )

    def cut(self) -> None:
        """A backward begins after an optimizer's step: another step begins with it.

        Inside of the engine nothing may be counted; what is cut off is told at the next boundary.
        """
        with self._lock:
            if self._stepped_at:
                step = self._step
                self._cuts.append(
                    _Cut(step, self._stepped_by, self._said, self._stepped_at, self._settle(step))
                )
                self._step, self._stepped_by, self._said, self._stepped_at = Open(), [], {}, 0

    def close(self, end_us: int) -> None:
        """Close the step that is open."""
        with self._lock:
            if self._aside.calls:
                self._resolve_aside(self._step)
            self._stepped_at = self._stepped_at or end_us
            self.cut()
            cuts, self._cuts = self._cuts, []
            here = self.here
            depth, here.depth = here.depth, 1  # what the listener runs is no training
            try:
                if self._aside.calls:
                    self._close_aside()
                for cut in cuts:
                    self._tell_step(cut)
                    if not cut.step.calls and end_us >= self._search_us:
                        self.sweep()  # some module must have been called
                        self._until_disarm = DISCOVERY_STEPS
                        self._search_us = end_us + SEARCH_US
            finally:
                here.depth = depth
            self._upkeep(end_us)

    def _tell_step(self, cut: _Cut) -> None:
        (tokens, samples), said = cut.units, cut.said
        before, self._ended_us = self._ended_us, cut.end_us
        source = None if tokens is None else "inputs"
        if said.get("tokens") is not None:
            tokens, source = said["tokens"], "explicit"
        if said.get("samples") is not None:
            samples = said["samples"]
        self.listener.step(
            StepSeen(
                calls=cut.step.calls,
                optimizer="+".join(cut.by) or None,
                before_us=before,
                start_us=min(cut.step.start_us or cut.end_us, cut.end_us),
                end_us=cut.end_us,
                tokens=tokens,
                tokens_from=source,
                samples=samples,
                number=said.get("number"),
            )
        )

    def _settle(self, open_: Open) -> tuple[int | None, int | None]:
        """Turn pending calls into counts; return the tokens and samples that were trained on."""
        calls = open_.calls
        if len(open_.pending) == 1:
            pending = open_.pending[0]
            variant = pending.variant()
            pending.closed = True
            calls[variant] = calls.get(variant, 0) + 1
            open_.pending = []
            return (pending.kind.tokens, pending.kind.samples) if variant.passes else (None, None)
        tokens: dict[int, int] = {}
        samples: dict[int, int] = {}
        for pending in open_.pending:
            variant = pending.variant()
            pending.closed = True
            calls[variant] = calls.get(variant, 0) + 1
            if variant.passes:
                kind, place = pending.kind, id(pending.seam)
                if kind.tokens is not None:
                    tokens[place] = tokens.get(place, 0) + kind.tokens
                if kind.samples is not None:
                    samples[place] = samples.get(place, 0) + kind.samples
        open_.pending = []
        return max(tokens.values(), default=None), max(samples.values(), default=None)

    def _resolve_aside(self, step: Open) -> None:
        """Calls without gradients of a model that nobody trains belong to the step."""
        for variant in [v for v in self._aside.calls if not self._is_trained(v.kind)]:
            times = self._aside.calls.pop(variant)
            step.calls[variant] = step.calls.get(variant, 0) + times
            if self._aside.start_us:
                step.start_us = min(step.start_us or self._aside.start_us, self._aside.start_us)

    def _is_trained(self, kind: Kind) -> bool:
        return any(number in self._trained for number in kind.trained)

    def _close_aside(self, *, final: bool = False) -> None:
        if not self._aside.calls or not (final or self._trained):
            return
        aside, self._aside = self._aside, Open()
        self._settle(aside)
        self._tell_aside("evaluation", aside, "seen")

    def _tell_aside(self, what: str, open_: Open, source: str) -> None:
        start = open_.start_us or now_us()
        self.listener.aside(
            AsideSeen(
                what=what,
                calls=open_.calls,
                start_us=start,
                end_us=max(start, open_.end_us or now_us()),
                source=source,
            )
        )

    def begin_span(self, what: str) -> Open:
        """Calls from now on belong to a span."""
        open_ = Open(start_us=now_us())
        self._spans.append((what, open_))
        return open_

    def end_span(self, open_: Open) -> None:
        """The span is over."""
        with self._lock:
            what = next((name for name, item in self._spans if item is open_), "span")
            self._spans = [item for item in self._spans if item[1] is not open_]
            self._settle(open_)
            open_.end_us = now_us()
        self._tell_aside(what, open_, "explicit")

    # ------------------------------------------------------------ between steps

    def _upkeep(self, at_us: int) -> None:
        for seam in self._recent:
            seam.recent = 0
        self._recent.clear()
        if self._until_disarm:
            self._until_disarm -= 1
            if not self._until_disarm:
                self._disarm_inner()
        elif at_us - self._swept_us > SWEEP_US:
            self._swept_us = at_us
            self.sweep()
            self._until_disarm = 1
        if at_us - self._refreshed_us > REFRESH_US:
            self._refreshed_us = at_us
            self.epoch += 1

    def _trouble(self, where: str, error: BaseException) -> None:
        text = f"{where}: {type(error).__name__}"
        if text not in self._told and len(self._told) < 100:
            self._told.add(text)
            with suppress(Exception):  # there is nobody left to tell
                self.listener.trouble(where, error)

    def _guarded(self, where: str) -> _Guard:
        return _Guard(self, where)


class _Guard:
    """Keeps what fails inside from the program."""

    def __init__(self, observer: Observer, where: str) -> None:
        self.observer = observer
        self.where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> bool:
        if isinstance(error, Exception):
            self.observer._trouble(self.where, error)
            return True
        return False


def _wrapped(owner: Any, name: str, tell: Callable[[Any], None]) -> Callable[[], None]:
    """Call ``tell`` after a method of a class; answers what undoes it."""
    import functools

    original = owner.__dict__[name]

    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if method.tell is not None:  # type: ignore[attr-defined]
            method.tell(self)  # type: ignore[attr-defined]

    method.tell = tell  # type: ignore[attr-defined]
    setattr(owner, name, method)

    def undo() -> None:
        method.tell = None  # type: ignore[attr-defined]
        if owner.__dict__.get(name) is method:
            setattr(owner, name, original)

    return undo


def _near(module: Any) -> Iterator[Any]:
    """The parts of a model that programs call by themselves: a head, an encoder; within wrappers."""
    for _wrapper in range(8):
        children = list(module.children())[:8]
        yield from children
        if len(children) != 1:
            return
        module = children[0]


def _is_module(item: Any) -> bool:
    """Whether something is a module, asked without running any of its code."""
    kind = type(item)
    return (
        issubclass(kind, torch.nn.Module)
        and not issubclass(kind, torch.jit.ScriptModule)
        and "_modules" in object.__getattribute__(item, "__dict__")
    )


def _inside_compiled(modules: list[Any]) -> set[int]:
    """Ids of the modules that lie inside a compiled one."""
    inside: set[int] = set()
    for module in modules:
        inner = module.__dict__.get(SEAM)
        while type(inner) is Seam:
            inner = inner.inner
        if inner is not None:
            inside.update(id(item) for item in module.modules() if item is not module)
        elif type(module).__name__ == "OptimizedModule":
            whole = module.__dict__["_modules"].get("_orig_mod")
            if whole is not None:
                inside.update(id(item) for item in whole.modules() if item is not whole)
    return inside


def _unseen_by_script() -> Callable[[], None]:
    """TorchScript compiles every attribute of a module that is not on its list."""
    ignored = getattr(sys.modules.get("torch.jit._recursive"), "ignored_attributes", None)
    if not isinstance(ignored, list):
        return lambda: None
    ignored.append(SEAM)
    return lambda: ignored.remove(SEAM)


def _class_name(module: Any) -> str:
    """The class of the model inside wrappers that compute nothing."""
    seen = 0
    while seen < 4 and type(module).__name__ in (
        "OptimizedModule", "DistributedDataParallel", "DataParallel",
    ):  # fmt: skip
        module = next(iter(module.children()), module)
        seen += 1
    return type(module).__name__.removeprefix("FSDP")


def _steps_before(optimizer: Any) -> int:
    """How often an optimizer had stepped before the step that it just made, by its own state."""
    most = 0
    for state in list(optimizer.state.values())[:4]:
        step = state.get("step") if isinstance(state, Mapping) else None
        if isinstance(step, torch.Tensor):
            # A tensor on another device is not read: that would wait for the device.
            step = int(step.item()) if step.device.type == "cpu" and step.numel() == 1 else None
        if isinstance(step, int | float):
            most = max(most, int(step))
    return max(0, most - 1)


def output_tensors(out: Any) -> list[Any]:
    """Every tensor of an output in the order of ``Passes``."""
    return _signer.outputs(out)
