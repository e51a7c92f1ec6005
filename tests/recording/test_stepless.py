"""A process that computes gradients and steps no optimizer, beside one that does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

torch = pytest.importorskip("torch")

from flopledger.recording.adding import totals  # noqa: E402
from profilers.steps.record.ledger import read_steps  # noqa: E402
from tests.recording.conftest import ONE, TRAIN, Run, batch, mlp, sgd, train  # noqa: E402

if TYPE_CHECKING:
    from flopledger.recording.totals import RunTotals


def with_another(run: Run, *, backward: bool, answers: bool = False) -> RunTotals:
    """Three steps of one process; then two calls in another ledger, without any step."""
    model = mlp()
    with run.record():
        train(model, sgd(model), steps=3)
    worker = mlp().train(not answers)
    with run.record(), torch.set_grad_enabled(not answers):
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


@pytest.mark.parametrize("apart_s", [-3600, 3600])
def test_an_attempt_that_broke_off_in_its_first_step_trained_nothing(
    run: Run, apart_s: int
) -> None:
    """It ran out of memory an hour before the one that trained, or the one after it did."""
    with_another(run, backward=True)
    stepped, broken = sorted(read_steps(run.path), key=lambda process: not process.blocks)
    apart = replace(broken, wall_ns=stepped.wall_ns + apart_s * 10**9, pid=broken.pid + 1)
    found = totals([stepped, apart])
    assert found.model_flop == 3 * TRAIN
    assert found.model_bounds == (3 * TRAIN, 3 * TRAIN)
    assert found.span_flop == {"unfinished": 2 * TRAIN}  # executed, and said


def test_an_actor_that_only_answers_is_no_training(run: Run) -> None:
    """In eval mode and without gradients, as an evaluation, a teacher and rollouts are."""
    totals = with_another(run, backward=False, answers=True)
    assert totals.model_flop == 3 * TRAIN
    assert totals.model_bounds == (3 * TRAIN, 3 * TRAIN)
    assert totals.span_flop == {"evaluation": 2 * 2 * ONE}  # two layers, forward alone
    assert not [each for each in totals.findings if each.code == "forwards-without-steps"]


def test_other_forwards_may_be_frozen_stages_of_a_pipeline(run: Run) -> None:
    """In one process they would belong to its steps."""
    totals = with_another(run, backward=False)
    assert totals.model_flop is totals.hardware_flop is None
    assert totals.model_bounds == (3 * TRAIN, 3 * TRAIN + 2 * 2 * ONE)
    assert totals.hardware_bounds == totals.model_bounds
    (found,) = [each for each in totals.findings if each.code == "forwards-without-steps"]
    assert found.message.startswith(f"1 process computed forwards alone ({2 * 2 * ONE:,} FLOP)")


def test_a_run_without_any_step_has_no_figure(run: Run) -> None:
    with run.record():
        mlp()(batch()).sum().backward()
    assert run.totals.model_flop is None
    assert run.totals.model_bounds == (0, None)
    (found,) = [each for each in run.totals.findings if each.code == "gradients-without-steps"]
    assert "no torch.optim.Optimizer stepped anywhere" in found.message


def test_forwards_of_an_unknown_cost_are_not_none(run: Run) -> None:
    with_another(run, backward=False)
    found = [
        each
        if each.blocks
        else replace(each, costs={n: replace(c, forward=None) for n, c in each.costs.items()})
        for each in read_steps(run.path)
    ]
    summed = totals(found)
    assert summed.model_bounds[1] is None
    (said,) = [each for each in summed.findings if each.code == "forwards-without-steps"]
    assert "forwards alone (an unknown number of FLOP)" in said.message
