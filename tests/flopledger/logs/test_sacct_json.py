"""``sacct --json``: the same jobs as tables of keys, in the older and the newer form."""

import json

import pytest

from flopledger import logs

from .conftest import codes, value


def tres(**more):
    entries = [("cpu", "", 64), ("gres", "gpu", 8), ("gres", "gpu:h100", 8), ("node", "", 1)]
    entries += [("energy", "", joules) for joules in more.values()]
    return [{"type": kind, "name": name, "id": 1, "count": count} for kind, name, count in entries]


def old(job_id, seconds, state="COMPLETED", **more):
    return {
        "job_id": job_id,
        "state": {"current": state, "reason": "None"},
        "time": {"elapsed": seconds, "start": 1_767_225_600, "end": 1_767_225_600 + seconds},
        "tres": {"allocated": tres(**more), "requested": tres()},
        "steps": [{"step": {"name": "batch"}, "tres": {"allocated": tres()}}],
    }


def new(job_id, seconds, state="COMPLETED", **more):
    job = old(job_id, seconds, **more)
    job["state"] = {"current": [state]}
    job["time"]["elapsed"] = {"set": True, "infinite": False, "number": seconds}
    return job


def answer(*jobs):
    return json.dumps({"jobs": jobs, "meta": {"Slurm": {"release": "23.11"}}, "errors": []})


@pytest.mark.parametrize("job", [old, new])
def test_a_job_once_and_its_steps_not_again(written, job):
    found = written({"sacct.json": answer(job(77, 3600))})
    facts = logs.assemble(found)
    # 8 GPUs for an hour; the batch step holds the same ones.
    assert facts.accelerator_seconds.number == 28_800
    assert facts.accelerator_count.number == 8
    assert facts.accelerator.value == "h100"
    assert facts.status.value == "COMPLETED"
    assert found.named("accelerator_seconds")[0].locator == "$.jobs[0]"


def test_failed_jobs_were_held_and_energy_is_the_nodes(written):
    found = written({"sacct.json": answer(new(1, 100, "NODE_FAIL", j=5000), new(2, 300, j=7000))})
    facts = logs.assemble(found)
    assert facts.accelerator_seconds.number == 3200
    assert value(found, "energy_joules") == 12_000
    assert value(found, "energy_boundary") == "node"
    assert {"aborted-run", "several-jobs"} <= codes(found)


def test_what_is_not_set_is_not_zero(written):
    job = new(5, 60)
    job["time"]["elapsed"] = {"set": False, "infinite": False, "number": 0}
    found = written({"sacct.json": answer(job)})
    assert not found.named("accelerator_seconds")
    assert "evidence-unreadable" in codes(
        written({"empty.json": answer() + '\n"tres" "allocated"'})
    )


def queued(job_id, state, *, wrapped=True):
    number = (lambda value: {"set": True, "infinite": False, "number": value}) if wrapped else int
    return {
        "job_id": job_id,
        "job_state": [state] if wrapped else state,
        "start_time": number(1_709_546_400),
        "end_time": number(1_709_546_400 + 7200),
        "tres_alloc_str": "cpu=64,mem=1000G,node=2,billing=64,gres/gpu=16,gres/gpu:h100=16",
    }


@pytest.mark.parametrize("wrapped", [True, False])
def test_the_schedulers_own_view_of_a_job_that_is_over(written, wrapped):
    evidence = written({"q.json": answer(queued(7, "COMPLETED", wrapped=wrapped))})
    # 16 GPUs for 7200 s
    assert value(evidence, "accelerator_seconds") == 16 * 7200
    assert value(evidence, "accelerator") == "h100"


def test_a_job_that_runs_has_no_end_yet(written):
    """``end_time`` is then when its time runs out."""
    evidence = written({"q.json": answer(queued(7, "RUNNING"))})
    assert not evidence.named("accelerator_seconds")
    assert "coverage-gap" in codes(evidence)
