"""A recording of less than is stated: honest parts stay unrefuted, and no lie passes in silence.

The table of ``benchmarks/partial_telemetry.py`` in small: two H100 for ten minutes, told as they were
and with other numbers of devices and hours.
"""

import json
import sys
from pathlib import Path

import pytest

from flopledger import job_width
from flopledger.logs import EvidenceFile
from flopledger.verdict import Verdict
from profilers.steps.record.ledger import StepLedger

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import partial_telemetry as bench

WHOLE, NODE, MINUTES = bench.TRUTHS.values()


@pytest.fixture
def told(tmp_path):
    """Audit one way of telling one truth, with this evidence."""

    def audited(kind, truth, **lie):
        names = bench.write_evidence(tmp_path, kind, truth)
        words = bench.replace(truth, **{key: getattr(truth, key) * n for key, n in lie.items()})
        return bench.audited(tmp_path, names, words)

    return audited


def codes(report):
    return {one.code: one.severity for one in report.findings if one.severity != "info"}


@pytest.mark.parametrize("kind", bench.KINDS)
@pytest.mark.parametrize("truth", [NODE, MINUTES])
def test_an_honest_part_is_not_refuted(told, kind, truth):
    report = told(kind, truth)
    assert bench.outcome(report) in ("asked", "silent")
    assert [one for one in report.findings if one.severity == "error"] == []


@pytest.mark.parametrize("kind", ["with the scheduler's table", "record of the launch"])
def test_a_part_that_the_evidence_shows_is_left_in_peace(told, kind):
    # sacct gives 8 GPUs; the record's variables give four nodes of two
    assert bench.outcome(told(kind, NODE)) == "silent"


@pytest.mark.parametrize("times", bench.COUNTS)
@pytest.mark.parametrize("kind", bench.KINDS)
def test_an_overstated_count_is_never_silent(told, kind, times):
    report = told(kind, WHOLE, devices=times)
    assert bench.outcome(report) in ("asked", "refuted")


@pytest.mark.parametrize("times", bench.TIMES)
@pytest.mark.parametrize("kind", ["clock and power", "with margins", "record and its ledger"])
def test_overstated_hours_are_never_silent(told, kind, times):
    report = told(kind, WHOLE, seconds=times, tokens=times)
    assert bench.outcome(report) in ("asked", "refuted")


def test_what_is_asked_for_is_named(told):
    report = told("clock and power", WHOLE, devices=3, tokens=3)
    (asked,) = [one for one in report.findings if one.code == "coverage-unproven"]
    assert "2 of 6 devices" in asked.message
    assert "the scheduler's record of the job" in asked.message
    assert asked.severity == "warning"


def test_signs_of_a_whole_job_make_it_a_contradiction(told):
    # Idle before and after, one launch on one host, a ledger of two processes.
    assert codes(told("with margins", WHOLE, seconds=3))["device-time-mismatch"] == "warning"
    found = codes(told("record of the launch", WHOLE, devices=3))
    assert found["device-count-mismatch"] == "warning"
    report = told("record and its ledger", WHOLE, devices=3)
    assert codes(report)["device-count-mismatch"] == "warning"
    assert report.runs[0].figures.device_count.quantity.best == bench.NODE


def test_a_recorded_pace_tells_overstated_hours_from_a_slow_run(told):
    # 44 % of the peak while recorded; ten times the hours make it 4 %: 11 times apart, and beyond the
    # 4/3 x 1.46 = 1.9 that recomputation and waiting explain.
    report = told("with tensor activity", WHOLE, seconds=10)
    assert codes(report)["sample-pace-mismatch"] == "warning"
    honest = told("with tensor activity", MINUTES)
    assert "sample-pace-mismatch" not in codes(honest)
    # Tokens of six times the hours: the devices cannot have done 240 % of the peak in any stretch.
    fast = told("with tensor activity", MINUTES, tokens=6)
    assert codes(fast)["sample-pace-mismatch"] == "warning"


def test_the_case_says_what_a_recording_covers(run_audit, tmp_path):
    (tmp_path / "dcgm.prom").write_text(bench.prometheus(tensor=False, margins=True))
    run = (
        '[model.m]\nparameters = 1e9\n[[run]]\nname = "r"\nmodel = "m"\nprecision = "bf16"\n'
        'accelerator = "NVIDIA H100 80GB HBM3"\nevidence = ["dcgm.prom"]\n'
        f"tokens = {60 * WHOLE.tokens:.6g}\naccelerator_count = 2\nwall_clock_hours = 10\n"
    )
    whole = run_audit(run + 'telemetry_covers = "whole"\n')
    # 1,200 device-seconds are then all there was, and sixty times the work cannot be done in them.
    assert str(whole.verdict) == "inconsistent"
    part = run_audit(run + 'telemetry_covers = "part"\n')
    assert codes(part) == {"coverage-unproven": "warning"}
    assert part.runs[0].figures.device_seconds.quantity.best == pytest.approx(72_000)


@pytest.mark.parametrize(
    ("manifest", "devices", "beyond"),
    [
        ({"command": ["python", "train.py"]}, 8, False),
        ({"command": ["torchrun", "--nnodes=4", "--nproc-per-node=8", "t.py"]}, 32, True),
        ({"command": ["torchrun", "--nnodes", "1:4", "t.py"]}, 32, True),
        ({"command": ["accelerate", "launch", "--num_machines", "2", "t.py"]}, 16, True),
        ({"command": ["srun", "-N", "16", "python", "t.py"]}, 128, True),
        ({"command": ["x"], "environment": {"shown": {"SLURM_JOB_NUM_NODES": "4"}}}, 32, True),
        ({"command": ["x"], "environment": {"shown": {"WORLD_SIZE": "64"}}}, 64, True),
        # Two pods of eight, as some schedulers count them, or two processes: no more than was seen.
        ({"command": ["x"], "environment": {"shown": {"WORLD_SIZE": "2"}}}, 8, False),
        ({"command": ["torchrun", "--standalone", "t.py"]}, 8, False),
        ({"command": "no list", "environment": ["no table"]}, 8, False),
    ],
)
def test_the_width_of_a_launch(tmp_path, manifest, devices, beyond):
    (tmp_path / "run.json").write_text(json.dumps(manifest))
    launch = job_width.read([EvidenceFile(path=tmp_path, name="rec")], 8)
    assert (launch.devices, launch.goes_beyond, launch.is_certain) == (devices, beyond, False)


def test_the_world_size_of_a_ledger_goes_before_variables(tmp_path):
    manifest = {"command": ["x"], "environment": {"shown": {"WORLD_SIZE": "64"}}}
    (tmp_path / "run.json").write_text(json.dumps(manifest))
    ledger = StepLedger.create(tmp_path, rank=0, world_size=16)
    ledger.resume(100)
    ledger.seal("finished", 100)
    launch = job_width.read([EvidenceFile(path=tmp_path, name="rec")], 8)
    assert (launch.devices, launch.is_certain, launch.is_continued) == (16, True, True)


@pytest.mark.parametrize("content", ["[", "[]", "null", '{"command": [1, null]}', "[" * 100_000])
def test_a_manifest_that_is_none(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    (tmp_path / "steps" / "rank=0").mkdir(parents=True)
    (tmp_path / "steps" / "rank=0" / "ledger.jsonl").write_text(content)
    launch = job_width.read([EvidenceFile(path=tmp_path, name="rec")], 8)
    assert launch is None or not launch.goes_beyond


STEP_FLOP, STEP_TOKENS, STEPS = 3 * 10**14, 4096, 100


def ledger(folder, world_size):
    """One rank's ledger: a step a second on one H100, 3e14 FLOP and 4,096 tokens each."""
    made = StepLedger.create(folder, rank=0, world_size=world_size)
    made.device("cuda", name="NVIDIA H100 80GB HBM3", uuid="GPU-1", memory_bytes=80 << 30)
    flop = {"forward": STEP_FLOP // 3, "backward": 2 * STEP_FLOP // 3, "recompute": 0}
    cost = made.cost(
        model="m", mode="train", inputs=[], flop=flop, by_dtype={"bf16": STEP_FLOP}, how="meta"
    )
    header = json.loads((made.folder / "ledger.jsonl").read_text().splitlines()[0])
    start = int(header["clock"]["monotonic_ns"]) // 1000
    made.steps(
        first=1,
        end_us=[start + 10**6 * (index + 1) for index in range(STEPS)],
        duration_us=[10**6] * STEPS,
        wait_us=[0] * STEPS,
        optimizer=["AdamW"] * STEPS,
        tokens=[STEP_TOKENS] * STEPS,
        tokens_from=["inputs"] * STEPS,
        samples=[1] * STEPS,
        calls=[[(cost, 1)]] * STEPS,
    )
    made.seal("finished", STEPS)


@pytest.fixture
def counted(run_audit, tmp_path):
    """Audit a record that holds the steps of one rank and no telemetry."""

    def audited(world_size, count, hours, tokens):
        ledger(tmp_path / "rec", world_size)
        return run_audit(
            '[[run]]\nname = "r"\nevidence = ["rec"]\n'
            f"accelerator_count = {count}\naccelerator_hours = {hours}\ntokens = {tokens}\n"
        )

    return audited


def test_the_steps_of_one_rank_are_a_part_of_its_job(counted):
    # One of sixteen ranks; the whole took 16 x 100 s and 16 x 409,600 tokens.
    report = counted(16, 16, 16 * 100 / 3600, 16 * 409_600)
    figures = report.runs[0].figures
    assert "device-count-mismatch" not in codes(report)
    assert (figures.device_count.quantity.best, figures.tokens.quantity.best) == (16, 16 * 409_600)
    # Ranks that counted themselves, and a case that says otherwise
    assert (
        codes(counted(16, 64, 16 * 100 / 3600, 16 * 409_600))["device-count-mismatch"] == "warning"
    )


def test_the_steps_of_one_launch_are_a_part_of_its_training(counted):
    # Thirty-six launches as long as this one, or a lie: the stated figures stand, and it is asked.
    report = counted(1, 1, 1.0, 36 * 409_600)
    assert report.runs[0].figures.tokens.quantity.best == 36 * 409_600
    assert codes(report)["device-time-mismatch"] == "warning"
    assert report.runs[0].verdict is not Verdict.INCONSISTENT
    # Thirty-six times the hours for the very tokens that were counted: the record is of the whole.
    lie = counted(1, 1, 1.0, 409_600)
    assert lie.runs[0].figures.device_seconds.quantity.best == pytest.approx(100, rel=0.01)
    assert codes(lie)["device-time-mismatch"] == "warning"
