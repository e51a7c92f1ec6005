"""A program that goes back to a checkpoint by itself does steps again: hardware FLOP, not model FLOP."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from tests.recording.conftest import TRAIN, Run, mlp, train  # noqa: E402
from tests.recording.test_saved_states import momentum  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD, BAD, MORE = 5, 5, 8
STANDS, DONE = GOOD + MORE, GOOD + BAD + MORE
"""Five steps, five that are thrown away, eight more: 13 of 18."""


def adam(model: Any) -> Any:
    return torch.optim.AdamW(model.parameters(), lr=1e-2)


def numbers(run: Run) -> list[int]:
    return [step.number for step in run.process.steps()]


BACK = [*range(1, GOOD + BAD + 1), *range(GOOD + 1, GOOD + MORE + 1)]


@pytest.mark.parametrize("make", [adam, momentum])
def test_an_earlier_state_of_its_own(run: Run, make: Callable[[Any], Any]) -> None:
    model = mlp()
    optimizer = make(model)
    with run.record():
        train(model, optimizer, GOOD)
        state = copy.deepcopy(optimizer.state_dict())
        train(model, optimizer, BAD)
        optimizer.load_state_dict(state)
        train(model, optimizer, MORE)
    assert numbers(run) == BACK
    totals = run.totals
    assert totals.model_flop == STANDS * TRAIN
    assert totals.hardware_flop == DONE * TRAIN
    assert totals.attempts[0].resumed_after is None  # the process itself began at the beginning


def test_the_programs_own_word(run: Run) -> None:
    """The step that is open when it is said is over: it keeps its number."""
    model = mlp()
    optimizer = adam(model)
    with run.record() as recording:
        train(model, optimizer, GOOD + BAD)
        recording.resume(GOOD)
        train(model, optimizer, MORE)
    assert numbers(run) == BACK
    assert run.totals.model_flop == STANDS * TRAIN


@pytest.mark.parametrize("make", [adam, momentum])
def test_a_state_that_is_handed_back_at_once_goes_nowhere(
    run: Run, make: Callable[[Any], Any]
) -> None:
    model = mlp()
    optimizer = make(model)
    with run.record():
        for _ in range(3):
            train(model, optimizer, 2)
            optimizer.load_state_dict(optimizer.state_dict())
    assert numbers(run) == [1, 2, 3, 4, 5, 6]
    assert run.process.resumes == ()


def test_parameters_that_are_seldom_trained_are_no_way_back(run: Run) -> None:
    """The first parameters' own number of steps is smaller than the run's: that says nothing."""
    model, seldom = mlp(), mlp()
    optimizer = torch.optim.AdamW([*seldom.parameters(), *model.parameters()])
    with run.record():
        train(seldom, optimizer, 1)
        train(model, optimizer, 4)
        optimizer.load_state_dict(optimizer.state_dict())
        train(model, optimizer, 2)
    assert numbers(run) == [1, 2, 3, 4, 5, 6, 7]


def test_of_several_optimizers_it_is_said_and_not_guessed(run: Run) -> None:
    one, two = mlp(), mlp()
    optimizers = adam(one), adam(two)
    with run.record():
        for _ in range(3):
            train(one, optimizers[0])
            train(two, optimizers[1])
        states = copy.deepcopy([optimizer.state_dict() for optimizer in optimizers])
        train(one, optimizers[0])
        for optimizer, state in zip(optimizers, states, strict=True):
            optimizer.load_state_dict(state)
        train(two, optimizers[1])
    assert numbers(run) == list(range(1, 9))
    assert "went-back" in run.notes()
