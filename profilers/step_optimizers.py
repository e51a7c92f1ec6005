"""Which optimizers exist, what do they train, and will one of them end the step that is open?

Those that exist at the start are looked for once; later ones are noticed when they are made or
unpickled. An optimizer that is left over from another model (or is garbage that nobody collected
yet) must not keep a program's own word from ending a step. No torch is imported here.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from profilers.step_events import Kind

READYING = frozenset({"_init_optim_state", "initialize_optimizer_states"})
"""Functions that have an optimizer step on gradients of 0, so that it has a state to load into or to
allocate: of ``torch.distributed.checkpoint`` and of DeepSpeed. Nothing is trained by such a step."""
MOST_FRAMES = 16
"""So many callers of a step are asked for their names."""
BASE = "torch.optim.optimizer"
HOOKED = "wrapper"
"""Name of what torch puts around a class's ``step``, and which calls the hooks."""


class Optimizers:
    """The optimizers of this process, as one observer knows them."""

    def __init__(self, modules: Callable[[], Iterable[Any]]) -> None:
        """Take what answers every module that is known."""
        self._modules = modules
        self._living: weakref.WeakKeyDictionary[Any, None] = weakref.WeakKeyDictionary()
        """In the order in which they were found."""
        self._readied: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        """How many steps gave them a state and trained nothing, since they last loaded one."""
        self.nests: dict[type, bool] = {}
        """Whether classes of optimizers have a ``step`` that may call another one of theirs."""
        self.stepped: dict[int, tuple[Any, str]] = {}
        """A weak reference and a name by id."""
        self._trained: set[int] = set()
        self.begins: list[Callable[[Any], None]] = []
        """Who are told of an optimizer that made its first step."""

    @property
    def living(self) -> list[Any]:
        """All that are known."""
        return list(self._living)

    def look(self, optimizers: type) -> None:
        """Look for those that exist."""
        for item in gc.get_objects():
            if issubclass(type(item), optimizers):
                self._living[item] = None

    def made(self, optimizer: Any, *_: Any) -> None:
        """One was made or unpickled."""
        self._living[optimizer] = None

    def is_inner(self, optimizer: Any) -> bool:
        """Whether the step that it just made is part of another of its own: ``super().step()``.

        Torch calls its hooks after each, if it has put itself around both.
        """
        kind = type(optimizer)
        nests = self.nests.get(kind)
        if nests is None:
            own = [
                each for each in kind.__mro__ if each.__module__ != BASE and "step" in vars(each)
            ]
            nests = self.nests[kind] = len(own) > 1
        if not nests:
            return False
        found, frame = 0, sys._getframe(1)
        for _ in range(MOST_FRAMES):
            code = frame.f_code.co_name
            found += code == HOOKED and frame.f_locals.get("self") is optimizer
            if found > 1 or frame.f_back is None:
                break
            frame = frame.f_back
        return found > 1

    def is_readied(self, optimizer: Any) -> bool:
        """Whether the step that it just made, its first here, only gave it a state."""
        frame = sys._getframe(1)
        for _ in range(MOST_FRAMES):
            if frame.f_code.co_name in READYING:
                self._readied[optimizer] = self._readied.get(optimizer, 0) + 1
                return True
            if frame.f_back is None:
                break
            frame = frame.f_back
        return False

    def was_readied(self, optimizer: Any) -> int:
        """How many of the steps in its state trained nothing."""
        return self._readied.get(optimizer, 0)

    def forget_readying(self, optimizer: Any) -> None:
        """It loaded a state, and has none of its own any more."""
        self._readied.pop(optimizer, None)

    @property
    def any_stepped(self) -> bool:
        """Whether one stepped."""
        return bool(self.stepped)

    @property
    def any_trained(self) -> bool:
        """Whether the parameters of one that stepped are known."""
        return bool(self._trained)

    def trains(self, kind: Kind) -> bool:
        """Whether an optimizer that stepped trains the model of a kind of call."""
        return not self._trained.isdisjoint(kind.trained)

    def known(self, optimizer: Any) -> str | None:
        """The name of one that stepped before."""
        found = self.stepped.get(id(optimizer))
        return found[1] if found is not None and found[0]() is optimizer else None

    def learn(self, optimizer: Any) -> str:
        """One steps for the first time; answers its name."""
        name = type(optimizer).__name__
        same = sum(1 for _, other in self.stepped.values() if other.split("#")[0] == name)
        name = f"{name}#{same + 1}" if same else name
        self.stepped[id(optimizer)] = (weakref.ref(optimizer), name)
        self._living[optimizer] = None
        self._trained.update(_parameters(optimizer))
        for tell in self.begins:
            tell(optimizer)
        return name

    def learn_living(self) -> Iterator[Any]:
        """One stepped where it cannot be seen which: learn all; answers the new ones."""
        for optimizer in list(self._living):
            if self.known(optimizer) is None:
                self.learn(optimizer)
                yield optimizer

    @property
    def number(self) -> int:
        """How many stepped."""
        return len(self.stepped)

    def expected(self, kinds: Iterable[Kind]) -> bool:
        """Whether one is going to step on the models of these calls.

        Either it trains one of them, or it stepped in this recording and its parameters are no
        module's at all: then they are copies in another precision, or shards, of those that are.
        """
        called = {place for kind in kinds for place in kind.trained}
        mine = {each: _parameters(each) for each in list(self._living)}
        if any(not called.isdisjoint(parameters) for parameters in mine.values()):
            return True
        stepped = [mine[each] for each in mine if mine[each] and self.known(each) is not None]
        if not stepped:
            return False
        owned = {
            id(parameter)
            for module in self._modules()
            for parameter in module.__dict__.get("_parameters", {}).values()
        }
        return any(owned.isdisjoint(parameters) for parameters in stepped)


def _parameters(optimizer: Any) -> set[int]:
    groups = getattr(optimizer, "param_groups", ())
    return {id(parameter) for group in groups for parameter in group["params"]}


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
