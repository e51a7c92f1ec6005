"""Copies of one run record among the evidence: what several of them hold counts once.

A record's ledgers only grow, and the first line of each carries process, node and clocks to the
nanosecond. A folder each of whose ledgers begins another folder's ledger of the same first line is an
earlier copy of that folder, or the same one. Ledgers that begin alike and then differ cannot both have
been written by one process: one was altered, and nothing tells which.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flopledger.facts import Finding, Severity
from flopledger.logs import limits, run_records
from flopledger.logs.evidence import EvidenceFile

_LEDGERS = ("steps/rank=*/ledger.jsonl", "telemetry/node=*/journal.jsonl")
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ledger:
    path: Path
    whole_lines: int  #: bytes up to the end of its last whole line


def left_out(folders: Sequence[EvidenceFile]) -> dict[str, Finding]:
    """Name the records that are not to be read beside the others, each with the finding that says why."""
    records = [one for one in folders if run_records.is_record(one.path)]
    if len(records) < 2:
        return {}
    ledgers = {one.name: _ledgers(one.path) for one in records}
    # The longest first: what another one holds is a copy of it. Of two equal ones that with a summary
    # is read, else the first.
    sizes = {name: sum(one.whole_lines for one in held.values()) for name, held in ledgers.items()}
    bare = {one.name: not (one.path / "summary.json").is_file() for one in records}
    order = sorted(ledgers, key=lambda name: (-sizes[name], bare[name]))
    kept: list[str] = []
    found: dict[str, Finding] = {}
    for name in order:
        finding = next(
            (told for other in kept if (told := _held(name, other, ledgers)) is not None), None
        )
        if finding is None:
            kept.append(name)
        else:
            found[name] = finding
    return found


def _held(name: str, other: str, ledgers: dict[str, dict[str, _Ledger]]) -> Finding | None:
    """Compare a record with one that is read; None where they share nothing."""
    mine, theirs = ledgers[name], ledgers[other]
    shared = mine.keys() & theirs.keys()
    if not shared:
        return None
    if any(_is_broken(one[first].path) for first in shared for one in (mine, theirs)):
        return None  # the reader will take nothing from the one whose chain does not hold
    if not all(_begins(theirs[first], mine[first]) for first in shared):
        return _finding(
            "record-forked",
            f"{name} and {other} hold ledgers of one process that begin alike and differ later: one was "
            f"altered; only {other}, the longer record, was read",
            (name, other),
        )
    if shared == mine.keys():
        return _finding(
            "duplicate-evidence",
            f"{name}: {other} holds all of its ledgers, as far as they go or further; read once",
            (name, other),
        )
    return _finding(
        "record-overlaps",
        f"{name} and {other} share {len(shared)} ledgers and each has others: together they would count "
        f"those twice; only {other} was read. Lay the ledgers of both into one folder",
        (name, other),
    )


def _finding(code: str, message: str, names: tuple[str, ...]) -> Finding:
    severity: Severity = "info" if code == "duplicate-evidence" else "error"
    return Finding(code=code, severity=severity, message=message, evidence=names)


def _ledgers(folder: Path) -> dict[str, _Ledger]:
    """Find a record's ledgers by their first lines."""
    found: dict[str, _Ledger] = {}
    for path in (path for pattern in _LEDGERS for path in sorted(folder.glob(pattern))):
        if not path.is_file():
            continue
        with path.open("rb") as file:
            first = file.readline(limits.SMALL_BYTES)
            file.seek(0, 2)
            size = file.tell()
            file.seek(max(size - _CHUNK, 0))
            tail = file.read(_CHUNK)
        if first.endswith(b"\n"):
            until = size - len(tail) + tail.rfind(b"\n") + 1
            key = hashlib.sha256(first).hexdigest()
            found[key] = _Ledger(path=path, whole_lines=until)
    return found


def _is_broken(ledger: Path) -> bool:
    from profilers.ledger import Broken, read_ledger

    return any(isinstance(entry, Broken) for entry in read_ledger(ledger))


def _begins(longer: _Ledger, shorter: _Ledger) -> bool:
    """Say whether one ledger begins with the whole lines of another, whichever is the longer one."""
    until = min(longer.whole_lines, shorter.whole_lines)
    with longer.path.open("rb") as one, shorter.path.open("rb") as two:
        while until > 0:
            chunk = one.read(min(until, _CHUNK))
            if not chunk or chunk != two.read(len(chunk)):
                return False
            until -= len(chunk)
    return True
