"""Trackio's store, written by Trackio itself, and Comet's answers in their documented form."""

import json
import sqlite3

import pytest

from flopledger import logs

from .conftest import codes, value


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Log runs with the real library, as (name, rows); give the store's bytes."""
    pytest.importorskip("trackio")
    from trackio import sqlite_storage

    monkeypatch.setattr(sqlite_storage, "TRACKIO_DIR", tmp_path / "kept")
    storage = sqlite_storage.SQLiteStorage

    def write(*runs: str) -> bytes:
        storage.init_db("p")
        for run in runs:
            storage.bulk_log(
                "p",
                run,
                [{"loss": 2.0}, {"train/num_tokens": 5_000}, {"train/num_tokens": 9_000}],
                steps=[0, 1, 2],
                timestamps=[f"2025-01-01T00:{minute:02d}:00+00:00" for minute in (0, 5, 10)],
                config={"max_seq_length": 2048, "gradient_accumulation_steps": 4, "bf16": True},
            )
        path = storage.get_project_db_path("p")
        with sqlite3.connect(path) as store:
            store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.read_bytes()

    return write


def test_the_one_run_of_a_project(project, written):
    evidence = written({"p.db": project("a")})
    assert evidence.unread == ()
    run = logs.assemble(evidence)
    assert run.tokens.value == 9_000  # the last value, no sum
    assert run.timed_seconds.value == 600  # from the first row to the last
    assert run.timed_seconds.bound == "at least"
    assert run.precision.value == "bf16"
    assert value(evidence, "gradient_accumulation") == 4


def test_of_several_runs_none_is_taken(project, written):
    evidence = written({"p.db": project("a", "b")})
    assert "several-runs" in codes(evidence)
    assert evidence.named("tokens") == ()


def test_a_damaged_store_is_a_finding(project, written):
    data = bytearray(project("a"))
    data[4096:9000] = b"\xff" * (9000 - 4096)
    evidence = written({"p.db": bytes(data)})
    assert "evidence-unreadable" in codes(evidence)


METADATA = {
    "experimentKey": "k",
    "startTimeMillis": 1_700_000_000_000,
    "endTimeMillis": 1_700_003_600_000,
    "durationMillis": 3_600_000,
    "running": False,
}
SYSTEM = {
    "experimentKey": "k",
    "hostname": "n1",
    "gpuStaticInfoList": [
        {"gpuIndex": index, "name": "NVIDIA A100-SXM4-80GB", "uuid": f"GPU-{index}"}
        for index in range(8)
    ],
}
SUMMARY = {
    "values": [
        {"name": "loss", "valueMax": "9", "valueMin": "1", "valueCurrent": "1.5"},
        {"name": "train/num_tokens", "valueMax": "9000", "valueMin": "1", "valueCurrent": "9000"},
        {"name": "max_seq_length", "valueMax": "", "valueMin": "", "valueCurrent": "2048"},
    ]
}


def test_comets_answers(written):
    files = {"metadata.json": METADATA, "system.json": SYSTEM, "summary.json": SUMMARY}
    evidence = written({name: json.dumps(content) for name, content in files.items()})
    assert evidence.unread == ()
    run = logs.assemble(evidence)
    assert run.wall_seconds.value == 3_600
    assert run.accelerator.value == "NVIDIA A100-SXM4-80GB"
    assert run.tokens.value == 9_000
    assert value(evidence, "visible_accelerators") == 8
    assert value(evidence, "sequence_limit") == 2_048


def test_the_values_of_one_metric_end_with_the_last(written):
    metrics = [
        {
            "metricName": "num_tokens",
            "metricValue": str(n),
            "timestamp": 1_700_000_000_000 + n,
            "step": n,
        }
        for n in (30, 10, 20)
    ]
    evidence = written({"m.json": json.dumps({"metrics": metrics})})
    assert value(evidence, "tokens") == 30


def test_an_experiment_that_runs_has_no_end(written):
    evidence = written({"metadata.json": json.dumps(METADATA | {"running": True})})
    run = logs.assemble(evidence)
    assert run.wall_seconds is None
    assert run.timed_seconds.bound == "at least"
    assert "aborted-run" in codes(evidence)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("CURRENT", "MANIFEST-000004\n", "Aim"),
        ("n.json", '{"neuron_runtime_data": []}', "neuron-monitor"),
        ("npu.txt", "npu-smi info\n| NPU     Name | Health |\n", "npu-smi"),
        ("x.csv", "Timestamp, DeviceId, GPU Power (W)\n00:00:01, 0, 400\n", "xpu-smi"),
    ],
)
def test_what_is_not_read_says_what_it_is(written, name, text, words):
    evidence = written({name: text})
    assert words in evidence.hints[name]
