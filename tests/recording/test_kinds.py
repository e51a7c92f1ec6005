"""Twelve kinds of models: each step's FLOP equal the counter's, and no loss changes by a bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import flopcount  # noqa: E402
from benchmarks.loop_kinds import KINDS, loss_of, one_step  # noqa: E402
from tests.recording.conftest import by_counter, sgd  # noqa: E402

if TYPE_CHECKING:
    from tests.recording.conftest import Run

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
STEPS = 3


def trained(kind: str) -> list[float]:
    torch.manual_seed(0)
    model, inputs = KINDS[kind].make()
    model.train()
    optimizer = sgd(model)
    losses = []
    for step in range(STEPS):
        losses.append(one_step(model, inputs, step).item())
        optimizer.step()
        optimizer.zero_grad()
    return losses


def expected(kind: str) -> list[int]:
    """By torch's counter on real steps, or by flopcount where that counter is known to be wrong."""
    torch.manual_seed(0)
    model, inputs = KINDS[kind].make()
    model.train()
    found = []
    for step in range(STEPS):
        if KINDS[kind].exact:
            found.append(by_counter(lambda step=step: one_step(model, inputs, step)))
        else:
            args, kwargs = inputs(step)
            found.append(flopcount.count(model, *args, loss=loss_of, **kwargs).total)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_each_step_is_what_the_counter_says(run: Run, kind: str) -> None:
    plain = trained(kind)
    with run.record():
        recorded = trained(kind)
    assert recorded == plain
    process = run.process
    hardware: list[Any] = [
        sum(process.costs[cost].hardware_flop * n for cost, n in step.calls)
        for step in process.steps()
    ]
    assert hardware == expected(kind)
    assert all(cost.bounds is None for cost in process.costs.values()), process.notes
    if kind == "checkpointed":
        assert run.totals.phases["recompute"] > 0
    else:
        assert run.totals.phases["recompute"] == 0
