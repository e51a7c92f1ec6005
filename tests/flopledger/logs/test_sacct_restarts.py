"""Slurm tables: a requeued job, a cut column, slices of GPUs."""

from flopledger import logs

from .conftest import codes

_HEAD = "JobIDRaw|State|ElapsedRaw|AllocTRES\n"


def test_the_starts_of_a_requeued_job(written) -> None:
    table = _HEAD + "".join(
        f"77|{state}|{seconds}|gres/gpu=8,node=1\n"
        for state, seconds in (("REQUEUED", 3_600), ("NODE_FAIL", 7_200), ("COMPLETED", 10_800))
    )
    run = logs.assemble(written({"sacct.txt": table}))
    # 8 GPUs for 3,600 + 7,200 + 10,800 = 21,600 s
    assert run.wall_seconds is not None
    assert run.wall_seconds.value == 21_600
    assert run.accelerator_seconds is not None
    assert run.accelerator_seconds.value == 172_800
    assert run.status is not None
    assert run.status.value == "COMPLETED"
    (finding,) = [one for one in run.findings if one.code == "several-jobs"]
    assert "3 starts of one job" in finding.message


def test_a_column_that_was_cut(written) -> None:
    table = (
        "       JobID      State    Elapsed  AllocTRES \n"
        "------------ ---------- ---------- ---------- \n"
        "123           COMPLETED 2-03:04:05 billing=8+ \n"
    )
    run = logs.assemble(written({"sacct.txt": table}))
    assert run.accelerator_count is None
    (finding,) = [one for one in run.findings if one.code == "device-count-missing"]
    assert "--parsable2" in finding.message


def test_slices_are_not_devices(written) -> None:
    table = _HEAD + "9|COMPLETED|3600|gres/gpu:a100_3g.20gb=1,gres/gpu=1\n"
    run = logs.assemble(written({"sacct.txt": table}))
    assert run.accelerator_count is not None
    assert run.accelerator_count.value == 1
    assert "unit-ambiguity" in codes(run)


def test_starts_that_are_not_listed_leave_a_lower_bound(written) -> None:
    shown = (
        "JobId=42 JobName=pretrain\n   JobState=COMPLETED Restarts=2\n"
        "   RunTime=01:00:00 StartTime=2025-01-01T00:00:00 EndTime=2025-01-01T01:00:00\n"
        "   TRES=cpu=64,node=1,gres/gpu=8\n"
    )
    run = logs.assemble(written({"shown.txt": shown}))
    # One of three starts: 8 GPUs x 3,600 s, and what the other two took
    assert run.accelerator_seconds is not None
    assert run.accelerator_seconds.value == 28_800
    assert run.accelerator_seconds.bound == "at least"
    assert run.wall_seconds is None
    assert run.timed_seconds is not None
    assert run.timed_seconds.bound == "at least"
    assert "coverage-gap" in codes(run)


def test_a_job_that_still_runs_leaves_a_lower_bound(written) -> None:
    run = logs.assemble(written({"sacct.txt": _HEAD + "7|RUNNING|3600|gres/gpu=8\n"}))
    assert run.accelerator_seconds is not None
    assert run.accelerator_seconds.bound == "at least"
    over = logs.assemble(written({"sacct.txt": _HEAD + "7|COMPLETED|3600|gres/gpu=8\n"}))
    assert over.accelerator_seconds is not None
    assert over.accelerator_seconds.bound == "exact"


def test_of_several_jobs_none_is_the_run(written) -> None:
    table = _HEAD + "1|FAILED|3600|gres/gpu=8\n2|COMPLETED|7200|gres/gpu=8\n"
    run = logs.assemble(written({"sacct.txt": table}))
    # (3,600 + 7,200) x 8; how long the run took depends on whether they ran at once
    assert run.accelerator_seconds is not None
    assert run.accelerator_seconds.value == 86_400
    assert run.wall_seconds is None
    assert run.status is not None
    assert run.status.value == "FAILED, COMPLETED"
