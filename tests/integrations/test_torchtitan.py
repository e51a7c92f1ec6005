"""The wrapper around a metrics processor that behaves as torchtitan's does.

torchtitan itself needs an accelerator; its processor's protocol (methods, the attributes that the
trainer sets) is played here as of its sources of August 2026.
"""

import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason='pip install "flopledger[trace]"')

from flopledger.integrations import torchtitan
from flopledger.recording.totals import read_totals
from profilers.steps.record.ledger import read_steps

pytestmark = pytest.mark.trace


class Processor:
    """What the trainer sees of a ``MetricsProcessor``."""

    def __init__(self) -> None:
        self.ntokens_since_last_log = 0
        self.data_loading_times: list[float] = []
        self.num_flops_per_token = -1
        self.optimizers: Any = None
        self.model_parts: Any = None
        self.logged: list[tuple[int, dict[str, Any] | None]] = []
        self.validated: list[int] = []
        self.closed = False

    def should_log(self, step: int) -> bool:
        return step == 1 or step % 2 == 0

    def log(
        self,
        step: int,
        global_avg_loss: float,
        global_max_loss: float,
        grad_norm: float,
        extra_metrics: dict[str, Any] | None = None,
    ) -> None:
        assert self.num_flops_per_token > 0
        self.logged.append((step, extra_metrics))
        self.ntokens_since_last_log = 0
        self.data_loading_times.clear()

    def log_validation(self, loss: float, step: int, extra_metrics: Any = None) -> None:
        self.validated.append(step)

    def close(self) -> None:
        self.closed = True


def test_counted_figures_stand_beside_the_estimate(tmp_path: Path) -> None:
    inner = Processor()
    metrics = torchtitan.recorded(inner, tmp_path / "run")
    model = torch.nn.Linear(16, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    metrics.num_flops_per_token = 6 * 68  # as the trainer does
    metrics.optimizers = [optimizer]
    deadline, step = time.monotonic() + 60, 0
    # The ledger is written about once a second; whoever logs gets what has reached it.
    while metrics._session.latest is None and time.monotonic() < deadline:
        step += 1
        metrics.ntokens_since_last_log += 4
        metrics.data_loading_times.append(0.0)
        model(torch.randn(4, 16)).sum().backward()
        optimizer.step()
        if metrics.should_log(step):
            metrics.log(step, 1.0, 1.0, 0.5, extra_metrics={"lr": 0.1})
        time.sleep(0.2)
    metrics.log(step, 1.0, 1.0, 0.5)
    metrics.log_validation(1.0, 5)
    metrics.close()
    assert inner.closed
    assert inner.validated == [5]
    assert (inner.num_flops_per_token, inner.optimizers) == (6 * 68, [optimizer])
    assert inner.ntokens_since_last_log == 0
    assert [number for number, _ in inner.logged[:3]] == [1, 2, 4]
    assert inner.logged[0][1] == {"lr": 0.1}  # nothing has reached the ledger yet
    extra = inner.logged[-1][1]
    assert extra is not None
    # 2 x 4 x 16 x 4 FLOP forward and as much for the weight's gradient
    assert extra["flopledger/model_flop"] == 1024
    assert extra["flopledger/total_model_flop"] == 1024 * extra["flopledger/step"]
    totals = read_totals(tmp_path / "run")
    assert totals is not None
    assert (totals.steps, totals.model_flop) == (step, 1024 * step)
    (process,) = read_steps(tmp_path / "run")
    assert [v for told in process.losses for v in told.value] == [1.0] * len(inner.logged)
