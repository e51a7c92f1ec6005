"""What tells one kind of call from another: shapes and settings, read without touching a device.

No torch is imported here; the class of tensors is handed in by :mod:`profilers.steps.observer`.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from itertools import islice
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

PLAIN = (int, str, bool, bytes, type(None))
NAMES = ("device", "dtype", "layout", "memory_format")
"""torch's types whose values are names of something."""
DEPTH = 6
INWARDS = 4
"""So much less deep is looked at what a function is around."""
CALLED = (FunctionType, MethodType, BuiltinFunctionType, partial, type)
MOST_ITEMS = 64
"""Items of one container that are looked at; caches repeat themselves after the first layers."""
MOST_FOUND = 1024
"""The same, where tensors are looked for."""
MOST_BRIEF = 1 << 16
"""The same, of long lists: lengths, images."""
MOST_OUTPUTS = 16
"""Output tensors whose gradients are watched."""


SMALL = 1 << 13
"""Whole numbers of so many elements are looked at by value (as many as flopcount.live.capture keeps)."""


READ_ONCE = "an iterator among the inputs can be read only once"
"""In a signature: what such calls cost is not known."""


class Values(bytes):
    """What whole numbers among the inputs are; no size, and apart from them."""

    __slots__ = ()


class Numbers(Values):
    """The same with numbers that are given beside tensors, which nobody can see being asked for."""

    __slots__ = ()


class Signer:
    """Writes signatures of inputs and finds the tensors in outputs."""

    def __init__(self, tensor: Any, strided: Any) -> None:
        """Take torch's class of tensors and its name of the usual layout."""
        self._tensor = tensor
        self._strided = strided

    def add(self, value: Any, parts: list[Any], depth: int = DEPTH) -> None:
        """Append what a value looks like: everything that its cost may depend on."""
        kind = type(value)
        if kind is self._tensor or isinstance(value, self._tensor):
            self._add_tensor(value, parts)
        elif kind is int:
            parts.append(value)
        elif kind in PLAIN or (kind.__module__ == "torch" and kind.__name__ in NAMES):
            parts += (kind, value)  # with its type, for True is equal to 1
        elif kind is slice:
            parts.append(kind)
            for item in (value.start, value.stop, value.step):
                self.add(item, parts, depth - 1)
        elif kind is float or kind is complex or depth < 0:
            parts.append(kind)  # a number that changes each step is no new kind of call
        elif isinstance(value, Mapping):
            parts.append(kind)
            parts.append(len(value))
            for key, item in islice(value.items(), MOST_ITEMS):
                parts.append(key if isinstance(key, str | int) else type(key))
                self.add(item, parts, depth - 1)
            if len(value) > MOST_ITEMS:
                parts.append(
                    tuple(map(self._brief, islice(value.values(), MOST_ITEMS, MOST_BRIEF)))
                )
        elif isinstance(value, list | tuple | deque):
            parts.append(kind)
            parts.append(len(value))
            for item in islice(value, MOST_ITEMS):
                self.add(item, parts, depth - 1)
            if len(value) > MOST_ITEMS:
                parts.append(tuple(map(self._brief, islice(value, MOST_ITEMS, MOST_BRIEF))))
        elif isinstance(value, set | frozenset | range):
            parts.append(value if kind is range else frozenset(value))
        elif kind.__module__ == "numpy":
            self._add_array(value, parts)
        elif isinstance(value, Iterator):
            parts.append(READ_ONCE)
        elif callable(value):
            self._add_callable(value, parts, depth)
        else:
            parts.append(kind)
            self._add_fields(value, parts, depth)

    def _brief(self, value: Any) -> Any:
        """One of very many items."""
        if isinstance(value, self._tensor):
            return "nested" if value.is_nested else (tuple(value.shape), value.requires_grad)
        return value if type(value) in PLAIN else type(value)

    def _add_array(self, value: Any, parts: list[Any]) -> None:
        shape = getattr(value, "shape", None)
        parts.append(type(value))
        if shape == () and value.dtype.kind in "biu":
            parts.append(value.item())
        elif shape is not None:
            parts += (len(shape), *shape, str(value.dtype))

    def _add_fields(self, value: Any, parts: list[Any], depth: int) -> None:
        """What an object keeps, but for numbers, which are no sizes (``values``)."""
        for key, item in islice(fields_of(value), MOST_ITEMS):
            if not isinstance(item, int | float) or isinstance(item, bool):
                parts.append(key)
                self.add(item, parts, depth - 2)

    def _add_callable(self, value: Any, parts: list[Any], depth: int) -> None:
        """A function by its code, for it may be made anew for each call, and by what it is around.

        A module by what it is.
        """
        modules = getattr(value, "modules", None)
        if isinstance(getattr(value, "__dict__", {}).get("_parameters"), dict) and modules:
            parts.append(type(value))
            parts.append(str(id(value)))
            parts.append(tuple(module.training for module in modules()))
            parts += [(tuple(p.shape), p.dtype, p.requires_grad) for p in value.parameters()]
            return
        parts.append(getattr(value, "__code__", type(value)))
        if isinstance(value, type | BuiltinFunctionType):
            parts.append(value.__qualname__)
        for item in around(value):
            self.add(item, parts, depth - INWARDS)
        if not isinstance(value, type | FunctionType | MethodType | partial):
            self._add_fields(value, parts, depth - INWARDS)

    def _add_tensor(self, value: Any, parts: list[Any]) -> None:
        if value.is_nested or value.layout is not self._strided:
            parts.append(str(value.layout))
            parts.append(value.dtype)
            # Host-side facts only: the lengths themselves may live on the device.
            parts.append(value._nnz() if value.is_sparse else value.numel())
            if value.is_nested:
                return
        parts.append(value.shape)
        parts.append(value.dtype)
        parts.append(value.requires_grad)

    def values(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Values:
        """Numbers among the inputs by value: small whole ones in the processor's own memory, and
        those beside tensors that ``add`` leaves out."""
        found: list[Any] = self.inputs(args, kwargs)
        whole = [
            tensor.numpy().tobytes()
            for tensor in found
            if type(tensor) is self._tensor
            and tensor.device.type == "cpu"
            and not (tensor.is_floating_point() or tensor.is_complex() or tensor.is_quantized)
            and not tensor.is_nested
            and tensor.layout is self._strided
            and tensor.numel() <= SMALL
        ]
        whole += [
            length for tensor in found if tensor.is_nested for length in self._lengths(tensor)
        ]
        numbers: list[bytes] = []
        for value in (*args, *kwargs.values()):
            self._numbers(value, numbers, DEPTH)
        kind = Numbers if numbers else Values
        whole += numbers
        return kind(blake2b(b"|".join(whole), digest_size=16).digest() if whole else b"")

    def _lengths(self, nested: Any) -> list[bytes]:
        """How long the parts of a nested tensor are, as far as that lies in the processor's memory."""
        told: tuple[Any, ...] = (
            (nested._nested_tensor_size(),)
            if nested.layout is self._strided
            else (nested.offsets(), nested.lengths())
        )
        return [
            each.numpy().tobytes()
            for each in told
            if each is not None and type(each) is self._tensor and each.device.type == "cpu"
        ]

    def _numbers(self, value: Any, found: list[bytes], depth: int) -> None:
        """Numbers that are no sizes: with a fraction, or in an object or array."""
        kind = type(value)
        if kind is float or kind is complex:
            found.append(repr(value).encode())
        elif kind is self._tensor or kind in PLAIN or depth < 0 or isinstance(value, Iterator):
            return
        elif isinstance(value, CALLED):
            for item in around(value):
                self._numbers(item, found, depth - INWARDS)
        elif callable(value) and isinstance(
            getattr(value, "__dict__", {}).get("_parameters"), dict
        ):
            return  # a module
        elif isinstance(value, Mapping | list | tuple | deque):
            items = value.values() if isinstance(value, Mapping) else value
            for item in islice(items, MOST_FOUND):
                self._numbers(item, found, depth - 1)
        elif kind.__module__ == "numpy":
            if getattr(value, "size", SMALL + 1) <= SMALL and value.dtype.kind in "biuf":
                found.append(value.tobytes())
        elif not isinstance(value, self._tensor):
            for _, item in islice(fields_of(value), MOST_FOUND):
                if type(item) is int:
                    found.append(repr(item).encode())
                else:
                    self._numbers(item, found, depth - 2)

    def outputs(self, value: Any) -> list[Any]:
        """Every tensor of an output, always in the same order, the same for any tensors."""
        found: list[Any] = []
        self._outputs(value, found, 3)
        return found

    def _outputs(self, value: Any, found: list[Any], depth: int) -> None:
        if isinstance(value, self._tensor):
            found.append(value)
        elif depth < 0 or isinstance(value, PLAIN):
            return
        elif isinstance(value, Mapping):
            for item in list(value.values())[:MOST_FOUND]:
                self._outputs(item, found, depth - 1)
        elif isinstance(value, list | tuple):
            for item in value[:MOST_FOUND]:
                self._outputs(item, found, depth - 1)
        elif isinstance(value, CALLED):
            for item in around(value):
                self._outputs(item, found, depth - 2 * isinstance(item, CALLED))
        elif depth == 3 or hasattr(value, "__dataclass_fields__"):
            for _, item in islice(fields_of(value), MOST_FOUND):
                self._outputs(item, found, depth - 2)

    def inputs(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
        """Every tensor among the inputs, positional ones first."""
        found: list[Any] = []
        for value in (*args, *kwargs.values()):
            self._outputs(value, found, 3)
        return found


def fields_of(value: Any) -> Iterator[tuple[str, Any]]:
    """What an object keeps, in its dictionary and in slots, with their names."""
    yield from list(getattr(value, "__dict__", {}).items())
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            if name.startswith("__") and not name.endswith("__"):
                name = f"_{kind.__name__.lstrip('_')}{name}"
            with suppress(AttributeError):
                if name not in ("__dict__", "__weakref__"):
                    yield name, object.__getattribute__(value, name)


def around(value: Any) -> Iterator[Any]:
    """What a function reads beside its arguments: what it closes over, its defaults, and whose it is."""
    if isinstance(value, partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, MethodType | BuiltinFunctionType):
        if not isinstance(value.__self__, ModuleType):
            yield value.__self__
    elif isinstance(value, FunctionType):
        yield from value.__defaults__ or ()
        yield from (value.__kwdefaults__ or {}).values()
        yield from map(_content, value.__closure__ or ())


def _content(cell: CellType) -> Any:
    with suppress(ValueError):  # nothing yet
        return cell.cell_contents
    return None


def text_of(tensor: Any) -> str:
    """Shape and dtype for people, e.g. ``int64[8, 128]``."""
    dtype = str(tensor.dtype).removeprefix("torch.")
    if tensor.is_nested:
        return f"{dtype}[nested of {tensor.numel()}]"
    return f"{dtype}{list(tensor.shape)}"


TEXTS = ("input_ids", "tokens")
"""What models call their tokens."""


def tokens_of(kwargs: Mapping[str, Any], tensors: list[Any]) -> tuple[int | None, int | None]:
    """Tokens and samples of one call, by the rule of docs/recording.md.

    Tokens: the size of ``input_ids`` or ``tokens`` (of texts that are packed into one row, too, which says
    nothing of samples), else batch x sequence of ``inputs_embeds``, else the size of
    the first whole-number matrix (batch x sequence) among the inputs that is no mask (a waveform
    has one, and no tokens); None without one. Samples: the first axis of that matrix, else of the first
    input tensor that has an axis and needs no gradient: one that needs it comes from another model
    or pipeline stage, where it was counted.
    """
    named: Any = next((kwargs[name] for name in TEXTS if name in kwargs), None)
    flat = [each for each in tensors if each is named and not each.is_nested and each.dim() == 1]
    if flat and "int" in str(flat[0].dtype):
        return int(flat[0].shape[0]), None
    given: Any = kwargs.get("inputs_embeds")
    embedded = [t for t in tensors if t is given and not t.is_nested and t.dim() == 3]
    if named is None and embedded:
        batch, sequence, _ = embedded[0].shape
        return int(batch) * int(sequence), int(batch)
    masks = {id(value) for name, value in kwargs.items() if "mask" in name}
    candidates = [named, *tensors] if named is not None else tensors
    for tensor in candidates:
        if id(tensor) in masks:
            continue
        if hasattr(tensor, "dim") and not tensor.is_nested and tensor.dim() == 2:
            dtype = str(tensor.dtype)
            if "int" in dtype:
                return int(tensor.shape[0]) * int(tensor.shape[1]), int(tensor.shape[0])
    for tensor in tensors:
        if not tensor.is_nested and tensor.dim() >= 1 and not tensor.requires_grad:
            return None, int(tensor.shape[0])
    return None, None
