"""The model's doubles: same modules, other tensors, put back afterwards.

Nothing of the caller's may change: not a gradient, not a running mean, not a cached attribute. So
the tensors are exchanged for the time of the trace and every module works on a copy of its own
dictionary; afterwards it gets the original back.
"""

from __future__ import annotations

import functools
import sys
import types
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree

if TYPE_CHECKING:
    from flopcount.known_values import KnownValues
from flopcount.errors import CountError
from flopcount.helpers import PLAIN, kept_helpers
from flopcount.parallel import drop_hooks, fully_sharded_meshes, gathered, is_sharded

MODULE_KEYS = frozenset(vars(torch.nn.Module()))
"""What every module holds."""
OWN = frozenset({dict, list, set, OrderedDict})
"""What a module may write to in its forward, and gets a copy of.

Subclasses keep more than their items (a config, for one) and are left alone.
"""
SPARSE = (
    torch.sparse_coo,
    torch.sparse_csr,
    torch.sparse_csc,
    torch.sparse_bsr,
    torch.sparse_bsc,
)


class Doubles(AbstractContextManager["Doubles"]):
    """Turns tensors into doubles, each only once, so that tied weights stay tied."""

    def __init__(self, known: KnownValues) -> None:
        self.known = known
        self._done: dict[int, tuple[Any, Any]] = {}
        self.meshes: list[Any] = []
        self.has_shards = False

    def __call__(self, value: Any) -> Any:
        """Convert a tensor; everything else passes through."""
        if not isinstance(value, torch.Tensor):
            return self.other(value)
        done = self._done.get(id(value))
        if done is None:
            # The original is kept beside the double so that its id stays its own.
            done = self._done[id(value)] = (value, self._like(value))
        return done[1]

    def other(self, value: Any) -> Any:
        """A double of something that is no tensor; most things are their own."""
        return value

    def already(self, value: Any) -> Any:
        """The double of a tensor that was converted before, else the value itself."""
        found = self._done.get(id(value))
        return value if found is None else found[1]

    def _like(self, value: Any) -> Any:
        with torch.no_grad():
            if self.meshes and is_sharded(value):
                fresh = gathered(value, self.meshes)
            else:
                fresh = self.make(value.detach())
        self.has_shards |= is_sharded(fresh)
        if isinstance(value, torch.nn.Parameter):
            double = torch.nn.Parameter(fresh, requires_grad=value.requires_grad)
            self._attributes(double, value)
            return double
        return fresh.requires_grad_(value.requires_grad)

    def _attributes(self, double: Any, value: Any) -> None:
        """What a special kind of parameter carries with it, e.g. the scales of a quantised weight."""
        if type(value) is torch.nn.Parameter:
            return
        for name, held in vars(value).items():
            with suppress(AttributeError, RuntimeError):
                setattr(double, name, self(held) if isinstance(held, torch.Tensor) else held)

    def make(self, value: Any) -> Any:
        """A double of one detached tensor."""
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        self._done.clear()


class MetaDoubles(Doubles):
    """No storage at all."""

    def _like(self, value: Any) -> Any:
        fresh = super()._like(value)
        self.known.remember_real(fresh, value)
        return fresh

    def other(self, value: Any) -> Any:
        """A block mask must sit where the queries are; its mask function stays as it is."""
        return value.to("meta") if type(value).__name__ == "BlockMask" else value

    def make(self, value: Any) -> Any:
        """The same shape and strides on meta."""
        if value.is_nested:
            raise NotImplementedError("a nested tensor's lengths are data")
        if value.layout in SPARSE:
            # What a product costs is in how many elements are stored, which meta forgets.
            return value
        if type(value) is torch.Tensor and value.is_contiguous():
            # What empty_like would answer, without its eightfold time: a model has many weights.
            return torch.empty_strided(
                value.shape, value.stride(), dtype=value.dtype, device="meta"
            )
        return torch.empty_like(value, device="meta")


class FakeDoubles(Doubles):
    """torch's fake tensors: no storage, but a device, for models that ask for one."""

    def __init__(self, known: KnownValues) -> None:
        super().__init__(known)
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)

    def __enter__(self) -> FakeDoubles:
        self.mode.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.mode.__exit__(*exception)
        super().__exit__(*exception)

    def make(self, value: Any) -> Any:
        """A fake of the same device; what is on meta is taken to the CPU."""
        if value.device.type != "meta":
            return self.mode.from_tensor(value)
        return torch.empty_strided(
            tuple(value.shape), value.stride(), dtype=value.dtype, device="cpu"
        )


class CpuDoubles(Doubles):
    """Real numbers: the caller's own where they are on the CPU, invented ones where not."""

    def __init__(self, known: KnownValues, most_bytes: int = 1 << 30, draw: int = 0) -> None:
        super().__init__(known)
        self.generator = torch.Generator().manual_seed(draw)
        self.size = SIZES[draw]
        self.left = most_bytes
        self.invented = False

    def make(self, value: Any) -> Any:
        """Weights share the caller's memory; nothing writes to them in a step."""
        if value.device.type == "cpu":
            return value
        self.left -= value.numel() * value.element_size()
        if self.left < 0:
            raise MemoryError("the model is too large to be run on the CPU")
        self.invented = True
        if value.is_floating_point() or value.is_complex():
            return invented(value.shape, self.generator, self.size).to(value.dtype)
        return torch.zeros(value.shape, dtype=value.dtype)

    def _like(self, value: Any) -> Any:
        made = super()._like(value)
        if isinstance(value, torch.nn.Parameter):
            return made
        # Buffers and inputs may be written to; the caller's are not ours.
        return made.detach().clone().requires_grad_(value.requires_grad)


SIZES = (0.02, 0.2, 1.0)
"""Standard deviation of what is invented, by draw: small numbers all pass or all fail a threshold."""
BLOCK = 65_537
"""Random numbers drawn at a time; prime, so that repeated rows of a weight are not alike."""


def invented(shape: Any, generator: Any, size: float) -> Any:
    """Random numbers, drawn once and repeated: drawing each would take most of a trace."""
    number = prod(shape)
    block = torch.randn(min(number, BLOCK), generator=generator, device="cpu").mul_(size)
    return block.repeat(-(-number // BLOCK))[:number].reshape(shape)


def convert_inputs(values: Any, doubles: Doubles) -> Any:
    """Every tensor inside nested inputs, converted."""
    return pytree.tree_map(doubles, values)


def reachable(model: Any) -> list[Any]:
    """The model if it is a module; for a function, the modules and cells that it closes over."""
    if isinstance(model, torch.nn.Module):
        return [model]
    roots: list[Any] = []
    _collect(model, roots, set(), 4)
    return roots


def _collect(value: Any, roots: list[Any], seen: set[int], depth: int) -> None:
    if depth < 0 or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, torch.nn.Module):
        roots.append(value)
    elif isinstance(value, functools.partial):
        for item in (value.func, *value.args, *value.keywords.values()):
            _collect(item, roots, seen, depth - 1)
    elif isinstance(value, types.MethodType):
        _collect(value.__self__, roots, seen, depth - 1)
        _collect(value.__func__, roots, seen, depth - 1)
    elif isinstance(value, types.FunctionType):
        _collect_function(value, roots, seen, depth)
    elif isinstance(value, list | tuple):
        for item in value[:1000]:
            _collect(item, roots, seen, depth - 1)
    elif isinstance(value, dict):
        for item in list(value.values())[:1000]:
            _collect(item, roots, seen, depth - 1)
    elif hasattr(value, "__dict__") and not isinstance(value, types.ModuleType | type):
        for item in list(vars(value).values())[:1000]:
            if isinstance(item, torch.nn.Module):
                _collect(item, roots, seen, depth - 1)


def _collect_function(function: Any, roots: list[Any], seen: set[int], depth: int) -> None:
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # an empty cell
            if _is_held(cell.cell_contents):
                roots.append(cell)
            else:
                _collect(cell.cell_contents, roots, seen, depth - 1)
    for name in sorted(_names(function.__code__, 4)):
        item = function.__globals__.get(name)
        if _is_held(item):
            roots.append((function.__globals__, name))
        elif isinstance(item, torch.nn.Module | types.FunctionType | functools.partial):
            _collect(item, roots, seen, depth - 1)


def _names(code: types.CodeType, depth: int) -> set[str]:
    """Global names that a function uses, in its comprehensions and inner functions too."""
    names = set(code.co_names)
    for constant in code.co_consts if depth else ():
        if isinstance(constant, types.CodeType):
            names |= _names(constant, depth - 1)
    return names


def _is_held(value: Any) -> bool:
    return isinstance(value, torch.Tensor) or type(value).__name__ == "BlockMask"


@contextmanager
def doubled(roots: list[Any], doubles: Doubles) -> Iterator[None]:
    """Inside, the tensors of the roots are doubles; outside, everything is as it was."""
    modules: dict[int, Any] = {}
    for root in roots:
        if isinstance(root, torch.nn.Module):
            modules.update((id(module), module) for module in root.modules())
    doubles.meshes = fully_sharded_meshes(modules.values())
    forget_cached(modules.values())
    _refuse_lazy(roots)
    scripts = [module for module in modules.values() if isinstance(module, torch.jit.ScriptModule)]
    written = [(table, dict(table.items())) for module in scripts for table in _tables(module)]
    saved = [(m, m.__dict__) for m in modules.values() if not isinstance(m, torch.jit.ScriptModule)]
    holders = [root for root in roots if not isinstance(root, torch.nn.Module)]
    helpers = kept_helpers(value for _, state in saved for value in _plain(state))
    held = [_held(holder) for holder in holders]
    helpers.__enter__()
    try:
        for holder, tensor in zip(holders, held, strict=True):
            _hold(holder, doubles(tensor))
        for table, tensors in written:
            for name, tensor in tensors.items():
                table[name] = doubles(tensor)
        for module, state in saved:
            # The module works on a copy of its dictionary; the original is never written.
            module.__dict__ = {
                key: value.copy() if type(value) in OWN else value for key, value in state.items()
            }
            if doubles.meshes:
                drop_hooks(module.__dict__)
            _exchange(module.__dict__, doubles)
        for module, _ in saved:
            _exchange_attributes(module.__dict__, doubles)
        yield
    finally:
        helpers.__exit__(None, None, None)
        for module, state in saved:
            module.__dict__ = state
        for table, tensors in written:
            for name, tensor in tensors.items():
                table[name] = tensor
        for holder, tensor in zip(holders, held, strict=True):
            _hold(holder, tensor)
        forget_cached(modules.values())


def _plain(state: dict[str, Any]) -> list[Any]:
    """What a module holds beside torch's own tables."""
    return [value for key, value in state.items() if key not in MODULE_KEYS]


def forget_cached(modules: Iterable[Any]) -> None:
    """Empty the caches of methods and of the functions beside a model's class.

    What they hold belongs to one kind of tensors: a cached table without storage must not meet the
    caller's real ones afterwards, nor his the doubles.
    """
    kinds = {kind for module in modules for kind in type(module).__mro__}
    kinds -= {torch.nn.Module, object}
    homes = {kind.__module__ for kind in kinds}
    places: list[Any] = [vars(kind) for kind in kinds]
    places += [vars(sys.modules[home]) for home in homes if _is_users(home)]
    for place in places:
        for held in list(place.values()):
            for cache in _caches(held):
                cache.cache_clear()


def _caches(held: Any) -> list[Any]:
    """A cached function, or the cached one inside its wrapper."""
    held = getattr(held, "__func__", held)  # a static or class method
    inside: list[Any] = [held]
    if isinstance(held, types.FunctionType) and hasattr(held, "__wrapped__"):
        for cell in held.__closure__ or ():
            with suppress(ValueError):  # an empty cell
                inside.append(cell.cell_contents)
    return [item for item in inside if isinstance(item, functools._lru_cache_wrapper)]


def _is_users(home: str) -> bool:
    """Whether a Python module is loaded and none of torch's own."""
    return home in sys.modules and home.partition(".")[0] != "torch"


def _tables(script: Any) -> tuple[Any, Any]:
    """Parameters and buffers of a compiled script: windows on tensors that the script owns."""
    return script._parameters, script._buffers


def _refuse_lazy(roots: list[Any]) -> None:
    """A lazy layer gets its shape from its first input, and would keep it."""
    for root in roots:
        for path, module in root.named_modules() if isinstance(root, torch.nn.Module) else ():
            if any(
                map(torch.nn.parameter.is_lazy, module.__dict__.get("_parameters", {}).values())
            ):
                raise CountError(
                    f"{path or 'the model'}: {type(module).__name__} has no shape yet; "
                    "run the model once on its inputs (on the meta device that costs nothing)"
                )


def _held(holder: Any) -> Any:
    return holder[0][holder[1]] if isinstance(holder, tuple) else holder.cell_contents


def _hold(holder: Any, tensor: Any) -> None:
    if isinstance(holder, tuple):
        holder[0][holder[1]] = tensor
    else:
        holder.cell_contents = tensor


def _exchange(state: dict[str, Any], doubles: Doubles) -> None:
    for table in ("_parameters", "_buffers"):
        tensors = state[table]
        for name, tensor in tensors.items():
            if tensor is not None:
                tensors[name] = doubles(tensor)


def _exchange_attributes(state: dict[str, Any], doubles: Doubles) -> None:
    """Tensors that a module keeps beside its tables, e.g. ``LSTM._flat_weights``."""
    for key, value in state.items():
        if key in MODULE_KEYS or type(value) in PLAIN:
            continue
        if _is_held(value):
            state[key] = doubles(value)
        elif type(value) is list and value and isinstance(value[0], torch.Tensor):
            state[key] = [doubles(item) for item in value]
