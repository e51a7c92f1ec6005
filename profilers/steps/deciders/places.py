"""What a model's attributes hold: read, put back, told apart, and described without being kept.

A place is a dictionary, a list, a cell, an object or a scope, and the name of what it holds
(:mod:`profilers.steps.deciders.attributes`). No torch is imported here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from operator import is_
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any

from profilers.steps.deciders.scopes import MISSING, Local, Variable

PLAIN = frozenset({bool, int, float, complex, str, bytes, type(None)})
CALLABLES = (FunctionType, BuiltinFunctionType, MethodType, type)
DESCRIPTORS = (*CALLABLES, staticmethod, classmethod, property)
"""What a class may have as a method."""
ENTRIES = ("forward", "__call__")
"""Methods by which a part is called."""
MOST_ITEMS = 256
"""Entries of one container or object that are looked at."""
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

Place = tuple[Any, Any]
"""A dictionary, list, cell, object or scope (:mod:`.scopes`), and the name of what it holds."""
Name = tuple[int, Any]
"""The same for looking it up: the holder's id."""

KEPT = object()
"""In place of a value: a container or an object, whose contents are places of their own."""
GRAPH = "requires a gradient"
"""In the form of a tensor."""


class Table:
    """A class as a place: what it has itself, and not what it inherits."""

    __slots__ = ("kind",)

    def __init__(self, kind: type) -> None:
        self.kind = kind


def named(place: Place) -> Name:
    """A place by its holder's id."""
    return id(place[0]), place[1]


def read(place: Place) -> Any:
    """What a place holds; ``MISSING`` without."""
    holder, name = place
    if type(holder) is Table:
        return vars(holder.kind).get(name, MISSING)
    try:
        inside = isinstance(holder, list | dict | Variable | Local)
        return holder[name] if inside else getattr(holder, name)
    except (AttributeError, LookupError, ValueError):
        return MISSING


def write(place: Place, value: Any) -> None:
    """Have a place hold a value, or nothing if it is ``MISSING``."""
    holder, name = place
    with suppress(AttributeError, LookupError, TypeError):
        if type(holder) is Table:
            if value is MISSING:
                delattr(holder.kind, name)
            else:
                setattr(holder.kind, name, value)
        elif type(holder) is Local:
            holder.put(name, value)
        elif value is MISSING:
            if isinstance(holder, dict):
                del holder[name]
        elif isinstance(holder, list | dict):
            holder[name] = value
        elif isinstance(holder, type):
            setattr(holder, name, value)
        else:
            object.__setattr__(holder, name, value)


def content_of(container: Any) -> Any:
    """What is in a container: of a dictionary the names only, of a class those of its methods."""
    if type(container) is Table:
        return frozenset(
            name
            for name, value in vars(container.kind).items()
            if isinstance(value, DESCRIPTORS) and (name in ENTRIES or not name.startswith("__"))
        )
    if isinstance(container, dict):
        return frozenset(container)
    if type(container) is Local:
        return frozenset(container.names())
    return container.copy() if len(container) <= MOST_ITEMS else None


def refill(container: Any, content: Any, undo: list[Callable[[], None]]) -> None:
    """Have a container hold no more and no less than it did; what undoes it joins a list."""
    if content is None:
        return
    if type(container) in (Table, Local):
        for name in content_of(container) - content:
            undo.append(partial(write, (container, name), read((container, name))))
            write((container, name), MISSING)
    elif isinstance(container, dict):
        later = [name for name in container if name not in content]
        undo.extend(partial(write, (container, name), container.pop(name)) for name in later)
    elif isinstance(container, list) and not (
        len(container) == len(content) and all(map(is_, container, content))
    ):
        undo.append(partial(container.__setitem__, slice(None), container.copy()))
        container[:] = content
    elif isinstance(container, set) and container != content:
        undo.append(partial(_refill_set, container, container.copy()))
        _refill_set(container, content)


def _refill_set(container: set[Any], content: set[Any]) -> None:
    container.clear()
    container.update(content)


def is_plain(value: Any, depth: int = 3) -> bool:
    """Whether it is a number, a text or the like, or a tuple of them."""
    if type(value) in PLAIN:
        return True
    return depth > 0 and type(value) is tuple and all(is_plain(item, depth - 1) for item in value)


def kept(value: Any) -> Any:
    """The value, where it can be put back by itself."""
    known = value is MISSING or is_plain(value) or isinstance(value, CALLABLES)
    return value if known else KEPT


def canonical(value: Any) -> Hashable:
    """What stands for a value in the key of a state."""
    if type(value) is tuple:
        return tuple(map(canonical, value))
    return (type(value), value) if type(value) in PLAIN else id(value)


def others(value: Any, seen: Sequence[Any]) -> tuple[Any, ...]:
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


def holds(value: Any, tensor: type, depth: int = 2) -> bool:
    """Whether something is a tensor or a container of tensors."""
    if isinstance(value, tensor):
        return True
    if not depth or not isinstance(value, list | tuple | dict):
        return False
    items = list(value.values()) if isinstance(value, dict) else value
    return any(holds(item, tensor, depth - 1) for item in items[:MOST_ITEMS])


def form_of(value: Any, depth: int = 3) -> Hashable:
    """Shapes of tensors and their order, however they are kept."""
    shape = getattr(value, "shape", None)
    if shape is not None:
        if getattr(value, "is_nested", False):
            return "nested"
        if getattr(value, "requires_grad", False):
            return tuple(shape), value.dtype, GRAPH
        return tuple(shape), value.dtype
    if isinstance(value, dict) and depth:
        return (
            len(value),
            *value,
            *(form_of(item, depth - 1) for item in list(value.values())[:MOST_ITEMS]),
        )
    if isinstance(value, list | tuple) and depth:
        return type(value), len(value), *(form_of(item, depth - 1) for item in value[:MOST_ITEMS])
    return value if type(value) in PLAIN else type(value).__name__


def has_graph(form: Any) -> bool:
    """Whether a tensor of a form can be differentiated further."""
    return isinstance(form, tuple) and (
        (len(form) == 3 and form[2] is GRAPH) or any(map(has_graph, form))
    )


def hollow(value: Any, torch: Any) -> Any:
    """The same without storage."""
    made: Any
    if isinstance(value, torch.Tensor):
        if value.is_nested:
            return KEPT
        made = torch.empty(value.shape, dtype=value.dtype, device="meta")
        return made.requires_grad_(value.requires_grad)
    if isinstance(value, dict):
        made = {key: hollow(item, torch) for key, item in value.items()}
        return KEPT if any(item is KEPT for item in made.values()) else made
    if type(value) in (list, tuple):
        made = [hollow(item, torch) for item in value]
        return KEPT if any(item is KEPT for item in made) else type(value)(made)
    return value if type(value) in PLAIN else KEPT


def root_of(item: type | FunctionType) -> str:
    """The package of a class or function."""
    return (item.__module__ or "").partition(".")[0]


def is_known(root: str) -> bool:
    """Whether a package is a library, or Python's own."""
    return root in LIBRARIES or root in sys.stdlib_module_names


def is_own(function: FunctionType) -> bool:
    """Whether a function is the program's, and no library's."""
    return not (is_known(root_of(function)) or "-packages" in function.__code__.co_filename)


def is_settings(kind: type) -> bool:
    """Whether objects of a class may be a model's settings."""
    if "config" in kind.__name__.lower() or kind.__module__ in ("argparse", "types"):
        return True
    root = root_of(kind)
    return root not in FOREIGN and root not in sys.stdlib_module_names


def names_in(code: CodeType) -> Iterator[str]:
    """Global names that a function and those inside of it read."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)
