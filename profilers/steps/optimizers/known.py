"""Which optimizers exist, what do they train, and will one of them end the step that is open?

Those that exist at the start are looked for once; later ones are noticed when they are made or
unpickled. An optimizer that is left over from another model (or is garbage that nobody collected
yet) must not keep a program's own word from ending a step. No torch is imported here.
"""

from __future__ import annotations

import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from profilers.steps.folding.events import Kind

READYING = frozenset({"_init_optim_state", "initialize_optimizer_states"})
"""Functions that have an optimizer step on gradients of 0, so that it has a state to load into or to
allocate: of ``torch.distributed.checkpoint`` and of DeepSpeed. Nothing is trained by such a step."""
MOST_LATELY = 4
"""Of so many optimizers that stepped it is kept what they train, though they are gone: a function that trains
returns, and what it trained is saved then."""
JOIN = "torch.distributed.algorithms.join"
"""The module of torch's ``Join``."""
MOST_FRAMES = 16
"""So many callers of a step are asked for their names."""


class Optimizers:
    """The optimizers of this process, as one observer knows them."""

    def __init__(self, modules: Callable[[], Iterable[Any]]) -> None:
        """Take what answers every module that is known."""
        self._modules = modules
        self._living: weakref.WeakKeyDictionary[Any, None] = weakref.WeakKeyDictionary()
        """In the order in which they were found."""
        self._readied: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        """How many steps gave them a state and trained nothing, since they last loaded one."""
        self._layered: dict[type, bool] = {}
        self._stepped: dict[int, tuple[Any, str]] = {}
        """A weak reference and a name by id, which another one may have once the first is gone."""
        self._named: dict[str, int] = {}
        """How many of a class stepped, those that are gone included: no two have one name."""
        self._trained: dict[int, weakref.ref[Any]] = {}
        """Parameters of those that stepped, by the id of their weak reference (``token_of``)."""
        self._asked: dict[int, Any] = {}
        """Models (``Kind.place``, and the reference that it is the id of) whose optimizers are known, where
        one steps that is not seen."""
        self._lately: deque[tuple[weakref.ref[Any], list[weakref.ref[Any]]]] = deque(
            maxlen=MOST_LATELY
        )
        """Those that stepped last, and what they trained at their first step."""
        self._differentiated: dict[int, Any] = {}
        """Parameters of models through whose calls a backward went, as ``_trained``."""
        self._went: dict[int, Any] = {}
        """These models, as ``_asked``."""
        self._copies = -1, False
        """Of how many optimizers that stepped it is known whether some train copies, and whether they do."""
        self._room = 1024
        """So many are kept before those that are gone are let go."""
        self.begins: list[Callable[[Any], None]] = []
        """Who are told of an optimizer that made its first step."""

    @property
    def living(self) -> list[Any]:
        """All that are known."""
        return list(self._living)

    def look(self, optimizers: type, objects: Iterable[Any]) -> None:
        """Look for those that exist among a process's objects."""
        for item in objects:
            if issubclass(type(item), optimizers):
                self._living[item] = None

    def made(self, optimizer: Any, *_: Any) -> None:
        """One was made or unpickled."""
        self._living[optimizer] = None
        self._layered.clear()  # torch hooks into the steps of classes when they are made use of

    def is_readied(self, optimizer: Any) -> bool:
        """Whether the step that it just made only gave it a state.

        One that keeps none, as plain SGD, makes such a step each time that its state is asked for.
        """
        frame = sys._getframe(1)
        for _ in range(MOST_FRAMES):
            if frame.f_code.co_name in READYING:
                self._readied[optimizer] = self._readied.get(optimizer, 0) + 1
                return True
            if frame.f_back is None:
                break
            frame = frame.f_back
        return False

    def is_layered(self, optimizer: Any) -> bool:
        """Whether its class's step may call that of a base, which torch tells us of, too."""
        kind = type(optimizer)
        found = self._layered.get(kind)
        if found is None:
            steps = [vars(each).get("step") for each in kind.__mro__]
            found = sum(bool(getattr(step, "hooked", False)) for step in steps) > 1
            self._layered[kind] = found
        return found

    def was_readied(self, optimizer: Any) -> int:
        """How many of the steps in its state trained nothing."""
        return self._readied.get(optimizer, 0)

    def forget_readying(self, optimizer: Any) -> None:
        """It loaded a state, and has none of its own any more."""
        self._readied.pop(optimizer, None)

    @property
    def any_stepped(self) -> bool:
        """Whether one stepped."""
        return bool(self._named)

    @property
    def any_trained(self) -> bool:
        """Whether the parameters of one that stepped are known."""
        return bool(self._trained)

    def lately(self) -> Iterator[list[Any]]:
        """What those that stepped last train, also where they are gone; not where some of it is gone, too."""
        for reference, tokens in self._lately:
            optimizer = reference()
            found = [token() for token in tokens] if optimizer is None else trained_by(optimizer)
            parameters = list(found)
            if all(each is not None for each in parameters):
                yield parameters

    def trains(self, kind: Kind) -> bool:
        """Whether an optimizer that stepped trains the model of a kind of call, or copies of what it has."""
        if not self._trained.keys().isdisjoint(map(id, kind.trained)):
            return True
        if self._differentiated.keys().isdisjoint(map(id, kind.trained)):
            return False
        if self._copies[0] != self.number:
            self._copies = self.number, self._trains_copies()
        return self._copies[1]

    def differentiated(self, kind: Kind) -> None:
        """A backward went through a call of this kind."""
        if kind.trained and kind.place not in self._went:
            self._went[kind.place] = kind.seam
            self._differentiated.update((id(token), token) for token in kind.trained)

    def known(self, optimizer: Any) -> str | None:
        """The name of one that stepped before."""
        found = self._stepped.get(id(optimizer))
        return found[1] if found is not None and found[0]() is optimizer else None

    def learn(self, optimizer: Any) -> str:
        """One steps for the first time; answers its name."""
        name = type(optimizer).__name__
        number = self._named[name] = self._named.get(name, 0) + 1
        if number > 1:
            name = f"{name}#{number}"
        self._stepped[id(optimizer)] = (weakref.ref(optimizer), name)
        self._living[optimizer] = None
        trained = list(map(token_of, trained_by(optimizer)))
        self._lately.append((weakref.ref(optimizer), trained))
        self._trained.update((id(token), token) for token in trained)
        if len(self._trained) > self._room:
            self._trained = {key: each for key, each in self._trained.items() if each() is not None}
            self._room = 2 * len(self._trained) + 1024
        for tell in self.begins:
            tell(optimizer)
        return name

    def learn_unseen(self, kinds: Iterable[Kind]) -> Iterator[Any]:
        """One stepped where it cannot be seen which: learn those that train what was called.

        Answers the new ones; others may be left over from an earlier training. Where none is known to train
        it, and none ever stepped, it may be any.
        """
        fresh = [kind for kind in kinds if kind.place not in self._asked]
        if self.any_stepped and not fresh:
            return
        self._asked.update((kind.place, kind.seam) for kind in fresh)
        called = _called(fresh)
        waiting = [each for each in self._living if self.known(each) is None]
        found = [each for each in waiting if not called.isdisjoint(_parameters(each))]
        for optimizer in found if found or self.any_stepped else waiting:
            self.learn(optimizer)
            yield optimizer

    @property
    def number(self) -> int:
        """How many stepped, those that are gone included."""
        return sum(self._named.values())

    def expected(self, kinds: Iterable[Kind]) -> bool:
        """Whether one is going to step on the models of these calls.

        Either it trains one of them, or it stepped in this recording and its parameters are no
        module's at all: then they are copies in another precision, or shards, of those that are.
        """
        called = _called(kinds)
        mine = map(_parameters, list(self._living))
        return any(not called.isdisjoint(each) for each in mine) or self._trains_copies()

    def _trains_copies(self) -> bool:
        """Whether one that stepped trains parameters that are no module's."""
        known = [each for each in list(self._living) if self.known(each) is not None]
        stepped = [parameters for each in known if (parameters := _parameters(each))]
        if not stepped:
            return False
        owned = {
            id(parameter)
            for module in self._modules()
            for parameter in module.__dict__.get("_parameters", {}).values()
        }
        return any(owned.isdisjoint(parameters) for parameters in stepped)


def within_its_own(optimizer: Any, wrapper: Any) -> bool:
    """Whether the step that is over was called by another step of the same optimizer.

    Args:
        optimizer: Which.
        wrapper: The code of what torch puts around each step.

    """
    frame: Any = sys._getframe(1)
    found = 0
    for _ in range(MOST_FRAMES):
        if frame is None:
            break
        if frame.f_code is wrapper and frame.f_locals.get("self") is optimizer:
            found += 1
        frame = frame.f_back
    return found > 1


def is_joined() -> bool:
    """Whether the step that is over was made for other ranks: this one has no more inputs (``Join``).

    Its optimizer keeps a piece of what the others train.
    """
    module = sys.modules.get(JOIN)
    waiting = getattr(getattr(module, "Join", None), "__exit__", None)
    code = getattr(waiting, "__code__", None)
    frame: Any = sys._getframe(1) if code is not None else None
    for _ in range(MOST_FRAMES):
        if frame is None:
            break
        if frame.f_code is code:
            return True
        frame = frame.f_back
    return False


def token_of(item: Any) -> weakref.ref[Any]:
    """What stands for an object while somebody keeps it, and for no other one then: ids are used again.

    An object has one weak reference of this kind, however often it is asked for.
    """
    return weakref.ref(item)


def _called(kinds: Iterable[Kind]) -> set[int]:
    return {id(item) for kind in kinds for token in kind.trained if (item := token()) is not None}


def _parameters(optimizer: Any) -> set[int]:
    return set(map(id, trained_by(optimizer)))


def trained_by(optimizer: Any) -> Iterator[Any]:
    """Walk over the parameters that an optimizer steps; none while it is just being made."""
    for group in getattr(optimizer, "param_groups", ()):
        yield from group["params"]


def steps_before(optimizer: Any) -> int:
    """How often an optimizer had stepped before the step that it just made, by its own state."""
    most = 0
    for state in list(optimizer.state.values())[:4]:
        step: Any = state.get("step") if isinstance(state, Mapping) else None
        device = getattr(step, "device", None)
        if device is not None:
            # A tensor on another device is not read: that would wait for the device.
            step = int(step.item()) if device.type == "cpu" and step.numel() == 1 else None
        if isinstance(step, int | float):
            most = max(most, int(step))
    return max(0, most - 1)
