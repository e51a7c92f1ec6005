"""Attention that reaches to other ranks' pieces of a sequence: what one rank's call shows is not its cost."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

torch = pytest.importorskip("torch")
attention = pytest.importorskip(
    "torch.distributed.tensor.experimental._context_parallel._attention"
)

from profilers.steps.folding.events import SURE  # noqa: E402
from tests.recording.conftest import TRAIN, mlp, sgd, train  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.recording.conftest import Run


@contextmanager
def across_ranks() -> Iterator[None]:
    """What torch's ``context_parallel`` does to ops, without a second rank and without a device."""
    attention._enable_cp_dtensor_dispatcher()
    try:
        yield
    finally:
        attention._disable_cp_dtensor_dispatcher()


def test_a_call_across_ranks_has_no_upper_end_and_others_stay_exact(run: Run) -> None:
    model = mlp()
    optimizer = sgd(model)
    settled = 4 * SURE
    with run.record():
        train(model, optimizer, settled)
        with across_ranks():
            train(model, optimizer, 2)
        train(model, optimizer, 2)
    assert run.flop == [TRAIN] * settled + [None] * 2 + [TRAIN] * 2
    assert "cost-bounded" in run.notes()
    assert run.totals.model_bounds == (TRAIN * (settled + 2), None)
