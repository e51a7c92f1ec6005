"""Attributes by which a program may change what a call does: ``model.depth = 3``, ``model.config.k = 2``.

Shapes and flags of the inputs say nothing of them. So each is a part of what tells one kind of call from
another (design/107). On the hot path all of a model's attributes are compared with what they were, by
identity; only where one differs is looked closer. No torch is imported here.
"""

from __future__ import annotations

import os
from collections.abc import (
    Callable,
    Collection,
    Container,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
    Set,
)
from contextlib import contextmanager, suppress
from functools import partial
from operator import is_
from types import FunctionType, ModuleType
from typing import Any

from profilers.step_functions import WORK
from profilers.step_methods import (
    Kinds,
    code_of,
    functions_of,
    methods_of,
    names_of,
    outline_of,
    tables_of,
)
from profilers.step_places import (
    CALLABLES,
    KEPT,
    LIBRARIES,
    MISSING,
    MOST_ITEMS,
    PLAIN,
    Name,
    Place,
    Table,
    canonical,
    content_of,
    form_of,
    has_graph,
    holds,
    hollow,
    is_known,
    is_own,
    is_settings,
    kept,
    named,
    others,
    read,
    refill,
    root_of,
    write,
)
from profilers.step_switches import Switches

MOST_PLACES = 50_000
MOST_STATES = 256
MOST_FUNCTIONS = 256
"""Functions beside methods in which settings are looked for."""
DRIFTING = 8
"""After so many different values, it is tried whether an attribute decides anything."""
RENEWALS = 2
"""After so many other lists in its place, a list is compared by what it holds."""
INERT = frozenset(
    {
        "AlphaDropout", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "CrossEntropyLoss", "Dropout",
        "Dropout1d", "Dropout2d", "Dropout3d", "ELU", "Embedding", "GELU", "GroupNorm", "Identity",
        "LayerNorm", "LeakyReLU", "Linear", "MSELoss", "ModuleDict", "ModuleList", "RMSNorm", "ReLU",
        "Sequential", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh",
    }
)  # fmt: skip
"""Modules of torch whose attributes decide nothing of their products."""


SWITCHED = 3
"""Where in a state's key the values stand that decide."""
ENVIRONMENT = frozenset({"environ", "getenv"})
"""Names by which the process's environment is read."""


class State:
    """All attributes of a model at one time; one object for the same.

    It holds the model's dictionaries, and with them its weights, so nothing but the model's own seam may
    hold it for long.
    """

    __slots__ = (
        "__weakref__", "_contents", "_forms", "_kinds", "_places", "_switches", "_values", "token",
    )  # fmt: skip

    def __init__(
        self,
        places: list[Place],
        values: list[Any],
        forms: dict[Name, Any],
        contents: list[tuple[Any, Any]],
        kinds: Kinds,
        switches: Switches,
    ) -> None:
        self.token = object()
        """Stands for it where nothing may be held."""
        self._places = places
        self._values = values
        self._forms = forms
        """What tensors among them look like."""
        self._contents = contents
        """Containers and what was in them (``profilers.step_places.content_of``)."""
        self._kinds = kinds
        """Classes of the model's parts."""
        self._switches = switches

    @contextmanager
    def restored(self, changed: Mapping[Name, Any]) -> Iterator[None]:
        """Inside, the model has these attributes again, but for some that are changed on purpose."""
        undo: list[Callable[[], None]] = []
        try:
            self._kinds.give_back(undo)
            for container, content in self._contents:
                refill(container, content, undo)
            for place, value in zip(self._places, self._values, strict=True):
                name = named(place)
                wanted = changed.get(name, value)
                present = read(place)
                if wanted is KEPT or present is wanted:
                    continue
                same = name in self._forms and form_of(present) == self._forms[name]
                if same and (name not in changed or self._switches.equal(present, wanted)):
                    continue
                undo.append(partial(write, place, present))
                write(place, wanted)
            yield
        finally:
            for one in reversed(undo):
                one()


class Attributes:
    """Watches the attributes of one model."""

    def __init__(
        self, torch: Any, moving: Set[Name] = frozenset(), hooked: Container[int] = ()
    ) -> None:
        """Take torch, the places of buffers that the program exchanges, and where it puts hooks.

        Args:
            torch: The module.
            moving: Buffers, by the id of what holds them, and their name.
            hooked: Ids of dictionaries into which hooks were put.

        """
        self._torch, self._hooked = torch, hooked
        self._moving, self._moved = moving, 0
        self._own = frozenset(vars(torch.nn.Module())) - {"training"}
        self._states: dict[Hashable, State] = {}
        self._judged: dict[Name, tuple[bool, Any]] = {}
        """Whether an attribute that drifted decides something, and who holds it."""
        self._drift: dict[Name, dict[Hashable, None]] = {}
        self.suspects: dict[Name, tuple[Any, ...]] = {}
        """Attributes of many values, of which nobody knows yet whether they decide."""
        self._renewals: dict[Name, int] = {}
        self._contents: dict[frozenset[Any], frozenset[Any]] = {}
        self._tables: list[Any] = []
        """Dictionaries of the model's parts."""
        self.switches = Switches(torch)
        """Tensors whose values may decide."""
        self._clear()

    def _clear(self) -> None:
        self.state: State | None = None
        self.items: list[tuple[Any, Any, Any]] = []
        """Dictionary or list, key, and what it holds there; also what classes have, and hooks."""
        self._items: list[tuple[Any, Any, Any]] = []
        """Without those of classes and hooks."""
        self._methods: list[tuple[type, str, Any]] = []
        self._hooks: list[tuple[int, dict[Any, Any]]] = []
        self._classes: list[type] = []
        """The program's own."""
        self.kinds = Kinds(())
        """Classes of the parts; the last of what is ``sized``."""
        self._functions = 0
        self._fields: list[tuple[Any, str, Any]] = []
        """Object, name, and what it has there."""
        self._tensors: list[Place] = []
        """Places that are compared by their form: tensors and containers of them, which are never
        held, and what is made anew for each call."""
        self._forms: list[Any] = []
        self._still: list[Place] = []
        """Buffers, which are not compared until the program exchanges one."""
        self._children: list[tuple[Any, str, Any]] = []
        """Parts where their parents hold them; compared, and no part of a state, which would keep them."""
        self._containers: list[Any] = []
        self.sized: list[Any] = []
        """These, classes, dictionaries of hooks, and what says whether parts changed their class."""
        self.sizes: list[int] = []
        self.more = False
        """Whether there is something to compare beside items and sizes (``alike``)."""
        self.graphs = False
        """Whether a tensor among them has a graph of its own: a backward may go on there."""
        self._owners: dict[int, Name] = {}
        """By a container's id, where it is kept."""
        self._objects: dict[int, Any] = {}
        """What was looked at, by id; kept, so that an id stays its own."""
        self._seen: set[Name] = set()
        self.switches.clear()

    # ------------------------------------------------------------ the hot path

    def alike(self) -> bool:
        """Whether fields are what they were, and tensors look as they looked.

        Items and sizes, which every model has, are compared in ``Seam.key`` itself.

        Raises:
            AttributeError, LookupError, TypeError, ValueError: Something is no longer there.

        """
        for holder, name, value in self._fields:
            if getattr(holder, name) is not value:
                return False
        for (holder, name), form in zip(self._tensors, self._forms, strict=True):
            if form_of(holder[name]) != form:
                return False
        return self.switches.alike()

    def look(self, module: Any) -> State:
        """Something changed: find out what, and answer the state in which a call finds its model."""
        for container, size in zip(self.sized, self.sizes, strict=True):
            if len(container) != size and id(container) in self._owners:
                self._drifted(self._owners[id(container)], len(container))
        before = {(id(holder), name): value for holder, name, value in self._all()}
        switched = dict(self.switches.key)
        kept_alive = self._objects  # so that no id of before means another object now
        self._clear()
        self._gather(module)
        for holder, name, value in self._all():
            known = before.get((id(holder), name), value)
            if known is not value:
                if type(value) in PLAIN:
                    self._drifted((id(holder), name), value)
                elif type(value) in (list, dict) and type(known) is type(value):
                    self._renewed((id(holder), name))
        for name, value in self.switches.key:
            if switched.get(name, value) != value:
                self._drifted(name, value)
        del kept_alive
        values = [value for _, _, value in self._all()]
        names = tuple(name for _, name, _ in self._all())
        layout = names, tuple(name for _, name in self._tensors)
        key = (
            layout,
            tuple(map(_signed, values)),
            tuple(self._forms),
            self.switches.key,
            tuple(map(len, self._containers)),
            tuple((type(child), id(child)) for _, _, child in self._children),
            self.kinds.kinds,
            tuple((kind, name, code_of(value)) for kind, name, value in self._methods),
            tuple((place, *map(_hook_code, hooks.values())) for place, hooks in self._hooks),
        )
        state = self._states.get(key)
        if state is None:
            places = [(holder, name) for holder, name, _ in self._all()]
            tensors = [*self._tensors, *self._still]
            shapes = [hollow(holder[name], self._torch) for holder, name in tensors]
            forms = {named(place): form_of(place[0][place[1]]) for place in tensors}
            # Not of parts whose attributes decide nothing: a state would keep their weights alive.
            known = [each for each in self._containers if id(each) in self._objects]
            known += [*map(Table, self._classes), *(hooks for _, hooks in self._hooks)]
            contents = [(each, self._same(content_of(each))) for each in known]
            more: list[tuple[Place, Any]] = [
                ((Table(kind), name), value) for kind, name, value in self._methods
            ]
            for _, hooks in self._hooks:
                more += [((hooks, key), outline_of(hook)) for key, hook in hooks.items()]
            state = State(
                [*places, *tensors, *(place for place, _ in more)],
                [*values, *shapes, *(value for _, value in more)],
                forms, contents, self.kinds, self.switches,
            )  # fmt: skip
            self._states[key] = state
            while len(self._states) > MOST_STATES:
                del self._states[next(iter(self._states))]
        self.state = state
        return state

    def _same(self, content: Any) -> Any:
        """Modules of a class have the same names, and keep them once."""
        if type(content) is not frozenset:
            return content
        while len(self._contents) > MOST_STATES:
            del self._contents[next(iter(self._contents))]
        return self._contents.setdefault(content, content)

    def _all(self) -> Iterator[tuple[Any, Any, Any]]:
        yield from self._items
        yield from self._fields

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

    def _renewed(self, name: Name) -> None:
        """A list or dictionary gave way to another one of its type, as where a call begins with ``[]``."""
        self._renewals[name] = self._renewals.get(name, 0) + 1
        while len(self._renewals) > MOST_ITEMS:
            del self._renewals[next(iter(self._renewals))]

    def _is_made_anew(self, name: Name, value: Any) -> bool:
        """Whether a container is replaced so often that its contents are compared, and not itself."""
        if self._renewals.get(name, 0) <= RENEWALS or type(value) not in (list, dict):
            return False
        return len(value) <= MOST_ITEMS and hollow(value, self._torch) is not KEPT

    def probes(self) -> Iterator[tuple[Name, tuple[Any, ...]]]:
        """Attributes of which nobody knows whether they decide, and other values to try."""
        for name, seen in list(self.suspects.items()):
            holder = self._objects.get(name[0])
            value = MISSING if holder is None else read((holder, name[1]))
            tensor = holds(value, self._torch.Tensor)
            yield name, self.switches.other(value) if tensor else others(value, seen)

    def judge(self, name: Name, *, decides: bool) -> None:
        """Say whether an attribute of many values decides anything; one that does not is left alone."""
        self._judged[name] = decides, self._objects.get(name[0])
        self.suspects.pop(name, None)
        self.forget()

    def told(self, asked: Collection[int]) -> None:
        """A call was counted, and asked for values of the model's that lie at these places in memory."""
        if self.switches.told(asked):
            self.forget()
            return
        # Less is compared than before: what was counted is the same, and need not be counted anew.
        states = [(self._rekeyed(key), state) for key, state in self._states.items()]
        self._states = dict(states)
        self._states.update((key, state) for key, state in states if state is self.state)
        self.more = self._has_more()

    def _rekeyed(self, key: Any) -> Hashable:
        return (
            *key[:SWITCHED],
            tuple(self.switches.asked(dict(key[SWITCHED])).items()),
            *key[SWITCHED + 1 :],
        )

    def forget(self) -> None:
        """Look at everything anew at the next call."""
        self.state = None

    def refresh(self, module: Any) -> None:
        """Something was registered somewhere: look at everything anew if the model has other parts."""
        if self.has_other_parts(module) or len(self._moving) != self._moved:
            self._tables = [part.__dict__ for part in module.modules()]
            self._moved = len(self._moving)
            self.forget()

    def has_other_parts(self, module: Any) -> bool:
        """Whether the model consists of other modules than when it was looked at."""
        tables = [part.__dict__ for part in module.modules()]
        return len(tables) != len(self._tables) or not all(map(is_, tables, self._tables))

    def _idle(self, name: Name) -> bool:
        """Whether it is known to decide nothing."""
        return name in self._judged and not self._judged[name][0]

    # ------------------------------------------------------------ finding them

    def _gather(self, module: Any) -> None:
        nn = self._torch.nn
        classes: dict[type, None] = {}
        called: dict[type, None] = {}
        """Classes of libraries by whose ``forward`` a part is called."""
        parts = list(module.modules())
        for part in parts:
            table = part.__dict__
            self._containers.append(table)
            children = table.get("_modules")
            if children:
                self._containers.append(children)
                self._children += [(children, name, child) for name, child in children.items()]
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
            self._table(table, 3, self._own)
            classes.update(dict.fromkeys(k for k in kind.__mro__ if root_of(k) not in LIBRARIES))
        for kind in classes:
            self._class(kind)
        self._classes = [kind for kind in classes if not is_known(root_of(kind))]
        self._methods = methods_of(self._classes, called)
        for _, _, value in self._methods:
            for function in functions_of(value):
                self._look_into(function)
        self._products(called)
        self._hooks = tables_of(parts, self._hooked)
        self.kinds = Kinds(parts)
        self._finish()

    def _products(self, called: Iterable[type]) -> None:
        """torch's own functions of products that the code names: a program may replace ``F.linear``."""
        functions = [each for _, _, value in self._methods for each in functions_of(value)]
        for kind in called:
            functions += [each for each in vars(kind).values() if isinstance(each, FunctionType)]
        names = {name for each in functions for name in names_of(each.__code__)}
        for module in (self._torch, self._torch.nn.functional):
            for name in sorted(names & WORK & vars(module).keys()):
                self._global(vars(module), name, functions[0])

    def _finish(self) -> None:
        """Everything was found: have it compared."""
        tables = {kind: vars(kind) for kind, _, _ in self._methods}
        self.items = [
            *self._items,
            *self._children,
            *((tables[kind], name, value) for kind, name, value in self._methods),
            *((hooks, key, hook) for _, hooks in self._hooks for key, hook in hooks.items()),
        ]
        hooks = [hooks for _, hooks in self._hooks]
        self.sized = [*self._containers, *map(vars, self._classes), *hooks, self.kinds]
        self._forms = [form_of(holder[name]) for holder, name in self._tensors]
        self.sizes = list(map(len, self.sized))
        self.more = self._has_more()
        self.graphs = any(has_graph(form) for form in self._forms)

    def _has_more(self) -> bool:
        return bool(self._fields or self._tensors or self.switches.compared)

    def _buffers(self, buffers: Any, *, switches: bool) -> None:
        for name in buffers or ():
            moves = (id(buffers), name) in self._moving
            if buffers[name] is not None and len(self._still) < MOST_ITEMS:
                self._objects[id(buffers)] = buffers
                (self._tensors if moves else self._still).append((buffers, name))
                if switches:
                    self.switches.add(buffers, name, idle=self._idle((id(buffers), name)))

    def _table(
        self, table: Mapping[Any, Any], depth: int, leave: frozenset[str] = frozenset()
    ) -> None:
        for name, value in list(table.items())[: MOST_ITEMS + len(leave)]:
            if name not in leave and name != "_compiled_call_impl":
                self._take(table, name, value, depth)

    def _take(self, holder: Any, name: Any, value: Any, depth: int) -> None:
        """Watch what a dictionary or list holds at a name."""
        kind = type(value)
        if len(self._items) > MOST_PLACES or self._idle((id(holder), name)):
            return
        if holds(value, self._torch.Tensor) or self._is_made_anew((id(holder), name), value):
            self._objects[id(holder)] = holder
            self._tensors.append((holder, name))
            self.switches.add(holder, name, idle=False)
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

    def _watch(self, holder: Any, name: Any, value: Any) -> None:
        if (id(holder), name) not in self._seen:
            self._seen.add((id(holder), name))
            self._objects[id(holder)] = holder
            self._items.append((holder, name, value))

    def _inside(self, value: Any, owner: Name, depth: int) -> None:
        if id(value) in self._owners:
            return
        self._objects[id(value)] = value
        self._owners[id(value)] = owner
        self._containers.append(value)
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
                    self._field(value, name)
            if root_of(kind) not in LIBRARIES:
                self._class(kind)

    def _field(self, holder: Any, name: str) -> None:
        if not self._idle((id(holder), name)) and (id(holder), name) not in self._seen:
            self._seen.add((id(holder), name))
            self._objects[id(holder)] = holder
            self._fields.append((holder, name, getattr(holder, name)))

    def _class(self, kind: type) -> None:
        """Constants of a class, and what its methods read of their module and closures."""
        if id(kind) in self._objects or kind.__module__ == "builtins":
            return
        self._objects[id(kind)] = kind
        for name, value in list(vars(kind).items()):
            function = getattr(value, "__func__", value)
            if type(value) in PLAIN and not name.startswith("__"):
                self._field(kind, name)
            elif isinstance(function, FunctionType) and function.__module__ == kind.__module__:
                self._function(function)

    def _look_into(self, function: FunctionType) -> None:
        if id(function) in self._objects or root_of(function) in LIBRARIES:
            return
        self._functions += 1
        if self._functions <= MOST_FUNCTIONS:
            self._objects[id(function)] = function
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
        elif kind in PLAIN or kind in (list, dict) or root_of(kind) not in LIBRARIES:
            self._take(world, name, value, 1)
        elif kind is self._torch.Tensor:
            self._keep(world, name)

    def _keep(self, holder: Any, name: str) -> None:
        """A tensor beside the model, or an array: nothing but its value matters, and that if it decides."""
        if (id(holder), name) not in self._seen and len(self._still) < MOST_ITEMS:
            self._seen.add((id(holder), name))
            self._objects[id(holder)] = holder
            self._still.append((holder, name))
            self.switches.add(holder, name, idle=self._idle((id(holder), name)))

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
        elif kind in (list, dict) and not holds(value, self._torch.Tensor):
            self._inside(value, (id(cell), "cell_contents"), 1)


def _signed(value: Any) -> Hashable:
    """What stands for a value in the key of a state."""
    found = kept(value)
    return code_of(found) if isinstance(found, CALLABLES) else canonical(found)


def _hook_code(hook: Any) -> Hashable:
    """What stands for a hook, of which nothing but its code matters."""
    outline = outline_of(hook)
    return getattr(outline, "__code__", id(outline))
