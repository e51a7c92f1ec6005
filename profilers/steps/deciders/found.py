"""What of a model, its classes, its functions and their settings a call may hang on: where it lies.

Everything that :mod:`profilers.steps.deciders.attributes` compares is found here. No torch is imported here.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator, Mapping, Set
from contextlib import suppress
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from profilers.steps.deciders.functions import WORK
from profilers.steps.deciders.methods import (
    Kinds,
    bare_tables_of,
    functions_of,
    methods_of,
    names_of,
    tables_of,
)
from profilers.steps.deciders.places import (
    CALLABLES,
    LIBRARIES,
    MOST_ITEMS,
    PLAIN,
    Name,
    Place,
    form_of,
    has_graph,
    holds,
    is_known,
    is_own,
    is_settings,
    root_of,
)
from profilers.steps.deciders.scopes import MISSING, Local, Scopes

if TYPE_CHECKING:
    from profilers.steps.deciders.drift import Drift
    from profilers.steps.deciders.switches import Switches

MOST_PLACES = 50_000
MOST_FUNCTIONS = 256
"""Functions beside methods in which settings are looked for."""
INERT = frozenset(
    {
        "AlphaDropout", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "CrossEntropyLoss", "Dropout",
        "Dropout1d", "Dropout2d", "Dropout3d", "ELU", "Embedding", "GELU", "GroupNorm", "Identity",
        "LayerNorm", "LeakyReLU", "Linear", "MSELoss", "ModuleDict", "ModuleList", "RMSNorm", "ReLU",
        "Sequential", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh",
    }
)  # fmt: skip
"""Modules of torch whose attributes decide nothing of their products."""
ENVIRONMENT = frozenset({"environ", "getenv"})
"""Names by which the process's environment is read."""
STOPPING = "_enable_checkpoint_early_stop"
"""Of ``torch.utils.checkpoint``: whether what is computed again ends where everything needed is there. A
forward reads it, and a program sets it around a call (``set_checkpoint_early_stop``)."""


class Found:
    """The places of one model at one time, and what was there."""

    def __init__(
        self,
        torch: Any,
        drift: Drift,
        switches: Switches,
        moving: Set[Name] = frozenset(),
        hooked: Container[int] = (),
        scopes: Scopes | None = None,
    ) -> None:
        """Nothing yet.

        Args:
            torch: The module.
            drift: Knows what decides nothing, and what is made anew for each call.
            switches: Take the tensors whose values may decide.
            moving: Buffers that the program exchanges, by the id of what holds them, and their name.
            hooked: Ids of dictionaries into which the program puts hooks.
            scopes: Stand for context variables and thread-locals.

        """
        self._torch, self._drift, self._switches = torch, drift, switches
        self._moving, self._hooked = moving, hooked
        self._scopes = Scopes() if scopes is None else scopes
        self.locals: list[Local] = []
        """Thread-locals, whose length is compared."""
        self._common = frozenset(vars(torch.nn.Module())) - {"training"}
        self.items: list[tuple[Any, Any, Any]] = []
        """Dictionary or list, key, and what it holds there; also what classes have, and hooks."""
        self.own: list[tuple[Any, Any, Any]] = []
        """Without those of classes and hooks."""
        self.methods: list[tuple[type, str, Any]] = []
        self.hooks: list[tuple[int, dict[Any, Any]]] = []
        self.bare: list[dict[Any, Any]] = []
        """Where no hooks were."""
        self.classes: list[type] = []
        """The program's own."""
        self.kinds = Kinds(())
        """Classes of the parts; the last of what is ``sized``."""
        self.fields: list[tuple[Any, str, Any]] = []
        """Object, name, and what it has there."""
        self.tensors: list[Place] = []
        """Places that are compared by their form: tensors and containers of them, which are never
        held, and what is made anew for each call."""
        self.forms: list[Any] = []
        self.still: list[Place] = []
        """Buffers, which are not compared until the program exchanges one."""
        self.children: list[tuple[Any, str, Any]] = []
        """Parts where their parents hold them; compared, and no part of a state, which would keep them."""
        self.containers: list[Any] = []
        self.sized: list[Any] = []
        """These, classes, dictionaries of hooks, and what says whether parts changed their class."""
        self.sizes: list[int] = []
        self.graphs = False
        """Whether a tensor among them has a graph of its own: a backward may go on there."""
        self.owners: dict[int, Name] = {}
        """By a container's id, where it is kept."""
        self.objects: dict[int, Any] = {}
        """What was looked at, by id; kept, so that an id stays its own."""
        self._functions = 0
        self._seen: set[Name] = set()

    def settings(self) -> Iterator[tuple[Any, Any, Any]]:
        """What holds a value, by what name, and the value."""
        yield from self.own
        yield from self.fields

    def gather(self, module: Any) -> None:
        """Find everything of a model."""
        nn = self._torch.nn
        classes: dict[type, None] = {}
        called: dict[type, None] = {}
        """Classes of libraries by whose ``forward`` a part is called."""
        parts = list(module.modules())
        for part in parts:
            table = part.__dict__
            self.containers.append(table)
            children = table.get("_modules")
            if children:
                self.containers.append(children)
                self.children += [(children, name, child) for name, child in children.items()]
            kind = type(part)
            home = kind.__module__
            inert = home.startswith("torch.nn.modules") and kind.__name__ in INERT
            self._buffers(table.get("_buffers"), switches=not inert)
            entry = next(each for each in kind.__mro__ if "forward" in vars(each))
            if entry is not nn.Module and root_of(entry) in LIBRARIES:
                called[entry] = None
            if inert:
                if "forward" in table:  # it was replaced, and may be once more
                    self._take(table, "forward", table["forward"], 1)
                continue
            if home.startswith("torch.") and not home.startswith("torch.nn.modules"):
                kind = next(
                    (k for k in kind.__mro__ if not k.__module__.startswith("torch.")), nn.Module
                )
                if kind is object:
                    continue  # a wrapper, whose bookkeeping is its own
            self._table(table, 3, self._common)
            classes.update(dict.fromkeys(k for k in kind.__mro__ if root_of(k) not in LIBRARIES))
        for kind in classes:
            self._class(kind)
        self.classes = [kind for kind in classes if not is_known(root_of(kind))]
        self.methods = methods_of(self.classes, called)
        for _, _, value in self.methods:
            for function in functions_of(value):
                self._look_into(function)
        self._products(called)
        checkpoint = vars(self._torch.utils.checkpoint)
        if STOPPING in checkpoint:
            self._take(checkpoint, STOPPING, checkpoint[STOPPING], 0)
        self.hooks = tables_of(parts, self._hooked)
        self.bare = bare_tables_of(parts)
        self.kinds = Kinds(parts)
        self._finish()

    def _products(self, called: Iterable[type]) -> None:
        """torch's own functions of products that the code names: a program may replace ``F.linear``."""
        functions = [each for _, _, value in self.methods for each in functions_of(value)]
        for kind in called:
            functions += [each for each in vars(kind).values() if isinstance(each, FunctionType)]
        names = {name for each in functions for name in names_of(each.__code__)}
        for module in (self._torch, self._torch.nn.functional):
            for name in sorted(names & WORK & vars(module).keys()):
                self._global(vars(module), name, functions[0])

    def _finish(self) -> None:
        """Everything was found: have it compared."""
        tables = {kind: vars(kind) for kind, _, _ in self.methods}
        self.items = [
            *self.own,
            *self.children,
            *((tables[kind], name, value) for kind, name, value in self.methods),
            *((hooks, key, hook) for _, hooks in self.hooks for key, hook in hooks.items()),
        ]
        hooks = [hooks for _, hooks in self.hooks]
        tables_of_classes = map(vars, self.classes)
        self.sized = [*self.containers, *self.locals, *tables_of_classes, *hooks, self.kinds]
        self.forms = [form_of(holder[name]) for holder, name in self.tensors]
        self.sizes = list(map(len, self.sized))
        self.graphs = any(has_graph(form) for form in self.forms)

    def _buffers(self, buffers: Any, *, switches: bool) -> None:
        for name in buffers or ():
            moves = (id(buffers), name) in self._moving
            if buffers[name] is not None and len(self.still) < MOST_ITEMS:
                self.objects[id(buffers)] = buffers
                (self.tensors if moves else self.still).append((buffers, name))
                if switches:
                    self._switches.add(buffers, name, idle=self._drift.is_idle((id(buffers), name)))

    def _table(
        self, table: Mapping[Any, Any], depth: int, leave: frozenset[str] = frozenset()
    ) -> None:
        for name, value in list(table.items())[: MOST_ITEMS + len(leave)]:
            if name not in leave and name != "_compiled_call_impl":
                self._take(table, name, value, depth)

    def _take(self, holder: Any, name: Any, value: Any, depth: int) -> None:
        """Watch what a dictionary or list holds at a name."""
        kind = type(value)
        if len(self.own) > MOST_PLACES or self._drift.is_idle((id(holder), name)):
            return
        if value is MISSING:  # of a context variable: it may have a value later
            self._watch(holder, name, value)
        elif self._scoped(value, depth):
            return
        elif holds(value, self._torch.Tensor) or self._drift.is_made_anew(
            (id(holder), name), value
        ):
            self.objects[id(holder)] = holder
            self.tensors.append((holder, name))
            self._switches.add(holder, name, idle=False)
        elif kind in PLAIN or isinstance(value, (tuple, *CALLABLES)):
            self._watch(holder, name, value)
            if isinstance(value, type) and depth and root_of(value) not in LIBRARIES:
                self._class(value)
            elif kind is FunctionType:
                self._look_into(value)
        elif isinstance(value, list | dict | set):
            self._watch(holder, name, value)
            self._inside(value, (id(holder), name), depth)
        elif kind.__module__ == "numpy":
            self._keep(holder, name)
        elif is_settings(kind) and not isinstance(value, self._torch.nn.Module):
            self._watch(holder, name, value)
            self._object(value, (id(holder), name), depth)

    def _scoped(self, value: Any, depth: int) -> bool:
        """Whether this is what holds another value in each context or thread, which is then watched."""
        scope = self._scopes.of(value)
        if scope is None:
            return False
        if id(scope) not in self.objects:
            self.objects[id(scope)] = scope
            if type(scope) is Local:
                self.locals.append(scope)
                self._class(type(value))
            for name in scope.names()[:MOST_ITEMS]:
                self._take(scope, name, scope[name], depth)
        return True

    def _watch(self, holder: Any, name: Any, value: Any) -> None:
        if (id(holder), name) not in self._seen:
            self._seen.add((id(holder), name))
            self.objects[id(holder)] = holder
            self.own.append((holder, name, value))

    def _inside(self, value: Any, owner: Name, depth: int) -> None:
        if id(value) in self.owners:
            return
        self.objects[id(value)] = value
        self.owners[id(value)] = owner
        self.containers.append(value)
        if isinstance(value, dict) and depth:
            self._table(value, depth - 1)
        elif isinstance(value, list) and depth:
            for place, item in enumerate(value[:MOST_ITEMS]):
                self._take(value, place, item, depth - 1)

    def _object(self, value: Any, owner: Name, depth: int) -> None:
        if not depth or id(value) in self.objects:
            return
        self.objects[id(value)] = value
        table = getattr(value, "__dict__", None)
        if isinstance(table, dict):
            self._inside(table, owner, depth)
        for kind in type(value).__mro__:
            names = vars(kind).get("__slots__", ())
            for name in (names,) if isinstance(names, str) else tuple(names):
                if type(getattr(value, name, self)) in PLAIN:
                    self._field(value, name)
            if root_of(kind) not in LIBRARIES:
                self._class(kind)

    def _field(self, holder: Any, name: str) -> None:
        if not self._drift.is_idle((id(holder), name)) and (id(holder), name) not in self._seen:
            self._seen.add((id(holder), name))
            self.objects[id(holder)] = holder
            self.fields.append((holder, name, getattr(holder, name)))

    def _class(self, kind: type) -> None:
        """Constants of a class, and what its methods read of their module and closures."""
        if id(kind) in self.objects or kind.__module__ == "builtins":
            return
        self.objects[id(kind)] = kind
        for name, value in list(vars(kind).items()):
            function = getattr(value, "__func__", value)
            if type(value) in PLAIN and not name.startswith("__"):
                self._field(kind, name)
            elif self._scoped(value, 1):
                continue
            elif isinstance(function, FunctionType) and function.__module__ == kind.__module__:
                self._function(function)

    def _look_into(self, function: FunctionType) -> None:
        if id(function) in self.objects or root_of(function) in LIBRARIES:
            return
        self._functions += 1
        if self._functions <= MOST_FUNCTIONS:
            self.objects[id(function)] = function
            self._function(function)

    def _function(self, function: FunctionType) -> None:
        """Settings that a method reads from its module's globals or from around it.

        Also those that it reads by a function or module of the program's, and the environment's.
        """
        world, names = function.__globals__, names_of(function.__code__)
        for name in names:
            if name in ENVIRONMENT:
                table = os.environ._data  # type: ignore[attr-defined]
                self._inside(table, (id(table), name), 1)
            if isinstance(world.get(name), ModuleType):
                self._module(world[name], function)
            elif name in world:
                self._global(world, name, function)
        for cell in function.__closure__ or ():
            with suppress(ValueError):  # an empty cell
                self._around(cell, cell.cell_contents, function)

    def _global(self, world: dict[str, Any], name: str, function: FunctionType) -> None:
        """What a function reads from its module, or by the name of another one."""
        value = world[name]
        kind: type = type(value)
        if kind is FunctionType:
            self._watch(world, name, value)
            self._called(value, function)
        elif self._scoped(value, 1):
            return
        elif kind in PLAIN or kind in (list, dict) or root_of(kind) not in LIBRARIES:
            self._take(world, name, value, 1)
        elif kind is self._torch.Tensor:
            self._keep(world, name)

    def _keep(self, holder: Any, name: str) -> None:
        """A tensor beside the model, or an array: nothing but its value matters, and that if it decides."""
        if (id(holder), name) not in self._seen and len(self.still) < MOST_ITEMS:
            self._seen.add((id(holder), name))
            self.objects[id(holder)] = holder
            self.still.append((holder, name))
            self._switches.add(holder, name, idle=self._drift.is_idle((id(holder), name)))

    def _called(self, value: FunctionType, function: FunctionType) -> None:
        """A function that another one calls."""
        if value.__module__ == function.__module__ or is_own(value):
            self._look_into(value)

    def _module(self, module: ModuleType, function: FunctionType) -> None:
        """What a function reads of another module of the program's, as in ``ops.attend(x)``."""
        if not is_known(module.__name__.partition(".")[0]):
            for name in names_of(function.__code__):
                if name in vars(module) and not isinstance(vars(module)[name], ModuleType):
                    self._global(vars(module), name, function)

    def _around(self, cell: Any, value: Any, function: FunctionType) -> None:
        """What a function reads from around it."""
        kind = type(value)
        if kind in PLAIN:
            self._field(cell, "cell_contents")
        elif kind is FunctionType:
            if not hasattr(function, "__wrapped__"):  # nobody exchanges what a decorator wraps
                self._field(cell, "cell_contents")
            self._called(value, function)
        elif kind is ModuleType:
            self._module(value, function)
        elif self._scoped(value, 1):
            return
        elif kind in (list, dict) and not holds(value, self._torch.Tensor):
            self._inside(value, (id(cell), "cell_contents"), 1)
