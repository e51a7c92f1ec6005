"""A process that computes gradients and steps no optimizer, beside one that does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

torch = pytest.importorskip("torch")

from tests.recording.conftest import ONE, TRAIN, Run, batch, mlp, sgd, train  # noqa: E402

if TYPE_CHECKING:
    from flopledger.recording.totals import RunTotals


def with_another(run: Run, *, backward: bool) -> RunTotals:
    """Three steps of one process; then two calls in another ledger, without any step."""
    model = mlp()
    with run.record():
        train(model, sgd(model), steps=3)
    worker = mlp()
    with run.record():
        for _ in range(2):
            out = worker(batch()).sum()
            if backward:
                out.backward()
    return run.totals


def test_gradients_without_a_step_are_in_the_upper_end(run: Run) -> None:
    totals = with_another(run, backward=True)
    assert totals.model_flop is None
    assert totals.model_bounds == (3 * TRAIN, (3 + 2) * TRAIN)
    assert totals.span_flop == {"unfinished": 2 * TRAIN}
    (found,) = [each for each in totals.findings if each.code == "gradients-without-steps"]
    assert found.message.startswith(f"1 process computed gradients ({2 * TRAIN:,} FLOP)")


def test_an_actor_that_only_answers_is_no_training(run: Run) -> None:
    totals = with_another(run, backward=False)
    assert totals.model_flop == 3 * TRAIN
    assert totals.model_bounds == (3 * TRAIN, 3 * TRAIN)
    assert totals.span_flop == {"unfinished": 2 * 2 * ONE}  # two layers, forward alone


def test_a_run_without_any_step_has_no_figure(run: Run) -> None:
    with run.record():
        mlp()(batch()).sum().backward()
    assert run.totals.model_flop is None
    assert run.totals.model_bounds == (0, None)
