"""Trackers' folders and Slurm's accounting, partly written by the libraries themselves."""

import json
import pathlib
import struct
import zlib

import pytest

from flopledger import logs

from .conftest import codes, read_files, value

FIXTURES = pathlib.Path(__file__).parent / "fixtures"


def test_the_log_of_an_offline_wandb_run():
    evidence = read_files(FIXTURES, "offline-run.wandb")
    assert value(evidence, "tokens") == 20 * 4096
    assert value(evidence, "steps") == 20
    assert value(evidence, "claimed_flop") == 1.5e15
    assert value(evidence, "timed_seconds") == 12.5
    assert value(evidence, "per_process_batch") == 8
    assert value(evidence, "planned_steps") == 20
    assert not codes(evidence)


def test_event_files_of_tensorboard():
    evidence = read_files(FIXTURES, "tensorboardx.tfevents")
    assert value(evidence, "tokens") == 50 * 1000
    assert value(evidence, "claimed_flop") == pytest.approx(50e12)
    assert not codes(evidence)


@pytest.mark.parametrize("name", ["offline-run.wandb", "tensorboardx.tfevents"])
@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_torn_tail_is_reported(written, name, damage):
    data = bytearray((FIXTURES / name).read_bytes())
    if damage == "cut":
        del data[-10:]
    else:
        data[-12] ^= 0xFF
    evidence = written({name: bytes(data)})
    assert "torn-tail" in codes(evidence)
    assert evidence.named("tokens")  # what stands before the damage is read


METADATA = {
    "startedAt": "2026-01-01T10:00:00Z",
    "program": "train.py",
    "host": "secret-host",
    "email": "a@b.c",
    "gpu": "NVIDIA A100-SXM4-80GB",
    "gpu_count": 8,
    "gpu_nvidia": [{"name": "NVIDIA A100-SXM4-80GB", "memoryTotal": "85899345920"}] * 8,
}
SUMMARY = {
    "_runtime": 530.5,
    "_timestamp": 1.7e9,
    "train/total_flos": 2e16,
    "train/train_runtime": 500.0,
    "train/train_samples_per_second": 3.2,
    "train/global_step": 100,
}
CONFIG = """_wandb:
    value:
        python_version: 3.11.7
per_device_train_batch_size:
    desc: null
    value: 4
gradient_accumulation_steps:
    value: 4
max_steps:
    value: 100
bf16:
    value: true
"""


def test_a_hosts_gpus_are_not_the_runs(written):
    facts = logs.assemble(
        written(
            {
                "wandb-metadata.json": json.dumps(METADATA),
                "wandb-summary.json": json.dumps(SUMMARY),
                "config.yaml": CONFIG,
            }
        )
    )
    # 3.2 x 500 / 100 = 16 a step = 4 a process x 4 accumulated x 1 process
    assert facts.global_batch.number == 16
    assert facts.accelerator_count.number == 1
    assert "device-count-mismatch" in codes(facts)
    assert facts.precision.value == "bf16"
    assert facts.claimed_flop.number == 2e16


def test_names_of_people_and_hosts_are_left_out(written):
    evidence = written({"wandb-metadata.json": json.dumps(METADATA)})
    assert not {"secret-host", "a@b.c"} & {fact.value for fact in evidence.facts}


META = """artifact_uri: mlruns/1/r/artifacts
end_time: 1795304998464
run_id: b38ee8888ce94a3ba6fdb9e6bc7099f4
start_time: 1795304598464
status: 3
"""


def test_a_folder_of_mlflow(tmp_path):
    run = tmp_path / "mlruns" / "1" / "r"
    files = {
        "meta.yaml": META,
        "metrics/train_runtime": "1795304598000 1.0 0\n1795304599000 321.5 100\n",
        "metrics/num_input_tokens_seen": "1795304599000 0.0 100\n",
        "metrics/total_flos": "1795304599000 2.5e15 100\n",
        "params/max_steps": "100",
        "tags/mlflow.user": "somebody",
    }
    for name, content in files.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(content)
    evidence = read_files(tmp_path, "mlruns")
    assert evidence.unread == ()
    assert value(evidence, "wall_seconds") == 400
    assert value(evidence, "timed_seconds") == 321.5
    assert value(evidence, "claimed_flop") == 2.5e15
    assert value(evidence, "planned_steps") == 100
    assert value(evidence, "status") == "FINISHED"
    assert evidence.named("tokens") == ()
    assert "counter-zero" in codes(evidence)


SACCT = """JobIDRaw|JobID|State|Start|End|ElapsedRaw|AllocTRES|ConsumedEnergyRaw|
4242|4242|{state}|2026-01-01T10:00:00|2026-01-01T11:00:00|3600|billing=64,cpu=64,gres/gpu:h100=16,gres/gpu=16,node=2|7200000|
4243|4242.batch|{state}|2026-01-01T10:00:00|2026-01-01T11:00:00|3600|cpu=32,gres/gpu:h100=8,gres/gpu=8,node=1||
4244|4242.0|{state}|2026-01-01T10:00:00|2026-01-01T11:00:00|3600|cpu=64,gres/gpu=16,node=2||
"""


@pytest.mark.parametrize("state", ["COMPLETED", "CANCELLED by 1000", "NODE_FAIL", "TIMEOUT"])
def test_slurm_counts_the_job_row_once(written, state):
    facts = logs.assemble(written({"sacct.txt": SACCT.format(state=state)}))
    # 3600 s x 16 GPUs: the typed entry and the steps repeat them.
    assert facts.accelerator_seconds.number == 57600
    assert facts.accelerator_count.number == 16
    assert facts.accelerator.value == "h100"
    assert facts.status.value == state
    assert facts.energy_joules.number == 7200000
    assert facts.energy_boundary.value == "node"
    assert ("aborted-run" in codes(facts)) == (state != "COMPLETED")


def test_fixed_width_and_days(written):
    table = (
        "       JobID      State    Elapsed                      AllocTRES \n"
        "------------ ---------- ---------- ------------------------------ \n"
        "       77_3+  COMPLETED 1-02:00:00      cpu=8,gres/gpu:a100=4      \n"
    )
    facts = logs.assemble(written({"sacct.txt": table.replace("77_3+", "77_3 ")}))
    # 26 h x 4 GPUs
    assert facts.accelerator_seconds.number == 26 * 3600 * 4


def test_a_job_without_accounted_gpus_gives_no_count(written):
    table = "JobID|State|ElapsedRaw|AllocTRES\n5|COMPLETED|100|cpu=4,node=1\n"
    facts = logs.assemble(written({"sacct.txt": table}))
    assert facts.accelerator_seconds is None
    assert "device-count-missing" in codes(facts)


def test_a_shifted_table_is_refused(written):
    table = "JobID|State|ElapsedRaw|AllocTRES\n5|COMPLETED|100|cpu=4|x|y|z\n"
    evidence = written({"sacct.txt": table})
    assert evidence.unread == ("sacct.txt",)
    assert "evidence-unreadable" in codes(evidence)


def test_energy_among_the_trackable_resources(written):
    table = "JobID|State|ElapsedRaw|AllocTRES\n5|COMPLETED|100|cpu=4,energy=9285,node=1\n"
    facts = logs.assemble(written({"sacct.txt": table}))
    assert facts.energy_joules.number == 9285
    assert facts.energy_boundary.value == "node"


@pytest.mark.parametrize(
    ("written_as", "joules"),
    [("512", 512), ("10K", 1e4), ("12.53M", 12.53e6), ("1.50G", 1.5e9), ("2T", 2e12)],
)
def test_energy_as_sacct_shortens_it(written, written_as: str, joules: float) -> None:
    table = f"JobID|State|ElapsedRaw|AllocTRES|ConsumedEnergy\n5|COMPLETED|100|cpu=4|{written_as}\n"
    assert logs.assemble(written({"sacct.txt": table})).energy_joules.number == joules


@pytest.mark.parametrize(("last", "joules"), [("200|0", None), ("0|0", 9000), ("200|500", 9500)])
def test_energy_of_some_jobs_is_no_sum(written, last: str, joules: float | None) -> None:
    # a job that never ran drew nothing; one that ran without being accounted leaves the sum open
    table = f"JobID|State|ElapsedRaw|ConsumedEnergyRaw\n5|COMPLETED|100|9000\n6|COMPLETED|{last}\n"
    facts = logs.assemble(written({"sacct.txt": table}))
    assert (facts.energy_joules and facts.energy_joules.number) == joules
    assert ("coverage-gap" in codes(facts)) == (joules is None)


def test_a_limit_of_length_bounds_the_tokens(written):
    config = CONFIG + "max_seq_length:\n    value: 2048\n"
    files = {"config.yaml": config, "wandb-summary.json": json.dumps(SUMMARY)}
    facts = logs.assemble(written(files))
    # 100 steps x 16 samples, none longer than 2048
    assert facts.tokens.number == 100 * 16 * 2048
    assert facts.tokens.bound == "at most"


_TRAINER_SUMMARY = (
    '{"train/global_step": 31500, "train/epoch": 250.0, "_timestamp": 1714839710.1, "_runtime": 30466.0, '
    '"_step": 132, "train_runtime": 28840.6921, "train_samples_per_second": 45.578, '
    '"train_steps_per_second": 1.092, "total_flos": 1.341237224448e+17, "train_loss": 0.85}'
)
_HOST = '{"startedAt": "2024-05-04T07:54:04", "program": "x.py", "gpu": "Tesla T4", "gpu_count": 2}'
_ARGUMENTS = {"per_device_train_batch_size": 42, "gradient_accumulation_steps": 1}
_SETTINGS = "wandb_version: 1\n" + "".join(
    f"{key}:\n  value: {number}\n" for key, number in _ARGUMENTS.items()
)


def test_a_summary_of_a_trainer_is_read_as_a_summary(written) -> None:
    run = logs.assemble(
        written({"s.json": _TRAINER_SUMMARY, "m.json": _HOST, "config.yaml": _SETTINGS})
    )
    # 45.578 samples a second / 1.092 steps a second = 41.7: one process of 42, its last batch smaller
    assert run.steps is not None
    assert run.steps.value == 31_500
    assert run.global_batch is not None
    assert run.global_batch.value == 42
    assert run.accelerator_count is not None
    assert run.accelerator_count.value == 1
    assert run.samples is not None
    assert run.samples.value == 31_500 * 42
    assert "device-count-mismatch" in codes(run)


def test_listed_devices_alone_are_an_upper_bound(written) -> None:
    run = logs.assemble(written({"m.json": _HOST.replace('"gpu_count": 2', '"gpu_count": 8')}))
    assert run.accelerator_count is not None
    assert (run.accelerator_count.value, run.accelerator_count.bound) == (8, "at most")


def test_a_loop_of_ones_own(written) -> None:
    summary = '{"_step": 107124, "_runtime": 1563.0, "_timestamp": 1.0, "train/update_step": 13390}'
    host = _HOST.replace('"gpu_count": 2', '"gpu_count": 1')
    keys = {"batch_size": 8, "grad_accum_steps": 8, "max_seq_len": 512}
    settings = "wandb_version: 1\n" + "".join(f"{k}:\n  value: {v}\n" for k, v in keys.items())
    run = logs.assemble(written({"s.json": summary, "m.json": host, "config.yaml": settings}))
    # 13,390 updates x 8 passes x 8 sequences = 856,960; 512 is the longest that one may be
    assert run.samples is not None
    assert run.samples.value == 856_960
    assert run.tokens is not None
    assert (run.tokens.value, run.tokens.bound) == (856_960 * 512, "at most")


def test_a_pointer_is_no_file(written) -> None:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
    evidence = written({"adapter_model.safetensors": text})
    (finding,) = evidence.findings
    assert finding.code == "evidence-unreadable"
    assert "Git LFS pointer" in finding.message


def test_figures_of_our_own_sinks_are_named_and_not_used(tmp_path):
    # Of the first process: of eight, an eighth of the run.
    run = tmp_path / "mlruns" / "1" / "r"
    files = {
        "meta.yaml": META,
        "metrics/flopledger/total_model_flop": "1795304598000 2034892800 30\n",
        "metrics/flopledger/total_tokens": "1795304598000 3840 30\n",
    }
    for name, content in files.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(content)
    evidence = read_files(tmp_path, "mlruns")
    assert "record-elsewhere" in codes(evidence)
    assert logs.assemble(evidence).tokens is None


def _field(number: int, value: bytes) -> bytes:
    assert len(value) < 128  # one byte of length
    return bytes([number << 3 | 2, len(value)]) + value


def _wandb_log(*rows: dict[str, float]) -> bytes:
    """Frame histories as W&B does: a file header, then records with their checksum, length and type."""
    out = b":W&B\x26\xbe\x00"
    for row in rows:
        items = b"".join(
            _field(
                1,
                _field(1, key.encode())
                + bytes([16 << 3 & 127 | 2 | 128, 1])
                + bytes([len(text)])
                + text,
            )
            for key, value in row.items()
            for text in [json.dumps(value).encode()]
        )
        record = _field(2, items)
        out += struct.pack("<IHB", zlib.crc32(record, zlib.crc32(b"\x01")), len(record), 1) + record
    return out


def test_a_log_of_wandb_that_holds_two_trainings(written):
    first = [{"train/global_step": 40}, {"train/train_runtime": 119.5, "_runtime": 125}]
    evidence = written({"run-a.wandb": _wandb_log(*first)})
    assert value(evidence, "steps") == 40
    assert value(evidence, "timed_seconds") == 119.5
    both = written({"run-b.wandb": _wandb_log(*first, {"train/global_step": 1, "_runtime": 300})})
    assert both.named("steps") == both.named("timed_seconds") == ()
    assert value(both, "wall_seconds") == 300
    assert "several-runs" in codes(both)
