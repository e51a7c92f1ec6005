"""Tensor shapes in a torch checkpoint, whose pickle is read as data and never executed.

A pickle is a program for a small stack machine. This reader runs the machine on inert values: a
global name becomes a :class:`Name`, a call becomes a :class:`Call`, nothing is imported, nothing is
called. Shapes stand in the arguments of ``torch._utils._rebuild_tensor_v2``:
``(storage, offset, size, stride, requires_grad, hooks)``, and the storage is the persistent id
``("storage", type, key, location, numbers)``.
"""

import io
import pickletools
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from flopcount.model_files.headers.tensor import HeaderError, StoredTensor, checked_shape

LARGEST_PICKLE = 2**28
"""Bytes of structure (names and shapes, no weights)."""
MOST_OPCODES = 20_000_000
_REBUILDERS = {"_rebuild_tensor_v2", "_rebuild_tensor", "_rebuild_tensor_v3"}


@dataclass(frozen=True, slots=True)
class Name:
    """A global that the pickle names; it is not looked up."""

    module: str
    name: str


@dataclass(slots=True)
class Call:
    """A call that the pickle asks for; it is not made."""

    function: Any
    arguments: Any
    items: list[Any] = field(default_factory=list)
    """What was put into the result afterwards: key-value pairs, members, state."""


@dataclass(frozen=True, slots=True)
class Storage:
    """A persistent id: where the numbers lie."""

    value: Any


def read(path: Path) -> list[StoredTensor]:
    """List the tensors of a checkpoint, in the zip form or the older one.

    Raises:
        HeaderError: neither form, or a pickle that is corrupt, too large or too long.
    """
    try:
        with path.open("rb") as file:
            if zipfile.is_zipfile(file):
                file.seek(0)
                root = _machine(io.BytesIO(_structure(file, path)), path)
            else:
                file.seek(0)
                root = _old_form(file, path)
    except (zipfile.BadZipFile, RecursionError, MemoryError, NotImplementedError) as error:
        raise HeaderError(f"{path}: not readable: {str(error)[:100]}") from None
    tensors = list(_tensors(root, path))
    if not tensors:
        raise HeaderError(f"{path}: holds no tensors that are known\n  expected a state dict")
    return tensors


def _structure(file: BinaryIO, path: Path) -> bytes:
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        if len(names) != 1:
            raise HeaderError(f"{path}: a zip without one 'data.pkl'; no torch checkpoint")
        if archive.getinfo(names[0]).file_size > LARGEST_PICKLE:
            raise HeaderError(f"{path}: its structure is larger than {LARGEST_PICKLE:,} bytes")
        with archive.open(names[0]) as member:
            return member.read(LARGEST_PICKLE)


def _old_form(file: BinaryIO, path: Path) -> Any:
    """The older form: magic number, protocol, machine, then the object, then the storages."""
    bounded = _Bounded(file, path)
    magic = _machine(bounded, path)
    if magic != 0x1950A86A20F9469CFC6C:
        raise HeaderError(f"{path}: neither a zip nor an old torch checkpoint")
    for _ in range(2):
        _machine(bounded, path)
    return _machine(bounded, path)


class _Bounded:
    """A file of which only so much may be read, whatever a length in it claims."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.file, self.path, self.left = file, path, LARGEST_PICKLE

    def read(self, size: int = -1) -> bytes:
        return self._spent(self.file.read(self._allowed(size)))

    def readline(self) -> bytes:
        return self._spent(self.file.readline(self._allowed(-1)))

    def _allowed(self, size: int) -> int:
        if size > self.left:
            raise HeaderError(f"{self.path}: claims a value of {size:,} bytes; corrupt")
        return size if size >= 0 else self.left

    def _spent(self, data: bytes) -> bytes:
        self.left -= len(data)
        return data


_MARK = object()


def _machine(file: Any, path: Path) -> Any:
    """Run one pickle on inert values and return what is left on the stack."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if number > MOST_OPCODES:
                raise HeaderError(f"{path}: more than {MOST_OPCODES:,} steps of structure")
            if opcode.name == "STOP":
                return stack.pop()
            _step(opcode.name, argument, stack, memo)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise HeaderError(f"{path}: its structure is corrupt: {str(error)[:100]}") from None
    raise HeaderError(f"{path}: its structure is cut off")


def _step(name: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    if name in _VALUES:
        stack.append(argument)
    elif name in _CONSTANTS:
        stack.append(_CONSTANTS[name]())
    elif name == "MARK":
        stack.append(_MARK)
    elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
        memo[argument] = stack[-1]
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in ("GET", "BINGET", "LONG_BINGET"):
        stack.append(memo[argument])
    elif name == "GLOBAL":
        module, _, attribute = argument.partition(" ")
        stack.append(Name(module, attribute))
    elif name == "STACK_GLOBAL":
        attribute, module = stack.pop(), stack.pop()
        stack.append(Name(str(module), str(attribute)))
    elif name in ("REDUCE", "NEWOBJ"):
        arguments, function = stack.pop(), stack.pop()
        stack.append(Call(function, arguments))
    elif name == "NEWOBJ_EX":
        keywords, arguments, function = stack.pop(), stack.pop(), stack.pop()
        stack.append(Call(function, (arguments, keywords)))
    elif name == "BINPERSID":
        stack.append(Storage(stack.pop()))
    elif name == "BUILD":
        state = stack.pop()
        _into(stack[-1], [state])
    elif name in _GATHER:
        _GATHER[name](stack)
    elif name not in ("PROTO", "FRAME"):
        msg = f"the step {name} is not known"
        raise ValueError(msg)


def _above_mark(stack: list[Any]) -> list[Any]:
    items: list[Any] = []
    while (top := stack.pop()) is not _MARK:
        items.append(top)
    items.reverse()
    return items


def _into(container: Any, items: list[Any]) -> None:
    if isinstance(container, Call):
        container.items.extend(items)
    elif isinstance(container, list):
        container.extend(items)
    else:
        msg = "something is put into a plain value"
        raise TypeError(msg)


def _fixed(length: int) -> Any:
    def build(stack: list[Any]) -> None:
        items = [stack.pop() for _ in range(length)]
        stack.append(tuple(reversed(items)))

    return build


def _set_items(stack: list[Any]) -> None:
    flat = _above_mark(stack)
    _into(stack[-1], list(zip(flat[::2], flat[1::2], strict=True)))


def _set_item(stack: list[Any]) -> None:
    value, key = stack.pop(), stack.pop()
    _into(stack[-1], [(key, value)])


def _append(stack: list[Any]) -> None:
    value = stack.pop()
    _into(stack[-1], [value])


def _appends(stack: list[Any]) -> None:
    items = _above_mark(stack)
    _into(stack[-1], items)


def _mapping(stack: list[Any]) -> None:
    flat = _above_mark(stack)
    stack.append(list(zip(flat[::2], flat[1::2], strict=True)))


_VALUES = {
    "INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "BINUNICODE8",
    "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
# A dictionary becomes a list of pairs: its keys may be anything, also what cannot be hashed.
_CONSTANTS: dict[str, Any] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": list,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
    "EMPTY_TUPLE": tuple,
}
_GATHER: dict[str, Any] = {
    "TUPLE": lambda stack: stack.append(tuple(_above_mark(stack))),
    "TUPLE1": _fixed(1),
    "TUPLE2": _fixed(2),
    "TUPLE3": _fixed(3),
    "LIST": lambda stack: stack.append(_above_mark(stack)),
    "FROZENSET": lambda stack: stack.append(_above_mark(stack)),
    "DICT": _mapping,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "APPEND": _append,
    "APPENDS": _appends,
    "ADDITEMS": _appends,
    "POP": lambda stack: stack.pop(),
    "POP_MARK": _above_mark,
    "DUP": lambda stack: stack.append(stack[-1]),
}


def _tensors(root: Any, path: Path) -> Iterator[StoredTensor]:
    """Walk the inert values; a value that several places share is visited once."""
    waiting: list[tuple[str, str, Any]] = [("", "", root)]
    seen: set[int] = set()
    while waiting:
        name, part, value = waiting.pop()
        if isinstance(value, Call | list | tuple):
            if id(value) in seen:
                continue
            seen.add(id(value))
        if isinstance(value, Call):
            tensor = _tensor(name, "" if name == part else part, value, path)
            if tensor is not None:
                yield tensor
                continue
            waiting.append((name, part, value.arguments))
            value = value.items
        if isinstance(value, list | tuple):
            for inner in reversed(value):
                if isinstance(inner, tuple) and len(inner) == 2 and isinstance(inner[0], str):
                    full = f"{name}.{inner[0]}" if name else inner[0]
                    waiting.append((full, part or inner[0], inner[1]))
                else:
                    waiting.append((name, part, inner))


def _tensor(name: str, part: str, call: Call, path: Path) -> StoredTensor | None:
    function, arguments = call.function, call.arguments
    if not isinstance(function, Name) or function.name not in _REBUILDERS:
        return None
    if not isinstance(arguments, tuple) or len(arguments) < 3:
        raise HeaderError(f"{path}: '{name[:80]}' is a tensor without a shape")
    storage: Any = arguments[0].value if isinstance(arguments[0], Storage) else ()
    storage = storage if isinstance(storage, tuple) else ()
    kind: Any = storage[1] if len(storage) > 2 else None
    key = (str(storage[2])[:80], str(arguments[1])[:30]) if kind is not None else None
    dtype = kind.name if isinstance(kind, Name) else "unknown"
    shape = checked_shape(arguments[2], name, str(path))
    if function.name == "_rebuild_tensor_v3" and len(arguments) > 6:
        last = arguments[6]
        dtype = last.name if isinstance(last, Name) else dtype
    if len(storage) > 4 and len(arguments) > 3:
        shape = _stored_shape(
            shape, arguments[1], arguments[3], storage[4], f"{path}: '{name[:80]}'"
        )
    return StoredTensor(
        name=name,
        dtype=dtype,
        shape=shape,
        part=part,
        identity=None if key is None else (key, shape),
    )


def _stored_shape(
    shape: tuple[int, ...], offset: Any, strides: Any, numbers: Any, where: str
) -> tuple[int, ...]:
    """The shape of what lies in the storage: an axis without a stride repeats what is there.

    Raises:
        HeaderError: the storage is shorter than the tensor that is said to lie in it.
    """
    whole = [offset, numbers, *(strides if isinstance(strides, tuple | list) else [None])]
    if any(type(item) is not int or item < 0 for item in whole) or len(strides) != len(shape):
        raise HeaderError(f"{where} has impossible strides or an impossible place")
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    if 0 not in shape and last >= numbers:
        raise HeaderError(
            f"{where} of shape {list(shape)[:8]} does not fit its storage of {numbers:,} numbers"
        )
    kept = tuple(
        side if stride else min(side, 1) for side, stride in zip(shape, strides, strict=True)
    )
    if prod(kept) > numbers:
        raise HeaderError(f"{where} of shape {list(shape)[:8]} overlaps itself in its storage")
    return kept
