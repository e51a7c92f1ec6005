"""Resumes that load a model's weights and no optimizer's state, and steps that only make a state."""

from __future__ import annotations

import copy
import io
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from profilers.steps.optimizers import weights  # noqa: E402
from profilers.steps.optimizers.weights import UNREAD, digest_of, mark_of  # noqa: E402
from profilers.steps.record.ledger import read_steps  # noqa: E402
from tests.recording.conftest import TRAIN, Run, mlp, train  # noqa: E402
from tests.recording.test_saved_states import (  # noqa: E402
    AFTER,
    MORE,
    SAVED,
    first_attempt,
    killed,
    momentum,
)

if TYPE_CHECKING:
    from pathlib import Path


def adam(model: Any) -> Any:
    return torch.optim.AdamW(model.parameters(), lr=1e-2)


@pytest.fixture
def on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parameters whose numbers cannot be read without waiting; files can."""
    monkeypatch.setattr(
        weights,
        "numbers_of",
        lambda value, most=16: (
            None if isinstance(value, torch.nn.Parameter) else value.flatten().tolist()[:most]
        ),
    )


@pytest.mark.parametrize("make", [adam, momentum])
def test_weights_alone_go_on_where_they_were_saved(run: Run, make: Any) -> None:
    model = mlp()
    checkpoint = first_attempt(run, make(model), model)
    model = mlp()
    with run.record():
        optimizer = make(model)
        model.load_state_dict(checkpoint["model"])
        train(model, optimizer, AFTER)
    totals = run.totals
    assert (totals.steps, totals.redone_steps) == (SAVED + AFTER, MORE)
    assert totals.model_flop == (SAVED + AFTER) * TRAIN
    assert totals.hardware_flop == (SAVED + MORE + AFTER) * TRAIN
    assert totals.attempts[1].resumed_after == SAVED


def test_a_checkpoint_of_weights_alone_is_known_at_once(run: Run) -> None:
    """The model is asked, and no optimizer; nothing else is written before the kill."""
    model = mlp()
    recording = run.record().start()
    optimizer = adam(model)
    train(model, optimizer, SAVED)
    checkpoint = copy.deepcopy(model.state_dict())
    # Its lines are on the disk: what the ledger is told from here on is lost.
    recorder = recording._recorder
    assert recorder is not None
    recorder.states.unwatch()
    recorder.active = False
    recorder._heartbeat.stop()
    recorder.book.forget()
    recorder.observer.stop()
    model = mlp()
    with run.record():
        model.load_state_dict(checkpoint)
        train(model, adam(model), AFTER)
    totals = run.totals
    # The sixth was open when the checkpoint was made: it is in the upper bound.
    assert totals.attempts[1].resumed_after == SAVED
    assert totals.model_bounds == ((SAVED - 1 + AFTER) * TRAIN, (SAVED + AFTER) * TRAIN)


def test_weights_that_were_there_before_the_recording(run: Run) -> None:
    model = mlp()
    checkpoint = first_attempt(run, adam(model), model)
    model = mlp()
    model.load_state_dict(checkpoint["model"])  # or read from a file by other means
    optimizer = adam(model)
    with run.record():
        train(model, optimizer, AFTER)
    assert run.totals.model_flop == (SAVED + AFTER) * TRAIN


def test_an_optimizer_that_never_steps_tells_nothing(run: Run) -> None:
    """As in a notebook, which still holds what it trained before; its weights are the same all along."""
    left_over = adam(mlp())
    model = mlp()
    first_attempt(run, adam(model), model)
    model = mlp()
    with run.record():
        train(model, adam(model), AFTER)
    assert run.totals.model_flop == (SAVED + MORE) * TRAIN  # 1 to 5 again, 6 to 10 stand
    del left_over


def test_an_optimizer_that_begins_late_is_known_by_its_weights(run: Run) -> None:
    """Those of the second are at each checkpoint what they were at the beginning."""
    first, second = mlp(), mlp()
    recording = run.record().start()
    optimizers = [adam(first), adam(second)]
    train(first, optimizers[0], SAVED)
    checkpoint = copy.deepcopy([first.state_dict(), second.state_dict()])
    train(second, optimizers[1], MORE)
    killed(recording)
    first, second = mlp(), mlp()
    with run.record():
        first.load_state_dict(checkpoint[0])
        second.load_state_dict(checkpoint[1])
        optimizers = [adam(first), adam(second)]
        train(first, optimizers[0], 1)
        train(second, optimizers[1], AFTER)
    assert run.totals.attempts[1].resumed_after == SAVED


def test_weights_settle_what_plain_sgd_leaves_open(run: Run) -> None:
    """Its states after six steps and after ten look the same; the weights do not."""
    model = mlp()
    optimizer = momentum(model, 0.0)
    recording = run.record().start()
    train(model, optimizer, SAVED)
    checkpoint = copy.deepcopy({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    train(model, optimizer, MORE)
    optimizer.state_dict()
    killed(recording)
    model = mlp()
    optimizer = momentum(model, 0.0)
    with run.record():
        model.load_state_dict(checkpoint["model"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        train(model, optimizer, AFTER)
    assert run.totals.model_flop == (SAVED + AFTER) * TRAIN


def test_other_weights_that_are_loaded_give_bounds(run: Run) -> None:
    model = mlp()
    first_attempt(run, adam(model), model)
    model = mlp()
    with run.record():
        optimizer = adam(model)
        model.load_state_dict({name: value + 1 for name, value in model.state_dict().items()})
        train(model, optimizer, AFTER)
    totals = run.totals
    # Anew: 10 of 15 stand. After the last of the first ten: all do.
    assert totals.model_flop is None
    assert totals.model_bounds == (10 * TRAIN, 15 * TRAIN)
    (found,) = (f for f in totals.findings if f.code == "resume-step-unknown")
    assert "weights that were loaded" in found.message


def test_a_fine_tuning_that_begins_anew_is_no_resume(run: Run) -> None:
    """Each attempt loads the weights of which it is a fine-tuning."""
    base = copy.deepcopy(mlp().state_dict())
    for steps in (SAVED, AFTER):
        model = mlp()
        recording = run.record().start()
        model.load_state_dict(base)
        train(model, adam(model), steps)
        killed(recording)
    assert run.totals.model_flop == max(SAVED, AFTER) * TRAIN


@pytest.mark.usefixtures("on_a_device")
@pytest.mark.parametrize("resumes", [True, False])
def test_on_a_device_the_file_tells_a_beginning_from_a_resume(run: Run, resumes: bool) -> None:
    base = copy.deepcopy(mlp().state_dict())
    model = mlp()
    recording = run.record().start()
    model.load_state_dict(base)
    train(model, adam(model), SAVED)
    checkpoint = copy.deepcopy(model.state_dict())
    killed(recording)
    model = mlp()
    with run.record():
        model.load_state_dict(base)  # as a constructor does
        if resumes:
            model.load_state_dict(checkpoint)
        train(model, adam(model), AFTER)
    assert not [w for process in read_steps(run.path) for w in process.weights if w.what == "saved"]
    totals = run.totals
    bounds = (SAVED * TRAIN, (SAVED + AFTER) * TRAIN)
    assert totals.model_bounds == (bounds if resumes else (bounds[0], bounds[0]))
    assert (totals.model_flop is None) is resumes


def test_an_average_that_is_taken_at_each_step_is_not_looked_at_each_time(run: Run) -> None:
    model = mlp()
    optimizer = adam(model)
    with run.record():
        for _ in range(60):
            train(model, optimizer, 1)
            model.state_dict()
    saved = [one for one in run.process.weights if one.what == "saved"]
    assert 8 <= len(saved) < 30  # eight at once, then one a second


def test_another_model_is_none_of_what_is_trained(run: Run) -> None:
    """A teacher that is loaded says nothing of where the student goes on."""
    model, teacher = mlp(), mlp()
    with run.record():
        teacher.load_state_dict(model.state_dict())
        train(model, adam(model), 2)
    (begin,) = (one for one in run.process.weights if one.what == "begin")
    assert begin.loaded is None


def test_what_cannot_be_read_is_not_looked_at() -> None:
    model = mlp()
    with torch.device("meta"):
        away = mlp()
    known, unknown = mark_of(adam(model)), mark_of(adam(away))
    assert known is not None
    assert unknown is not None
    assert (known.values is None, unknown.values is None) == (False, True)
    assert known.layout == unknown.layout
    assert digest_of(away.state_dict()) == digest_of("weights") == UNREAD
    assert digest_of(model.state_dict()) != UNREAD


@pytest.mark.filterwarnings("ignore")
def test_tensors_of_a_kind_without_numbers_are_unread() -> None:
    sparse = torch.eye(4).to_sparse()
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    quantized = torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8)
    for one in (sparse, nested):
        assert digest_of({"weight": one}) == UNREAD
    assert len(digest_of({"weight": quantized})) > 0  # read or not, nothing is raised


def test_what_is_frozen_is_no_sign() -> None:
    """A base that no step changes looks the same in every checkpoint."""
    model = mlp()
    optimizer = adam(model)
    for parameter in list(model.parameters())[:-1]:
        parameter.requires_grad_(False)
    before = mark_of(optimizer)
    with torch.no_grad():
        list(model.parameters())[-1].add_(1)
    assert mark_of(optimizer) != before


# ---------------------------------------------------------------- states that are only made


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
@pytest.mark.parametrize("make", [adam, momentum])
def test_a_state_that_is_made_to_be_loaded_into_is_no_step(
    run: Run, tmp_path: Path, make: Any
) -> None:
    """``torch.distributed.checkpoint`` steps an optimizer on gradients of 0, to load into its state."""
    dcp = pytest.importorskip("torch.distributed.checkpoint")
    from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

    model = mlp()
    optimizer = make(model)
    recording = run.record().start()
    train(model, optimizer, SAVED)
    weights, state = get_state_dict(model, optimizer)
    place = tmp_path / "checkpoint"
    dcp.save({"model": weights, "optimizer": state}, checkpoint_id=place, no_dist=True)
    train(model, optimizer, MORE)
    killed(recording)
    model = mlp()
    with run.record():
        optimizer = make(model)
        weights, state = get_state_dict(model, optimizer)
        found = {"model": weights, "optimizer": state}
        dcp.load(found, checkpoint_id=place, no_dist=True)
        set_state_dict(
            model,
            optimizer,
            model_state_dict=found["model"],
            optim_state_dict=found["optimizer"],
        )
        train(model, optimizer, AFTER)
    totals = run.totals
    assert totals.model_flop == (SAVED + AFTER) * TRAIN
    assert totals.hardware_flop == (SAVED + MORE + AFTER) * TRAIN
    assert "calls-unseen" not in {finding.code for finding in totals.findings}


@pytest.mark.parametrize("make", [adam, momentum])
def test_a_state_that_is_made_and_not_loaded_begins_at_the_beginning(run: Run, make: Any) -> None:
    pytest.importorskip("torch.distributed.checkpoint")
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

    model = mlp()
    with run.record():
        optimizer = make(model)
        get_optimizer_state_dict(model, optimizer)
        train(model, optimizer, SAVED)
    assert [step.number for step in run.process.steps()] == list(range(1, SAVED + 1))
    assert run.process.resumes == run.process.loaded == ()


# ---------------------------------------------------------------- states of several, and their own


def test_one_state_that_nobody_saw_saved_leaves_the_other(run: Run) -> None:
    """The kill came between two lines: what is known of one optimizer places both."""
    model = mlp()
    halves = [momentum(part) for part in (model[0], model[2])]
    recording = run.record().start()
    for _ in range(SAVED):
        train(model, halves[0], 1)
        halves[1].step()
    states = [copy.deepcopy(halves[0].state_dict())]
    assert recording._recorder is not None
    recording._recorder.states.unwatch()
    states.append(copy.deepcopy(halves[1].state_dict()))
    killed(recording)
    model = mlp()
    halves = [momentum(part) for part in (model[0], model[2])]
    with run.record():
        for half, state in zip(halves, states, strict=True):
            half.load_state_dict(state)
        for _ in range(AFTER):
            train(model, halves[0], 1)
            halves[1].step()
    assert run.totals.attempts[1].resumed_after == SAVED
    assert run.totals.model_flop == (SAVED + AFTER) * TRAIN


def test_a_state_that_is_handed_back_is_perhaps_the_beginning(run: Run) -> None:
    """Launchers read an optimizer's state and load it again, to put it onto a device."""
    for _ in range(2):
        model = mlp()
        optimizer = momentum(model, 0.0)
        recording = run.record().start()
        optimizer.load_state_dict(optimizer.state_dict())
        train(model, optimizer, SAVED)
        torch.save(optimizer.state_dict(), io.BytesIO())
        killed(recording)
    totals = run.totals
    # Plain SGD keeps nothing: a restart from scratch, or one after the sixth, whose state is alike.
    assert totals.model_flop is None
    low, high = totals.model_bounds
    assert (low, high - totals.flop_unwritten) == (SAVED * TRAIN, 2 * SAVED * TRAIN)
    assert [one.source for process in read_steps(run.path) for one in process.loaded] == [
        "own",
        "own",
    ]
