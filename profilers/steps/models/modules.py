"""Which modules exist, and which of them stand before a recorder's seam?

Every module of the process gets a seam at the start, later ones when they are made, copied or
unpickled. What lies inside a compiled module gets none, for it is part of a graph.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch.compiler import is_dynamo_compiling
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from profilers.steps.calls.asked import SEAM
from profilers.steps.calls.exchange import exchanging
from profilers.steps.calls.seam import MOST_INSIDE, Seam
from profilers.steps.deciders.methods import HOOKS
from profilers.steps.models import pickles
from profilers.steps.models.free import free_within, is_free
from profilers.steps.optimizers.known import token_of
from profilers.steps.standing.wrapped import Undo, wrapped

if TYPE_CHECKING:
    from profilers.steps.observer import Observer

HOOKING = ("register_forward_hook", "register_forward_pre_hook")
"""By these a module gets hooks on its calls."""
MAKING = ("__init__", "__setstate__")
"""By these an object comes to be, or comes back."""


OWN = frozenset(vars(torch.nn.Module()))
"""Attributes that every module has."""
WHOLE = "ds_shape"
"""On a parameter that DeepSpeed keeps in pieces: the shape of the whole."""
MOST_MOVING = 4096
MOST_PARTS = 1 << 16
MOST_HIDDEN = 64
"""Items of one container that are looked at for modules."""


class Modules:
    """Keeps the seams of one observer."""

    def __init__(self, observer: Observer) -> None:
        """Take whose seams they are."""
        self.observer = observer
        self.seams: weakref.WeakSet[Seam] = weakref.WeakSet()
        self.moving: set[tuple[int, str]] = set()
        """Buffers that the program exchanged, by the id of what holds them, and their name."""
        self.hooked: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        """Where the program put hooks on parts of models that were called, by id."""
        self.parts: dict[int, weakref.ref[Any]] = {}
        """What models that were called consist of, by id."""
        self._pid = os.getpid()

    # ------------------------------------------------------------ giving and taking seams

    def sweep(self, objects: Iterable[Any]) -> None:
        """Give every module among a process's objects its seam."""
        known: dict[type, bool] = {}
        modules = []
        for item in objects:
            kind = type(item)
            found = known.get(kind)
            if found is None:
                found = known[kind] = _is_module_class(kind)
            if found and _is_whole(item):
                modules.append(item)
        inside = inside_compiled(modules)
        for module in modules:
            if id(module) not in inside and not is_free(module):
                self.arm(module)
        self.observer.epoch += 1

    def arm(self, module: Any) -> Seam:
        """Put a seam before a module's call, unless one of ours is there."""
        state = module.__dict__
        present = state.get(SEAM)
        found = present
        while type(found) is Seam:
            if found.observer is self.observer and found.module() is module:
                return found
            found = found.inner
        if type(present) is Seam and present.module() is not module:
            present = found  # a copied dictionary brought another module's seam along
        seam = Seam(self.observer, module, present)
        self.seams.add(seam)
        state[SEAM] = seam
        return seam

    def disarm(self, seam: Seam) -> None:
        """Take a seam out, where nobody has put another one around it."""
        module = seam.module()
        self.seams.discard(seam)
        self.observer.epoch += 1
        if module is None:
            return
        state = module.__dict__
        present = state.get(SEAM)
        if present is seam:
            inner = seam.inner
            while type(inner) is Seam and not inner.observer.watching:
                inner = inner.inner  # of a recording that ended while ours lay around it
            if inner is None:
                del state[SEAM]
            else:
                state[SEAM] = inner

    def disarm_all(self) -> None:
        """Leave all modules as they were."""
        for seam in list(self.seams):
            self.disarm(seam)

    def known(self) -> Iterator[Any]:
        """Walk over the modules that have a seam, and what lies inside of them and needs none."""
        for seam in list(self.seams):
            module = seam.module()
            if module is not None:
                yield module
                yield from free_within(module)

    def within(self, whole: Any) -> tuple[list[dict[str, Any]], list[Seam]]:
        """The dictionaries and seams of the modules inside a model.

        Compiled ones keep their seam while the model runs: a change there could make torch compile
        again.
        """
        states: list[dict[str, Any]] = []
        seams: list[Seam] = []
        surplus: list[Seam] = []
        for module in whole.modules():
            state = module.__dict__
            seam = state.get(SEAM)
            if module is whole or type(seam) is not Seam or seam.inner is not None:
                continue
            if seam.observer is not self.observer or seam.module() is not module:
                continue
            if len(states) < MOST_INSIDE:
                states.append(state)
                seams.append(seam)
            else:
                surplus.append(seam)
        for seam in surplus:
            self.disarm(seam)
        return states, seams

    def consists(self, whole: Any) -> None:
        """Remember what a model consists of."""
        if len(self.parts) > MOST_PARTS:
            self.parts = {key: ref for key, ref in self.parts.items() if ref() is not None}
        for part in whole.modules():
            self.parts[id(part)] = weakref.ref(part)

    def hidden(self, whole: Any) -> Iterator[Any]:
        """Modules that a model holds unregistered, as in a list: no children, and yet parts of it."""
        seen = set(map(id, whole.modules()))
        for part in whole.modules():
            for name, value in part.__dict__.items():
                if type(value) not in (list, tuple, dict) or name in OWN:
                    continue
                for item in list(value.values() if isinstance(value, dict) else value)[
                    :MOST_HIDDEN
                ]:
                    if isinstance(item, torch.nn.Module) and id(item) not in seen:
                        seen.update(map(id, item.modules()))
                        yield item

    def reshaped(self) -> dict[int, Any]:
        """Models (``Kind.place``) of which a part, its class, or a parameter's data by some of another shape,
        was exchanged: nothing tells. Another thread may ask."""
        found = {}
        for seam in list(self.seams):
            if seam.epoch != self.observer.epoch or not seam.parameters:
                continue
            module = seam.module()
            watched = seam.attributes
            other = module is not None and (
                watched.has_other_parts(module) or watched.kinds.passed_unseen()
            )
            if other or _is_reshaped(seam):
                token = token_of(seam)
                found[id(token)] = token
        return found

    def look_anew(self, changed: dict[int, Any]) -> None:
        """Have each of these models looked at by its next call."""
        for token in changed.values():
            seam = token()
            if seam is not None:
                seam.attributes.forget()
        self.observer.epoch += bool(changed)

    def restore(self, states: list[dict[str, Any]], seams: list[Seam]) -> None:
        """Put back the seams inside a model, of which some may be gone since its call began."""
        for state, seam in zip(states, seams, strict=True):
            if state.get(SEAM, seam) is not None:
                continue
            if seam in self.seams:
                state[SEAM] = seam
            else:
                del state[SEAM]

    def clear_inside(self, whole: Any) -> None:
        """About to be compiled: what lies inside is going to be part of a graph."""
        inner = {id(module) for module in whole.modules() if module is not whole}
        for seam in list(self.seams):
            if id(seam.module()) in inner:
                self.disarm(seam)

    # ------------------------------------------------------------ what happens to modules

    def watch(self) -> Iterator[Undo]:
        """Give modules that are made or copied from now on their seam at once."""
        yield register_module_module_registration_hook(self._registered).remove
        yield register_module_parameter_registration_hook(self._registered).remove
        yield register_module_buffer_registration_hook(self._moved).remove
        for name in MAKING:
            yield wrapped(torch.nn.Module, name, self._made)
        yield wrapped(torch.nn.Module, "compile", self._compiled)
        yield wrapped(torch.nn.Module, "_apply", self._converted)
        for name in HOOKING:
            yield wrapped(torch.nn.Module, name, self._hooked)
        yield pickles.without(torch.nn.Module, SEAM, Seam)
        yield _unseen_by_script()
        yield exchanging(self._exchanged)

    def _exchanged(self) -> None:
        """A model's parameters were exchanged for one call, or put back."""
        self.observer.epoch += 1

    def _is_ours(self) -> bool:
        return self.observer.watching and os.getpid() == self._pid

    def _made(self, module: Any, *_: Any) -> None:
        if self._is_ours() and is_module(module) and not is_free(module):
            self.arm(module)

    def _moved(self, module: Any, name: str, _buffer: Any) -> None:
        """A buffer gets another tensor, perhaps of another shape: a memory bank that grows."""
        if is_dynamo_compiling():
            return
        buffers = module.__dict__["_buffers"]
        place = (id(buffers), name)
        if name in buffers and place not in self.moving and len(self.moving) < MOST_MOVING:
            self.moving.add(place)
            self.observer.epoch += 1

    def _is_part(self, module: Any) -> bool:
        known = self.parts.get(id(module))
        return known is not None and known() is module

    def _converted(self, *_: Any) -> None:
        """Parameters got another dtype or device in place (``model.half()``)."""
        if self._is_ours():
            self.observer.epoch += 1

    def _hooked(self, module: Any, *_: Any) -> None:
        """A part got a hook. The dictionary that holds it is compared from now on, also when it is empty."""
        known = self.parts.get(id(module))
        if is_dynamo_compiling() or known is None or known() is not module:
            return
        for name in HOOKS:
            hooks = module.__dict__[name]
            if hooks and id(hooks) not in self.hooked:
                self.hooked[id(hooks)] = hooks
                for seam in list(self.seams):
                    if seam.attributes is not None:
                        seam.attributes.forget()

    def _registered(self, module: Any, name: str, child: Any) -> None:
        if is_dynamo_compiling():
            return  # a guard on what is counted here would have torch compile again and again
        if not self.observer.inside() or self._is_part(module):
            self.observer.epoch += 1  # else a call makes a list for itself: ``self.layers[:depth]``
        if name == "_orig_mod" and isinstance(child, torch.nn.Module):
            self.clear_inside(child)

    def _compiled(self, module: Any, *_: Any) -> None:
        """A module was compiled in place: stand before what torch put there."""
        if self._is_ours():
            self.arm(module)
            self.observer.epoch += 1
            self.clear_inside(module)


def is_module(item: Any) -> bool:
    """Whether something is a module, asked without running any of its code."""
    return _is_module_class(type(item)) and _is_whole(item)


def _is_module_class(kind: type) -> bool:
    return issubclass(kind, torch.nn.Module) and not issubclass(kind, torch.jit.ScriptModule)


def _is_whole(item: Any) -> bool:
    return "_modules" in object.__getattribute__(item, "__dict__")


def inside_compiled(modules: list[Any]) -> set[int]:
    """Ids of the modules that lie inside a compiled one."""
    inside: set[int] = set()
    for module in modules:
        inner = module.__dict__.get(SEAM)
        while type(inner) is Seam:
            inner = inner.inner
        if inner is not None:
            inside.update(id(item) for item in module.modules() if item is not module)
        elif type(module).__name__ == "OptimizedModule":
            whole = module.__dict__["_modules"].get("_orig_mod")
            if whole is not None:
                inside.update(id(item) for item in whole.modules() if item is not whole)
    return inside


def _is_reshaped(seam: Seam) -> bool:
    """Whether the data of a parameter has another shape, and not because a library keeps it in pieces.

    DeepSpeed gathers a parameter before its layer's call and lets it go behind it; it says the whole's shape.
    """
    before: Any = seam.shapes
    now = seam.now()
    return before != now and any(
        was != new and not hasattr(parameter, WHOLE)
        for was, new, parameter in zip(before, now, seam.parameters, strict=True)
    )


def _unseen_by_script() -> Undo:
    """TorchScript compiles every attribute of a module that is not on its list."""
    ignored = getattr(sys.modules.get("torch.jit._recursive"), "ignored_attributes", None)
    if not isinstance(ignored, list):
        return lambda: None
    ignored.append(SEAM)
    return lambda: ignored.remove(SEAM)
