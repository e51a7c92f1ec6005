"""MLflow's SQLite store and sacct tables without a header."""

import sqlite3

import pytest

from flopledger import logs

from .conftest import codes, value

SCHEMA = """
CREATE TABLE runs (run_uuid TEXT PRIMARY KEY, name TEXT, status TEXT, start_time BIGINT,
    end_time BIGINT, lifecycle_stage TEXT);
CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT);
CREATE TABLE latest_metrics (key TEXT, value REAL, timestamp BIGINT, step BIGINT, is_nan INTEGER,
    run_uuid TEXT);
"""


def store(path, *statements):
    with sqlite3.connect(path) as database:
        database.executescript(SCHEMA)
        for statement in statements:
            database.execute(statement)
    database.close()
    return path.read_bytes()


ONE = (
    "INSERT INTO runs VALUES ('a', 'x', 'FINISHED', 1700000000000, 1700003600000, 'active')",
    "INSERT INTO runs VALUES ('b', 'y', 'FAILED', 1, 2, 'deleted')",
    "INSERT INTO params VALUES ('max_seq_length', '2048', 'a')",
    "INSERT INTO params VALUES ('bf16', 'True', 'a')",
    "INSERT INTO latest_metrics VALUES ('train_runtime', 3500.0, 1, 1, 0, 'a')",
    "INSERT INTO latest_metrics VALUES ('num_input_tokens_seen', 1000000.0, 1, 1, 0, 'a')",
    "INSERT INTO latest_metrics VALUES ('total_flos', 0.0, 1, 1, 1, 'a')",
    "INSERT INTO latest_metrics VALUES ('system/gpu_0_power_usage_watts', 300.0, 1, 1, 0, 'a')",
)


def test_the_one_run_of_a_store(tmp_path, written):
    evidence = written({"mlflow.db": store(tmp_path / "made.db", *ONE)})
    assert evidence.unread == ()
    facts = logs.assemble(evidence)
    assert facts.status.value == "FINISHED"
    assert facts.wall_seconds.number == 3600
    assert facts.timed_seconds.number == 3500
    assert facts.tokens.number == 1_000_000
    assert facts.precision.value == "bf16"
    assert evidence.named("claimed_flop") == ()


def test_several_runs_are_not_mixed(tmp_path, written):
    other = "INSERT INTO runs VALUES ('c', 'z', 'FINISHED', 1, 5000, 'active')"
    evidence = written({"mlflow.db": store(tmp_path / "made.db", *ONE, other)})
    assert evidence.facts == ()
    assert "several-runs" in codes(evidence)


def test_a_view_in_a_tables_place_is_refused(tmp_path, written):
    endless = (
        "CREATE VIEW latest_metrics AS WITH RECURSIVE n(key) AS (SELECT 1 UNION ALL SELECT key + 1 "
        "FROM n) SELECT key, key AS value, 0 AS is_nan, 'a' AS run_uuid FROM n"
    )
    data = store(tmp_path / "made.db", *ONE, "DROP TABLE latest_metrics", endless)
    evidence = written({"mlflow.db": data})
    assert evidence.facts == ()
    assert "evidence-unreadable" in codes(evidence)


def test_a_damaged_store_is_refused(tmp_path, written):
    data = bytearray(store(tmp_path / "made.db", *ONE))
    data[4096:] = b"\xff" * (len(data) - 4096)
    evidence = written({"mlflow.db": bytes(data)})
    assert evidence.facts == ()
    assert "evidence-unreadable" in codes(evidence)


def test_reading_writes_nothing(tmp_path, written):
    data = store(tmp_path / "made.db", *ONE)
    written({"mlflow.db": data})
    assert (tmp_path / "mlflow.db").read_bytes() == data
    assert not list(tmp_path.glob("mlflow.db-*"))


ROWS = (
    "77|train|COMPLETED|2026-01-01T00:00:00|2026-01-01T01:00:00|01:00:00|"
    "billing=8,cpu=64,gres/gpu=8,node=1\n"
    "77.batch|batch|COMPLETED|2026-01-01T00:00:00|2026-01-01T01:00:00|01:00:00|"
    "cpu=64,gres/gpu=8,node=1\n"
)


@pytest.mark.parametrize("rows", [ROWS, ROWS.replace("\n", "|\n")])
def test_a_table_without_its_header(written, rows):
    evidence = written({"jobs.txt": rows})
    assert evidence.unread == ()
    assert "header-missing" in codes(evidence)
    # 8 GPUs x 3600 s
    assert value(evidence, "accelerator_seconds") == 28800
    assert value(evidence, "accelerator_count") == 8


def test_requested_and_allocated_that_differ_are_not_guessed(written):
    row = "77|COMPLETED|01:00:00|billing=16,gres/gpu=16,node=2|billing=8,gres/gpu=8,node=1\n"
    evidence = written({"jobs.txt": row})
    assert evidence.named("accelerator_seconds") == ()
    assert "device-count-missing" in codes(evidence)
