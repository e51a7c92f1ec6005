"""Watches one training step op by op and writes the ledger. The only place that sees ops run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch._ops import HigherOrderOperator
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode

from flopcount import draws, flex, formulas, routing  # noqa: F401  (formulas register themselves)
from flopcount.attention_scopes import AttentionScopes, Readings
from flopcount.dtypes import dtype_name
from flopcount.formulas.packed_attention import LENGTHS, VALUES
from flopcount.higher_order import run_higher_order
from flopcount.kernels import recording
from flopcount.known_values import KnownValues, UnknownValueError
from flopcount.ledger import Tally, UnknownTally, ZeroTally
from flopcount.meta_kernels import rescue
from flopcount.originals import Originals
from flopcount.parallel import dtensor_type, is_sharded
from flopcount.pieces import Pieces, left_after, noticed, on_all
from flopcount.ragged import RAGGED, is_ragged, ragged_product
from flopcount.registry import Cost, evaluate
from flopcount.repeated_ops import RepeatedOps
from flopcount.rules import is_mutable, parameters_of, resolve
from flopcount.scopes import Scope, Watch, seeing_engines
from flopcount.tensors import elements, shape_text, tensors
from flopcount.torch_counter import charge_of
from flopcount.written_attention import BATCHED, WrittenAttention

if TYPE_CHECKING:
    from flopcount.count import Phase
    from flopcount.formulas.zero import Rule

DECIDING = LENGTHS | {"offs"}
"""Arguments whose values decide what an op costs."""


class Counter(TorchDispatchMode):  # type: ignore[misc]
    """Writes each op into the ledger of a :class:`Watch`."""

    supports_higher_order_operators = True
    charges = True
    """Whether it notes what torch's own counter charges."""

    def __init__(self, watch: Watch, known: KnownValues) -> None:
        super().__init__()
        self.watch = watch
        self.known = known
        self.originals = Originals()
        self._rules: dict[Any, Rule] = {}
        self._repeated = RepeatedOps()
        self._inside_shards = 0
        self.pieces = Pieces()
        self._ranks = 1
        self._drawn = False
        self._attention = WrittenAttention(watch, known)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if isinstance(func, HigherOrderOperator):
            return run_higher_order(self, func, args, kwargs)
        if (self._inside_shards and is_sharded_call(types)) or any(map(is_wrapper, types)):
            return NotImplemented  # the tensor's class runs the op, and its inner ops come here
        rule = self._rules.get(func)
        if rule is None:
            rule = self._rules[func] = resolve(func)
        if rule.kind == "decompose" and not is_ragged(args):
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        if is_sharded_call(types):
            return self._sharded(func, rule, args, kwargs)
        out = self._execute(func, args, kwargs)
        if self.watch.muted:
            return out
        if self._inside_shards:
            # Sharding rules are worked out on fake tensors of the whole shape; that is no work.
            if self.watch.on_fakes or not any(isinstance(t, FakeTensor) for t in tensors(args)):
                self._local(func, rule, args, kwargs, out)
            return out
        if not self.watch.has_shards:
            self._write(func, rule, args, kwargs, out)
            return out
        self._ranks = ranks = self.pieces.of(tensors((args, kwargs)))
        self._write(func, rule, args, kwargs, out)
        self._ranks = 1
        if ranks > 1:
            left = left_after(func, args, ranks)
            for tensor in tensors(out):
                self.pieces.mark(tensor, left)
        self._local(func, rule, args, kwargs, out)
        return out

    def _sharded(self, func: Any, rule: Rule, args: Any, kwargs: Any) -> Any:
        """An op on tensors that are spread over ranks: whole above, this rank's shards below."""
        mesh = next(item.device_mesh for item in tensors((args, kwargs)) if is_sharded(item))
        local = self.watch.local
        local.world_size = max(local.world_size, mesh.size())
        self._inside_shards += 1
        try:
            with self:
                out = func(*args, **kwargs)
        finally:
            self._inside_shards -= 1
        if not self._inside_shards:
            self._write(func, rule, args, kwargs, out)
        return out

    def _local(self, func: Any, rule: Rule, args: Any, kwargs: Any, out: Any) -> None:
        """Count an op on this rank's shards for the local figure only."""
        if rule.kind != "formula":
            return
        cost = evaluate(rule.name, args, kwargs, out, parameters_of(func))
        self.watch.local.add(self.watch.here()[0], cost.flop)

    def _write(self, func: Any, rule: Rule, args: Any, kwargs: Any, out: Any) -> None:
        """Note values and cost of one executed op."""
        self.known.observe(func, args, kwargs, out)
        # Until something was drawn there is no mark to look for.
        if self._drawn or draws.is_draw(func):
            self._drawn = True
            draws.follow(func, list(tensors(args)), list(tensors(out)))
        if is_mutable(func):
            routing.forget(args[0] if args else None)
        elif (short := rule.name.removeprefix("aten::")) in routing.FOLLOWED:
            routing.follow(short, args, kwargs, out)
        if rule.name == "aten::_local_scalar_dense":
            self.asks(args[0])
        if rule.kind == "zero":
            self._zero(rule, args, out)
        elif rule.kind == "formula" and not is_ragged(args):
            self._counted(func, rule, args, kwargs, out)
        elif rule.op in RAGGED:
            flop, first = ragged_product(rule.op, args)
            phase, scope = self.watch.here()
            dtype = dtype_name(first.dtype)
            self.record(rule.op, dtype, phase, scope, Cost(flop * self._ranks))
        else:
            self.unknown(rule.op, args, kwargs, out)

    def asks(self, tensor: Any) -> None:
        """Note a question about a value that was drawn at random."""
        if draws.is_drawn(tensor):
            self.watch.ledger.remarks.append(draws.asked(self.watch.here()[1].path))

    def _execute(self, func: Any, args: Any, kwargs: Any) -> Any:
        self.originals.before(func, args, kwargs)
        out = self._run(func, args, kwargs)
        self.originals.after(args, kwargs, out)
        return out

    def _run(self, func: Any, args: Any, kwargs: Any) -> Any:
        try:
            return self._repeated.run(func, args, kwargs)
        except (RuntimeError, NotImplementedError):
            if not any(tensor.device.type == "meta" for tensor in tensors((args, kwargs))):
                raise
            out = rescue(self.known, func, args, kwargs)
            if out is NotImplemented:
                raise
            return out

    def _zero(self, rule: Rule, args: Any, out: Any) -> None:
        phase, scope = self.watch.here()
        amount = 0
        if rule.per_element:
            amount = rule.per_element * elements(args if rule.on_input else out) * self._ranks
        key = (scope.path, rule.reason, phase)
        self.watch.ledger.zero.setdefault(key, ZeroTally()).add(ZeroTally(1, amount))
        if phase != "backward":
            self._attention.costless(rule.name, scope, args, out)

    def _counted(self, func: Any, rule: Rule, args: Any, kwargs: Any, out: Any) -> None:
        parameters = parameters_of(func)
        phase, scope = self.watch.here()
        if asked := DECIDING.intersection(parameters):
            self._read({**dict(zip(parameters, args, strict=False)), **kwargs}, asked)
        needs = _needs() if phase == "backward" else None
        cost = on_all(evaluate(rule.name, args, kwargs, out, parameters, needs), self._ranks)
        first = next(tensors((args, kwargs)), None)
        dtype = cost.dtype or (dtype_name(first.dtype) if first is not None else "unknown")
        theirs = charge_of(func._overloadpacket, args, kwargs, out) if self.charges else 0
        tally = self.record(rule.op, dtype, phase, scope, cost, theirs * self._ranks)
        if cost.ahead:
            later: Phase = "backward" if phase == "forward" else phase
            self.record(rule.op, dtype, later, scope, Cost(cost.ahead))
        if rule.name in BATCHED and phase != "backward" and scope.attention is None:
            self._attention.product(scope, args, out, tally, cost.flop)

    def _read(self, arguments: dict[str, Any], asked: Iterable[str]) -> None:
        """Read the values of arguments that decide what an op costs, where they are known."""
        for name in asked:
            tensor = arguments.get(name)
            if tensor is None or self.known.inventing or tensor.device.type != "meta":
                continue
            with suppress(UnknownValueError):
                if name != "offs":
                    setattr(tensor, VALUES, self.known.value(tensor).tolist())
                elif routing.last_of(tensor) is None:
                    routing.note_last(tensor, int(self.known.value(tensor)[-1]))

    def record(
        self, op: str, dtype: str, phase: Phase, scope: Scope, cost: Cost, charged: int = 0
    ) -> Tally:
        """Add one call to the ledger."""
        attention, masked = cost.attention, cost.flop if cost.masked is None else cost.masked
        around = scope.attention
        if around is not None:
            if not cost.attention:
                attention = cost.flop
            if around.exact:
                masked = cost.flop * around.allowed // around.pairs
            dtype = around.dtype or dtype
        self._spend(cost.flop)
        tally = self.watch.ledger.lines.setdefault((scope.path, op, dtype, phase), Tally())
        tally.add(
            Tally(
                calls=1,
                flop=cost.flop,
                attention=attention,
                masked=masked,
                rescored=cost.rescored,
                torch=charged,
                rows=cost.rows,
                padded=cost.padded,
                inexact=int(not cost.exact),
                slack=0 if cost.exact else cost.flop - cost.low,
                rows_low=cost.rows if cost.exact else 0,
            )
        )
        return tally

    def _spend(self, flop: int) -> None:
        watch = self.watch
        if watch.most_flop is not None:
            watch.spent += flop
            if watch.spent > watch.most_flop:
                raise RuntimeError("the step costs too much to be run on the CPU at full size")

    def declared(self, name: str, cost: Cost, given: Any, out: Any) -> None:
        """Count a call of a function that ``flopcount.kernel`` decorates."""
        phase, scope = self.watch.here()
        first = next(tensors((given, out)), None)
        dtype = cost.dtype or (dtype_name(first.dtype) if first is not None else "unknown")
        self.record(name, dtype, phase, scope, cost)

    def unknown(self, op: str, args: Any, kwargs: Any, out: Any) -> None:
        """Name an op that no rule covers, with shapes and a bound."""
        phase, scope = self.watch.here()
        shapes = f"{shape_text((args, kwargs))} -> {shape_text(out)}"
        bound = 2 * elements((args, list(kwargs.values()))) * elements(out) * self._ranks
        tally = self.watch.ledger.unknown.setdefault((scope.path, op, phase), UnknownTally())
        tally.add(UnknownTally(1, bound, {shapes: None}))


def is_sharded_call(types: Any) -> bool:
    """Whether an op was called on sharded tensors."""
    kind = dtensor_type()
    return kind is not None and any(issubclass(item, kind) for item in types)


@cache
def is_wrapper(kind: Any) -> bool:
    """Whether a tensor class holds other tensors and computes with them, e.g. jagged or quantised.

    Sharded tensors do as well, but are counted whole before they run.
    """
    whole = dtensor_type()
    return hasattr(kind, "__tensor_flatten__") and not (
        issubclass(kind, FakeTensor) or (whole is not None and issubclass(kind, whole))
    )


def _needs() -> tuple[bool, ...] | None:
    """Which inputs of the running node's forward need a gradient."""
    node = torch._C._current_autograd_node()
    return None if node is None else tuple(edge[0] is not None for edge in node.next_functions)


@contextmanager
def watching(watch: Watch, known: KnownValues) -> Iterator[Counter]:
    """Count everything that runs inside, and leave torch as it was found."""
    counter = Counter(watch, known)
    with ExitStack() as stack:
        stack.callback(counter.originals.put_back)
        before = register_module_forward_pre_hook(watch.enter_module)
        stack.callback(before.remove)
        after = register_module_forward_hook(watch.leave_module, always_call=True)
        stack.callback(after.remove)
        stack.enter_context(seeing_engines(watch, Readings(counter)))
        stack.enter_context(recording(counter.declared))
        stack.enter_context(AttentionScopes(counter))
        stack.enter_context(noticed(counter.pieces))
        stack.enter_context(counter)
        yield counter
