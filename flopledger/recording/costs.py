"""What did a call cost? Counted once for each kind of call, predicted where a law is proven."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flopcount.dtypes import dtype_name
from flopcount.errors import FlopcountError
from flopcount.live.fit import Fit
from flopcount.live.passes import DOUBLED, Wanted
from flopledger.recording.cost import Cost, abstracted, bounds_of, figures_of, unknown
from flopledger.recording.deciding import read_or_not, try_attributes
from flopledger.recording.exchanged import EXCHANGED
from flopledger.recording.families import MOST_SIZES, Data, Family
from flopledger.recording.replicas import Replicas, shared_out
from flopledger.recording.spending import Spending
from flopledger.recording.tracing import Tracing
from profilers.steps.backward.passes import FULL, STANDING_IN, Asked, asked_for
from profilers.steps.calls.signature import READ_ONCE
from profilers.steps.observer import MOST_OUTPUTS, Kind, Variant
from profilers.steps.record.devices import DeviceFacts, Place, device_facts

if TYPE_CHECKING:
    from flopcount.live.capture import LiveCall
    from profilers.steps.products.outside import Product

Note = Callable[[str, str, str], None]
"""Code, severity, message."""

MOST_CALLS_KEPT = 256
"""Captured calls that are kept for a variant that may still come."""
MOST_FAMILIES = 1024
"""Of one module: more are attributes that change always, and the oldest are forgotten."""

RAISED = "the call raised; how much of its forward was executed is not known"
PARTIAL = "a selective checkpoint kept some of what would have been computed again"
TRANSFORMED = "called under a function transform, where gradients do not show"


class Costs:
    """Finds what calls cost."""

    def __init__(self, note: Note) -> None:
        """Take who is told what a reader of the record must know."""
        self._note = note
        self._families: weakref.WeakKeyDictionary[Any, dict[Hashable, Family]] = (
            weakref.WeakKeyDictionary()
        )
        self._kept: dict[int, Data] = {}
        self._devices: dict[Place, DeviceFacts] = {}
        self.spending = Spending()
        self._replicas = Replicas()
        self.last = False
        """The recording ends: what cannot be counted now never will be."""
        self._told: set[str] = set()
        self._tracing = Tracing(self.spending, self.tell)

    def see(self, kind: Kind, module: Any, args: Any, kwargs: Any) -> None:
        """A call of a new kind is about to run: note what a count will need."""
        began = time.monotonic()
        abstract, sizes, values = abstracted(kind.key)
        families = self._families.setdefault(module, {})
        family = families.setdefault(abstract, Family())
        while len(families) > MOST_FAMILIES:
            del families[next(iter(families))]
        data = Data(
            family=family, sizes=sizes, values=values, call=None, model=weakref.ref(module),
            exchanged=STANDING_IN.get(id(module), frozenset()), summed=self._replicas.see(module),
        )  # fmt: skip
        kind.data = data
        self._look_closer(kind)
        if not kind.transformed and kind.doubt is None:
            from flopcount.live.capture import capture

            data.call = capture(module, args, kwargs, device=kind.device)
            self._kept[id(data)] = data
            while len(self._kept) > MOST_CALLS_KEPT:
                self._kept.pop(next(iter(self._kept))).call = None
        self.spending.spend(began)

    def _look_closer(self, kind: Kind) -> None:
        """Have values looked at as long as those of some family of calls may matter."""
        data: Data = kind.data
        seam, module = kind.seam(), data.model()
        if seam is not None and module is not None:
            families = self._families.get(module, {}).values()
            seam.look_at_values(any(family.reads is not False for family in families))

    def settle(self, variant: Variant) -> Cost:
        """Return what a variant costs; count it if nobody knows yet."""
        found = variant.data
        if isinstance(found, Cost):
            return found
        from flopcount.live.signals import held_back

        with held_back():  # a Ctrl-C arrives when the model is put back
            return self._settled(variant)

    def give_up(self, variant: Variant, reason: str) -> Cost:
        """Say that nobody knows what a variant costs, and why."""
        cost = variant.data = unknown(variant, reason)
        self.tell("cost-unknown", "warning", f"{cost.model} ({cost.mode}): {reason}")
        return cost

    def _settled(self, variant: Variant) -> Cost:
        from flopcount.live.signals import arrived

        began = time.monotonic()
        try:
            if arrived():
                raise FlopcountError("the program was interrupted before it could be counted")
            cost = self._find(variant)
        except BaseException as error:
            if arrived() and not self.last:
                raise  # not counted yet, and another time it may be
            # Never into the program, whatever its model raised when it was run again.
            cost = unknown(variant, f"{type(error).__name__}: {error}")
            text = f"{cost.model} was not counted: {cost.reason}"
            self.tell("recorder-trouble", "error", text[:1000])
        variant.data = cost
        data: Data = variant.kind.data
        if data.call is not None:
            data.call.model = None  # a model lives as long as its owner wants, not as we do
        self.spending.spend(began)
        return cost

    def outside(self, variant: Variant, products: Sequence[Product], other: Sequence[str]) -> None:
        """Products that the program computed itself, whose sizes were read from their graph.

        Where there is ``other`` work, whose cost the graph does not say, the upper end is open.
        """
        figures: dict[Any, int] = {}
        for dtype, forward, backward, _ in products:
            for phase, flop in (("forward", forward), ("backward", backward)):
                key = phase, dtype_name(dtype)
                figures[key] = figures.get(key, 0) + flop
        cost = Cost(model=variant.kind.model, mode="train", inputs=(), flop=None)
        if products:
            cost.share = (1, products[0][-1])  # of a set, all have the same
            self.fill(cost, figures, "graph")
            self._share_out(cost, ())
        if other:
            text = f"not counted, being no call of a module that was seen: {', '.join(other)}"
            low = sum(figures.values())
            cost.bounds, cost.reason, cost.uncounted = (low, None), text, tuple(other)
            self.tell("work-outside-modules", "warning", text)
        variant.data = cost

    def _find(self, variant: Variant) -> Cost:
        kind = variant.kind
        data: Data = kind.data
        cost = Cost(model=kind.model, mode=variant.mode, inputs=kind.inputs, flop=None)
        if kind.transformed:
            cost.bounds, cost.reason = (0, None), TRANSFORMED
            self.tell("transformed-call", "warning", f"{kind.model}: {TRANSFORMED}")
            return cost
        if kind.doubt is not None:
            cost.bounds, cost.reason = (0, None), kind.doubt
            self.tell("cost-bounded", "warning", f"{kind.model}: {kind.doubt}")
            return cost
        if isinstance(kind.key, tuple) and READ_ONCE in kind.key:
            cost.bounds, cost.reason = (0, None), READ_ONCE
            self.tell("cost-unknown", "warning", f"{kind.model}: {READ_ONCE}")
            return cost
        wanted = [self._wanted(kind, number) for number in variant.asked]
        key: tuple[Hashable, ...] = (
            variant.mode, variant.passes, variant.doubled, tuple(wanted), variant.stopped,
        )  # fmt: skip
        if data.family.reads:
            key = (*key, data.values)
        exact = (*key, data.sizes)
        if not variant.raised and exact in data.family.costs:
            return data.family.costs[exact]
        fit = data.family.fits.setdefault(key, Fit())
        figures = fit.predict(data.sizes)
        if figures is not None:
            cost.share = data.family.share
            self.fill(cost, figures, "polynomial")
        else:
            self._count(cost, variant, fit, wanted)
        if variant.raised:
            self._bound(cost)
        late = any(place >= MOST_OUTPUTS for places in variant.passes for place in places)
        if late and not variant.doubled and cost.flop is not None:
            # Gradients of an earlier step's backward: what they were gradients of is gone.
            cost.bounds, cost.reason = (sum(cost.flop.values()), None), DOUBLED
        as_sent = cost.how == EXCHANGED and _is_as_sent(cost)
        if cost.how == EXCHANGED and not as_sent:
            cost.how = "meta-invented"  # its end is open for another reason, too
        is_sure = cost.bounds is None or as_sent
        if not as_sent:
            self._share_out(cost, data.summed)
        if is_sure and cost.flop is not None and len(data.family.costs) < MOST_SIZES:
            data.family.costs[exact] = cost
        if cost.reason == DOUBLED:
            self.tell("double-backward", "warning", f"{kind.model}: {DOUBLED}")
        return cost

    def _share_out(self, cost: Cost, summed: Iterable[frozenset[int]]) -> None:
        """Count what several ranks hold whole, and have one batch for, once."""
        reason = shared_out(cost, self._replicas.holding(summed))
        if reason is not None:
            self.tell("cost-bounded", "warning", f"{cost.model} ({cost.mode}): {reason}")

    def _bound(self, cost: Cost) -> None:
        """A call that raised trained nothing, and executed at most its whole forward."""
        high = None if cost.flop is None else sum(cost.flop.values())
        if cost.bounds is not None:
            high = cost.bounds[1]
        cost.flop = dict.fromkeys(("forward", "backward", "recompute"), 0)
        cost.by_dtype, cost.recompute_by_dtype, cost.bounds = {}, {}, (0, high)
        if cost.mode == "again":
            cost.reason = PARTIAL
            self.tell("cost-bounded", "info", f"{cost.model}: {PARTIAL}")
            return
        cost.reason = RAISED
        self.tell("call-raised", "info", f"{cost.model}: {RAISED}")

    def _wanted(self, kind: Kind, number: int) -> Wanted | None:
        """What a pass was asked for, said by what is the call's own; None for everything."""
        if number == FULL:
            return None
        asked = asked_for(number)
        data: Data = kind.data
        module = data.model()
        if asked is None or module is None:
            return Wanted(known=False)
        stood_in = {name for owner, name in asked.exchanged if owner == id(module)}
        own = [
            place
            for place, (name, item) in enumerate(module.named_parameters())
            if (name in stood_in if name in data.exchanged else id(item) in asked.parameters)
        ]
        beyond = len(own) < len(asked.parameters) + len(asked.exchanged)
        # Parameters of another model lie before this call, or beside it: nobody saw which.
        unsure = beyond and bool(own) and not asked.leaves and not self._is_everything(asked)
        return Wanted(
            parameters=tuple(own),
            inputs=asked.leaves or beyond,
            known=not (asked.inner or (unsure and _is_given_gradients(data.call))),
        )

    def _is_everything(self, asked: Asked) -> bool:
        """Whether all weights were asked for that have gradients: then so was whatever led to an input."""
        if asked.exchanged:
            return False
        models = list(self._families)
        return all(
            id(item) in asked.parameters
            for model in models
            for item in model.parameters()
            if item.requires_grad
        )

    def _count(
        self, cost: Cost, variant: Variant, fit: Fit, wanted: Sequence[Wanted | None]
    ) -> None:
        data: Data = variant.kind.data
        try:
            found = self._tracing.trace(variant, wanted)
        except FlopcountError as error:
            data.family.reads = data.family.reads or False
            self._look_closer(variant.kind)
            low, high = fit.between(data.sizes) if fit.counted and not fit.refuted else (0, None)
            cost.bounds, cost.reason = (low, high), str(error)[:1000]
            self.tell("cost-unknown", "warning", f"{cost.model} ({cost.mode}): {cost.reason}")
            return
        variant.kind.steady &= found.bounds is None and not found.decided
        data.family.share = cost.share = (1, found.world_size)
        figures = figures_of(found, variant.mode)
        read_or_not(self._tracing, variant, found, figures, wanted)
        self._look_closer(variant.kind)
        try_attributes(self._tracing, variant, found, wanted)
        self.fill(cost, figures, found.method)
        cost.uncounted, cost.reason = found.uncounted, found.reason
        cost.bounds = bounds_of(found, variant.mode)
        if found.reason == DOUBLED:
            return
        if found.method == EXCHANGED:
            self.tell("experts-exchanged", "info", f"{cost.model} ({cost.mode}): {found.reason}")
        elif found.bounds is not None:
            self.tell("cost-bounded", "warning", f"{cost.model} ({cost.mode}): {found.reason}")
        elif not fit.add(data.sizes, figures):
            text = f"{cost.model}: a size that was predicted from others costs something else"
            self.tell("polynomial-refuted", "warning", text)

    def fill(self, cost: Cost, figures: Mapping[Any, int], how: str) -> None:
        """Write figures by phase and dtype into a cost."""
        cost.how = how
        cost.flop = dict.fromkeys(("forward", "backward", "recompute"), 0)
        rounded = any(device.tf32 for device in self._devices.values())
        kinds = {"fp32": "tf32"} if rounded else {}
        for (phase, dtype), flop in figures.items():
            cost.flop[phase] += flop
            fed = kinds.get(dtype, dtype)
            table = cost.recompute_by_dtype if phase == "recompute" else cost.by_dtype
            if flop:
                table[fed] = table.get(fed, 0) + flop

    def knows(self, places: set[Place]) -> bool:
        """Whether all of those devices were seen before."""
        return places <= self._devices.keys()

    def devices(self, places: set[Place]) -> list[DeviceFacts]:
        """Facts of those devices that were not seen before, each once by whatever name it goes."""
        known, fresh = set(self._devices.values()), sorted(places - self._devices.keys(), key=str)
        found = {place: device_facts(place) for place in fresh}
        self._devices |= found
        return [facts for facts in dict.fromkeys(found.values()) if facts not in known]

    def tell(self, code: str, severity: str, message: str) -> None:
        """Write a note once."""
        if message not in self._told and len(self._told) < 200:
            self._told.add(message)
            self._note(code, severity, message)


def _is_given_gradients(call: LiveCall | None) -> bool:
    """Whether something that is given to a call leads on to what was there before it."""
    from flopcount.live.capture import tensors_within

    return call is None or any(
        item.requires_grad for item in tensors_within((call.args, call.kwargs))
    )


def _is_as_sent(cost: Cost) -> bool:
    """Whether its end is open for what other ranks send, and for nothing else."""
    from flopcount.live.counting import AS_SENT

    return cost.reason == AS_SENT
