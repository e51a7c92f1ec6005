"""Slurm's account in other forms: cells between other marks, and a job as ``scontrol`` shows it."""

import json
from pathlib import Path

import pytest

from flopledger import logs

SACCT = """JobID|State|ElapsedRaw|AllocTRES
77|COMPLETED|604800|billing=512,cpu=512,gres/gpu:h100=64,gres/gpu=64,mem=8000G,node=8
77.batch|COMPLETED|604800|cpu=64,gres/gpu=8,mem=1000G,node=1
"""
SHOWN = """JobId=77 JobName=pretrain
   UserId=someone(1) GroupId=some(1) MCS_label=N/A
   JobState={state} Reason=None Dependency=(null)
   Requeue=1 Restarts={restarts} BatchFlag=1 Reboot=0 ExitCode=0:0
   RunTime=7-00:00:00 TimeLimit=10-00:00:00 TimeMin=N/A
   StartTime=2025-03-01T10:00:00 EndTime=2025-03-11T10:00:00 Deadline=N/A
   NumNodes=8 NumCPUs=512 NumTasks=64 CPUs/Task=8 ReqB:S:C:T=0:0:*:*
   ReqTRES=cpu=512,mem=8000G,node=8,billing=512,gres/gpu=128
   AllocTRES=cpu=512,mem=8000G,node=8,billing=512,gres/gpu=64,gres/gpu:h100=64
"""


def read(tmp_path: Path, text: str, name: str = "job.txt") -> logs.RunFacts:
    path = tmp_path / name
    path.write_text(text)
    return logs.assemble(logs.read([logs.EvidenceFile(path=path, name=name)]))


def held(run: logs.RunFacts) -> tuple[object, object, object]:
    assert run.accelerator_count is not None
    assert run.accelerator_seconds is not None
    assert run.accelerator is not None
    return run.accelerator_count.value, run.accelerator_seconds.value, run.accelerator.value


#: 64 GPUs for seven days
HELD = (64, 64 * 7 * 86_400, "h100")


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_other_marks_between_cells(tmp_path: Path, mark: str) -> None:
    assert held(read(tmp_path, SACCT.replace("|", mark))) == HELD


def test_a_job_as_scontrol_shows_it(tmp_path: Path) -> None:
    run = read(tmp_path, SHOWN.format(state="COMPLETED", restarts=0))
    assert held(run) == HELD  # what was asked for is no allocation
    older = SHOWN.format(state="COMPLETED", restarts=0).replace("AllocTRES=", "TRES=")
    assert held(read(tmp_path, older)) == HELD


def test_a_job_that_runs_or_was_started_again_is_a_lower_bound(tmp_path: Path) -> None:
    for state, restarts in (("RUNNING", 0), ("COMPLETED", 2)):
        run = read(tmp_path, SHOWN.format(state=state, restarts=restarts))
        assert "coverage-gap" in {one.code for one in run.findings}


def test_several_jobs_add_up(tmp_path: Path) -> None:
    one = SHOWN.format(state="COMPLETED", restarts=0)
    run = read(tmp_path, one + "\n" + one.replace("JobId=77", "JobId=78"))
    assert run.accelerator_seconds is not None
    assert run.accelerator_seconds.value == 2 * HELD[1]


def test_a_deepspeed_configuration_in_one_line(tmp_path: Path) -> None:
    settings = {
        "train_batch_size": 128,
        "train_micro_batch_size_per_gpu": 4,
        "bf16": {"enabled": True},
        "zero_optimization": {"stage": 3},
    }
    for indent in (None, 2):
        run = read(tmp_path, json.dumps(settings, indent=indent), "ds_config.json")
        assert run.global_batch is not None
        assert run.global_batch.value == 128
        assert run.precision is not None
        assert run.precision.value == "bf16"


def test_a_table_of_markdown_is_one_of_sacct(written):
    table = """|JobID    |State    |ElapsedRaw|AllocTRES                   |
|---------|---------|----------|----------------------------|
|38113    |COMPLETED|2102      |cpu=1152,gres/gpu=16,node=4 |
|38113.ext|COMPLETED|2102      |cpu=1152,gres/gpu=16,node=4 |
"""
    evidence = written({"sacct.txt": table})
    assert [one.value for one in evidence.named("accelerator_seconds")] == [16 * 2102]
    assert [one.value for one in evidence.named("status")] == ["COMPLETED"]
