"""Batches in places that are not looked into at first sight: two that differ there are two kinds of calls."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from tests.recording.conftest import recorded_as_counted, sgd  # noqa: E402

if TYPE_CHECKING:
    from tests.recording.conftest import Mark, Run


class Slots:
    __slots__ = ("__private",)

    def __init__(self, item: Any) -> None:
        self.__private = item

    def get(self) -> Any:
        return self.__private


@dataclasses.dataclass(slots=True)
class Batch:
    item: Any


class Callable_:  # noqa: N801 - typing has the name without
    __slots__ = ("item",)

    def __init__(self, item: Any) -> None:
        self.item = item

    def __call__(self) -> Any:
        return self.item


def deeply(item: Any) -> Callable[[], Any]:
    def inner() -> Any:
        return item

    def outer() -> Any:
        return inner()

    return outer


class Applied(nn.Module):
    """A layer, applied to what it finds in its input."""

    def __init__(self, find: Callable[[Any], Any]) -> None:
        super().__init__()
        self.layer, self.find = nn.Linear(8, 8), find

    def forward(self, given: Any) -> Any:
        return self.layer(self.find(given))


class Repeated(Applied):
    """The same, as often as a number says that it finds."""

    def forward(self, given: Any) -> Any:
        x = torch.ones(4, 8)
        for _ in range(int(self.find(given))):
            x = self.layer(x)
        return x


PLACES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "slots": (Slots, Slots.get),
    "a data class with slots, in a list": (lambda x: [Batch(x)], lambda given: given[0].item),
    "a closure in a closure": (deeply, lambda given: given()),
    "a default": (lambda x: lambda y=x: y, lambda given: given()),
    "a partial": (lambda x: functools.partial(lambda y: y, x), lambda given: given()),
    "a method's object": (lambda x: Slots(x).get, lambda given: given()),
    "an object that is called": (Callable_, lambda given: given()),
    "the last of many": (
        lambda x: dict.fromkeys(range(99)) | {99: x}, lambda given: given[99],
    ),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_sizes_are_told_apart_wherever_a_tensor_lies(run: Run, place: str) -> None:
    put, find = PLACES[place]

    def loop(mark: Mark) -> None:
        model = Applied(find)
        optimizer = sgd(model)
        for rows in (4, 6, 4):
            model(put(torch.randn(rows, 8))).sum().backward()
            optimizer.step()
            mark()

    # A forward and the weight's gradient: 2 · 2·rows·8·8 FLOP.
    assert recorded_as_counted(run, loop) == [256 * rows for rows in (4, 6, 4)]


@pytest.mark.parametrize(
    ("place", "number"),
    [*((place, torch.tensor) for place in PLACES), ("slots", int), ("a partial", float)],
)
def test_numbers_that_decide_are_told_apart(
    run: Run, place: str, number: Callable[[int], Any]
) -> None:
    put, find = PLACES[place]

    def loop(mark: Mark) -> None:
        model = Repeated(find)
        optimizer = sgd(model)
        for times in (1, 3, 1):
            model(put(number(times))).sum().backward()
            optimizer.step()
            mark()

    # Of n applications, 2·4·8·8 FLOP each: n forward, n of weights, n - 1 of what lies between.
    assert recorded_as_counted(run, loop) == [512 * (3 * n - 1) for n in (1, 3, 1)]


def test_a_size_stays_one(run: Run) -> None:
    """``torch.Size`` is a tuple, and yet a model may ask for it."""

    def loop(mark: Mark) -> None:
        model = Repeated(lambda given: 3 if type(given) is torch.Size else 1)
        optimizer = sgd(model)
        for given in (torch.Size([2]), (2,), torch.Size([2])):
            model(given).sum().backward()
            optimizer.step()
            mark()

    assert recorded_as_counted(run, loop) == [4096, 1024, 4096]  # as above, of 3, 1 and 3


@pytest.mark.parametrize("once", [iter, lambda items: (item for item in items)])
def test_what_can_be_read_only_once_has_no_figure(run: Run, once: Callable[[Any], Any]) -> None:
    model = Applied(next)
    optimizer = sgd(model)
    with run.record():
        for rows in (4, 6):
            model(once([torch.randn(rows, 8)])).sum().backward()
            optimizer.step()
    assert {cost.bounds for cost in run.process.costs.values()} == {(0, None)}
    assert run.notes() == {"cost-unknown"}


def test_a_loop_over_a_numbers_value_has_bounds(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other batch's number is known; with a great one the count does not end, which is no agreement."""
    monkeypatch.setattr("flopcount.live.counting.TRIAL_SECONDS", 0.2)
    model = Repeated(lambda given: given)
    with run.record():
        model(torch.tensor(3.0)).sum().backward()
        sgd(model).step()
    (bounds,) = {cost.bounds for cost in run.process.costs.values()}
    assert bounds is not None
    assert bounds[1] is None
