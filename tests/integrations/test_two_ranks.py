"""Two ranks of a Trainer and of the example of FSDP2.

The ranks are forks of one process that has imported the libraries, with the variables that torchrun
sets: three processes that import transformers would cost more than all else here. torchrun itself is
in ``tests/recording/test_ranks.py`` and ``tests/injection/test_trainings.py``.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason='pip install "flopledger[transformers]"')
pytest.importorskip("transformers", reason='pip install "flopledger[transformers]"')
pytest.importorskip("accelerate", reason='pip install "flopledger[transformers]"')

from torch.utils.flop_counter import FlopCounterMode

from flopledger.recording.totals import RunTotals, read_totals
from profilers.steps.record.ledger import read_steps
from tests.integrations import tiny

pytestmark = pytest.mark.trace

_RANKS = """
import os, socket, sys
from pathlib import Path
from types import SimpleNamespace

folder, root = map(Path, sys.argv[1:])
sys.path[:0] = [str(root), str(root / "examples/training-loop")]
import fsdp2, verdict
from transformers import Trainer, TrainingArguments
import accelerate
import torch
from flopledger.commands import main
from flopledger.integrations.transformers import FlopledgerCallback
from tests.integrations import tiny


def trainer():
    args = TrainingArguments(
        output_dir=str(folder / "out"), per_device_train_batch_size=2, max_steps=3,
        report_to="none", save_strategy="no", use_cpu=True, ddp_backend="gloo", disable_tqdm=True,
    )
    callback = FlopledgerCallback(folder / "trainer" / "run")
    model, rows = tiny.llama(), tiny.text(24)
    Trainer(model=model, args=args, train_dataset=rows, callbacks=[callback]).train()


def accelerated():
    from accelerate import Accelerator
    from flopledger.integrations.accelerate import FlopledgerTracker

    tracker = FlopledgerTracker(folder / "accelerated" / "run", sampler=False)
    accelerator = Accelerator(cpu=True, log_with=[tracker], gradient_accumulation_steps=2)
    model = torch.nn.Linear(16, 4)
    rows = torch.utils.data.DataLoader(torch.randn(20, 16), batch_size=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model, optimizer, rows = accelerator.prepare(model, optimizer, rows)
    accelerator.init_trackers("project")
    for batch in rows:
        with accelerator.accumulate(model):
            accelerator.backward(model(batch).square().mean())
            optimizer.step()
            optimizer.zero_grad()
    accelerator.end_training()


def example():
    # `python -m flopledger audit` without a new interpreter.
    verdict.subprocess = SimpleNamespace(
        run=lambda command, check: SimpleNamespace(returncode=main(command[3:]))
    )
    if fsdp2.main(folder / "fsdp2"):
        raise SystemExit("another verdict")


def ranks(work):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for rank in range(2):
        if not os.fork():
            os.environ.update(
                RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2",
                MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
            )
            work()
            sys.exit()
    if any(os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(2)):
        raise SystemExit(f"a rank of {work.__name__} failed")


ranks(trainer)
ranks(accelerated)
ranks(example)
"""


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "ranks.py").write_text(_RANKS)
    done = subprocess.run(
        [sys.executable, str(folder / "ranks.py"), str(folder), str(root)],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    (folder / "said").write_text(done.stdout)
    return folder


def _totals(folder: Path) -> RunTotals:
    totals = read_totals(folder / "run")
    assert totals is not None
    return totals


def test_a_trainer_with_ddp(ranks: Path) -> None:
    totals = _totals(ranks / "trainer")
    model, rows = tiny.llama(), tiny.text(2)
    batch = {key: torch.stack([row[key] for row in rows]) for key in rows[0]}
    with FlopCounterMode(display=False) as counter:
        model(**batch).loss.backward()
    assert totals.steps == 3
    assert totals.model_flop == 2 * 3 * counter.get_total_flops()  # each rank does its own batch
    assert totals.tokens == 2 * 3 * 2 * 16
    assert {rank.rank for rank in totals.ranks} == {0, 1}


def test_accelerate_records_on_each_process(ranks: Path) -> None:
    totals = _totals(ranks / "accelerated")
    # 20 rows in batches of 2 on 2 ranks: 5 each, two to a step and one that is left over.
    assert totals.steps == 3
    # 2·2·16·4 FLOP forward, and the weight's gradient as much.
    assert totals.model_flop == 2 * 5 * 2 * 256
    assert {rank.rank for rank in totals.ranks} == {0, 1}
    assert {each.sealed for each in read_steps(ranks / "accelerated" / "run")} == {"finished"}


def test_the_example_of_fsdp2(ranks: Path) -> None:
    assert "CONSISTENT" in (ranks / "said").read_text()
    totals = _totals(ranks / "fsdp2")
    assert totals.steps == 10
    # 2 ranks, 10 steps of 4 sequences of 64 tokens each
    assert totals.tokens == 2 * 10 * 4 * 64
