"""Tables that trackers and databases hand out."""

import csv
import io
from pathlib import Path

import pytest

from flopledger import logs

HISTORY = ",_step,_runtime,_timestamp,train/loss,train/num_tokens\n" + "".join(
    f"{row},{10 * row},{60 * row},{1.7e9 + 60 * row},2.5,{2097152 * 10 * row if row % 2 else ''}\n"
    for row in range(100)
)
SERIES = "Wall time,Step,Value\n" + "".join(f"{1.7e9 + 10 * row},{row},2.5\n" for row in range(100))
ROW = {
    "Model": "Example-30B",
    "Base model": "",
    "Parameters": "30000000000.0",
    "Parameters notes": "30B, dense",
    "Training compute (FLOP)": "3.6e+23",
    "Training dataset size (gradients)": "2000000000000.0",
    "Training time (hours)": "720.0",
    "Training hardware": "NVIDIA H100 SXM5 80GB",
    "Hardware quantity": "1024.0",
    "Hardware utilization (MFU)": "0.35",
}


def read(tmp_path: Path, text: str) -> logs.RunFacts:
    path = tmp_path / "table.csv"
    path.write_text(text)
    return logs.assemble(logs.read([logs.EvidenceFile(path=path, name=path.name)]))


def table(*rows: dict[str, str]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(ROW))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def test_a_history_of_wandb(tmp_path: Path) -> None:
    run = read(tmp_path, HISTORY)
    assert run.tokens is not None
    assert run.tokens.value == 2097152 * 990  # of the last row that has one
    assert run.wall_seconds is not None
    assert run.wall_seconds.value == 60 * 99


def test_two_trainings_in_one_run_of_wandb(tmp_path: Path) -> None:
    header = "_step,_runtime,train/global_step,train/train_runtime\n"
    first = "0,60,20,\n1,120,40,\n2,125,40,119.5\n"
    run = read(tmp_path, header + first)
    assert run.steps is not None
    assert run.timed_seconds is not None
    assert (run.steps.value, run.timed_seconds.value) == (40, 119.5)
    # The second training had done 34 steps; 119.5 s are the first one's, and 300 s all of them.
    both = read(tmp_path, header + first + "3,200,1,\n4,300,34,\n")
    assert both.steps is None
    assert both.timed_seconds is None
    assert both.wall_seconds is not None
    assert both.wall_seconds.value == 300
    assert "several-runs" in {one.code for one in both.findings}


def test_a_series_of_tensorboard_is_a_lower_bound_of_time(tmp_path: Path) -> None:
    run = read(tmp_path, SERIES)
    assert run.timed_seconds is not None
    assert (run.timed_seconds.number, run.timed_seconds.bound) == (990, "at least")
    assert run.steps is None


def test_a_row_of_a_database(tmp_path: Path) -> None:
    run = read(tmp_path, table(ROW))
    assert run.parameters is not None
    assert run.parameters.value == 30e9
    assert run.wall_seconds is not None
    assert run.wall_seconds.value == 720 * 3600
    assert run.accelerator_count is not None
    assert run.accelerator_count.value == 1024
    assert run.tokens is None  # the size of a data set is no amount trained
    assert {"dataset-size-not-trained", "prose-used"} <= {one.code for one in run.findings}


@pytest.mark.parametrize(
    "rows",
    [
        (ROW, ROW | {"Model": "Other"}),
        (ROW | {"Parameters notes": "671B, MoE, 37B active parameters"},),
    ],
)
def test_several_models_and_mixtures_give_no_size(tmp_path: Path, rows) -> None:
    run = read(tmp_path, table(*rows))
    assert run.parameters is None


def test_what_is_modified_keeps_the_figures_of_its_original_apart(tmp_path: Path) -> None:
    run = read(tmp_path, table(ROW | {"Base model": "Example-30B-base"}))
    assert run.accelerator_count is None
    assert "prose-ambiguous" in {one.code for one in run.findings}


def test_a_row_with_more_cells_than_the_header_is_refused(tmp_path: Path) -> None:
    read(tmp_path, table(ROW) + "," * len(ROW) + "\n")
    path = tmp_path / "table.csv"
    evidence = logs.read([logs.EvidenceFile(path=path, name=path.name)])
    assert [one.code for one in evidence.findings] == ["evidence-unreadable"]
