"""Attributes by which a program may change what a call does: ``model.depth = 3``, ``model.config.k = 2``.

Shapes and flags of the inputs say nothing of them. So each is a part of what tells one kind of call from
another (design/107). On the hot path all of a model's attributes are compared with what they were, by
identity and in C; only where one differs is looked closer. No torch is imported here.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from operator import getitem, is_
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any

PLAIN = frozenset({bool, int, float, complex, str, bytes, type(None)})
CALLABLES = (FunctionType, BuiltinFunctionType, MethodType, type)
MOST_PLACES = 50_000
MOST_ITEMS = 256
"""Entries of one container or object that are looked at."""
MOST_STATES = 256
DRIFTING = 8
"""After so many different values, it is tried whether an attribute decides anything."""
FOREIGN = frozenset(
    {
        "accelerate", "concurrent", "datasets", "deepspeed", "flopledger", "lightning", "logging", "mlflow",
        "numpy", "pandas", "profilers", "pytorch_lightning", "threading", "tokenizers", "torch", "tqdm",
        "wandb", "weakref",
    }
)  # fmt: skip
"""Objects of these packages are no settings."""
LIBRARIES = FOREIGN | {"diffusers", "peft", "timm", "torchvision", "transformers"}
"""Nobody changes their classes' constants in mid-run."""
INERT = frozenset(
    {
        "AlphaDropout", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "CrossEntropyLoss", "Dropout",
        "Dropout1d", "Dropout2d", "Dropout3d", "ELU", "Embedding", "GELU", "GroupNorm", "Identity",
        "LayerNorm", "LeakyReLU", "Linear", "MSELoss", "ModuleDict", "ModuleList", "RMSNorm", "ReLU",
        "Sequential", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh",
    }
)  # fmt: skip
"""Modules of torch whose attributes decide nothing of their products."""

Place = tuple[Any, Any]
"""A dictionary, list, cell or object, and the name of what it holds."""
Name = tuple[int, Any]
"""The same for looking it up: the holder's id."""


KEPT = object()
"""In place of a value: a container or an object, whose contents are places of their own."""
MISSING = object()


class State:
    """All attributes of a model at one time; one object for the same."""

    __slots__ = ("_forms", "_places", "_values")

    def __init__(self, places: list[Place], values: list[Any], forms: dict[Name, Any]) -> None:
        self._places = places
        self._values = values
        self._forms = forms
        """What tensors among them look like."""

    @contextmanager
    def restored(self, changed: Mapping[Name, Any]) -> Iterator[None]:
        """Inside, the model has these attributes again, but for some that are changed on purpose."""
        undo: list[tuple[Place, Any]] = []
        try:
            for place, value in zip(self._places, self._values, strict=True):
                name = _named(place)
                wanted = changed.get(name, value)
                present = _read(place)
                if wanted is KEPT or present is wanted:
                    continue
                if name in self._forms and _form(present) == self._forms[name]:
                    continue
                undo.append((place, present))
                _write(place, wanted)
            yield
        finally:
            for place, present in reversed(undo):
                _write(place, present)


class Attributes:
    """Watches the attributes of one model."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._own = frozenset(vars(torch.nn.Module())) - {"training"}
        self._states: dict[Hashable, State] = {}
        self._judged: dict[Name, tuple[bool, Any]] = {}
        """Whether an attribute that drifted decides something, and who holds it."""
        self._drift: dict[Name, dict[Hashable, None]] = {}
        self.suspects: dict[Name, tuple[Any, ...]] = {}
        """Attributes of many values, of which nobody knows yet whether they decide."""
        self._clear()

    def _clear(self) -> None:
        self.state: State | None = None
        self.dicts: list[Any] = []
        self.names: list[Any] = []
        self.last: list[Any] = []
        self._slots: list[Any] = []
        self._slot_names: list[str] = []
        self._tensors: list[Place] = []
        """Places of tensors, and of containers of tensors, which are never held."""
        self._forms: list[Any] = []
        self.sized: list[Any] = []
        self.sizes: list[int] = []
        self.more = False
        """Whether ``now`` has more to compare than what dictionaries hold."""
        self._owners: dict[int, Name] = {}
        """By a container's id, where it is kept."""
        self._objects: dict[int, Any] = {}
        """What was looked at, by id; kept, so that an id stays its own."""
        self._seen: set[Name] = set()
        self._places: list[Place] = []

    # ------------------------------------------------------------ the hot path

    def now(self, module: Any, *, same: bool = False) -> State:
        """The state in which a call finds its model.

        Args:
            module: The model.
            same: What dictionaries hold is known to be as it was (``Seam.key`` compares it itself,
                which saves a call of Python on each step).

        """
        state = self.state
        with suppress(AttributeError, LookupError, TypeError, ValueError):  # it is no longer there
            if state is not None and same and self._slots_are_same() and self._tensors_are_alike():
                return state
        return self._look(module)

    def _slots_are_same(self) -> bool:
        values = self.last[len(self.dicts) :]
        return all(map(is_, map(getattr, self._slots, self._slot_names), values))

    def _tensors_are_alike(self) -> bool:
        return [_form(holder[name]) for holder, name in self._tensors] == self._forms

    def _look(self, module: Any) -> State:
        """Something changed: find out what."""
        for container, size in zip(self.sized, self.sizes, strict=True):
            if len(container) != size and id(container) in self._owners:
                self._drifted(self._owners[id(container)], len(container))
        before = dict(zip(map(_named, self._places), self.last, strict=True))
        self._clear()
        self._gather(module)
        for place, value in zip(self._places, self.last, strict=True):
            name = _named(place)
            if before.get(name, value) is not value and type(value) in PLAIN:
                self._drifted(name, value)
        values = list(map(_kept, self.last))
        layout = *self.names, *self._slot_names, *(name for _, name in self._tensors)
        key = layout, tuple(map(_canonical, values)), tuple(self._forms), tuple(self.sizes)
        state = self._states.get(key)
        if state is None:
            hollow = [_hollow(holder[name], self._torch) for holder, name in self._tensors]
            forms = dict(zip(map(_named, self._tensors), self._forms, strict=True))
            state = State([*self._places, *self._tensors], [*values, *hollow], forms)
            self._states[key] = state
            while len(self._states) > MOST_STATES:
                del self._states[next(iter(self._states))]
        self.state = state
        return state

    # ------------------------------------------------------------ what changes always

    def _drifted(self, name: Name, value: Hashable) -> None:
        seen = self._drift.setdefault(name, {})
        seen[value] = None
        if len(seen) > DRIFTING and name not in self._judged:
            self.suspects[name] = tuple(seen)
        while len(seen) > 2 * DRIFTING:
            del seen[next(iter(seen))]
        while len(self._drift) > MOST_ITEMS:
            del self._drift[next(iter(self._drift))]

    def probes(self) -> Iterator[tuple[Name, tuple[Any, ...]]]:
        """Attributes of which nobody knows whether they decide, and other values to try."""
        for name, seen in list(self.suspects.items()):
            holder = self._objects.get(name[0])
            value = MISSING if holder is None else _read((holder, name[1]))
            yield name, _others(value, seen)

    def judge(self, name: Name, *, decides: bool) -> None:
        """Say whether an attribute of many values decides anything; one that does not is left alone."""
        self._judged[name] = decides, self._objects.get(name[0])
        self.suspects.pop(name, None)
        self.forget()

    def forget(self) -> None:
        """Look at everything anew at the next call."""
        self.state = None

    def _idle(self, name: Name) -> bool:
        """Whether it is known to decide nothing."""
        return name in self._judged and not self._judged[name][0]

    # ------------------------------------------------------------ finding them

    def _gather(self, module: Any) -> None:
        nn = self._torch.nn
        classes: dict[type, None] = {}
        for part in module.modules():
            table = part.__dict__
            self.sized.append(table)
            children = table.get("_modules")
            if children:
                self.sized.append(children)
            kind = type(part)
            home = kind.__module__
            if home.startswith("torch.nn.modules") and kind.__name__ in INERT:
                continue
            if home.startswith("torch.") and not home.startswith("torch.nn.modules"):
                kind = next(
                    (k for k in kind.__mro__ if not k.__module__.startswith("torch.")), nn.Module
                )
                if kind is object:
                    continue  # a wrapper, whose bookkeeping is its own
            self._table(table, 3, self._own)
            classes.update(dict.fromkeys(k for k in kind.__mro__ if _root(k) not in LIBRARIES))
        for kind in classes:
            self._class(kind)
        places = [*zip(self.dicts, self.names, strict=True)]
        self._places = [*places, *zip(self._slots, self._slot_names, strict=True)]
        values = list(map(getitem, self.dicts, self.names))
        self.last = [*values, *map(getattr, self._slots, self._slot_names)]
        self._forms = [_form(holder[name]) for holder, name in self._tensors]
        self.sizes = list(map(len, self.sized))
        self.more = bool(self._slots or self._tensors)

    def _table(
        self, table: Mapping[Any, Any], depth: int, leave: frozenset[str] = frozenset()
    ) -> None:
        for name, value in list(table.items())[: MOST_ITEMS + len(leave)]:
            if name not in leave and name != "_compiled_call_impl":
                self._take(table, name, value, depth)

    def _take(self, holder: Any, name: Any, value: Any, depth: int) -> None:
        """Watch what a dictionary or list holds at a name."""
        kind = type(value)
        if len(self.dicts) > MOST_PLACES or self._idle((id(holder), name)):
            return
        if _holds(value, self._torch.Tensor):
            self._objects[id(holder)] = holder
            self._tensors.append((holder, name))
        elif kind in PLAIN or isinstance(value, (tuple, *CALLABLES)):
            self._watch(holder, name)
            if isinstance(value, type) and depth and _root(value) not in LIBRARIES:
                self._class(value)
        elif isinstance(value, list | dict | set):
            self._watch(holder, name)
            self._inside(value, (id(holder), name), depth)
        elif _is_settings(kind) and not isinstance(value, self._torch.nn.Module):
            self._watch(holder, name)
            self._object(value, (id(holder), name), depth)

    def _watch(self, holder: Any, name: Any) -> None:
        if (id(holder), name) not in self._seen:
            self._seen.add((id(holder), name))
            self._objects[id(holder)] = holder
            self.dicts.append(holder)
            self.names.append(name)

    def _inside(self, value: Any, owner: Name, depth: int) -> None:
        if id(value) in self._owners:
            return
        self._objects[id(value)] = value
        self._owners[id(value)] = owner
        self.sized.append(value)
        if isinstance(value, dict) and depth:
            self._table(value, depth - 1)
        elif isinstance(value, list) and depth:
            for place, item in enumerate(value[:MOST_ITEMS]):
                self._take(value, place, item, depth - 1)

    def _object(self, value: Any, owner: Name, depth: int) -> None:
        if not depth or id(value) in self._objects:
            return
        self._objects[id(value)] = value
        table = getattr(value, "__dict__", None)
        if isinstance(table, dict):
            self._inside(table, owner, depth)
        for kind in type(value).__mro__:
            names = vars(kind).get("__slots__", ())
            for name in (names,) if isinstance(names, str) else tuple(names):
                if type(getattr(value, name, self)) in PLAIN:
                    self._slot(value, name)
            if _root(kind) not in LIBRARIES:
                self._class(kind)

    def _slot(self, holder: Any, name: str) -> None:
        if not self._idle((id(holder), name)) and (id(holder), name) not in self._seen:
            self._seen.add((id(holder), name))
            self._objects[id(holder)] = holder
            self._slots.append(holder)
            self._slot_names.append(name)

    def _class(self, kind: type) -> None:
        """Constants of a class, and what its methods read of their module and closures."""
        if id(kind) in self._objects or kind.__module__ == "builtins":
            return
        self._objects[id(kind)] = kind
        for name, value in list(vars(kind).items()):
            function = getattr(value, "__func__", value)
            if type(value) in PLAIN and not name.startswith("__"):
                self._slot(kind, name)
            elif isinstance(function, FunctionType) and function.__module__ == kind.__module__:
                self._function(function)

    def _function(self, function: FunctionType) -> None:
        """Settings that a method reads from its module's globals or from around it."""
        world = function.__globals__
        for name in _names(function.__code__):
            value = world.get(name)
            if name in world and (type(value) in PLAIN or type(value) in (list, dict)):
                self._take(world, name, value, 1)
        for cell in function.__closure__ or ():
            with suppress(ValueError):  # an empty cell
                value = cell.cell_contents
                if type(value) in PLAIN:
                    self._slot(cell, "cell_contents")
                elif type(value) in (list, dict) and not _holds(value, self._torch.Tensor):
                    self._inside(value, (id(cell), "cell_contents"), 1)


def _named(place: Place) -> Name:
    return id(place[0]), place[1]


def _read(place: Place) -> Any:
    holder, name = place
    try:
        return holder[name] if isinstance(holder, list | dict) else getattr(holder, name)
    except (AttributeError, LookupError, ValueError):
        return MISSING


def _write(place: Place, value: Any) -> None:
    holder, name = place
    with suppress(AttributeError, LookupError, TypeError):
        if value is MISSING:
            if isinstance(holder, dict):
                del holder[name]
        elif isinstance(holder, list | dict):
            holder[name] = value
        elif isinstance(holder, type):
            setattr(holder, name, value)
        else:
            object.__setattr__(holder, name, value)


def _is_plain(value: Any, depth: int = 3) -> bool:
    if type(value) in PLAIN:
        return True
    return depth > 0 and type(value) is tuple and all(_is_plain(item, depth - 1) for item in value)


def _kept(value: Any) -> Any:
    """The value, where it can be put back by itself."""
    return value if _is_plain(value) or isinstance(value, CALLABLES) else KEPT


def _canonical(value: Any) -> Hashable:
    return value if type(value) in PLAIN or type(value) is tuple else id(value)


def _others(value: Any, seen: Sequence[Any]) -> tuple[Any, ...]:
    """Values that an attribute could have, near and far; none where nobody can say."""
    kind = type(value)
    if kind is int:
        return (value + 1, value + 2, value + 3, 0, 1 << 20)
    if kind is float:
        return (0.0, 0.5, 1.0, 2.0 * value, 1e6)
    if kind in (str, bytes):
        return tuple(seen[-4:])
    if kind is list:
        return ([], value + value)
    return ({},) if kind is dict else ()


def _holds(value: Any, tensor: type, depth: int = 2) -> bool:
    """Whether something is a tensor or a container of tensors."""
    if isinstance(value, tensor):
        return True
    if not depth or not isinstance(value, list | tuple | dict):
        return False
    items = list(value.values()) if isinstance(value, dict) else value
    return any(_holds(item, tensor, depth - 1) for item in items[:MOST_ITEMS])


def _form(value: Any, depth: int = 3) -> Hashable:
    """Shapes of tensors and their order, however they are kept."""
    shape = getattr(value, "shape", None)
    if shape is not None:
        return "nested" if getattr(value, "is_nested", False) else (tuple(shape), value.dtype)
    if isinstance(value, dict) and depth:
        return *value, *(_form(item, depth - 1) for item in list(value.values())[:MOST_ITEMS])
    if isinstance(value, list | tuple) and depth:
        return type(value), *(_form(item, depth - 1) for item in value[:MOST_ITEMS])
    return value if type(value) in PLAIN else type(value).__name__


def _hollow(value: Any, torch: Any) -> Any:
    """The same without storage."""
    if isinstance(value, torch.Tensor):
        if value.is_nested:
            return KEPT
        return torch.empty(value.shape, dtype=value.dtype, device="meta")
    if isinstance(value, dict):
        return {key: _hollow(item, torch) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_hollow(item, torch) for item in value)
    return value if type(value) in PLAIN else KEPT


def _root(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _is_settings(kind: type) -> bool:
    """Whether objects of a class may be a model's settings."""
    if "config" in kind.__name__.lower() or kind.__module__ in ("argparse", "types"):
        return True
    root = _root(kind)
    return root not in FOREIGN and root not in sys.stdlib_module_names


def _names(code: CodeType) -> Iterator[str]:
    """Global names that a function and those inside of it read."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
