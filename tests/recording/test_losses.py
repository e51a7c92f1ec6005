"""A loss that a program tells: kept as it is, and never at a device's cost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402

from profilers.steps.calls.losses import UnreadableError, read_loss  # noqa: E402
from tests.recording.conftest import mlp, sgd  # noqa: E402

if TYPE_CHECKING:
    from tests.recording.conftest import Run


@pytest.mark.parametrize(
    ("told", "read"),
    [
        (2.5, 2.5), (3, 3.0), (-1.5, -1.5), (math.nan, None), (-math.inf, None), (1e300, None),
        (np.float32(0.5), 0.5), (np.array([0.25]), 0.25), (torch.tensor(0.5), 0.5),
        (torch.tensor([[0.5]], dtype=torch.bfloat16), 0.5), (torch.tensor(math.nan), None),
        (torch.nn.Parameter(torch.tensor(2.0)), 2.0),
    ],
)  # fmt: skip
def test_numbers(told: Any, read: float | None) -> None:
    assert read_loss(told) == read


def test_what_would_wait_for_a_device_or_a_rank_is_not_read() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        sharded = torch.ones(())  # a subclass, as a distributed tensor is one
    for told in (
        torch.ones((), device="meta"), sharded, torch.ones(2), torch.ones((), dtype=torch.complex64),
        "0.5", object(), np.ones(2),
    ):  # fmt: skip
        with pytest.raises(UnreadableError):
            read_loss(told)


def _train(run: Run | None) -> list[float]:
    torch.manual_seed(1)
    model = mlp()
    optimizer, losses = sgd(model), []
    width = next(model.parameters()).shape[1]
    recording = None if run is None else run.record().start()
    for _ in range(20):
        loss = model(torch.randn(4, width)).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if recording is not None:
            recording.step(loss=loss)
        losses.append(loss.item())
    if recording is not None:
        recording.stop()
    return losses


def test_told_with_the_step_and_changing_nothing(run: Run) -> None:
    losses = _train(run)
    assert losses == _train(None)  # bit for bit
    kept = [value for told in run.process.losses for value in told.value]
    assert kept == losses
    assert run.totals.steps == 20
    ends = [step.end_us for step in run.process.steps()]
    told_at = [at for told in run.process.losses for at in told.at_us]
    assert all(end <= at for end, at in zip(ends, told_at, strict=True))


def test_a_loss_on_a_device_is_said_once_and_the_run_goes_on(run: Run) -> None:
    with run.record() as recording:
        for _ in range(3):
            recording.loss(torch.ones((), device="meta"))
        recording.loss(10**400)
        recording.loss(1.0)
    assert [value for told in run.process.losses for value in told.value] == [1.0]
    assert [note.code for note in run.process.notes] == ["loss-unread", "recorder-trouble"]


def test_losses_wait_for_a_disk_that_refuses(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from flopledger.recording import book
    from profilers.steps.record.ledger import StepLedger

    def refuse(*_: Any) -> None:
        raise OSError("full")

    monkeypatch.setattr(book, "MOST_WAITING", 3)
    with run.record() as recording, monkeypatch.context() as patch:
        patch.setattr(StepLedger, "losses", refuse)
        for value in range(5):
            recording.loss(value)
        recording.flush()
    # The newest three are kept.
    assert [value for told in run.process.losses for value in told.value] == [2.0, 3.0, 4.0]
