"""Watches one training step op by op and writes the ledger. The only place that sees ops run.

The step runs on tensors without storage, so nothing is computed. Three questions are answered for
each op without touching the model: *which phase* (a running autograd engine means backward; inside
it, enabled gradients mean that a checkpoint runs its forward again), *which module* (forward: the
stack of modules; backward: autograd numbers its nodes in the order of creation, so the number tells
which module's forward made the node), and *whether it is attention* (the same numbers, noted around
``scaled_dot_product_attention``).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from flopcount import formulas  # noqa: F401  (registers every family)
from flopcount.count import Phase
from flopcount.formulas.attention import causal_pairs
from flopcount.formulas.zero import Rule, zero_rule
from flopcount.registry import Cost, evaluate, find, generation

DTYPE_NAMES = {
    torch.float64: "fp64",
    torch.float32: "fp32",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.int8: "int8",
    torch.uint8: "uint8",
    torch.complex64: "complex64",
    torch.complex128: "complex128",
}


def dtype_name(dtype: Any) -> str:
    """Short name, e.g. ``bf16``; every eight-bit float is ``fp8``, a packed four-bit one ``fp4``."""
    known = DTYPE_NAMES.get(dtype)
    if known is None:
        text = str(dtype).removeprefix("torch.")
        known = "fp8" if text.startswith("float8") else "fp4" if text.startswith("float4") else text
    return known


@dataclass(slots=True)
class Tally:
    """Sums of one ledger line; mutable while the trace runs."""

    calls: int = 0
    flop: int = 0
    attention: int = 0
    masked: int = 0
    rescored: int = 0
    torch: int = 0

    def add(self, other: Tally, times: int = 1) -> None:
        """Add another tally ``times`` over."""
        self.calls += times * other.calls
        self.flop += times * other.flop
        self.attention += times * other.attention
        self.masked += times * other.masked
        self.rescored += times * other.rescored
        self.torch += times * other.torch


Key = tuple[str, str, str, Phase]
"""Module path, op, dtype, phase."""


@dataclass(slots=True)
class Ledger:
    """Everything that a trace wrote down."""

    lines: dict[Key, Tally] = field(default_factory=dict)
    elementwise: dict[tuple[str, Phase], int] = field(default_factory=dict)
    zero: dict[tuple[str, str], int] = field(default_factory=dict)
    unknown: dict[str, list[Any]] = field(default_factory=dict)
    expert_layers: int = 0
    expert_rows: int = 0
    expert_exact: bool = True


@dataclass(frozen=True, slots=True)
class Scope:
    """Where an op belongs: the module, and the attention call around it if there is one.

    ``allowed`` and ``pairs`` are allowed and all query-key pairs of one attention matrix; None
    outside attention. ``dtype`` is that of the queries there, because the reference kernel computes
    in single precision what every fused kernel computes in the queries' own.
    """

    path: str
    allowed: int | None = None
    pairs: int | None = None
    dtype: str | None = None


ROOT = Scope("")


class Watch:
    """The state of one trace: scopes, phases and the ledger."""

    def __init__(self, model: Any) -> None:
        self.ledger = Ledger()
        self.paths: dict[int, str] = {}
        if isinstance(model, torch.nn.Module):
            for path, module in model.named_modules():
                self.paths.setdefault(id(module), path)
        self.stack: list[Scope] = [ROOT]
        self._numbers: list[int] = []
        self._scopes: list[Scope] = []

    def push(self, scope: Scope) -> None:
        """Enter a scope: later ops and later autograd nodes belong to it."""
        self.stack.append(scope)
        self._note(scope)

    def pop(self) -> None:
        """Leave the innermost scope."""
        self.stack.pop()
        self._note(self.stack[-1])

    def _note(self, scope: Scope) -> None:
        self._numbers.append(torch._C._autograd._get_sequence_nr())
        self._scopes.append(scope)

    def here(self) -> tuple[Phase, Scope]:
        """Phase and scope of the op that is running now."""
        if torch._C._current_graph_task_id() == -1:
            return "forward", self.stack[-1]
        if torch.is_grad_enabled() and not torch._C._autograd._get_current_graph_task_keep_graph():
            return "recompute", self.stack[-1]
        node = torch._C._current_autograd_node()
        number = node._sequence_nr() if node is not None else -1
        index = bisect_right(self._numbers, number) - 1
        return "backward", self._scopes[index] if index >= 0 else ROOT

    # ------------------------------------------------------------ module hooks
    def enter_module(self, module: Any, _args: Any) -> None:
        """Global forward pre-hook."""
        path = self.paths.get(id(module))
        self.push(Scope(path) if path is not None else self.stack[-1])

    def leave_module(self, _module: Any, _args: Any, _out: Any) -> None:
        """Global forward hook, called even when the forward raised."""
        if len(self.stack) > 1:
            self.pop()


def _allowed_pairs(query: Any, key: Any, mask: Any, *, causal: bool) -> tuple[int, int]:
    """Allowed and all query-key pairs of one attention matrix."""
    queries, keys = query.shape[-2], key.shape[-2]
    return causal_pairs(queries, keys) if causal else queries * keys, queries * keys


class AttentionScopes(TorchFunctionMode):
    """Notes which products belong to ``scaled_dot_product_attention``, whatever kernel runs."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ARG002
        if func is not torch.nn.functional.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        return self.attend(func, args, kwargs or {})

    def attend(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run one attention call inside a scope that knows its mask."""
        names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
        bound = {**dict(zip(names, args, strict=False)), **kwargs}
        allowed, pairs = _allowed_pairs(
            bound["query"],
            bound["key"],
            bound.get("attn_mask"),
            causal=bool(bound.get("is_causal")),
        )
        watch = self.watch
        dtype = dtype_name(bound["query"].dtype)
        watch.push(Scope(watch.stack[-1].path, allowed, pairs, dtype))
        try:
            return func(*args, **kwargs)
        finally:
            watch.pop()


class Counter(TorchDispatchMode):
    """Writes each op into the ledger of a :class:`Watch`."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch
        self._rules: dict[Any, Rule] = {}
        self._generation = generation()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ARG002
        kwargs = kwargs or {}
        rule = self._rules.get(func)
        if rule is None:
            rule = self._rules[func] = resolve(func)
        if rule.kind == "decompose":
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        out = func(*args, **kwargs)
        if rule.kind == "zero":
            self._zero(rule, args, out)
        elif rule.kind == "formula":
            self._counted(func, rule, args, kwargs, out)
        else:
            self._unknown(func, args, kwargs, out)
        return out

    def _zero(self, rule: Rule, args: Any, out: Any) -> None:
        ledger = self.watch.ledger
        phase, scope = self.watch.here()
        key = (rule.reason, phase)
        ledger.zero[key] = ledger.zero.get(key, 0) + 1
        if rule.per_element:
            subject = args if rule.on_input else out
            amount = rule.per_element * _elements(subject)
            where = (scope.path, phase)
            ledger.elementwise[where] = ledger.elementwise.get(where, 0) + amount

    def _counted(self, func: Any, rule: Rule, args: Any, kwargs: Any, out: Any) -> None:
        parameters = [argument.name for argument in func._schema.arguments]
        assert rule.formula is not None
        cost = evaluate(rule.name, rule.formula, args, kwargs, out, parameters)
        phase, scope = self.watch.here()
        dtype = cost.dtype or dtype_name(_first_tensor(args, kwargs).dtype)
        theirs = flop_registry.get(func._overloadpacket)
        charged = theirs(*args, **kwargs, out_val=out) if theirs is not None else 0
        self.record(rule.op, dtype, phase, scope, cost, charged)

    def record(
        self, op: str, dtype: str, phase: Phase, scope: Scope, cost: Cost, charged: int = 0
    ) -> None:
        """Add one call to the ledger."""
        attention, masked = cost.attention, cost.flop if cost.masked is None else cost.masked
        if scope.pairs is not None and scope.allowed is not None:
            attention, masked = cost.flop, cost.flop * scope.allowed // scope.pairs
            dtype = scope.dtype or dtype
        ledger = self.watch.ledger
        tally = ledger.lines.setdefault((scope.path, op, dtype, phase), Tally())
        tally.add(Tally(1, cost.flop, attention, masked, cost.rescored, charged))
        if cost.rows and phase == "forward":
            ledger.expert_layers += 1
            ledger.expert_rows += cost.rows
            ledger.expert_exact &= cost.exact

    def _unknown(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        name = func._schema.name.replace("::", ".")
        calls = self.watch.ledger.unknown.setdefault(name, [0, {}, 0])
        calls[0] += 1
        calls[1].setdefault(f"{_shapes((args, kwargs))} -> {_shapes(out)}")
        calls[2] += 2 * _elements((args, list(kwargs.values()))) * _elements(out)


def resolve(func: Any) -> Rule:
    """How to treat an op: by formula, zero with a reason, by decomposition, or unknown."""
    name = func._schema.name
    op = name.replace("::", ".")
    found = find(name) or find(name.removesuffix("_"))
    if found is not None:
        return Rule("formula", name if find(name) else name.removesuffix("_"), op, formula=found)
    if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
        return Rule("decompose", name, op)
    return zero_rule(func, op)


def _tensors(value: Any) -> Iterator[Any]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)


def _first_tensor(args: Any, kwargs: Any) -> Any:
    return next(_tensors((args, kwargs)))


def _elements(value: Any) -> int:
    return sum(prod(tensor.shape) for tensor in _tensors(value))


def _shapes(value: Any) -> str:
    return ", ".join(str(tuple(tensor.shape)) for tensor in _tensors(value)) or "no tensor"


@contextmanager
def watching(model: Any) -> Iterator[Watch]:
    """Count everything that runs inside, and leave torch as it was found."""
    watch = Watch(model)
    with ExitStack() as stack:
        before = register_module_forward_pre_hook(watch.enter_module)
        stack.callback(before.remove)
        after = register_module_forward_hook(watch.leave_module, always_call=True)
        stack.callback(after.remove)
        stack.enter_context(AttentionScopes(watch))
        stack.enter_context(Counter(watch))
        yield watch


Lines = Mapping[Key, Tally]
