"""What a forward changes beside its tensors, put back after it ran once more for a count.

A counter, a list of what was seen, a generator of random numbers of the model's own: the run must find
each as it was, wherever the code of the model keeps it: in attributes of its parts, in objects that
those hold, in attributes of its classes, in globals and variables around that its functions name. What
it sets for the whole program (:mod:`flopcount.live.settings`), reads from iterators
(:mod:`flopcount.live.iterators`) and writes to the outside (:mod:`flopcount.live.silence`) are rooms of
their own.

Lists, dictionaries and the like may belong to other threads as well (a queue): where there are any, only
numbers, texts and generators are put back.
"""

from __future__ import annotations

import copy
import random
import sys
import threading
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch

from flopcount.exchange import MODULE_KEYS, names_in
from flopcount.helpers import PLAIN
from flopcount.live.iterators import lent_iterators
from flopcount.live.model import LIBRARIES
from flopcount.live.settings import kept_settings
from flopcount.live.silence import silent
from flopcount.live.undo import (
    Undo,
    put_entries,
    reset_generator,
    take_away,
    undo_bytes,
    undo_list,
    undo_set,
    undo_table,
)

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
        if isinstance(value, torch.nn.Module):
            self._hidden(value, depth)
            return
        self._seen[id(value)] = value
        if self._generator(value):
            return
        if kind in TABLES:
            self._containers.append(undo_table(value))
            self._each(value.values(), depth)
        elif kind in LISTS or kind is tuple or kind is set:
            if kind is not tuple:
                self._containers.append(undo_list(value) if kind in LISTS else undo_set(value))
            self._each(value, depth)
        elif kind is bytearray:
            self._containers.append(undo_bytes(value))
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
        try:
            if not (tensor.is_leaf and tensor.requires_grad):
                return
        except RuntimeError:
            return  # a piece of a ``split`` whose whole was written to: torch refuses to say
        gradient = tensor.grad

        def undo() -> None:
            if tensor.grad is not gradient:
                tensor.grad = gradient

        self._values.append(undo)

    def _hidden(self, model: Any, depth: int) -> None:
        """A model that is no part of this one, such as a metric in a list: its tensors are no doubles."""
        for parameter in model.parameters():
            self._gradient(parameter)
        for part in model.modules():
            if id(part) in self._seen or len(self._seen) > MOST:
                continue
            self._seen[id(part)] = part
            state = part.__dict__
            for table in (state, state.get("_parameters"), state.get("_buffers")):
                if isinstance(table, dict):
                    self._values.append(undo_table(table))
            held = [*state.values(), *state.get("_buffers", {}).values()]
            for item in held:
                if type(item) is torch.Tensor:
                    self._numbers(item)
            self._each([item for name, item in state.items() if name not in MODULE_KEYS], depth)

    def _numbers(self, tensor: torch.Tensor) -> None:
        """What a small tensor in the processor's memory holds: norms write past the versions of theirs."""
        if tensor.device.type != "cpu" or tensor.layout is not torch.strided:
            return
        if tensor.is_nested or tensor.nbytes > SMALL or tensor.requires_grad:
            return
        numbers = tensor.clone()

        def undo() -> None:
            if not torch.equal(tensor, numbers):
                tensor.data.copy_(numbers)

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
                self._values.append(lambda: reset_generator(value, state))
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
        self._values.append(lambda: put_entries(holder, before))
        self._containers.append(lambda: take_away(holder, names))
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
            self._values.append(lambda: put_entries(world, {name: value}))
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


@contextmanager
def kept_beside(model: Any) -> Iterator[None]:
    """Inside, a model's forward may do what it likes; afterwards all is as it was."""
    kept = Kept()
    kept.model(model)
    with ExitStack() as stack:
        stack.callback(kept.put_back)
        stack.enter_context(kept_settings())
        stack.enter_context(lent_iterators(model))
        stack.enter_context(silent())
        yield
