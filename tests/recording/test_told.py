"""What a program says of its steps: numbers of any kind are taken, and no word costs the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")
import numpy as np  # noqa: E402

from tests.recording.conftest import TRAIN, Run, mlp, sgd, train  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from flopledger.recording import Recording


@pytest.mark.parametrize(
    "tokens", [5, np.int64(5), np.uint8(5), torch.tensor(5), 5.0, np.float64(5)]
)
def test_a_number_of_any_kind_is_taken(run: Run, tokens: Any) -> None:
    model = mlp()
    optimizer = sgd(model)
    with run.record() as recording:
        for _ in range(3):
            train(model, optimizer)
            recording.step(tokens=tokens, samples=tokens)
    assert (run.totals.tokens, run.totals.samples) == (15, 15)
    assert run.notes() == set()


@pytest.mark.parametrize(
    "say",
    [
        lambda run: run.step(tokens=-5),
        lambda run: run.step(tokens=2.5),
        lambda run: run.step(tokens=float("nan")),
        lambda run: run.step(tokens=10**30),
        lambda run: run.step(tokens="many"),
        lambda run: run.step(samples=torch.ones(3)),
        lambda run: run.step(tokens=torch.ones(1, dtype=torch.int64, device="meta")),
        lambda run: run.step(number=-1),
        lambda run: run.step(number=2**70),
        lambda run: run.state(forward=10**41),
        lambda run: run.state(forward=10**5000),
        lambda run: run.state(forward=-1),
        lambda run: run.resume(-1),
        lambda run: run.resume(2**80),
        lambda run: run.resume("last"),
    ],
)
def test_what_is_no_number_is_left_out_and_said(run: Run, say: Callable[[Recording], Any]) -> None:
    model = mlp()
    optimizer = sgd(model)
    with run.record() as recording:
        for _ in range(3):
            train(model, optimizer)
            say(recording)
    assert run.flop == [TRAIN] * 3  # ``process`` has no problem: a reader takes every line
    assert run.process.sealed == "finished"
    assert run.notes() == {"stated-wrongly"}


def test_words_of_any_kind_are_words(run: Run) -> None:
    model = mlp()
    optimizer = sgd(model)
    with run.record() as recording:
        recording.note(5, 6, 7)  # type: ignore[arg-type]
        recording.note("x" * 9000, "\ud800" + "y" * 9000, "odd")
        with recording.span(8):  # type: ignore[arg-type]
            train(model, optimizer)
        train(model, optimizer)
    assert run.process.sealed == "finished"
    assert run.process.problems == ()
