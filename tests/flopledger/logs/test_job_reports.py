"""Reports at the end of a job's output (LSF, NCI's PBS), and PBS' view of jobs (`qstat -f`)."""

import json

import pytest

from flopledger import logs

from .conftest import codes


def lsf(
    job=7,
    *,
    hosts="<n1>",
    more="",
    ended="Sat Jun  5 12:00:00 2021",
    gpu='#BSUB -gpu "num=4:mode=shared"',
):
    return f"""
------------------------------------------------------------
Sender: LSF System <lsfadmin@n1>
Subject: Job {job}: <train> in cluster <c> Done

Job <train> was submitted from host <login> by user <ada> in cluster <c> at Fri Jun  4 11:00:00 2021
Job was executed on host(s) {hosts}, in queue <gpu>, as user <ada> in cluster <c> at Fri Jun  4 12:00:00 2021
{more}</home/ada> was used as the home directory.
Started at Fri Jun  4 12:00:00 2021
Terminated at {ended}
Results reported at {ended}

Your job looked like:

------------------------------------------------------------
# LSBATCH: User input
#!/bin/sh
##BSUB -gpu "num=16"
{gpu}
#BSUB -n 8
python train.py
------------------------------------------------------------

Successfully completed.

Resource usage summary:

    CPU time :                                   85895.51 sec.
    Max Memory :                                 8820 MB
    Run time :                                   86399 sec.
    Turnaround time :                            90000 sec.

The output (if any) is above this job summary.
"""


NCI = """
======================================================================================
                  Resource Usage on 2025-03-13 11:13:31:
   Job Id:             136906625.gadi-pbs
   Project:            ab12
   Exit Status:        271 (Linux Signal 15 SIGTERM Termination)
   Service Units:      21.93
   NCPUs Requested:    48                     NCPUs Used: 48
                                           CPU Time Used: 00:12:37
   Memory Requested:   256.0GB                Memory Used: 24.16GB
   NGPUs Requested:    4                 GPU Utilisation: 88%
                                         GPU Memory Used: 24.1GB
   Walltime requested: 08:00:00            Walltime Used: 02:00:00
   JobFS requested:    10.0GB                 JobFS used: 0B
======================================================================================
"""
QSTAT = """Job Id: 41.pbs
    Job_Name = train
    resources_used.cput = 4090:56:03
    resources_used.walltime = 10:00:00
    job_state = F
    depend = afterok:40.pbs@pbs,
\tbeforeok:42.pbs@pbs
    exec_vnode = (n1:ncpus=8:ngpus=4)+(n2:ncpus=8:ngp
\tus=4)
    Resource_List.select = 2:ncpus=8:ngp
\tus=4
    Resource_List.walltime = 48:00:00
    Exit_status = 0
    run_count = 1

Job Id: 42.pbs
    job_state = Q
    Resource_List.ngpus = 8
"""


@pytest.fixture
def assembled(written):
    """Read one file and give what it comes to."""
    return lambda text, name="job.out": logs.assemble(written({name: text}))


def test_a_report_of_lsf_gives_the_hosts_the_gpus_of_each_and_the_time_between_stamps(assembled):
    # noon to noon: 86,400 s, not the sampled 86,399; 2 hosts x 4 GPUs, the commented-out 16 not
    run = assembled("hello\n" + lsf(hosts="<8*n1>", more=f"{'':28}<8*n2>\n"))
    assert run.wall_seconds.value == 86_400
    assert run.accelerator_count.value == 8
    assert run.accelerator_seconds.value == 691_200
    assert run.status.value == "Successfully completed"


@pytest.mark.parametrize(
    ("gpu", "count"),
    [
        ("#BSUB -gpu num=2:j_exclusive=yes", 2),
        ("#BSUB -gpu -", 1),  # LSF's default
        ('#BSUB -gpu "mode=shared"', 1),
        ("#BSUB -gpu 'num=1/task:mode=shared'", 3),  # 3 slots on the host
        ("#BSUB -q gpu", None),  # asked for on the command line, perhaps
    ],
)
def test_the_gpus_are_those_that_the_script_asks_for(assembled, gpu, count):
    run = assembled(lsf(hosts="<3*n1>", gpu=gpu))
    assert (run.accelerator_count.value if run.accelerator_count else None) == count
    assert ("device-count-missing" in codes(run)) == (count is None)


def test_a_report_below_a_log_is_read_with_it(assembled):
    steps = "".join(f"iter {n}: loss 3.0, time 100.00ms, mfu 30.00%\n" for n in range(50))
    run = assembled(steps + lsf())
    assert run.steps.value == 50
    assert run.timed_seconds.number == pytest.approx(5)  # 50 steps of 100 ms
    assert run.accelerator_count.value == 4
    assert run.wall_seconds.value == 86_400


def test_a_report_that_is_damaged_takes_nothing_from_the_log_above(assembled):
    steps = "".join(f"iter {n}: loss 3.0, time 100.00ms, mfu 30.00%\n" for n in range(50))
    run = assembled(steps + lsf(ended="Sat Jun 99 12:00:00 2021"))
    assert run.steps.value == 50
    assert run.wall_seconds is None
    assert "no-facts" in codes(run)


def test_reports_of_jobs_that_append_to_one_file_are_added_up(assembled):
    # 24 h and 12 h on 4 GPUs
    run = assembled(lsf(7) + "more\n" + lsf(8, ended="Sat Jun  5 00:00:00 2021"))
    assert run.accelerator_seconds.value == 4 * (86_400 + 43_200)
    assert run.wall_seconds is None
    assert "several-jobs" in codes(run)


def test_a_document_that_shows_a_report_is_no_job(written):
    evidence = written({"howto.md": "# How to\n" + lsf()})
    assert not evidence.named("accelerator_seconds")


def test_the_page_of_nci_gives_time_and_gpus(assembled):
    run = assembled("training\n" + NCI)
    assert run.accelerator_seconds.value == 4 * 7200
    assert run.status.value == "failed, exit status 271"
    assert "aborted-run" in codes(run)


def test_a_job_that_ended_is_read_from_qstat_and_one_that_waits_is_not(assembled):
    # 2 chunks of 4 GPUs (the value goes on in a line set in by a tab) for 36,000 s
    run = assembled(QSTAT)
    assert run.accelerator_count.value == 8
    assert run.accelerator_seconds.value == 288_000
    assert run.status.value == "completed"


def test_a_job_that_runs_or_ran_before_gives_a_lower_bound(assembled):
    for text in (
        QSTAT.replace("job_state = F", "job_state = R"),
        QSTAT.replace("run_count = 1", "run_count = 3"),
    ):
        run = assembled(text)
        assert run.accelerator_seconds.bound == "at least"
        assert "coverage-gap" in codes(run)


def test_qstat_in_json_says_the_same(assembled):
    job = {
        "job_state": "F",
        "Exit_status": 1,
        "resources_used": {"walltime": "00:30:00", "cpupercent": 95},
        "Resource_List": {"ngpus": 8, "select": "2:ngpus=4"},
    }
    run = assembled(json.dumps({"pbs_version": "2022.1", "Jobs": {"41.pbs": job}}), "qstat.json")
    assert run.accelerator_seconds.value == 8 * 1800
    assert run.status.value == "failed, exit status 1"


def test_a_page_of_waiting_jobs_alone_is_named(written):
    evidence = written({"q.txt": "Job Id: 42.pbs\n    Job_Name = a\n    job_state = Q\n"})
    assert codes(evidence) == {"evidence-unreadable"}


def test_an_accounting_log_of_a_whole_cluster_is_refused_and_not_cut(written):
    record = "04/16/2025 10:19:48;E;{}.pbs;Resource_List.ngpus=1 resources_used.walltime=00:01:00\n"
    evidence = written({"acct": "".join(record.format(n) for n in range(20_001))})
    assert codes(evidence) == {"evidence-unreadable"}
    assert not evidence.named("accelerator_seconds")
