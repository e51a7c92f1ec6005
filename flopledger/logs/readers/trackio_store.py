"""Trackio's SQLite store: one project's runs, each row of metrics a JSON object with its time.

Versions before 0.24 tell runs apart by name alone; the columns that are read stand in all of them.
"""

import sqlite3
from typing import Any

from flopledger import foreign_json
from flopledger.logs import scalars, sqlite_files
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes
from flopledger.logs.reader import Reader
from flopledger.logs.stamps import stamp_seconds

_ROWS = 500_000
_RUNS = 1_000


def sniff(head: bytes, _name: str) -> bool:
    """Recognise a SQLite file whose schema has Trackio's tables."""
    return (
        head.startswith(sqlite_files.MAGIC)
        and b"system_metrics" in head
        and b"run_name TEXT NOT NULL" in head
    )


def read(document: Document, notes: Notes) -> None:
    """Write down the one run of the project; of several, none may be mixed."""
    with sqlite_files.opened(document, what="store of Trackio") as store:
        if not sqlite_files.tables(store) >= {"metrics"}:
            raise EvidenceError(f"{document.name}: a SQLite file without Trackio's tables")
        runs = store.execute("SELECT DISTINCT run_name FROM metrics LIMIT ?", (_RUNS,)).fetchall()
        if not runs:
            raise EvidenceError(f"{document.name}: a store of Trackio without a run")
        if len(runs) > 1:
            notes.finding(
                "several-runs",
                "warning",
                f"the store holds {len(runs)} runs, and nothing says which of them is meant; export the run "
                "into a project of its own",
                "table metrics",
            )
            return
        _note_metrics(store, document, notes)
        _note_settings(store, notes)


def _note_metrics(store: sqlite3.Connection, document: Document, notes: Notes) -> None:
    """Write down the last value of each tag that is understood, and the time from first to last row."""
    last: dict[str, tuple[int, object]] = {}
    stamps: list[float] = []
    query = "SELECT id, timestamp, metrics FROM metrics ORDER BY step, id LIMIT ?"
    for count, (identity, text, cell) in enumerate(store.execute(query, (_ROWS + 1,)), start=1):
        if count > _ROWS:
            raise EvidenceError(f"{document.name}: more than {_ROWS:,} rows of metrics")
        stamp = stamp_seconds(str(text)[:64])
        if stamp is not None:
            stamps.append(stamp)
        for tag, value in _object(cell).items():
            if scalars.is_understood(tag):
                last[tag] = (identity, value)
    for tag, (identity, value) in sorted(last.items()):
        scalars.note_metric(tag, value, f"table metrics, row {identity}, {tag[:80]}", notes)
    if len(stamps) > 1 and max(stamps) > min(stamps):
        place = "table metrics, from the first timestamp to the last"
        notes.fact("seen_seconds", round(max(stamps) - min(stamps), 6), place)


def _note_settings(store: sqlite3.Connection, notes: Notes) -> None:
    known = sqlite_files.tables(store)
    if "configs" in known:
        for (cell,) in store.execute("SELECT config FROM configs LIMIT 1"):
            for key, value in _object(cell).items():
                scalars.note_setting(key, value, f"table configs, {key[:80]}", notes)
    if (
        "system_metrics" in known
        and store.execute("SELECT 1 FROM system_metrics LIMIT 1").fetchone()
    ):
        notes.finding(
            "not-evidence-alone",
            "info",
            "the store holds readings of the host's GPUs, too, which are not read: record nvidia-smi or DCGM "
            "beside the run, or `flopledger run`",
            "table system_metrics",
        )


def _object(cell: object) -> dict[str, Any]:
    return (foreign_json.table(cell) if isinstance(cell, str | bytes) else None) or {}


READER = Reader(format="trackio-store", sniff=sniff, read=read)
