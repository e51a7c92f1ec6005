"""Real process groups (gloo, CPU): the whole model is counted once, and nothing else is changed.

The model of ``ranks/worker.py``: linear 16 x 16, blocks of 16 x 64 and 64 x 16, linear 16 x 16. With
8 rows and two blocks: forward 2·8·(2·256 + 4·1024) = 73,728; backward twice that less the input
gradient of the first layer, 2·8·256 = 4,096: 143,360.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from flopledger.recording.totals import RunTotals, read_totals  # noqa: E402
from profilers.steps.record.ledger import read_steps  # noqa: E402

HERE = Path(__file__).parent
ONE = 73_728 + 143_360
"""A training step of 8 rows through two blocks."""
DEEP = 2 * 8 * (512 + 8 * 1024) * 3 - 4096
"""The same through four blocks."""
DEEPER = 2 * 8 * (512 + 16 * 1024) * 3 - 4096
"""The same through eight blocks, in stages of which each rank has two."""
EXPERT = 2 * 8 * (512 + 2048) * 3 - 4096
"""A step of one rank that has a block of its own: what it sends away, it gets from others."""
PIPELINES = {
    "gpipe": DEEP, "1f1b": DEEP, "interleaved": DEEPER, "zero-bubble": DEEPER, "zbv": DEEPER,
}  # fmt: skip
FLAT = ("flat", "flat-kept")
MORE = (
    "uneven-shards", "copies", "fsdp-saved", "summed", "routed", "routed-gathered", "routed-made",
    "routed-again", "routed-unlike", "whole-parts", "ragged", "ragged-talks",
)  # fmt: skip
ROUTED = EXPERT + 3 * 2 * 8 * 16 * 2
"""The same where rows choose their expert by a product of 16 x 2: as many rows come as are sent."""
AGAIN = "zero-bubble-again"


def python(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE.parents[1]),
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
    }
    return subprocess.run(
        [sys.executable, *words],
        env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def totals_of(folder: Path) -> RunTotals:
    totals = read_totals(folder)
    assert totals is not None
    return totals


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Have a folder made once for all test processes."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"ranks-{name}"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            make(folder)
            (folder / "made").touch()
    return folder


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two ranks with a recording and without, and four: forks of one process, which imports torch once."""

    def make(folder: Path) -> None:
        two = ",".join(["ddp", "uneven", *MORE, "fsdp", *FLAT, "tp", "experts", *PIPELINES, AGAIN])
        four = ",".join(
            ["ddp", "uneven", "fsdp", "tp", "fsdp+tp", "whole-parts", "experts", *PIPELINES]
        )
        for name in ("two", "four"):
            (folder / name).mkdir(exist_ok=True)
        launches = (
            (2, two, str(folder / "two"), "record", "count"),
            (2, two, str(folder / "two"), "plain", "count"),
            (4, four, str(folder / "four"), "record", "sample"),
        )
        done = python(str(HERE / "ranks" / "worker.py"), json.dumps(launches))
        assert done.returncode == 0, done.stderr[-4000:]

    return once(tmp_path_factory, "launched", make)


@pytest.fixture
def two(launched: Path) -> Path:
    return launched / "two"


@pytest.fixture
def four(launched: Path) -> Path:
    return launched / "four"


@pytest.mark.parametrize(
    ("kind", "flop", "samples"),
    [
        ("ddp", 3 * 2 * 2 * ONE, 3 * 2 * 2 * 8),  # three steps, two ranks, two batches each
        ("uneven", (4 + 2) * ONE, (4 + 2) * 8),
        ("uneven-shards", (4 + 2) * ONE, (4 + 2) * 8),  # the other two steps are of the first rank
        ("copies", 3 * 2 * ONE, 3 * 2 * 8),  # without its evaluations
        ("fsdp-saved", 3 * 2 * ONE, 3 * 2 * 8),
        ("summed", 3 * 2 * EXPERT, 3 * 2 * 8),  # half of the matrices, and twice the rows
        ("routed", 3 * 2 * ROUTED, 3 * 2 * 8),
        ("routed-gathered", 3 * 2 * ROUTED, 3 * 2 * 8),
        ("routed-made", 3 * 2 * ROUTED, 3 * 2 * 8),  # gathered into the processor's memory
        ("fsdp", 3 * 2 * ONE, 3 * 2 * 8),
        ("tp", 3 * ONE, 3 * 8),  # both ranks work on one batch
        ("experts", 3 * 2 * EXPERT, 3 * 2 * 8),
    ],
)
def test_two_ranks_add_up_to_the_whole(two: Path, kind: str, flop: int, samples: int) -> None:
    add_up(two / kind, 2, flop, samples)


@pytest.mark.parametrize(
    ("kind", "flop", "samples"),
    [
        ("ddp", 3 * 2 * 4 * ONE, 3 * 2 * 4 * 8),
        ("uneven", (4 + 3 * 2) * ONE, (4 + 3 * 2) * 8),
        ("fsdp", 3 * 4 * ONE, 3 * 4 * 8),
        ("tp", 3 * ONE, 3 * 8),
        ("fsdp+tp", 3 * 2 * ONE, 3 * 2 * 8),  # two batches, each on two ranks
        ("experts", 3 * 4 * EXPERT, 3 * 4 * 8),
    ],
)
def test_four_ranks_add_up_to_the_whole(four: Path, kind: str, flop: int, samples: int) -> None:
    add_up(four / kind, 4, flop, samples)


def add_up(folder: Path, ranks: int, flop: int, samples: int) -> None:
    totals = totals_of(folder)
    assert totals.model_flop == totals.hardware_flop == flop
    assert totals.model_bounds == totals.hardware_bounds == (flop, flop)
    assert totals.samples == samples
    assert [rank.rank for rank in totals.ranks] == list(range(ranks))


@pytest.mark.parametrize(("ranks", "batches"), [("two", 1), ("four", 2)])
def test_parts_that_a_group_of_ranks_holds_whole_are_counted_once(
    ranks: str, batches: int, request: pytest.FixtureRequest
) -> None:
    """A head of 16 x 16 and a product of 16 x 2 behind the model; a tower of 16 x 16 with data of each rank.

    Of 8 rows, with both gradients 3·2·8·(256 + 32) = 13,824; the tower's input needs none: 2·2·8·256 = 8,192.
    """
    totals = totals_of(request.getfixturevalue(ranks) / "whole-parts")
    once = 3 * batches * (ONE + 13_824) + 3 * 2 * batches * 8_192
    assert totals.model_flop == totals.hardware_flop == once
    # Where both ranks of a group had data of their own, the head and the product were done twice.
    assert totals.model_bounds == (once, once + 3 * batches * 13_824)
    assert [f.code for f in totals.findings if "hold this one whole" in f.message] == [
        "cost-bounded"
    ] * 2


@pytest.mark.parametrize("ranks", ["two", "four"])
@pytest.mark.parametrize("kind", PIPELINES)
def test_the_stages_of_a_pipeline_make_one_model(
    kind: str, ranks: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(ranks) / kind
    whole = PIPELINES[kind]
    by_step: dict[int, Any] = {}
    processes = read_steps(folder)
    for process in processes:
        assert process.notes == ()
        for step in process.steps():
            flop = sum(process.costs[c].model_flop * n for c, n in step.calls)  # type: ignore[operator]
            by_step[step.number] = by_step.get(step.number, 0) + flop
    # Before the first step the stages try a microbatch to learn its shapes; that is work, too.
    assert by_step[1] > whole
    assert by_step[2] == by_step[3] == whole
    totals = totals_of(folder)
    assert totals.model_flop == sum(by_step.values())
    # Forward alone: a third of the whole and of the input's gradient, which nobody asked for.
    learned = (whole + 4096) // 3 // 4
    assert totals.phases["forward"] == 3 * (whole + 4096) // 3 + learned
    assert totals.samples in (3 * 8, 3 * 8 + 2)


def test_an_evaluation_of_a_model_whose_copies_are_trained_is_one(two: Path) -> None:
    """Three of 8 rows on each rank: 2·8·(2·256 + 4·1024) = 73,728."""
    assert totals_of(two / "copies").span_flop == {"evaluation": 3 * 2 * 73_728}


def test_rows_that_choose_their_expert_in_a_checkpoint(two: Path) -> None:
    """All is computed again but for the last layer, whose result nobody needs: 2·8·(256 + 2·16 + 2048)."""
    totals = totals_of(two / "routed-again")
    assert totals.model_flop == 3 * 2 * ROUTED
    assert totals.hardware_flop == 3 * 2 * (ROUTED + 2 * 8 * (256 + 16 * 2 + 2048))
    assert totals.hardware_bounds == (totals.hardware_flop, totals.hardware_flop)


def test_rows_that_choose_among_unlike_experts_have_no_upper_end(two: Path) -> None:
    """One rank's expert is a block, the other's a layer: nobody knows how many rows each got."""
    totals = totals_of(two / "routed-unlike")
    low, high = totals.model_bounds
    assert high is None
    # Of the two linear layers and of the choice, each rank computes what it did before.
    assert low == 3 * 2 * (ROUTED - 3 * 2 * 8 * 2048)


def test_texts_of_unlike_lengths(two: Path) -> None:
    """Four layers of 16 x 16 a row, of which three need no gradient of their input, and 8 numbers a pair
    of rows in two heads: scores and values, each thrice."""
    texts = [(3, 5, 2 + rank + number) for rank in range(2) for number in range(3)]
    rows = sum(map(sum, texts))
    pairs = sum(n * n for each in texts for n in each)
    flop = rows * 2 * 256 * (4 * 3 - 3) + pairs * 2 * 2 * 2 * 8 * 3
    totals = totals_of(two / "ragged")
    assert totals.model_flop == totals.hardware_flop == flop
    assert totals.model_bounds == (flop, flop)
    # Their lengths are known to real numbers alone, and with those no other rank is talked to.
    assert totals_of(two / "ragged-talks").model_bounds == (0, None)


def test_steps_that_are_no_rank_s_own_have_no_number(two: Path) -> None:
    """Of ranks that are through with their data, and of checkpoints of an optimizer that keeps no state."""
    assert [len(list(each.steps())) for each in read_steps(two / "uneven-shards")] == [4, 2]
    assert [len(list(each.steps())) for each in read_steps(two / "fsdp-saved")] == [3, 3]


@pytest.mark.parametrize("kind", FLAT)
def test_parameters_in_flat_pieces_are_counted_whole(two: Path, kind: str) -> None:
    totals = totals_of(two / kind)
    assert totals.model_flop == 3 * 2 * ONE
    # The first product of each block is computed again; the second one's result nobody needs.
    assert totals.hardware_flop == 3 * 2 * (ONE + 2 * 2 * 8 * 1024)
    assert totals.hardware_bounds == (totals.hardware_flop, totals.hardware_flop)
    assert set(totals.by_dtype) == {"bf16"}


def test_checkpoints_in_a_backward_that_begins_inside_have_an_open_end(two: Path) -> None:
    """Each pass for the weights computes what it needs once more; no call shows how much."""
    totals = totals_of(two / AGAIN)
    low, high = totals.hardware_bounds
    assert low >= 3 * DEEPER
    assert high is None
    assert "work-outside-modules" in {finding.code for finding in totals.findings}


def test_what_shards_are_computed_in(two: Path) -> None:
    assert set(totals_of(two / "fsdp").by_dtype) == {"bf16"}
    (first, _) = read_steps(two / "tp")
    assert first.mesh == {"tp": 2}
    assert {cost.share for cost in first.costs.values()} == {(1, 2)}


@pytest.mark.parametrize(
    "kind", ["ddp", "uneven", *MORE, "fsdp", *FLAT, "tp", "experts", *PIPELINES, AGAIN]
)
def test_the_same_losses_and_the_same_collectives(two: Path, kind: str) -> None:
    for rank in range(2):
        told = [
            json.loads((two / f"{kind}-{how}-{rank}.json").read_text(encoding="utf-8"))
            for how in ("record", "plain")
        ]
        assert told[0] == told[1]
    assert told[0]["collectives"]


def test_the_same_global_batch_in_one_process(two: Path) -> None:
    """torch's own counter over the whole batch of 16 rows in one process."""
    from importlib import util

    from tests.recording.conftest import by_counter

    spec = util.spec_from_file_location("worker", HERE / "ranks" / "worker.py")
    assert spec is not None
    assert spec.loader is not None
    worker = util.module_from_spec(spec)
    spec.loader.exec_module(worker)
    model = worker.Model()
    whole = by_counter(lambda: model(torch.randn(16, 16)).sum().backward())
    assert totals_of(two / "fsdp").model_flop == 3 * whole


def test_two_dimensions_of_four_ranks(four: Path) -> None:
    processes = read_steps(four / "fsdp+tp")
    assert [process.rank for process in processes] == [0, 1, 2, 3]
    assert {(process.mesh or {})["dp"] * (process.mesh or {})["tp"] for process in processes} == {4}


def test_a_rank_that_dies_leaves_what_it_did(tmp_path: Path) -> None:
    """torchrun ends the others, too."""
    done = python(
        "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        str(HERE / "ranks" / "worker.py"), "dies", str(tmp_path), "record",
    )  # fmt: skip
    assert done.returncode != 0
    processes = read_steps(tmp_path / "dies")
    assert [process.rank for process in processes] == [0, 1]
    assert processes[1].sealed is None
    assert all(process.problems == () for process in processes)
    # Eight steps of 0.4 s; at most the last second and the open step are lost.
    assert len(list(processes[1].steps())) >= 4


def test_one_sampler_on_a_node(four: Path) -> None:
    (node,) = (four / "ddp" / "telemetry").iterdir()
    assert list(node.glob("*.jsonl"))
