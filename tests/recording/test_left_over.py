"""What a process holds from before: an earlier training's models and optimizers, frozen objects, old ids."""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from profilers.steps.folding.events import Kind  # noqa: E402
from profilers.steps.models import living  # noqa: E402
from profilers.steps.optimizers.known import Optimizers, token_of  # noqa: E402
from profilers.steps.record.ledger import read_steps  # noqa: E402
from tests.recording.conftest import ONE, TRAIN, Run, batch, mlp, sgd, train  # noqa: E402


class Optimizer:
    """What is asked of an optimizer."""

    def __init__(self, *parameters: Any) -> None:
        self.param_groups = [{"params": list(parameters)}]


def test_no_two_optimizers_have_one_name() -> None:
    """They tell where a step ends: one that steps again ends it, another one belongs to it.

    Those of a fold are gone when the next ones are made, which get their ids.
    """
    known = Optimizers(list)
    names = []
    for _ in range(50):
        fold = [Optimizer(), Optimizer()]
        names += [known.learn(each) for each in fold]
        assert [known.known(each) for each in fold] == names[-2:]
    assert names == ["Optimizer", *(f"Optimizer#{number}" for number in range(2, 101))]
    assert known.number == 100


def test_a_parameter_that_is_gone_makes_no_other_one_trained() -> None:
    known = Optimizers(list)
    for _ in range(50):
        trained, other = Kind("Trained", ()), Kind("Other", ())
        parameter = torch.nn.Parameter(torch.ones(2))
        trained.trained = (token_of(parameter),)
        known.learn(Optimizer(parameter))
        del parameter
        later = torch.nn.Parameter(torch.ones(2))  # in the place of the first
        other.trained = (token_of(later),)
        assert not known.trains(other)
        assert known.trains(trained)  # a call may be told when its model is gone


def test_parameters_that_are_gone_are_forgotten() -> None:
    """A program may make an optimizer for each of a million tasks."""
    known = Optimizers(list)
    last = Kind("Last", ())
    for _ in range(5000):
        parameter = torch.nn.Parameter(torch.ones(1))
        known.learn(Optimizer(parameter))
    last.trained = (token_of(parameter),)
    assert known.trains(last)
    assert len(known._trained) < 2500


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The collector as a recording has it outside of these tests; it is left as it was."""
    monkeypatch.setattr(living, "gc", gc)
    on = gc.isenabled()
    gc.collect()
    yield
    gc.unfreeze()
    if on:
        gc.enable()


@pytest.mark.parametrize("off", [False, True])
def test_models_that_were_frozen_are_seen(run: Run, collector: None, off: bool) -> None:
    """Nothing lists what ``gc.freeze`` put aside, and a teacher shows in no graph."""
    model, teacher = mlp(), mlp().eval()
    optimizer = sgd(model)
    gc.freeze()
    if off:
        gc.disable()
    with run.record():
        for _ in range(2):
            with torch.no_grad():
                target = teacher(batch())
            (model(batch()) - target).sum().backward()
            optimizer.step()
        assert (gc.get_freeze_count() > 0) == off  # else what came since would never be freed
    assert run.flop == [TRAIN + 2 * ONE] * 2  # the teacher's two layers forward


def test_weights_of_many_left_over_optimizers_hide_none(run: Run) -> None:
    """A search over settings keeps a hundred of them; this one's are looked at all the same."""
    model = mlp()
    recording = run.record().start()
    optimizer = torch.optim.AdamW(model.parameters())
    train(model, optimizer, 6)
    checkpoint = copy.deepcopy(model.state_dict())
    recording.stop()
    left_over = [sgd(mlp()) for _ in range(100)]
    gc.collect()  # they are old, and this one is new
    model = mlp()
    model.load_state_dict(checkpoint)
    optimizer = torch.optim.AdamW(model.parameters())
    with run.record():
        train(model, optimizer, 1)
    first, second = sorted(read_steps(run.path), key=lambda process: process.monotonic_ns)
    (begins,) = second.weights
    assert (begins.layout, begins.values) in {(one.layout, one.values) for one in first.weights}
    del left_over


def test_weights_are_known_when_their_optimizer_is_gone(run: Run) -> None:
    """The function that trained has returned; whether its optimizer is still garbage must not matter."""
    model = mlp()
    with run.record():
        train(model, sgd(model), 3)
        model.state_dict()
    (begins, saved) = run.process.weights
    assert (begins.what, saved.what, saved.step) == ("begin", "saved", 3)
    assert saved.layout == begins.layout


def test_saved_weights_are_those_of_what_is_saved(run: Run) -> None:
    """Not those of optimizers left over from before: who begins with these goes on with nothing of it."""
    left_over = [sgd(mlp()) for _ in range(5)]
    first, second = mlp(), mlp()
    with run.record():
        optimizers = [sgd(first), sgd(second)]
        train(first, optimizers[0], 2)
        first.state_dict()
        optimizers[0].state_dict()
        assert optimizers[1] is not None
    saved = [one for one in run.process.weights if one.what == "saved"]
    assert len({one.values for one in saved}) == 1
    del left_over
