"""A program that goes back to a checkpoint by itself does steps again: hardware FLOP, not model FLOP."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from tests.recording.conftest import TRAIN, Run, batch, mlp, train  # noqa: E402
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


def taking_turns(optimizers: Any, models: Any, rounds: int) -> None:
    for _ in range(rounds):
        for model, optimizer in zip(models, optimizers, strict=True):
            train(model, optimizer)


@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("makes", [(adam, adam), (adam, momentum), (momentum, momentum)])
def test_several_optimizers_mean_one_moment(
    run: Run, turn: int, makes: tuple[Callable[[Any], Any], ...]
) -> None:
    """Three rounds of two, and a half one: 6 or 7 steps. A round more is thrown away, and two follow."""
    models = [mlp(), mlp()]
    optimizers = [make(model) for make, model in zip(makes, models, strict=True)]
    order = optimizers[turn:] + optimizers[:turn], models[turn:] + models[:turn]
    with run.record():
        taking_turns(optimizers, models, 3)
        taking_turns(optimizers[:turn], models[:turn], 1)
        states = copy.deepcopy([optimizer.state_dict() for optimizer in optimizers])
        taking_turns(*order, 1)
        for optimizer, state in zip(optimizers, states, strict=True):
            optimizer.load_state_dict(state)
        taking_turns(*order, 2)
    stood = 6 + turn
    assert numbers(run) == [*range(1, stood + 3), *range(stood + 1, stood + 5)]
    totals = run.totals
    assert totals.model_flop == (stood + 4) * TRAIN
    assert totals.hardware_flop == (stood + 6) * TRAIN
    assert "went-back" not in run.notes()


def test_optimizers_that_step_together(run: Run) -> None:
    model = mlp()
    layers = [layer for layer in model if list(layer.parameters())]
    optimizers = [adam(layer) for layer in layers]

    def go(steps: int) -> None:
        for _ in range(steps):
            model(batch()).sum().backward()
            for optimizer in optimizers:
                optimizer.step()

    with run.record():
        go(GOOD)
        states = copy.deepcopy([optimizer.state_dict() for optimizer in optimizers])
        go(BAD)
        for optimizer, state in zip(optimizers, states, strict=True):
            optimizer.load_state_dict(state)
        go(MORE)
    assert numbers(run) == BACK


def test_states_of_no_one_moment_give_bounds(run: Run) -> None:
    """One of two is given the state of four of its steps ago, the other one is left as it is."""
    models = [mlp(), mlp()]
    optimizers = [adam(model) for model in models]
    with run.record():
        taking_turns(optimizers, models, 2)
        state = copy.deepcopy(optimizers[0].state_dict())
        taking_turns(optimizers, models, 4)
        optimizers[0].load_state_dict(state)
        taking_turns(optimizers, models, 1)
    assert numbers(run) == list(range(1, 15))
    assert "went-back" in run.notes()
    totals = run.totals
    assert totals.model_flop is None
    # 12 steps and 2 more. The first of eight that went is the fifth: of the last ten two may be done again.
    assert totals.model_bounds == (12 * TRAIN, 14 * TRAIN)
    assert totals.hardware_flop == 14 * TRAIN
    assert {"went-back", "resume-step-unknown"} <= {finding.code for finding in totals.findings}
