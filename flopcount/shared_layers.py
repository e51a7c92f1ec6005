"""Repeated layers are traced twice and then multiplied, exactly or not at all.

A transformer runs one layer a hundred times on tensors of one shape. Two layers are *alike* when
their modules agree in class, parameters and every setting but their own number, and a call repeats
another when every argument agrees: same object, same value, or the tensor that the layer before
handed on. The first two calls of a family of like layers are traced for real and must have cost the
same; each later one only makes results of the right shape, with one autograd node in place of
hundreds. When its backward has run as the real one's did, the real layer's ledger is added at its
path. Whatever does not fit (a side effect through a cache, a recomputation, a gradient that goes
another way) raises :class:`SharingRefusedError`, and the step is traced again without sharing.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.utils import _pytree as pytree

from flopcount.exchange import MODULE_KEYS
from flopcount.known_values import ATTRIBUTE
from flopcount.layer_numbers import NUMBERED, SharingRefusedError, hide
from flopcount.left_behind import Places

if TYPE_CHECKING:
    from flopcount.known_values import KnownValues
    from flopcount.scopes import Watch

FEWEST = 4
"""Families smaller than this are traced in full."""
PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)
SIMPLE = frozenset(PLAIN)
APPENDED_CACHES = frozenset({"DynamicCache"})
"""Objects that a layer may write to because each layer writes its own row and reads no other."""


class Family:
    """Like layers, the calls that were traced for real, and the later ones that were not."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.calls: list[RealCall] = []
        self.skipped: list[SkippedCall] = []
        self.seen: set[str] = set()
        self.members: dict[str, Any] = {}


class RealCall:
    """One traced call: its signature, its results and where gradients came in."""

    def __init__(self, path: str, inputs: Signature) -> None:
        self.path = path
        self.inputs = inputs
        self.outputs: Any = None
        self.spec: Any = None
        self.leaves: list[Any] = []
        self.fired: set[int] = set()
        self.leaves_more = False
        """Whether it left anything behind beside its results."""

    def finish(self, out: Any) -> None:
        """Note the results' shapes and watch which of them receive a gradient."""
        self.leaves, self.spec = pytree.tree_flatten(out)
        for index, leaf in enumerate(self.leaves):
            if isinstance(leaf, torch.Tensor) and leaf.requires_grad:
                leaf.register_hook(lambda _grad, index=index: self.fired.add(index))


class SkippedCall:
    """One call that was not traced, and where gradients came in."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fired: set[int] = set()


class Signature:
    """Everything about a call that may change what it does."""

    def __init__(self, args: Any, kwargs: Any, handed_on: dict[int, int]) -> None:
        leaves, self.spec = pytree.tree_flatten((args, kwargs))
        self.leaves = leaves
        self.keys = [_leaf_key(leaf, handed_on) for leaf in leaves]
        self.grad_mode = torch.is_grad_enabled()

    def repeats(self, other: Signature) -> bool:
        """Whether another call had the same arguments."""
        return (
            self.grad_mode == other.grad_mode
            and self.keys == other.keys
            and self.spec == other.spec
            and None not in self.keys
        )


def _leaf_key(leaf: Any, handed_on: dict[int, int]) -> Any:
    """A comparable stand-in for one argument, or None for what cannot be vouched for."""
    if isinstance(leaf, torch.Tensor):
        meta = (tuple(leaf.shape), leaf.stride(), leaf.dtype, leaf.requires_grad)
        position = handed_on.get(id(leaf))
        return ("handed on", position, *meta) if position is not None else ("same", id(leaf))
    if isinstance(leaf, PLAIN):
        return (type(leaf), leaf)
    if type(leaf).__name__ in APPENDED_CACHES:
        return ("cache", id(leaf))
    return None


class Sharing:
    """Installs the sharing forward in every family of like layers of a doubled model."""

    def __init__(self, model: Any, watch: Watch, known: KnownValues) -> None:
        self.watch = watch
        self.known = known
        self.handed_on: dict[int, int] = {}
        self._kept: list[Any] = []
        self.families: list[Family] = []
        for members in like_layers(model, watch.paths):
            family = Family(watch)
            self.families.append(family)
            for module in members:
                path = watch.paths[id(module)]
                family.members[path] = module
                # The double's own dictionary takes the replacement and is dropped with it.
                module.__dict__["forward"] = self._forward(family, path, module.forward)
            for alike in zip(*map(_members, members), strict=True):
                hide([inner for _, inner in alike])

    def _forward(self, family: Family, path: str, original: Callable[..., Any]) -> Any:
        def forward(*args: Any, **kwargs: Any) -> Any:
            return self.call(family, path, original, args, kwargs)

        return forward

    def call(
        self, family: Family, path: str, original: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        """Trace a layer, or answer for one that repeats a traced one."""
        phase, _ = self.watch.here()
        if phase != "forward":
            return self._again(family, path, original, args, kwargs)
        if path in family.seen:
            raise SharingRefusedError(f"{path} runs twice in one step")
        family.seen.add(path)
        with torch._C.DisableTorchFunction():  # our own questions are not the model's
            inputs = Signature(args, kwargs, self.handed_on)
        model_call = family.calls[-1] if len(family.calls) >= 2 else None
        if (
            model_call is not None
            and not model_call.leaves_more
            and inputs.repeats(model_call.inputs)
        ):
            if not family.skipped:
                _require_equal(family, "forward")
            with torch._C.DisableTorchFunction():
                out = self._skip(family, model_call, path, inputs)
        else:
            call = RealCall(path, inputs)
            outside = self.watch.ledger.calls_outside(path)
            places = Places(inner for _, inner in _members(family.members[path]))
            read = len(self.known.read)
            out = original(*args, **kwargs)
            if _is_own(self.known.read[read:], family.members[path]):
                raise SharingRefusedError(f"{path} asks for values of its own")
            call.leaves_more = places.are_changed()
            if self.watch.ledger.calls_outside(path) != outside:
                raise SharingRefusedError(f"{path} runs modules that lie outside it")
            call.finish(out)
            if not family.skipped:
                family.calls = [*family.calls[-1:], call]
        self._hand_on(out)
        return out

    def _again(
        self, family: Family, path: str, original: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        """A recomputation; only traced layers have one."""
        if any(call.path == path for call in family.skipped):
            raise SharingRefusedError(f"{path} is computed again in the backward")
        return original(*args, **kwargs)

    def _hand_on(self, out: Any) -> None:
        leaves = [leaf for leaf in pytree.tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        self._kept = leaves
        self.handed_on = {id(leaf): index for index, leaf in enumerate(leaves)}

    def _skip(self, family: Family, like: RealCall, path: str, inputs: Signature) -> Any:
        call = SkippedCall(path)
        grads = [leaf for leaf in inputs.leaves if _wants_grad(leaf)]
        if not grads and any(_wants_grad(leaf) for leaf in like.leaves):
            # Only the layer's own parameters need gradients: one stands for them all.
            grads = [torch.empty(0, device="meta", requires_grad=True)]
        known = {id(leaf): index for index, leaf in enumerate(like.inputs.leaves)}
        fresh = [
            (index, leaf)
            for index, leaf in enumerate(like.leaves)
            if isinstance(leaf, torch.Tensor) and id(leaf) not in known
        ]
        self.watch.muted += 1
        try:
            made = _Repeat.apply(call, self.watch, fresh, *grads) if fresh else ()
        finally:
            self.watch.muted -= 1
        leaves = [
            inputs.leaves[known[id(leaf)]]
            if isinstance(leaf, torch.Tensor) and id(leaf) in known
            else leaf
            for leaf in like.leaves
        ]
        for (index, _), result in zip(fresh, made, strict=True):
            leaves[index] = result
        for leaf in leaves:
            if not isinstance(leaf, torch.Tensor) and _leaf_key(leaf, {}) is None:
                raise SharingRefusedError(f"{path} answers a {type(leaf).__name__}")
        family.skipped.append(call)
        return pytree.tree_unflatten(leaves, like.spec)

    def settle(self) -> None:
        """Add what the skipped layers would have cost.

        Raises:
            SharingRefusedError: when a gradient went another way than in the traced layer.

        """
        ledger = self.watch.ledger
        for family in self.families:
            if not family.skipped:
                continue
            _require_equal(family, None)
            model_call = family.calls[-1]
            part = ledger.below(model_call.path)
            for call in family.skipped:
                if call.fired != model_call.fired:
                    raise SharingRefusedError(f"gradients of {call.path} differ")
                ledger.add_at(call.path, part)


def _is_own(read: list[Any], layer: Any) -> bool:
    """Whether one of the tensors whose values were asked for is a layer's own."""
    if not read:
        return False
    asked = set(map(id, read))
    own = [value for _, inner in _members(layer) for value in _held(inner.__dict__)]
    origins = [getattr(each, ATTRIBUTE, None) for each in own]
    return any(each is not None and id(each.args) in asked for each in origins)


def _held(state: dict[str, Any]) -> list[Any]:
    """What a module keeps: buffers, weights and attributes."""
    return [*state["_buffers"].values(), *state["_parameters"].values(), *state.values()]


def _require_equal(family: Family, phase: Any) -> None:
    """The two traced layers must have cost the same, or nothing may be shared."""
    ledger = family.watch.ledger
    first, second = (ledger.below(call.path, phase) for call in family.calls[-2:])
    if first.lines != second.lines or first.unknown != second.unknown:
        paths = " and ".join(call.path for call in family.calls[-2:])
        raise SharingRefusedError(f"{paths} look alike and differ")


def _wants_grad(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.requires_grad


class _Repeat(torch.autograd.Function):  # type: ignore[misc]
    """Results of the right shape; its backward answers gradients of the right shape."""

    @staticmethod
    def forward(ctx: Any, call: SkippedCall, watch: Watch, fresh: Any, *grads: Any) -> Any:
        ctx.set_materialize_grads(False)
        ctx.call, ctx.watch = call, watch
        ctx.numbers = [index for index, _ in fresh]
        ctx.inputs = [(grad.shape, grad.dtype) for grad in grads]
        made = [
            torch.empty_strided(leaf.shape, leaf.stride(), dtype=leaf.dtype, device="meta")
            for _, leaf in fresh
        ]
        ctx.mark_non_differentiable(
            *(new for (_, old), new in zip(fresh, made, strict=True) if not old.requires_grad)
        )
        return tuple(made)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        arrived = zip(ctx.numbers, grads, strict=True)
        ctx.call.fired |= {number for number, grad in arrived if grad is not None}
        ctx.watch.muted += 1
        try:
            made = [torch.empty(shape, dtype=dtype, device="meta") for shape, dtype in ctx.inputs]
        finally:
            ctx.watch.muted -= 1
        return (None, None, None, *made)


def like_layers(model: Any, paths: dict[int, str]) -> list[list[Any]]:
    """Families of at least ``FEWEST`` like layers, outermost only."""
    if _records_inner_outputs(model):
        return []
    families: dict[Any, list[Any]] = defaultdict(list)
    inside: set[int] = set()
    for module in model.modules():
        if id(module) in inside or not isinstance(
            module, torch.nn.ModuleList | torch.nn.Sequential
        ):
            continue
        if len(module) < FEWEST:
            continue
        groups: dict[Any, list[Any]] = defaultdict(list)
        for child in module:
            groups[fingerprint(child)].append(child)
        for key, members in groups.items():
            if key is not None and len(members) >= FEWEST and len(set(map(id, members))) >= FEWEST:
                families[(id(module), key)] = members
                for member in members:
                    inside.update(id(inner) for _, inner in _members(member))
    return [members for members in families.values() if all(id(m) in paths for m in members)]


def _records_inner_outputs(model: Any) -> bool:
    """Whether the model is asked to hand out what its layers compute inside."""
    config = getattr(model, "config", None)
    names = ("output_hidden_states", "output_attentions", "output_router_logits")
    return any(bool(getattr(config, name, False)) for name in names)


def fingerprint(module: Any) -> Any:
    """A value that like layers share; None for a layer that must not be shared."""
    parts: list[Any] = []
    for name, inner in _members(module):
        state = inner.__dict__
        if isinstance(inner, torch.jit.ScriptModule) or any(map(state.get, HOOKS)):
            return None
        parts.append((name, type(inner), inner.training))
        parts += [
            (key, tensor.shape, tensor.dtype, tensor.requires_grad)
            for table in (state["_parameters"], state["_buffers"])
            for key, tensor in table.items()
            if tensor is not None
        ]
        # What every module holds are its tables and hooks, and what to do when it is saved.
        parts += [(key, _setting(state[key])) for key in state if key not in KNOWN]
    return tuple(parts)


def _members(module: Any) -> list[tuple[str, Any]]:
    """As ``named_modules``, each once, without a generator inside a generator for every storey."""
    found: list[tuple[str, Any]] = []
    seen: set[int] = set()
    waiting = [("", module)]
    while waiting:
        name, inner = waiting.pop()
        if inner is not None and id(inner) not in seen:
            seen.add(id(inner))
            found.append((name, inner))
            below = inner.__dict__.get("_modules") or inner._modules
            waiting += [(f"{name}.{key}", held) for key, held in reversed(below.items())]
    return found


HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "forward",
)
KNOWN = MODULE_KEYS | NUMBERED


def _setting(value: Any) -> Any:
    """An attribute as something comparable: plain values by value, everything else by identity."""
    kind = type(value)
    if kind in SIMPLE or isinstance(value, PLAIN):
        return (kind, value)
    if kind in (tuple, list):
        return (kind, *map(_setting, value))
    if kind in (set, frozenset):
        return (kind, *sorted(map(repr, value)))
    if kind in (dict, OrderedDict):
        return ("dict", *((repr(key), _setting(item)) for key, item in value.items()))
    return ("object", id(value))
