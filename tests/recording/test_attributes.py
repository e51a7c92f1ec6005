"""Attributes that change what a call does, between steps whose inputs look the same.

Each step equals torch's own counter on the same step.
"""

from __future__ import annotations

import dataclasses
import threading
import types
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from profilers.steps.deciders.attributes import Attributes  # noqa: E402
from tests.recording.conftest import recorded_as_counted, sgd  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.recording.conftest import Mark, Run

WIDTH = 8
DEPTH = [3]
"""A global by which a model below is told how deep it is."""
SCOPED: ContextVar[Any] = ContextVar("SCOPED")
DEFAULT = ContextVar("DEFAULT", default=2)
LOCAL = threading.local()
"""Likewise, with another value in each context or thread."""


class Block(nn.Module):
    """May be passed over."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, WIDTH)
        self.active = True

    def forward(self, x: Any) -> Any:
        return self.layer(x).relu() if self.active else x


class Stack(nn.Module):
    """As deep as its settings say."""

    def __init__(self, settings: Any, depth_of: Callable[[Any], int]) -> None:
        super().__init__()
        self.settings = settings
        self.blocks = nn.ModuleList([Block() for _ in range(4)])
        self.depth_of = depth_of

    def forward(self, x: Any) -> Any:
        for block in self.blocks[: self.depth_of(self.settings)]:
            x = block(x)
        return x


def trained(mark: Mark, model: Any, change: Callable[[int], object], steps: int = 8) -> None:
    optimizer = sgd(model)
    for step in range(steps):
        change(step)
        model(torch.randn(5, WIDTH)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        mark()


def an_own_attribute(mark: Mark) -> None:
    class Deep(Stack):
        depth = 4

        def forward(self, x: Any) -> Any:
            for block in self.blocks[: self.depth]:
                x = block(x)
            return x

    model = Deep(None, int)
    trained(mark, model, lambda step: setattr(model, "depth", 1 + step % 3))


def a_layer_switched_off(mark: Mark) -> None:
    model = Stack(4, int)
    trained(mark, model, lambda step: setattr(model.blocks[2], "active", step % 2 == 0))


def a_settings_object(mark: Mark) -> None:
    settings = types.SimpleNamespace(depth=4)
    model = Stack(settings, lambda given: given.depth)
    trained(mark, model, lambda step: setattr(settings, "depth", 1 + step // 2))


def settings_with_slots(mark: Mark) -> None:
    @dataclasses.dataclass(slots=True)
    class Settings:
        depth: int = 4

    settings = Settings()
    model = Stack(settings, lambda given: given.depth)
    trained(mark, model, lambda step: setattr(settings, "depth", 1 + step // 2))


def nested_settings(mark: Mark) -> None:
    settings = {"encoder": {"depths": [4, 9]}}
    model = Stack(settings, lambda given: given["encoder"]["depths"][0])
    trained(mark, model, lambda step: settings["encoder"]["depths"].__setitem__(0, 1 + step % 4))


def a_list_that_grows(mark: Mark) -> None:
    settings: list[int] = []
    model = Stack(settings, len)
    trained(mark, model, lambda step: settings.append(step), steps=4)


def a_constant_of_the_class(mark: Mark) -> None:
    class Settings:
        depth = 4

    model = Stack(Settings, lambda given: given.depth)
    trained(mark, model, lambda step: setattr(Settings, "depth", 1 + step // 2))


def a_variable_around_it(mark: Mark) -> None:
    depth = 1

    class Deep(Stack):
        def forward(self, x: Any) -> Any:
            for block in self.blocks[:depth]:
                x = block(x)
            return x

    def change(step: int) -> None:
        nonlocal depth
        depth = 1 + step % 4

    trained(mark, Deep(None, int), change)


def a_global(mark: Mark) -> None:
    class Deep(Stack):
        def forward(self, x: Any) -> Any:
            for block in self.blocks[: DEPTH[0]]:
                x = block(x)
            return x

    trained(mark, Deep(None, int), lambda step: DEPTH.__setitem__(0, 1 + step // 2))


def a_part_in_eval_mode(mark: Mark) -> None:
    class Auxiliary(Block):
        def forward(self, x: Any) -> Any:
            return self.layer(self.layer(x)) if self.training else self.layer(x)

    model = nn.Sequential(Block(), Auxiliary())
    trained(mark, model, lambda step: model[1].train(step % 3 == 0))


def another_forward(mark: Mark) -> None:
    model = Stack(4, int)
    other = types.MethodType(lambda self, x: self.layer(self.layer(x)), model.blocks[0])
    trained(
        mark, model, lambda step: setattr(model.blocks[0], "forward", other) if step == 3 else None
    )


def a_method_of_a_plain_layer(mark: Mark) -> None:
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH))
    other = types.MethodType(lambda self, x: x @ self.weight @ self.weight, model[1])
    trained(mark, model, lambda step: setattr(model[1], "forward", other) if step == 3 else None)


def layers_taken_away(mark: Mark) -> None:
    model = Stack(4, int)
    trained(mark, model, lambda step: model.blocks.__delitem__(-1) if step in (2, 5) else None)


def a_wider_layer(mark: Mark) -> None:
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH))

    def change(step: int) -> None:
        model[0] = nn.Linear(WIDTH, WIDTH * (1 + step // 3))
        model[1] = nn.Linear(WIDTH * (1 + step // 3), WIDTH)

    trained(mark, model, change)


def a_hidden_state(mark: Mark) -> None:
    """The memory grows; the input never does."""

    class Memory(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(WIDTH, WIDTH)
            self.past: Any = None

        def forward(self, x: Any) -> Any:
            whole = x if self.past is None else torch.cat([self.past, x])
            self.past = whole.detach()[-12:]
            return self.layer(whole)

    trained(mark, Memory(), lambda step: None)


def hidden_states_in_a_tuple(mark: Mark) -> None:
    class Memory(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(WIDTH, WIDTH)
            self.past: Any = ()

        def forward(self, x: Any) -> Any:
            whole = torch.cat([*self.past, x])
            self.past = (*self.past, x.detach())[-2:]
            return self.layer(whole)

    trained(mark, Memory(), lambda step: None)


def changed_within_a_step(mark: Mark) -> None:
    """Counted when the step is over: each call as it was made."""
    settings = types.SimpleNamespace(depth=4)
    model = Stack(settings, lambda given: given.depth)
    optimizer = sgd(model)
    for first, second in ((1, 4), (4, 2), (3, 3)):
        for depth in (first, second):
            settings.depth = depth
            model(torch.randn(5, WIDTH)).sum().backward()
        settings.depth = 0
        optimizer.step()
        mark()


def a_counter_that_decides_late(mark: Mark) -> None:
    class Late(Block):
        calls = 0

        def forward(self, x: Any) -> Any:
            self.calls += 1
            return self.layer(self.layer(x)) if self.calls > 14 else self.layer(x)

    trained(mark, Late(), lambda step: None, steps=18)


def annealed(mark: Mark) -> None:
    """A number that falls each step, and half-way a threshold is met."""

    class Annealed(Block):
        heat = 1.0

        def forward(self, x: Any) -> Any:
            return self.layer(x) if self.heat > 0.3 else self.layer(self.layer(x))

    model = Annealed()
    trained(mark, model, lambda step: setattr(model, "heat", 0.95**step), steps=40)


def a_random_depth(mark: Mark) -> None:
    settings = types.SimpleNamespace(depth=4)
    model = Stack(settings, lambda given: given.depth)
    trained(mark, model, lambda step: setattr(settings, "depth", 1 + (step * 7) % 4), steps=20)


def a_plan_made_anew(mark: Mark) -> None:
    """A list and a dictionary that another one replaces before each call, and after it."""
    model = Stack({"depth": [1, 1]}, lambda given: sum(given["depth"]))
    optimizer = sgd(model)
    for step in range(16):
        model.settings = {"depth": [1, (step * 5) % 4]}
        model(torch.randn(5, WIDTH)).sum().backward()
        model.settings = {"depth": [0, 0]}
        optimizer.step()
        mark()


def a_plan_changed_before_the_optimizers_step(mark: Mark) -> None:
    """What is in the containers when a call is counted is not what was in them when it was made."""
    model = Stack([1], lambda given: len(given))
    optimizer = sgd(model)
    for step in range(12):
        model.settings.extend([1] * (step % 3))
        model(torch.randn(5, WIDTH)).sum().backward()
        del model.settings[1:]
        optimizer.step()
        mark()


@contextmanager
def scoped(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def in_contexts(
    mark: Mark, model: Any, variable: ContextVar[Any], given: Callable[[int], Any], steps: int = 12
) -> None:
    """Each second call is made where the variable has a value, which it has no more when that is counted."""
    optimizer = sgd(model)
    for step in range(steps):
        if step % 2:
            with scoped(variable, given(step)):
                loss = model(torch.randn(5, WIDTH)).sum()
        else:
            loss = model(torch.randn(5, WIDTH)).sum()
        loss.backward()
        optimizer.step()
        mark()


def a_context_variable(mark: Mark) -> None:
    in_contexts(mark, Stack(None, lambda _: DEFAULT.get()), DEFAULT, lambda step: 1 + step % 4)


def a_context_variable_of_the_class(mark: Mark) -> None:
    class Deep(Stack):
        depth = SCOPED

        def forward(self, x: Any) -> Any:
            for block in self.blocks[: self.depth.get(3)]:
                x = block(x)
            return x

    in_contexts(mark, Deep(None, int), SCOPED, lambda step: 1 + step % 4)


def settings_in_a_context(mark: Mark) -> None:
    """An object, or none; the forward itself leaves another one, which a count must not."""

    def depth_of(_: Any) -> int:
        found = SCOPED.get(None)
        if found is None:
            return 1
        SCOPED.set(types.SimpleNamespace(depth=found.depth - 1))
        return int(found.depth)

    given = [types.SimpleNamespace(depth=depth) for depth in (2, 4)]
    in_contexts(mark, Stack(None, depth_of), SCOPED, lambda step: given[step // 2 % 2])


def a_mask_in_a_context(mark: Mark) -> None:
    model = Stack(None, lambda _: int(SCOPED.get(torch.tensor([1])).sum()))
    in_contexts(mark, model, SCOPED, lambda step: torch.tensor([1, step % 4]))


def emptied_before_it_is_counted(mark: Mark) -> None:
    """A variable has a value at one call and none at the next, or the other way round, within a step."""
    model = Stack(None, lambda _: SCOPED.get(1))
    optimizer = sgd(model)
    for step in range(8):
        token = SCOPED.set(2 + step % 2)
        model(torch.randn(5, WIDTH)).sum().backward()
        SCOPED.reset(token)
        model(torch.randn(5, WIDTH)).sum().backward()
        token = SCOPED.set(4)
        optimizer.step()
        SCOPED.reset(token)
        mark()


def of_a_thread(mark: Mark) -> None:
    model = Stack(None, lambda _: getattr(LOCAL, "depth", 2))
    optimizer = sgd(model)
    for step in range(12):
        if step % 3:
            LOCAL.depth = 1 + step % 4
        model(torch.randn(5, WIDTH)).sum().backward()
        vars(LOCAL).clear()
        LOCAL.other = True
        optimizer.step()
        del LOCAL.other
        mark()


LOOPS = [
    an_own_attribute, a_layer_switched_off, a_settings_object, settings_with_slots, nested_settings,
    a_list_that_grows, a_constant_of_the_class, a_variable_around_it, a_global, a_part_in_eval_mode,
    another_forward, a_method_of_a_plain_layer, layers_taken_away, a_wider_layer, a_hidden_state,
    hidden_states_in_a_tuple, changed_within_a_step, a_counter_that_decides_late, annealed, a_random_depth,
    a_plan_made_anew, a_plan_changed_before_the_optimizers_step, a_context_variable,
    a_context_variable_of_the_class, settings_in_a_context, a_mask_in_a_context,
    emptied_before_it_is_counted, of_a_thread,
]  # fmt: skip


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_each_step_equals_the_counter(run: Run, loop: Callable[[Mark], None]) -> None:
    expected = recorded_as_counted(run, loop)
    assert len(set(expected)) > 1  # otherwise the loop tests nothing


def test_numbers_that_decide_nothing_are_left_alone(run: Run) -> None:
    """A counter, a temperature and a history cost a few counts at the beginning, and then none."""

    class Busy(Block):
        def __init__(self) -> None:
            super().__init__()
            self.calls, self.heat = 0, 1.0
            self.history: list[float] = []

        def forward(self, x: Any) -> Any:
            self.calls += 1
            self.heat *= 0.999
            self.history.append(self.heat)
            return self.layer(x) * self.heat

    model = Busy()
    optimizer = sgd(model)
    x = torch.randn(5, WIDTH)
    with run.record() as recording:
        for _ in range(40):
            model(x).sum().backward()
            optimizer.step()
        kinds = len(model.__dict__["_compiled_call_impl"].kinds)
        for _ in range(100):
            model(x).sum().backward()
            optimizer.step()
        assert len(model.__dict__["_compiled_call_impl"].kinds) == kinds
        assert recording._recorder.observer.serial > 100
    assert run.flop == [2 * (2 * 5 * WIDTH * WIDTH)] * 140  # forward and weights; no gradient of x
    assert len(model.history) == 140  # no count wrote there
    assert run.notes() == set()


def test_a_list_made_anew_by_each_call_is_compared_by_what_it_holds(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise all attributes would be gathered again at each call."""

    class Collecting(Block):
        def forward(self, x: Any) -> Any:
            self.losses: list[Any] = []
            self.maps: dict[str, Any] = {}
            out = self.layer(x)
            self.maps["out"] = out.detach()
            self.losses.append(0.5)
            return out

    looks = []
    look = Attributes.look
    monkeypatch.setattr(Attributes, "look", lambda *given: looks.append(1) or look(*given))
    model = Collecting()
    optimizer = sgd(model)
    x = torch.randn(5, WIDTH)
    with run.record():
        for step in range(40):
            if step == 12:
                looks.clear()
            model(x).sum().backward()
            optimizer.step()
    assert looks == []
    assert run.flop == [2 * (2 * 5 * WIDTH * WIDTH)] * 40
    assert run.notes() == set()


def test_memory_of_a_model_is_not_kept_alive(run: Run) -> None:
    import weakref

    class Memory(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(WIDTH, WIDTH)
            self.past: Any = None

        def forward(self, x: Any) -> Any:
            self.past = (x.detach().clone(),)
            return self.layer(x)

    model = Memory()
    optimizer = sgd(model)
    kept = []
    with run.record():
        for _ in range(4):
            model(torch.randn(5, WIDTH)).sum().backward()
            kept.append(weakref.ref(model.past[0]))
            optimizer.step()
        model.past = None
        assert [ref() for ref in kept] == [None] * 4


def test_a_layer_that_was_replaced_is_not_kept_alive(run: Run) -> None:
    import gc
    import weakref

    model = nn.Sequential(Block(), nn.Linear(WIDTH, WIDTH))
    with run.record():
        optimizer = sgd(model)
        model(torch.randn(5, WIDTH)).sum().backward()
        optimizer.step()
        weight = weakref.ref(model[1].weight)
        model[1] = nn.Linear(WIDTH, WIDTH)
        optimizer = sgd(model)
        for _ in range(2):
            model(torch.randn(5, WIDTH)).sum().backward()
            optimizer.step()
        gc.collect()
        assert weight() is None
