"""SGD keeps no number of steps: a restart from its checkpoint is recognised by what was saved."""

from __future__ import annotations

import copy
import io
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from profilers.steps.optimizers.states import mark_of, state_of  # noqa: E402
from profilers.steps.record.ledger import read_steps  # noqa: E402
from tests.recording.conftest import TRAIN, Run, mlp, train  # noqa: E402

if TYPE_CHECKING:
    from flopledger.recording import Recording

SAVED, MORE, AFTER = 6, 4, 5


def momentum(model: Any, value: float = 0.9) -> Any:
    return torch.optim.SGD(model.parameters(), lr=1e-2, momentum=value)


def killed(recording: Recording) -> None:
    """Leave the ledger as a kill does: without a seal, all else written."""
    recorder = recording._recorder
    assert recorder is not None
    recorder.observer.stop()
    recorder.book.flush(recorder.costs.settle)
    recorder.states.unwatch()
    recorder.active = False
    recorder._heartbeat.stop()
    recorder.book.forget()


def first_attempt(run: Run, optimizer: Any, model: Any) -> Any:
    """Six observer, a checkpoint, four observer, a kill."""
    recording = run.record().start()
    train(model, optimizer, SAVED)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    train(model, optimizer, MORE)
    killed(recording)
    file.seek(0)
    return torch.load(file)


@pytest.mark.parametrize("loads_inside", [True, False])
def test_momentum_goes_on_where_it_was_saved(run: Run, loads_inside: bool) -> None:
    model = mlp()
    checkpoint = first_attempt(run, momentum(model), model)
    model = mlp()
    optimizer = momentum(model)
    if not loads_inside:  # as where the program records around its loop alone
        optimizer.load_state_dict(checkpoint["optimizer"])
    with run.record():
        if loads_inside:
            optimizer.load_state_dict(checkpoint["optimizer"])
        train(model, optimizer, AFTER)
    totals = run.totals
    assert (totals.steps, totals.redone_steps) == (SAVED + AFTER, MORE)
    assert totals.model_flop == (SAVED + AFTER) * TRAIN
    assert totals.hardware_flop == (SAVED + MORE + AFTER) * TRAIN


def test_plain_sgd_that_was_loaded_before_gives_bounds(run: Run) -> None:
    model = mlp()
    checkpoint = first_attempt(run, momentum(model, 0.0), model)
    model = mlp()
    optimizer = momentum(model, 0.0)
    optimizer.load_state_dict(checkpoint["optimizer"])
    with run.record():
        train(model, optimizer, AFTER)
    totals = run.totals
    # Anew: 10 of 15 stand. After the sixth: 11.
    assert totals.model_flop is None
    assert totals.model_bounds == (10 * TRAIN, 11 * TRAIN)
    assert "resume-step-unknown" in {finding.code for finding in totals.findings}


def test_an_optimizer_made_and_not_loaded_begins_anew(run: Run) -> None:
    model = mlp()
    first_attempt(run, momentum(model, 0.0), model)
    with run.record():
        model = mlp()
        train(model, momentum(model, 0.0), AFTER)
    assert run.totals.model_flop == (SAVED + MORE) * TRAIN  # 1 to 5 again, 6 to 10 stand


@pytest.mark.parametrize("value", [0.9, 0.0])
def test_a_second_recording_of_one_process_goes_on(run: Run, value: float) -> None:
    model = mlp()
    optimizer = momentum(model, value)
    for _ in range(2):
        with run.record():
            train(model, optimizer, 5)
    totals = run.totals
    assert (totals.steps, totals.model_flop) == (10, 10 * TRAIN)
    assert "resume-step-unknown" not in {finding.code for finding in totals.findings}


def test_a_checkpoint_is_in_the_ledger_before_the_program_has_it(run: Run) -> None:
    model = mlp()
    optimizer = momentum(model)
    recording = run.record().start()
    train(model, optimizer, SAVED)
    optimizer.state_dict()
    (process,) = read_steps(run.path)
    # The sixth is open: whether another optimizer belongs to it shows with the next call.
    assert [step.number for step in process.steps()] == [1, 2, 3, 4, 5]
    assert [one.step for one in process.saved] == [6]
    recording.stop()


def test_adam_needs_no_such_line(run: Run) -> None:
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters())
    with run.record():
        train(model, optimizer, 3)
        optimizer.load_state_dict(optimizer.state_dict())
        train(model, optimizer, 3)
    assert run.process.saved == run.process.loaded == ()


def test_a_number_of_steps_on_a_device_is_read_from_the_file(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fused optimizer keeps its number on the device; the file that is loaded has it in memory."""
    from profilers.steps import observer

    model = mlp()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer, 7)
    state = copy.deepcopy(optimizer.state_dict())
    known = mark_of(state)
    assert known is not None
    assert known.steps == 7
    monkeypatch.setattr(observer, "steps_before", lambda _: 0)
    monkeypatch.setattr(
        "flopledger.recording.states.state_of", lambda _: {"state": {}, "param_groups": []}
    )
    with run.record():
        optimizer.load_state_dict(state)
        train(model, optimizer, 2)
    assert [step.number for step in run.process.steps()] == [8, 9]


def test_methods_of_torch_are_as_they_were(run: Run) -> None:
    before = {name: vars(torch.optim.Optimizer)[name] for name in ("state_dict", "load_state_dict")}
    with run.record():
        pass
    assert {name: vars(torch.optim.Optimizer)[name] for name in before} == before


@pytest.mark.parametrize(
    "state",
    [
        None, 1, [], {}, {"state": 1, "param_groups": []}, {"state": {}, "param_groups": 1},
        {"state": {0: None, "x": {"step": "?"}}, "param_groups": [None, {"lr": object()}]},
        {"state": {0: {"a": torch.ones(2, dtype=torch.complex64)}}, "param_groups": []},
        {"state": {0: {"a": torch.ones(0), "b": torch.eye(2).to_sparse()}}, "param_groups": []},
        {"state": {0: {"a": torch.ones(2, device="meta")}}, "param_groups": [{"params": [0]}]},
    ],
)  # fmt: skip
def test_no_state_is_too_strange(state: Any) -> None:
    mark_of(state)


def test_a_state_is_the_same_by_either_way() -> None:
    model = mlp()
    optimizer = momentum(model)
    train(model, optimizer, 2)
    assert mark_of(optimizer.state_dict()) == mark_of(state_of(optimizer))
