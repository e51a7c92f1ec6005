"""Attributes by which a program may change what a call does: ``model.depth = 3``, ``model.config.k = 2``.

Shapes and flags of the inputs say nothing of them. So each is a part of what tells one kind of call from
another (design/107). On the hot path all of a model's attributes are compared with what they were, by
identity; only where one differs is looked closer. No torch is imported here.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Hashable, Iterator, Mapping, Set
from operator import is_
from typing import Any

from profilers.steps.deciders.attribute_state import State
from profilers.steps.deciders.drift import Drift
from profilers.steps.deciders.found import Found
from profilers.steps.deciders.methods import code_of, outline_of
from profilers.steps.deciders.places import (
    CALLABLES,
    PLAIN,
    Name,
    Place,
    Table,
    canonical,
    content_of,
    form_of,
    holds,
    hollow,
    kept,
    named,
    others,
    read,
)
from profilers.steps.deciders.scopes import MISSING, Scopes
from profilers.steps.deciders.switches import Switches

MOST_STATES = 256
SWITCHED = 3
"""Where in a state's key the values stand that decide."""


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
        self._states: dict[Hashable, State] = {}
        self._drift, self._scopes = Drift(torch), Scopes()
        self._contents: dict[frozenset[Any], frozenset[Any]] = {}
        self._tables: list[Any] = []
        """Dictionaries of the model's parts."""
        self.state: State | None = None
        self.switches = Switches(torch)
        """Tensors whose values may decide."""
        self._show(self._nothing())

    def _nothing(self) -> Found:
        self.switches.clear()
        return Found(
            self._torch, self._drift, self.switches, self._moving, self._hooked, self._scopes
        )

    def _show(self, found: Found) -> None:
        """Have the hot path compare what was found; it reads these and no other."""
        self._found = found
        self.items, self.kinds = found.items, found.kinds
        self.sized, self.sizes = found.sized, found.sizes
        self.graphs = found.graphs
        self.more = self._has_more()
        """Whether there is something to compare beside items and sizes (``alike``)."""

    def _has_more(self) -> bool:
        return bool(self._found.fields or self._found.tensors or self.switches.compared)

    # ------------------------------------------------------------ the hot path

    def alike(self) -> bool:
        """Whether fields are what they were, and tensors look as they looked.

        Items and sizes, which every model has, are compared in ``Seam.key`` itself.

        Raises:
            AttributeError, LookupError, TypeError, ValueError: Something is no longer there.

        """
        found = self._found
        for holder, name, value in found.fields:
            if getattr(holder, name) is not value:
                return False
        for (holder, name), form in zip(found.tensors, found.forms, strict=True):
            if form_of(holder[name]) != form:
                return False
        return self.switches.alike()

    def look(self, module: Any) -> State:
        """Something changed: find out what, and answer the state in which a call finds its model."""
        self.state = None
        before = self._found  # keeps alive what ids of then mean
        switched = dict(self.switches.key)
        for container, size in zip(before.sized, before.sizes, strict=True):
            if len(container) != size and id(container) in before.owners:
                self._drift.drifted(before.owners[id(container)], len(container))
        found = self._nothing()
        found.gather(module)
        self._show(found)
        self._compare(before, switched)
        key = self._key()
        self.state = self._states.get(key)
        if self.state is None:
            self.state = self._states[key] = self._made()
            while len(self._states) > MOST_STATES:
                del self._states[next(iter(self._states))]
        return self.state

    def _compare(self, before: Found, switched: Mapping[Name, str]) -> None:
        """Note what has another value than before."""
        values = {(id(holder), name): value for holder, name, value in before.settings()}
        for holder, name, value in self._found.settings():
            known = values.get((id(holder), name), value)
            if known is not value:
                if type(value) in PLAIN:
                    self._drift.drifted((id(holder), name), value)
                elif type(value) in (list, dict) and type(known) is type(value):
                    self._drift.renewed((id(holder), name))
        for place, number in self.switches.key:
            if switched.get(place, number) != number:
                self._drift.drifted(place, number)

    def _key(self) -> tuple[Hashable, ...]:
        """What tells a state from others."""
        found = self._found
        names = tuple(name for _, name, _ in found.settings())
        return (
            (names, tuple(name for _, name in found.tensors)),
            tuple(_signed(value) for _, _, value in found.settings()),
            tuple(found.forms),
            self.switches.key,
            tuple(map(len, found.containers)),
            tuple((type(child), id(child)) for _, _, child in found.children),
            found.kinds.kinds,
            tuple((kind, name, code_of(value)) for kind, name, value in found.methods),
            tuple((place, *map(_hook_code, hooks.values())) for place, hooks in found.hooks),
        )

    def _made(self) -> State:
        """The state of what was found."""
        found = self._found
        settings = list(found.settings())
        tensors = [*found.tensors, *found.still]
        shapes = [hollow(holder[name], self._torch) for holder, name in tensors]
        forms = {named(place): form_of(place[0][place[1]]) for place in tensors}
        # Not of parts whose attributes decide nothing: a state would keep their weights alive.
        known = [each for each in found.containers if id(each) in found.objects]
        known += [*found.locals, *map(Table, found.classes), *(hooks for _, hooks in found.hooks)]
        contents = [(each, self._same(content_of(each))) for each in known]
        more: list[tuple[Place, Any]] = [
            ((Table(kind), name), value) for kind, name, value in found.methods
        ]
        for _, hooks in found.hooks:
            more += [((hooks, key), outline_of(hook)) for key, hook in hooks.items()]
        return State(
            [*((holder, name) for holder, name, _ in settings), *tensors, *(place for place, _ in more)],
            [*(value for _, _, value in settings), *shapes, *(value for _, value in more)],
            forms, contents, found.bare, found.kinds, self.switches,
        )  # fmt: skip

    def _same(self, content: Any) -> Any:
        """Modules of a class have the same names, and keep them once."""
        if type(content) is not frozenset:
            return content
        while len(self._contents) > MOST_STATES:
            del self._contents[next(iter(self._contents))]
        return self._contents.setdefault(content, content)

    # ------------------------------------------------------------ what changes always

    def probes(self) -> Iterator[tuple[Name, tuple[Any, ...]]]:
        """Attributes of which nobody knows whether they decide, and other values to try."""
        for name, seen in list(self._drift.suspects.items()):
            holder = self._found.objects.get(name[0])
            value = MISSING if holder is None else read((holder, name[1]))
            tensor = holds(value, self._torch.Tensor)
            yield name, self.switches.other(value) if tensor else others(value, seen)

    def judge(self, name: Name, *, decides: bool) -> None:
        """Say whether an attribute of many values decides anything; one that does not is left alone."""
        self._drift.judge(name, self._found.objects.get(name[0]), decides=decides)
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


def _signed(value: Any) -> Hashable:
    """What stands for a value in the key of a state."""
    found = kept(value)
    return code_of(found) if isinstance(found, CALLABLES) else canonical(found)


def _hook_code(hook: Any) -> Hashable:
    """What stands for a hook, of which nothing but its code matters."""
    outline = outline_of(hook)
    return getattr(outline, "__code__", id(outline))
