"""The tracker in a real Accelerate loop."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason='pip install "flopledger[trace]"')
pytest.importorskip("accelerate", reason='pip install "flopledger[accelerate]"')

from accelerate import Accelerator

from flopledger.integrations.accelerate import FlopledgerTracker
from flopledger.recording.totals import read_totals
from profilers.steps.record.ledger import read_steps

pytestmark = pytest.mark.trace


def test_between_init_and_end(tmp_path: Path) -> None:
    tracker = FlopledgerTracker(tmp_path / "run")
    assert tracker.tracker is None
    accelerator = Accelerator(cpu=True, log_with=[tracker], gradient_accumulation_steps=2)
    model = torch.nn.Linear(16, 4)
    data = torch.utils.data.DataLoader(torch.randn(32, 16), batch_size=4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model, optimizer, data = accelerator.prepare(model, optimizer, data)
    accelerator.init_trackers("project", config={"lr": 0.1})
    logged = []
    for batch in data:
        with accelerator.accumulate(model):
            loss = model(batch).square().mean()
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        accelerator.log({"loss": loss.item(), "flop": 1e30}, step=1)
        logged.append(loss.item())
    assert accelerator.get_tracker("flopledger", unwrap=True) is tracker.tracker
    accelerator.end_training()
    totals = read_totals(tmp_path / "run")
    assert totals is not None
    # 8 batches, 2 a step
    assert totals.steps == 4
    # 2 x 4 x 16 x 4 = 512 FLOP forward, and the weight's gradient as much
    assert totals.model_flop == 8 * (512 + 512)
    (process,) = read_steps(tmp_path / "run")
    assert process.sealed == "finished"
    assert [value for told in process.losses for value in told.value] == logged


def test_resuming(tmp_path: Path) -> None:
    for resume, steps in ((0, 2), (2, 3)):
        tracker = FlopledgerTracker(tmp_path / "run", resume_step=resume)
        tracker.start()
        model = torch.nn.Linear(16, 4)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(steps):
            model(torch.randn(4, 16)).sum().backward()
            optimizer.step()
        tracker.finish()
    totals = read_totals(tmp_path / "run")
    assert totals is not None
    assert (totals.steps, totals.model_flop) == (5, 5 * 1024)
