"""The callback in Lightning's real Trainer, against torch's own counter."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason='pip install "flopledger[trace]"')
lightning = pytest.importorskip("lightning", reason='pip install "flopledger[lightning]"')

from torch.utils.flop_counter import FlopCounterMode

from flopledger.integrations.lightning import FlopledgerCallback
from flopledger.recording.totals import read_totals
from profilers.steps.record.ledger import read_steps

pytestmark = pytest.mark.trace


class Net(lightning.LightningModule):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4)
        )
        self.losses: list[float] = []

    def forward(self, x: Any) -> Any:
        return self.net(x)

    def training_step(self, batch: Any, _: int) -> Any:
        x, y = batch
        loss = torch.nn.functional.cross_entropy(self(x), y)
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch: Any, _: int) -> None:
        x, y = batch
        self.log("val", torch.nn.functional.cross_entropy(self(x), y))

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters())


def _loader(batches: int) -> Any:
    data = torch.utils.data.TensorDataset(
        torch.randn(8 * batches, 16), torch.zeros(8 * batches, dtype=torch.long)
    )
    return torch.utils.data.DataLoader(data, batch_size=8)


def _trainer(folder: Path, *callbacks: Any, **changes: Any) -> Any:
    usual = {
        "accelerator": "cpu", "logger": False, "enable_progress_bar": False,
        "enable_model_summary": False, "default_root_dir": str(folder), "max_steps": 4,
        "enable_checkpointing": False,
    }  # fmt: skip
    return lightning.Trainer(callbacks=list(callbacks), **(usual | changes))


def _flop() -> tuple[int, int]:
    """Count forward and backward of one batch; (training, forward alone)."""
    module, (x, y) = Net(), next(iter(_loader(1)))
    with FlopCounterMode(display=False) as train:
        module.training_step((x, y), 0).backward()
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        module(x)
    return train.get_total_flops(), forward.get_total_flops()


def test_steps_accumulation_and_validation(tmp_path: Path) -> None:
    callback = FlopledgerCallback(tmp_path / "run")
    trainer = _trainer(tmp_path, callback, accumulate_grad_batches=2, max_epochs=2, max_steps=-1)
    net = Net()
    trainer.fit(net, _loader(6), _loader(2))
    totals = read_totals(tmp_path / "run")
    assert totals is not None
    train, forward = _flop()
    # 2 epochs of 6 batches, 2 batches a step
    assert totals.steps == 6
    assert totals.model_flop == 2 * 6 * train
    # two validations of 2 batches, and the sanity check's 2
    assert totals.span_flop["evaluation"] == (2 * 2 + 2) * forward
    (process,) = read_steps(tmp_path / "run")
    assert process.sealed == "finished"
    # Each micro-batch's own loss, although Lightning halves it for its backward.
    assert len(net.losses) == 12
    assert [value for told in process.losses for value in told.value] == net.losses


def test_by_hand() -> None:
    # two layers: 2 x 8 x 16 x 32 + 2 x 8 x 32 x 4 = 8,192 + 2,048 FLOP forward; backward twice
    # that, less the gradient of the input, which nobody needs
    assert _flop() == (3 * 10_240 - 8_192, 10_240)


def test_a_checkpoint_continues(tmp_path: Path) -> None:
    train, _ = _flop()
    first = _trainer(tmp_path, FlopledgerCallback(tmp_path / "run"), max_steps=3)
    first.fit(Net(), _loader(8))
    first.save_checkpoint(tmp_path / "last.ckpt")
    second = _trainer(tmp_path, FlopledgerCallback(tmp_path / "run"), max_steps=5)
    second.fit(Net(), _loader(8), ckpt_path=str(tmp_path / "last.ckpt"), weights_only=False)
    totals = read_totals(tmp_path / "run")
    assert totals is not None
    assert (totals.steps, totals.redone_steps) == (5, 0)
    assert totals.model_flop == 5 * train
    assert [attempt.resumed_after for attempt in totals.attempts] == [None, 3]


def test_an_exception_is_the_reason_of_the_seal(tmp_path: Path) -> None:
    class Fails(Net):
        def training_step(self, batch: Any, index: int) -> Any:
            if index == 2:
                raise RuntimeError("boom")
            return super().training_step(batch, index)

    with pytest.raises(RuntimeError, match="boom"):
        _trainer(tmp_path, FlopledgerCallback(tmp_path / "run")).fit(Fails(), _loader(4))
    (process,) = read_steps(tmp_path / "run")
    assert process.sealed == "raised RuntimeError"
    assert len(list(process.steps())) == 2


def test_steps_of_several_optimizers_are_left_to_their_own_states() -> None:
    from types import SimpleNamespace

    from flopledger.integrations.lightning import _done

    weight = torch.nn.Parameter(torch.zeros(2))
    adam, other = torch.optim.Adam([weight]), torch.optim.SGD([weight], 0.1)
    weight.grad = torch.ones(2)
    adam.step()
    # Lightning counts two for the two that stepped together; Adam says 1, SGD says nothing.
    assert _done(SimpleNamespace(optimizers=[adam, other], global_step=2)) == 0
    assert _done(SimpleNamespace(optimizers=[other, other], global_step=2)) == 2
    assert _done(SimpleNamespace(optimizers=[adam], global_step=1)) == 1
