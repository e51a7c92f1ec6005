"""LSF's pages and accounting file, and what seff and jobstats print of a Slurm job."""

import pytest

from flopledger import logs

from .conftest import codes

BHIST = """
Job <101>, Job Name <pretrain>, User <ada>, Project <default>, Command <./train.s
                     h --steps 10>
Mon Jun  3 10:00:00 2024: Submitted from host <login1>, to Queue <gpu>, CWD <$HOM
                     E/jobs>, Requested GPU <num=4:mode=exclusive_process>;
Mon Jun  3 10:00:10 2024: Dispatched 8 Task(s) on Host(s) <4*n1> <4*n2>, Alloc
                     ated 8 Slot(s) on Host(s) <4*n1> <4*n2>, Effective RES_REQ <
                     select[(ngpus>0)] rusage[ngpus_physical=4.00] >;
Mon Jun  3 10:00:10 2024: Starting (Pid 1234);
Mon Jun  3 22:00:10 2024: Done successfully. The CPU time used is 345600.0 seconds;

Summary of time in seconds spent in various states by  Mon Jun  3 22:00:10 2024
  PEND     PSUSP    RUN      USUSP    SSUSP    UNKWN    TOTAL
  10       0        43200    0        0        0        43210
"""
RUNNING = BHIST.replace("Mon Jun  3 22:00:10 2024: Done", "Mon Jun  3 22:00:10 2024: Noted")
BACCT = """
Accounting information about jobs that are:
  - submitted by all users.
------------------------------------------------------------------------------

Job <7>, User <ada>, Project <default>, Status <EXIT>, Queue <gpu>, Command <run>
Mon Aug 11 18:16:17: Submitted from host <h0>, CWD <$HOME/jobs>;
Mon Aug 11 18:17:22: Dispatched 2 Task(s) on Host(s) <h1> <h2>, Allocated 2 Slot(s) on Host(s) <h1> <h2>;
Mon Aug 11 19:17:22: Completed <exit>.

Accounting information about this job:
     CPU_T     WAIT     TURNAROUND   STATUS     HOG_FACTOR    MEM    SWAP
      0.19       65           3665     exit         0.0020     4M      5M

GPU_ALLOCATION:
 HOST             TASK ID  MODEL        MTOTAL  FACTOR MRSV    SOCKET NVLINK
 h1               0    0   TeslaV100_SX 31.7G   7.0    0M      0      -
                  0    1   TeslaV100_SX 31.7G   7.0    0M      0      -
 h2               1    0   TeslaV100_SX 31.7G   7.0    0M      0      -
"""


@pytest.fixture
def assembled(written):
    """Read one file and give what it comes to."""
    return lambda text, name="page.txt": logs.assemble(written({name: text}))


def test_bhist_gives_hosts_times_gpus_times_run(assembled):
    run = assembled(BHIST)
    # 2 hosts x 4 GPUs for 43,200 s; the line that names them is wrapped inside a word
    assert run.accelerator_count.value == 8
    assert run.accelerator_seconds.value == 345_600
    assert run.accelerator_seconds.bound == "exact"
    assert run.wall_seconds.value == 43_200
    assert run.status.value == "DONE"


def test_a_job_of_lsf_that_still_runs_is_a_lower_bound(assembled):
    run = assembled(RUNNING)
    assert (run.accelerator_seconds.value, run.accelerator_seconds.bound) == (345_600, "at least")
    assert "coverage-gap" in codes(run)


def test_gpus_by_task_are_multiplied_by_tasks(assembled):
    run = assembled(BHIST.replace("num=4:mode", "num=1/task:mode"))
    assert run.accelerator_count.value == 8  # 8 tasks x 1


def test_bacct_counts_the_devices_of_its_table(assembled):
    run = assembled(BACCT)
    # h1 has 0 and 1, h2 has 0; turnaround 3,665 s less 65 s of waiting
    assert run.accelerator_count.value == 3
    assert run.accelerator_seconds.value == 3 * 3_600
    assert run.status.value == "EXIT"
    assert "aborted-run" in codes(run)


def test_a_job_without_gpus_says_so(assembled):
    run = assembled(
        BHIST.replace("Requested GPU <num=4:mode=exclusive_process>", "x").replace(
            "ngpus_physical=4.00", ""
        )
    )
    assert run.accelerator_count is None
    assert run.wall_seconds.value == 43_200
    assert "device-count-missing" in codes(run)


def test_several_jobs_of_lsf_are_added_up(assembled):
    run = assembled(BHIST + BHIST.replace("Job <101>", "Job <102>"))
    assert run.accelerator_seconds.value == 2 * 345_600
    assert "several-jobs" in codes(run)


def record(started=1_000, ended=4_600, state=64, gpus="rusage[ngpus_physical=2.00]"):
    head = f'"JOB_FINISH" "10.1" {ended} 42 1000 33554435 2 900 0 0 {started} "ada" "gpu" "{gpus}" "" "" '
    files = '"login1" "jobs" "" "" "" "1700.42" '
    return f'{head}{files}1 "any" 2 "4*n1" "4*n2" {state} 60.0 "say ""hi""" "run" 1.0 2.0\n'


def test_the_accounting_file_is_read_by_its_documented_places(assembled):
    run = assembled(record() + record() + record(started=0), "lsb.acct")
    # 3,600 s x 2 hosts x 2; the second line is a copy, and the third never started
    assert run.accelerator_seconds.value == 3_600 * 4
    assert run.status.value == "DONE"


def test_a_record_of_another_form_is_refused(written):
    evidence = written({"lsb.acct": '"JOB_FINISH" "10.1" 1 2 3\n'})
    (told,) = [one for one in evidence.findings if one.code == "evidence-unreadable"]
    assert "LSF documents" in told.message


SEFF = """Job ID: 123456
Cluster: tc
State: COMPLETED (exit code 0)
Nodes: 8
Cores per node: 64
CPU Efficiency: 50.00% of 20-00:00:00 core-walltime
Job Wall-clock time: 2-12:00:00
Memory Utilized: 1.20 TB
"""
JOBSTATS = """================================================================================
                              Slurm Job Statistics
================================================================================
         Job ID: 39798795
          State: RUNNING
          Nodes: 2
           GPUs: 4
       Run Time: 18:41:56
     Time Limit: 4-00:00:00
"""


def test_seff_gives_the_time_and_no_gpus(assembled):
    run = assembled(SEFF)
    assert run.wall_seconds.value == 60 * 3_600  # 2 days and 12 hours
    assert run.accelerator_count is None
    assert "device-count-missing" in codes(run)


def test_jobstats_gives_gpus_and_a_lower_bound_while_it_runs(assembled):
    run = assembled(JOBSTATS)
    seconds = 18 * 3_600 + 41 * 60 + 56
    assert (run.accelerator_seconds.value, run.accelerator_seconds.bound) == (
        seconds * 4,
        "at least",
    )
    over = assembled(JOBSTATS.replace("RUNNING", "FAILED"))
    assert (over.accelerator_seconds.value, over.accelerator_seconds.bound) == (
        seconds * 4,
        "exact",
    )


def test_a_page_of_a_queue_says_what_to_hand_in(written):
    evidence = written({"page.txt": BHIST.split("Summary")[0]})
    assert "bhist -l" in evidence.hints["page.txt"]


def test_the_energy_of_the_gpus_that_lsf_accounts_for_is_a_fact(assembled):
    below = """                     HOST: n1; CPU_TIME: 4624 seconds
                              GPU ID: 0
                                  Total Execution Time: 43190 seconds
                                  Energy Consumed: 500000 Joules

GPU Energy Consumed: 4138117.000000 Joules

Summary of time"""
    run = assembled(BHIST.replace("\nSummary of time", below))
    assert run.energy_joules.value == 4_138_117  # the sum of the job, and not one of its GPUs'
    assert run.energy_boundary.value == "device"
    assert run.accelerator_seconds.value == 345_600
