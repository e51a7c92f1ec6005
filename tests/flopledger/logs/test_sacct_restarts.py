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
