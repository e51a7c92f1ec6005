"""The hot path: what happens at each call of a model while a training is recorded.

A seam is the entry ``_compiled_call_impl`` of one module (design/071). While a call of an outermost
module runs, the seams of the modules inside it are taken out of their dictionaries in one go, so
that only the outermost call costs anything. Only facts are noted; :mod:`profilers.steps.folding.steps`
makes steps of them later.
"""

from __future__ import annotations

import sys
import time
import weakref
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import torch
from torch import compiler as _compiler
from torch import is_grad_enabled
from torch.compiler import is_dynamo_compiling

from profilers.steps.backward import passes, recomputation
from profilers.steps.backward.hooks import hook
from profilers.steps.backward.observed import LOOKS
from profilers.steps.calls.asked import (
    ALONE,
    ALONE_NAMED,
    SEAM,
    graph_task,
    held_by,
    sequence,
    tracing_state,
)
from profilers.steps.calls.key import key_of
from profilers.steps.calls.kinds import described, signer
from profilers.steps.calls.signature import MOST_OUTPUTS
from profilers.steps.calls.unlike import told_apart
from profilers.steps.deciders.attributes import Attributes
from profilers.steps.folding.events import RAISED, STOPPED, SURE, Call, Kind
from profilers.steps.products.outside import Span, made_before, mark_of
from profilers.steps.products.trainers import steps_by_itself
from profilers.steps.record.devices import ELSEWHERE
from profilers.steps.settled.compared import lane_of
from profilers.steps.settled.glance import MOST_EVENTS, Lane
from profilers.steps.standing.handlers import is_the_programs
from profilers.steps.standing.uncompiled import uncompiled

if TYPE_CHECKING:
    from profilers.steps.observer import Observer

MOST_KINDS = 4096
"""Kinds of calls of one module that are remembered; the oldest are forgotten."""
MOST_INSIDE = 8192
"""So many modules inside one model are silenced while it runs; deeper ones lose their seam."""

_now = time.monotonic_ns
_plainly = torch._C.DisableTorchFunctionSubclass
_frame = sys._getframe
_Tensor = torch.Tensor
_looking = passes.LOOKING


class Shapes(tuple[Any, ...]):
    """Shapes of parameters; part of what a model is, and no sizes of a call."""

    __slots__ = ()


class Seam:
    """Stands before one module's call and notes it when it is outermost."""

    __slots__ = (
        "__weakref__", "added", "alike", "attributes", "by_value", "device", "epoch", "graph", "inner",
        "inside", "kind", "kinds", "lane", "last_key", "module", "observer", "parameters", "places",
        "plain", "serial", "shapes", "states", "trainer",
    )  # fmt: skip

    def __init__(self, observer: Observer, module: Any, inner: Any) -> None:
        self.observer = observer
        self.module = weakref.ref(module)
        self.inner = inner
        """What torch, or another recording, had put here."""
        self.kinds: dict[Hashable, Kind] = {}
        self.added: dict[Hashable, int] = {}
        """How many nodes the first call of each kind added to the graph (profilers.steps.calls.unlike)."""
        self.kind: Kind | None = None
        self.last_key: Hashable = None
        self.alike = 0
        """So many calls in a row were of the same kind."""
        self.lane: Lane | None = None
        """What a settled model's calls are compared with (profilers.steps.settled.compared)."""
        self.parameters: list[Any] = []
        self.places: set[Any] = set()
        """Devices on which they lie."""
        self.plain = True
        """Whether all of them are of torch's own class."""
        self.shapes: Hashable = ()
        """Of the parameters."""
        self.attributes: Any = None
        """What the program may have changed (profilers.steps.deciders.attributes), from the first call on."""
        self.states: list[dict[str, Any]] = []
        """Dictionaries of the modules inside, and their seams."""
        self.inside: list[Seam] = []
        self.device = "cpu"
        self.by_value = True
        """Whether the values of whole numbers among the inputs may decide what a call costs."""
        self.trainer = False
        """It steps an optimizer by itself: a loop, and no model."""
        self.epoch = -1
        self.serial = -1
        """The step of the last outermost call."""
        self.graph = any(kind.__name__ == "GraphModule" for kind in type(module).__mro__)

    def __reduce__(self) -> Any:
        return type(None), ()  # whoever copies or saves a module gets it without its seam

    def __deepcopy__(self, _memo: Any) -> None:
        return None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Answer for the module's call."""
        if is_dynamo_compiling():
            # Inlined into somebody's graph: nothing of ours may be traced.
            return onwards(self.inner, self.module(), args, kwargs)
        lane = self.lane
        if lane is not None and held_by(self) == (ALONE_NAMED if kwargs else ALONE):
            out = lane.calls(self, args, kwargs)
            if out is not lane:
                return out
        return self.usual(args, kwargs)

    def usual(self, args: Any, kwargs: Any) -> Any:
        """Answer for a call of which nothing is known beforehand."""
        if _compiler._is_compiling_flag:  # as above
            return onwards(self.inner, self.module(), args, kwargs)
        # Whoever copied the module's dictionary (data-parallel replicas) calls us for another one.
        module = _frame(2).f_locals.get("self")
        if module is None or type(module) is Seam:
            module = self.module()
        return self.run(module, args, kwargs)

    def left(self, call: Call, out: Any, span: Span, args: Any, kwargs: Any) -> None:
        """A settled call is over, and did not end as all did."""
        mark = self.mark(span, call[0], args, kwargs) if _looking[0] else span
        if span[1] - span[0] != call[0].added:
            call = self.told_apart(call, span, args, kwargs)
        self.leave(call, out, mark, span)

    def told_apart(self, call: Call, span: Span, args: Any, kwargs: Any) -> Call:
        """A call is over that added another number of nodes to the graph than its kind did."""
        try:
            return told_apart(self, call, span[1] - span[0], args, kwargs)
        except Exception as error:  # noqa: BLE001 - never into the program
            self.observer.missed(error)
            return call

    def failed(self, error: Exception) -> None:
        """Something of ours did, behind a settled call."""
        self.observer.missed(error)

    def passed_on(self, error: Exception) -> None:
        """Before a settled call something could not be asked: the call goes the longer way."""
        if is_the_programs(error):
            raise error

    def run(self, module: Any, args: Any, kwargs: Any) -> Any:
        """Call the module, and note the call if it is an outermost one."""
        observer = self.observer
        here = observer.here
        if self.epoch < 0 and not here.depth:
            self.look(module)
        if (
            observer.inside()
            or not observer.watching
            or self.trainer
            or module is not self.module()
        ):
            return onwards(self.inner, module, args, kwargs)
        here.depth = 1
        observer.busy.append(None)
        call, epoch = None, -1
        states = inside = ()  # type: Any
        try:
            call = self.enter(module, args, kwargs)
            first = sequence()
            states, inside, epoch = self.states, self.inside, self.epoch
            for state in states:
                state[SEAM] = None
            inner = self.inner
            if inner is None:
                out = module._call_impl(*args, **kwargs)  # type: ignore[union-attr]
            else:
                out = onwards(inner, module, args, kwargs)
        except BaseException as error:
            if call is not None and not call[3]:
                call[1].append(RAISED)
            elif call is not None and type(error).__name__ == recomputation.STOP:
                call[1].append(STOPPED)
            raise
        finally:
            here.depth = 0
            observer.busy.pop()
            if observer.epoch == epoch:
                for state, seam in zip(states, inside, strict=True):
                    state[SEAM] = seam
            else:
                observer.modules.restore(states, inside)
        if call is not None:
            mark = span = (first, sequence(), id(self))
            observer.spans.append(span)
            if span[1] != first:  # else it may be another thread's, which counts for itself
                observer.between += first - observer.end
                observer.end = span[1]
            if _looking[0] or call[0].fed:
                mark = self.mark(span, call[0], args, kwargs)
            if span[1] - first != call[0].added:
                call = self.told_apart(call, span, args, kwargs)
            self.leave(call, out, mark, span)
        return out

    def enter(self, module: Any, args: Any, kwargs: Any) -> Call | None:
        """An outermost call is about to run."""
        try:
            if tracing_state() is not None:
                # TorchScript records whatever runs, even a shape that is asked for.
                self.observer.elsewhere.unseen("a call of a model that TorchScript traced")
                return None
            if self.epoch != self.observer.epoch:
                self.refresh(module)
            again = graph_task() != -1
            if again and not self.comes_again(module):
                return None
            if not again:
                self.comes()
            if self.graph and not self.parameters:
                return None  # a piece of compiled code; the model around it was not seen
            kind = self.kind_of(module, args, kwargs)
            if not kind.real:
                return None
            settled = kind.sure >= kind.trust and self.alike >= SURE
            settled = settled and not (again or _looking[0] or kind.fed)
            if settled and (self.lane is None or self.lane.kind is not kind):
                self.lane = lane_of(self, kind, module, args, kwargs)
            return self.note(kind, again=again)
        except Exception as error:  # noqa: BLE001 - never into the program
            self.observer.missed(error)
            return None

    def comes(self) -> None:
        """A call that no backward makes: what was to be done before it is done now."""
        observer = self.observer
        if observer.compiled.stepped:
            observer.stepped_in_graph()
        if observer.boundary:
            observer.boundary = False
            observer.serial += 1
            if observer.overdue:
                observer.catch_up()

    def comes_again(self, module: Any) -> bool:
        """Whether a call inside of a backward is one of its own, and no part of what a model counts."""
        observer, first = self.observer, self.serial < 0
        if first and is_grad_enabled():
            return False  # recomputation inside a model that is counted as a whole
        if recomputation.is_models_own(torch._C, module, observer.calls(), observer.modules.seams):
            return False  # likewise
        if first:  # by a hook of the program's: nothing is known of it beforehand
            observer.elsewhere.unseen("a module that was first called inside of a backward")
        return not first

    def kind_of(self, module: Any, args: Any, kwargs: Any) -> Kind:
        """The kind of a call that is about to run."""
        key, kind = key_of(self, module, args, kwargs), self.kind
        if kind is None or key != self.last_key:
            kind = self.kinds.get(key)
            if kind is None:
                kind = self.new_kind(key, module, args, kwargs)
            self.kind, self.last_key = kind, key
            self.alike = 0
        self.alike += 1
        return kind

    def note(self, kind: Kind, *, again: bool) -> Call:
        """Note the call."""
        self.serial = self.observer.serial
        call: Call = (kind, [], _now(), again)
        if again and recomputation.is_partial(torch._C):
            call[1].append(RAISED)
        self.observer.log.append(call)
        return call

    def mark(self, span: Span, kind: Kind, args: Any, kwargs: Any) -> Span:
        """The mark of a call's outputs, while graphs are looked at, which other inputs than before begin."""
        try:
            calls = self.observer.calls()
            made = made_before(signer.inputs(args, kwargs), calls) if kind.graded else ()
            if made not in kind.fed:
                if not _looking[0]:
                    _looking[0], self.observer.looks = True, LOOKS
                if (made or kind.fed) and len(kind.fed) < MOST_KINDS:
                    kind.fed.add(made)
                    self.lane = None
            if not _looking[0]:
                return span
            if self.attributes.graphs:
                return span  # what it kept of an earlier call leads on
            return mark_of(span, signer.inputs(args, kwargs), calls)
        except Exception as error:  # noqa: BLE001 - never into the program
            self.observer.trouble("a call's inputs", error)
            return span

    def leave(self, call: Call, out: Any, mark: Span, span: Span) -> None:
        """The call is over; watch whether a backward comes."""
        kind, fired = call[0], call[1]
        observer = self.observer
        try:
            if kind.watched:
                observer.ways.newest = fired
                if type(out) is _Tensor:
                    if out.requires_grad:
                        hook(out, fired, 0, mark)
                        if _looking[0] and out.grad_fn is not None:
                            self.keeps(kind, _Tensor)
                            observer.ways.hooked(span, call, ((0, out),))
                else:
                    hooked = self._hook_each(out, fired, mark)
                    if _looking[0] and hooked:
                        self.keeps(kind, type(out))
                        observer.ways.hooked(span, call, hooked)
            else:
                fired.append(_now())
            if len(observer.log) > MOST_EVENTS:
                observer.fold()
        except Exception as error:  # noqa: BLE001 - never into the program
            observer.trouble("a call's end", error)

    def keeps(self, kind: Kind, what: type) -> None:
        """Note in what calls of a kind hand out their outputs."""
        if kind.kept is not what:
            kind.kept, self.lane = what, None

    def _hook_each(self, out: Any, fired: list[int], mark: Span) -> list[tuple[int, Any]]:
        """Put hooks on the outputs that can have a gradient; answers them with their places."""
        hooked: list[tuple[int, Any]] = []
        for place, tensor in enumerate(signer.outputs(out)[:MOST_OUTPUTS]):
            if tensor.requires_grad and tensor.grad_fn is not None:
                hook(tensor, fired, place, mark)
                hooked.append((place, tensor))
        return hooked

    def look_at_values(self, whether: bool) -> None:
        """Have the values of whole numbers among the inputs looked at from now on, or no longer."""
        self.by_value = whether
        self.lane = None

    def look(self, module: Any) -> None:
        """The first outermost call: is this a model, or a loop in a module's clothes?"""
        self.epoch = 0
        self.trainer = steps_by_itself(module)

    def refresh(self, module: Any) -> None:
        """Something was registered somewhere: look at what the model consists of now."""
        self.lane = None
        self.parameters = list(module.parameters())
        self.plain = all(type(parameter) is torch.nn.Parameter for parameter in self.parameters)
        for part in self.observer.modules.hidden(module):
            self.parameters += part.parameters()
        before, self.places = self.places, {each.device for each in self.parameters}
        self.device = next((each.type for each in self.places if each.type not in ELSEWHERE), "cpu")
        if before and before != self.places:
            self.observer.listener.lies(module, self.parameters)  # no kind of call is new by that
        self.shapes = self.now()
        modules = self.observer.modules
        if self.attributes is None:
            self.attributes = Attributes(torch, modules.moving, modules.hooked)
        self.attributes.refresh(module)
        self.observer.modules.consists(module)
        self.states, self.inside = self.observer.modules.within(module)
        self.epoch = self.observer.epoch

    def now(self) -> Shapes:
        """What the parameters look like."""
        if self.plain:
            return Shapes((tuple(item.shape), item.dtype) for item in self.parameters)
        with _plainly():  # a class of the program's, or of torch's own, may refuse to be asked
            return Shapes((tuple(item.shape), item.dtype) for item in self.parameters)

    def new_kind(self, key: Hashable, module: Any, args: Any, kwargs: Any) -> Kind:
        """Remember a kind of call that was not seen before."""
        kind = described(self, key, module, args, kwargs)
        if len(self.kinds) >= MOST_KINDS:
            del self.kinds[next(iter(self.kinds))]
        self.kinds[key] = kind
        if kind.real:
            self.observer.fresh = _looking[0] = True
            self.observer.listener.new_kind(kind, module, args, kwargs)
        return kind


def onwards(inner: Any, module: Any, args: Any, kwargs: Any) -> Any:
    """Call what stands behind a seam."""
    if inner is None:
        return module._call_impl(*args, **kwargs)
    if type(inner) is Seam:
        return inner.run(module, args, kwargs)
    return inner(*args, **kwargs)


uncompiled(Seam.__call__, Seam.usual, Seam.run, onwards, inside=False)
uncompiled(Seam.enter, Seam.mark, Seam.left, Seam.leave, Seam.told_apart, inside=True)
