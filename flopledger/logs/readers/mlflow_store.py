"""MLflow's SQLite store: the runs, parameters and last metrics of one database file."""

import sqlite3
from collections.abc import Iterator
from typing import Any

from flopledger.logs import scalars, sqlite_files
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes
from flopledger.logs.numbers import parse_count
from flopledger.logs.reader import Reader

_TABLES = {"runs", "params", "latest_metrics"}
_RUNS = 1_000
_ROWS = 10_000


def sniff(head: bytes, _name: str) -> bool:
    """Recognise a SQLite file whose schema has MLflow's tables."""
    return head.startswith(sqlite_files.MAGIC) and b"latest_metrics" in head and b"run_uuid" in head


def read(document: Document, notes: Notes) -> None:
    """Write down the one run of the store; of several, none may be mixed."""
    with sqlite_files.opened(document, what="MLflow store") as store:
        _read(store, document, notes)


def _read(store: sqlite3.Connection, document: Document, notes: Notes) -> None:
    if not sqlite_files.tables(store) >= _TABLES:
        raise EvidenceError(f"{document.name}: a SQLite file without MLflow's tables")
    query = "SELECT run_uuid, status, start_time, end_time, lifecycle_stage FROM runs LIMIT ?"
    runs = [row for row in store.execute(query, (_RUNS,)) if row[4] != "deleted"]
    if not runs:
        raise EvidenceError(f"{document.name}: an MLflow store without a run")
    if len(runs) > 1:
        notes.finding(
            "several-runs",
            "warning",
            f"the store holds {len(runs)} runs, and nothing says which of them is meant; export the "
            "run into a store or folder of its own",
            "table runs",
        )
        return
    _note_run(runs[0], notes)
    identity = runs[0][0]
    for key, value in _pairs(store, "params", identity):
        scalars.note_setting(key, value, f"params, key {key[:80]}", notes)
    for key, value in _pairs(store, "latest_metrics", identity):
        if not key.startswith("system/"):
            scalars.note_metric(key, value, f"latest_metrics, key {key[:80]}", notes)


def _note_run(run: tuple[Any, ...], notes: Notes) -> None:
    _, status, begin, end, _ = run
    notes.fact("status", status, "table runs, column status")
    start, stop = parse_count(begin), parse_count(end)
    if start is not None and stop is not None and stop > start:
        notes.fact("wall_seconds", (stop - start) / 1000, "table runs, end_time - start_time")
    elif start is not None and stop is None:
        notes.finding(
            "aborted-run",
            "info",
            "the run has no end time: it was killed or still runs",
            "table runs",
        )


def _pairs(store: sqlite3.Connection, table: str, identity: object) -> Iterator[tuple[str, object]]:
    absent = " AND is_nan = 0" if table == "latest_metrics" else ""
    query = f"SELECT key, value FROM {table} WHERE run_uuid = ?{absent} ORDER BY key LIMIT ?"  # noqa: S608
    for key, value in store.execute(query, (identity, _ROWS)):
        if isinstance(key, str):
            yield key, value


READER = Reader(format="mlflow-store", sniff=sniff, read=read)
