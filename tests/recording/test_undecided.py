"""Something decides that nobody finds: calls that look alike add unlike numbers of nodes to the graph.

Each of them is counted by itself, and believed where the count adds as many; else there are bounds.
"""

from __future__ import annotations

import array
import collections
import functools
import sys
import threading
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from tests.recording.conftest import (  # noqa: E402
    recorded_as_counted,
    sgd,
    steps_by_counter,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.recording.conftest import Mark, Run

WIDTH = 8


@pytest.fixture(autouse=True)
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever tests before these compiled or scripted in this process: then numbers of nodes say nothing."""
    compiler = sys.modules.get("torch._dynamo.convert_frame")
    if compiler is not None:
        monkeypatch.setattr(compiler, "FRAME_COUNTER", 0)
    monkeypatch.setattr(torch.jit._state, "_jit_caching_layer", weakref.WeakKeyDictionary())


class Shared:
    """Settings that a forward reaches by a method of their class alone."""

    one: Any = None

    @classmethod
    def get(cls) -> Any:
        if cls.one is None:
            cls.one = cls()
            cls.one.depth = 1
        return cls.one


class Deep(nn.Module):
    """As deep as a function says."""

    def __init__(self, depth: Callable[[], int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.depth = depth

    def forward(self, x: Any) -> Any:
        for layer in self.layers[: self.depth()]:
            x = layer(x)
        return x


def trained(mark: Mark, model: Any, change: Callable[[int], object], steps: int = 12) -> None:
    optimizer = sgd(model)
    for step in range(steps):
        change(step)
        model(torch.randn(5, WIDTH)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        mark()


def an_object_that_its_class_hands_out(mark: Mark) -> None:
    trained(
        mark,
        Deep(lambda: int(Shared.get().depth)),
        lambda step: setattr(Shared.get(), "depth", 1 + step % 3),
    )


def a_weak_reference(mark: Mark) -> None:
    settings = Shared()
    model = Deep(lambda: 0)
    known = weakref.ref(settings)
    model.depth = lambda: known().depth  # type: ignore[union-attr]
    trained(mark, model, lambda step: setattr(settings, "depth", 1 + step % 3))


def an_event(mark: Mark) -> None:
    event = threading.Event()
    model = Deep(lambda: 3 if event.is_set() else 1)
    trained(mark, model, lambda step: event.set() if step // 2 % 2 else event.clear())


def a_function_with_its_arguments(mark: Mark) -> None:
    model = Deep(int)
    trained(mark, model, lambda step: setattr(model, "depth", functools.partial(int, 1 + step % 3)))


def a_cached_answer(mark: Mark) -> None:
    plan = [1]
    depth = functools.lru_cache(lambda: plan[0])

    def change(step: int) -> None:
        plan[0] = 1 + step % 3
        if step % 2:
            depth.cache_clear()

    trained(mark, Deep(depth), change)


def an_array_and_a_queue(mark: Mark) -> None:
    numbers, plan = array.array("i", [1]), collections.deque([1], maxlen=1)

    def change(step: int) -> None:
        numbers[0] = step % 2
        plan.append(1 + step % 3)

    trained(mark, Deep(lambda: numbers[0] + plan[0]), change)


def what_a_set_holds(mark: Mark) -> None:
    """A count puts back what a set held, and is made once more without."""
    model = Deep(lambda: 3 if 7 in skipped else 1)
    model.skipped = skipped = {0}
    trained(mark, model, lambda step: (skipped.clear(), skipped.add(7 if step // 2 % 2 else 8)))


def defaults_of_a_method(mark: Mark) -> None:
    class Told(Deep):
        def forward(self, x: Any, depth: int = 1) -> Any:
            for layer in self.layers[:depth]:
                x = layer(x)
            return x

    trained(mark, Told(int), lambda step: setattr(Told.forward, "__defaults__", (1 + step % 3,)))


def weights_that_autocast_keeps(mark: Mark) -> None:
    """The second call under one autocast finds them converted: fewer nodes, and the same products."""
    model = Deep(lambda: 2)
    optimizer = sgd(model)
    for _ in range(4):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(torch.randn(5, WIDTH)).sum() + model(torch.randn(5, WIDTH)).sum()
        loss.backward()
        optimizer.step()
        mark()


def noise_at_times(mark: Mark) -> None:
    """What comes and goes without a product is counted once more, and as much."""
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Dropout(0.5), nn.Linear(WIDTH, WIDTH))
    trained(mark, model, lambda step: model[1].train(step % 3 > 0))


LOOPS = [
    an_object_that_its_class_hands_out, a_weak_reference, an_event, a_function_with_its_arguments,
    a_cached_answer, an_array_and_a_queue, what_a_set_holds, defaults_of_a_method,
    weights_that_autocast_keeps, noise_at_times,
]  # fmt: skip


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_each_step_is_what_the_counter_says(run: Run, loop: Callable[[Mark], None]) -> None:
    recorded_as_counted(run, loop)


@contextmanager
def told(event: threading.Event) -> Iterator[None]:
    event.set()
    yield
    event.clear()


def test_what_decides_no_more_when_it_is_counted_has_bounds(run: Run) -> None:
    """An event that is set around each fourth call, and not when that is counted."""

    def loop(mark: Mark) -> None:
        event = threading.Event()
        model = Deep(lambda: 3 if event.is_set() else 1)
        optimizer = sgd(model)
        for step in range(8):
            x = torch.randn(5, WIDTH)
            if step % 4 == 3:
                with told(event):
                    loss = model(x).sum()
            else:
                loss = model(x).sum()
            loss.backward()
            optimizer.step()
            mark()

    expected = steps_by_counter(loop)
    with run.record():
        loop(lambda: None)
    process = run.process
    steps = list(process.steps())
    for step, flop in zip(steps, expected, strict=True):
        ((cost, _),) = step.calls
        known = process.costs[cost]
        assert (known.bounds is None) == (flop == expected[0])
        assert known.model_flop == flop if known.bounds is None else known.bounds == (0, None)
    assert run.notes() == {"cost-bounded"}


def test_of_one_step_in_which_it_changes_nothing_is_believed(run: Run) -> None:
    """Three micro-batches, each of another depth, before the first of them is counted."""
    plan = collections.deque([1], maxlen=1)
    model = Deep(lambda: plan[0])
    optimizer = sgd(model)
    with run.record():
        for depth in (1, 2, 3):
            plan.append(depth)
            model(torch.randn(5, WIDTH)).sum().backward()
        optimizer.step()
    # A product of one layer is 2·5·8·8 = 640 FLOP: n forward, n for the weights, n - 1 between the layers.
    low, high = run.totals.hardware_bounds
    assert low <= sum((3 * n - 1) * 640 for n in (1, 2, 3))
    assert high is None
    assert run.notes() == {"cost-bounded"}
