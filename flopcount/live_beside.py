"""What a forward changes beside its tensors, put back after it ran once more for a count.

A counter, a list of what was seen, a generator of random numbers of the model's own: the run must find
each as it was, wherever the code of the model keeps it: in attributes of its parts, in objects that
those hold, in attributes of its classes, in globals and variables around that its functions name. Values
are put back, and not objects, so that everybody who holds one still holds it. What is printed or logged
meanwhile is thrown away, and files that are opened for writing lead nowhere.

Lists, dictionaries and the like may belong to other threads as well (a queue): where there are any, only
numbers, texts and generators are put back.
"""

from __future__ import annotations

import builtins
import copy
import gc
import io
import itertools
import logging
import os
import random
import sys
import threading
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch

from flopcount.errors import CountError
from flopcount.exchange import MODULE_KEYS, names_in
from flopcount.helpers import PLAIN
from flopcount.live_model import LIBRARIES

MOST = 20_000
"""Objects that are looked at."""
MOST_INSIDE = 1000
"""Of what one container holds."""
DEPTH = 5
SMALL = 1 << 16
"""Bytes of an array that is copied."""
TABLES = (dict, OrderedDict, defaultdict, Counter)
LISTS = (list, deque)
OURS = "flopledger"
"""Name of the thread that writes beside the program."""
LEFT = LIBRARIES | {"builtins", "functools", "typing", "threading", "logging", "numpy"}
Undo = Callable[[], None]


class Kept:
    """Everything beside the tensors that a model's code may write to, as it is now."""

    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}
        """What was looked at, by id; kept, so that an id stays its own."""
        self._read: dict[int, Any] = {}
        """Classes and functions of which it was looked up what they name."""
        self._values: list[Undo] = []
        self._containers: list[Undo] = []

    def model(self, model: Any) -> None:
        """Look at a model's modules, their classes, and what those name."""
        kinds: dict[type, None] = {}
        for module in model.modules():
            kinds.update(dict.fromkeys(type(module).__mro__))
            for name, value in list(module.__dict__.items()):
                if type(value) not in PLAIN and name not in MODULE_KEYS:
                    self.look(value, DEPTH)
        for kind in kinds:
            self._kind(kind)

    def look(self, value: Any, depth: int) -> None:
        """Keep what a value holds."""
        kind = type(value)
        if kind in PLAIN or depth < 0 or id(value) in self._seen or len(self._seen) > MOST:
            return
        if isinstance(value, types.ModuleType):
            return
        if isinstance(value, torch.Tensor):
            self._gradient(value)
            return
        if isinstance(
            value, torch.nn.Module
        ):  # hidden, or another model: its tensors are no doubles
            for parameter in value.parameters():
                self._gradient(parameter)
            return
        self._seen[id(value)] = value
        if self._generator(value):
            return
        if kind in TABLES:
            self._containers.append(_undo_table(value))
            self._each(value.values(), depth)
        elif kind in LISTS or kind is tuple or kind is set:
            if kind is not tuple:
                self._containers.append(_undo_list(value) if kind in LISTS else _undo_set(value))
            self._each(value, depth)
        elif kind is bytearray:
            self._containers.append(_undo_bytes(value))
        elif isinstance(value, types.FunctionType):
            self._function(value, depth)
        elif isinstance(value, types.MethodType):
            self.look(value.__self__, depth - 1)
            self.look(value.__func__, depth - 1)
        elif isinstance(value, type):
            self._kind(value)
        else:
            self._object(value, depth)

    def _gradient(self, tensor: torch.Tensor) -> None:
        if not (tensor.is_leaf and tensor.requires_grad):
            return
        gradient = tensor.grad

        def undo() -> None:
            if tensor.grad is not gradient:
                tensor.grad = gradient

        self._values.append(undo)

    def _each(self, values: Iterable[Any], depth: int) -> None:
        for item in list(values)[:MOST_INSIDE]:
            self.look(item, depth - 1)

    def _generator(self, value: Any) -> bool:
        """A generator of random numbers, or an array; numpy is not imported for it."""
        numpy = sys.modules.get("numpy")
        if isinstance(value, torch.Generator):
            if value.device.type == "cpu":  # another device's is not read: that would wait for it
                state = value.get_state()
                self._values.append(lambda: _reset(value, state))
        elif isinstance(value, random.Random):
            numbers = value.getstate()
            self._values.append(lambda: value.setstate(numbers))
        elif numpy is None:
            return False
        elif isinstance(value, numpy.random.RandomState):
            legacy = value.get_state()
            self._values.append(lambda: value.set_state(legacy))
        elif isinstance(value, numpy.random.Generator):
            bits = copy.deepcopy(value.bit_generator.state)
            self._values.append(lambda: setattr(value.bit_generator, "state", bits))
        elif type(value) is numpy.ndarray:
            if value.nbytes <= SMALL and value.flags.writeable and not value.dtype.hasobject:
                numbers = value.copy()
                self._containers.append(lambda: numpy.copyto(value, numbers))
        else:
            return False
        return True

    def _object(self, value: Any, depth: int) -> None:
        if type(value).__module__.partition(".")[0] in LEFT:
            return
        table = getattr(value, "__dict__", None)
        if type(table) is dict:
            self._plain(table, table, depth)
        for kind in type(value).__mro__:
            names = vars(kind).get("__slots__", ())
            for name in (names,) if isinstance(names, str) else tuple(names):
                with suppress(AttributeError):
                    self._attribute(value, name, getattr(value, name), depth)
        self._kind(type(value))

    def _plain(self, holder: dict[str, Any], table: dict[str, Any], depth: int) -> None:
        before = {name: value for name, value in table.items() if type(value) in PLAIN}
        names = frozenset(table)
        self._values.append(lambda: _put(holder, before))
        self._containers.append(lambda: _take_away(holder, names))
        self._each(table.values(), depth)

    def _attribute(self, holder: Any, name: str, value: Any, depth: int) -> None:
        def undo() -> None:
            if getattr(holder, name, undo) is not value:
                setattr(holder, name, value)

        self._values.append(undo)
        self.look(value, depth - 1)

    def _kind(self, kind: type) -> None:
        """What a class holds, and what its methods name."""
        if kind.__module__.partition(".")[0] in LEFT or kind.__module__ in sys.stdlib_module_names:
            return
        if id(kind) in self._read:
            return
        self._read[id(kind)] = kind
        for name, value in list(vars(kind).items()):
            function = getattr(value, "__func__", value)
            if isinstance(function, types.FunctionType):
                self._function(function, DEPTH)
            elif not name.startswith("__") and not isinstance(value, types.MemberDescriptorType):
                self._attribute(kind, name, value, 2)

    def _function(self, function: types.FunctionType, depth: int) -> None:
        if id(function) in self._read:
            return
        self._read[id(function)] = function
        if (function.__module__ or "").partition(".")[0] in LEFT:
            return
        world = function.__globals__
        for name in sorted(names_in(function.__code__, 4)):
            if name in world:
                self._name(world, name, depth)
        for cell in function.__closure__ or ():
            with suppress(ValueError):  # an empty cell
                self._attribute(cell, "cell_contents", cell.cell_contents, depth - 1)

    def _name(self, world: dict[str, Any], name: str, depth: int) -> None:
        value = world[name]
        if type(value) in PLAIN:
            self._values.append(lambda: _put(world, {name: value}))
        else:
            self.look(value, min(depth - 1, 3))

    def put_back(self) -> None:
        """Write everything back where it was."""
        alone = all(
            thread is threading.current_thread() or thread.name == OURS
            for thread in threading.enumerate()
        )
        for undo in (*self._values, *(self._containers if alone else ())):
            with suppress(Exception):  # an object of the program's may refuse in any way
                undo()


def _reset(generator: torch.Generator, state: torch.Tensor) -> None:
    if not torch.equal(generator.get_state(), state):
        generator.set_state(state)


def _put(table: dict[str, Any], before: dict[str, Any]) -> None:
    for name, value in before.items():
        if table.get(name, table) is not value:
            table[name] = value


def _take_away(table: dict[str, Any], names: frozenset[str]) -> None:
    for name in [name for name in table if name not in names]:
        del table[name]


def _undo_table(table: Any) -> Undo:
    before = dict(table)

    def undo() -> None:
        if len(table) != len(before) or any(
            table.get(k, table) is not v for k, v in before.items()
        ):
            table.clear()
            table.update(before)

    return undo


def _undo_list(items: Any) -> Undo:
    before = list(items)

    def undo() -> None:
        if len(items) != len(before) or any(
            a is not b for a, b in zip(items, before, strict=False)
        ):
            items.clear()
            items.extend(before)

    return undo


def _undo_set(items: set[Any]) -> Undo:
    before = set(items)

    def undo() -> None:
        if items != before:
            items.clear()
            items.update(before)

    return undo


def _undo_bytes(items: bytearray) -> Undo:
    before = bytes(items)

    def undo() -> None:
        if items != before:
            items[:] = before

    return undo


class _Muted:
    """A stream that one thread's writing does not reach."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._thread = stream, threading.get_ident()

    def write(self, text: Any) -> Any:
        """Write, from another thread."""
        return len(text) if threading.get_ident() == self._thread else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing that this thread prints, logs or writes to files is seen."""
    me = threading.get_ident()
    streams = [(name, getattr(sys, name)) for name in ("stdout", "stderr")]
    handle, opened, opened_by_io = logging.Logger.handle, builtins.open, io.open

    def handled(logger: Any, record: Any) -> None:
        if threading.get_ident() != me:
            handle(logger, record)

    def nowhere(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
        if threading.get_ident() == me and any(letter in mode for letter in "wax+"):
            binary = "b" if "b" in mode else ""
            return opened(
                os.devnull, f"r+{binary}" if "+" in mode else f"w{binary}", *rest, **named
            )
        return opened(file, mode, *rest, **named)

    muted = [(name, _Muted(stream)) for name, stream in streams if stream is not None]
    try:
        for name, stream in muted:
            setattr(sys, name, stream)
        logging.Logger.handle = handled  # type: ignore[method-assign,assignment]
        builtins.open = io.open = nowhere
        yield
    finally:
        builtins.open, io.open = opened, opened_by_io
        logging.Logger.handle = handle  # type: ignore[method-assign]
        now = dict(muted)
        for name, stream in streams:
            if getattr(sys, name, None) is now.get(name):
                setattr(sys, name, stream)


def _set_device(context: Any) -> None:
    torch.set_default_device(None if context is None else context.device)


def _put_environment(before: dict[str, str]) -> None:
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update({k: v for k, v in before.items() if os.environ.get(k) != v})


COPIED: tuple[Any, ...] = (
    type(iter([])),
    type(iter(())),
    type(iter(range(0))),
    itertools.count,
    itertools.repeat,
)
"""Iterators whose copies share nothing with them."""


class _Unreadable:
    """Stands for a generator and the like, of which nothing can be read twice."""

    def __iter__(self) -> _Unreadable:
        return self

    def __next__(self) -> Any:
        raise CountError("the model reads from an iterator, which cannot be read once more")


@contextmanager
def _lent_iterators(model: Any) -> Iterator[None]:
    """Modules read from copies of their iterators."""
    lent: list[tuple[dict[str, Any], str, Any]] = []
    for module in model.modules():
        for name, value in module.__dict__.items():
            if isinstance(value, Iterator) and type(value).__module__ in ("builtins", "itertools"):
                lent.append((module.__dict__, name, value))
    for table, name, value in lent:
        table[name] = copy.copy(value) if type(value) in COPIED else _Unreadable()
    try:
        yield
    finally:
        for table, name, value in lent:
            table[name] = value


SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (lambda: torch._GLOBAL_DEVICE_CONTEXT.__dict__.get("device_context"), _set_device),
    (torch.is_grad_enabled, torch._C._set_grad_enabled),
    (torch.is_warn_always_enabled, torch.set_warn_always),
    (torch.is_anomaly_enabled, torch._C.set_anomaly_enabled),
    (torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    (torch._C._get_cublas_allow_tf32, torch._C._set_cublas_allow_tf32),
    (torch._C._get_cudnn_allow_tf32, torch._C._set_cudnn_allow_tf32),
    (torch._C._get_cudnn_enabled, torch._C._set_cudnn_enabled),
    (torch._C._get_cudnn_benchmark, torch._C._set_cudnn_benchmark),
    (torch._C._get_cudnn_deterministic, torch._C._set_cudnn_deterministic),
    (torch._C._get_flash_sdp_enabled, torch._C._set_sdp_use_flash),
    (torch._C._get_mem_efficient_sdp_enabled, torch._C._set_sdp_use_mem_efficient),
    (torch._C._get_math_sdp_enabled, torch._C._set_sdp_use_math),
    (torch.get_num_threads, torch.set_num_threads),
    (gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    (sys.getrecursionlimit, sys.setrecursionlimit),
    (sys.gettrace, sys.settrace),
    (sys.getprofile, sys.setprofile),
    (sys.getswitchinterval, sys.setswitchinterval),
    (lambda: logging.root.manager.disable, logging.disable),
    (os.getcwd, os.chdir),
    (lambda: dict(os.environ), _put_environment),
)
"""What a forward may set for the whole program: how it is read, and how it is set."""


@contextmanager
def _kept_settings() -> Iterator[None]:
    """A setting is written only where it changed."""
    before: list[tuple[Callable[[], Any], Callable[[Any], Any], Any]] = []
    for get, put in SETTINGS:
        with suppress(Exception):  # a folder may be gone
            before.append((get, put, get()))
    try:
        yield
    finally:
        for get, put, value in before:
            with suppress(Exception):
                if get() != value:
                    put(value)


@contextmanager
def kept_beside(model: Any) -> Iterator[None]:
    """Inside, a model's forward may do what it likes; afterwards all is as it was."""
    kept = Kept()
    kept.model(model)
    with ExitStack() as stack:
        stack.callback(kept.put_back)
        stack.enter_context(_kept_settings())
        stack.enter_context(_lent_iterators(model))
        stack.enter_context(_silent())
        yield
