"""Reading a run's record: journals of all nodes into one ``Trace``; and checking their chains.

A record is read up to its first damage: a torn tail costs the sweep in flight, never the file.
"""

import contextlib
import hashlib
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from profilers.clocks import Axis, ClockPair
from profilers.compact import read_stream
from profilers.errors import ProfilersError
from profilers.journal import LEDGER, TELEMETRY
from profilers.journal_entries import what_is_wrong
from profilers.ledger import Broken, Line, Torn, open_regular, read_ledger
from profilers.reading import Unavailable
from profilers.record_columns import device_trace_of, table_of_rows
from profilers.segment import SCHEMA, Row
from profilers.spool import SPOOL, read_spool
from profilers.trace import Device, DeviceKey, DeviceTrace, Event, Gap, Trace
from profilers.wire import (
    device_from_json,
    event_from_json,
    gap_from_json,
)

if TYPE_CHECKING:
    import pyarrow as pa


_FAULTS = (
    LookupError, TypeError, ValueError, AttributeError, OverflowError, NotImplementedError, OSError,
)  # fmt: skip
"""What comes of samples that are none: pyarrow's errors are of these classes."""
_LOOKS = 3
"""How often a record is looked at that changes under the reader's eyes."""


class RecordError(ProfilersError):
    """A folder that holds no record that we can read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that is wrong with a record."""

    code: str
    """``torn-tail``, ``broken-chain``, ``digest-mismatch``, ``missing-segment``, ``unknown-segment``,
    ``unsealed`` or ``unreadable``."""
    file: str
    """The file, or the node's folder, relative to the run's folder."""
    detail: str
    """What was found and what was expected, for people."""
    line: int | None = None
    """The line of a ledger; None for everything else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeRecord:
    """One node's journal, its ledger read and checked."""

    folder: Path
    header: Mapping[str, Any]
    entries: tuple[Mapping[str, Any], ...]
    """The good lines up to the first broken one, in order."""
    head: str
    """The digest of the last good line: it stands for everything before it."""
    problems: tuple[Problem, ...]

    @property
    def node(self) -> str:
        """The host that recorded."""
        return str(self.header.get("node", "unknown"))

    def place(self, name: str) -> str:
        """Return one of this node's files relative to the run's folder."""
        return f"{TELEMETRY}/{self.folder.name}/{name}".rstrip("/")

    @property
    def sealed(self) -> bool:
        """True when the recorder ended in order."""
        return bool(self.entries) and self.entries[-1].get("kind") in {"seal", "compacted"}

    @property
    def unwritten_sweeps(self) -> int:
        """Sweeps that the disk refused to the end, as the last recorder's seal says."""
        seals = [entry for entry in self.entries if entry.get("kind") == "seal"]
        told = seals[-1].get("unwritten_sweeps") if seals else None
        return told if isinstance(told, int) else 0

    def devices(self) -> dict[DeviceKey, Device]:
        """Return every device that was ever described, in its last description."""
        found: dict[DeviceKey, Device] = {}
        for entry in self.entries:
            if entry.get("kind") == "devices":
                for item in entry["devices"]:
                    device = device_from_json(item)
                    found[device.key] = device
        return found

    def described(self, key: DeviceKey) -> list[tuple[int, Mapping[str, Unavailable]]]:
        """Return from when on (axis nanoseconds) which signals a device missed, in order of time.

        Empty where that never changed, or where the descriptions carry no time (imports).
        """
        found: list[tuple[int, Mapping[str, Unavailable]]] = []
        for entry in self.entries:
            since = entry.get("time_ns")
            if entry.get("kind") != "devices" or not isinstance(since, int):
                continue
            for item in entry["devices"]:
                device = device_from_json(item)
                if device.key == key and (not found or found[-1][1] != device.missing):
                    found.append((since, device.missing))
        return sorted(found, key=operator.itemgetter(0)) if len(found) > 1 else []

    def gaps(self) -> list[Gap]:
        """Return the recorded gaps."""
        return [gap_from_json(e) for e in self.entries if e.get("kind") == "gap"]

    def events(self) -> list[Event]:
        """Return the recorded events."""
        return [event_from_json(e) for e in self.entries if e.get("kind") == "event"]

    def segments(self) -> "Iterator[pa.Table]":
        """Give the samples table by table: memory stays at one segment."""
        import pyarrow.parquet as pq

        for path in self.segment_files():
            if path.suffix == ".parquet":
                open_regular(path).close()  # nobody waits for a pipe in its place
                yield pq.read_table(path, partitioning=None)
            else:
                table, _ = read_stream(path)
                if table is not None:
                    yield table
        columns, rows, _ = self.spooled()
        if rows:
            yield table_of_rows(columns, rows)

    def spooled(self) -> tuple[Sequence[str], list[Row], int | None]:
        """Return what a recorder that was killed had kept for its next batch (``read_spool``)."""
        clock = self.header.get("clock")
        if self.sealed or clock is None:
            return (), [], None
        anchor = ClockPair(monotonic_ns=clock["monotonic_ns"], wall_ns=clock["wall_ns"])
        return read_spool(self.folder, Axis(anchor))

    @property
    def has_lost_a_segment(self) -> bool:
        """Whether a stream that the ledger names, and no Parquet file replaces, is not there."""
        kinds = {"segment-open", "segment"}
        opened = {e["file"] for e in self.entries if e.get("kind") in kinds}
        replaced = {n for e in self.entries if e.get("kind") == "compacted" for n in e["of"]}
        return not all((self.folder / name).is_file() for name in opened - replaced)

    def segment_files(self) -> list[Path]:
        """Return the files that hold samples, each sample in exactly one of them."""
        replaced = {n for e in self.entries if e.get("kind") == "compacted" for n in e["of"]}
        present = [*self.folder.glob("samples-*.parquet"), *self.folder.glob("samples-*.arrows")]
        acknowledged = {e["file"] for e in self.entries if e.get("kind") == "compacted"}
        return sorted(
            path
            for path in present
            if path.name not in replaced
            # A Parquet file that the ledger does not know is an unfinished compaction.
            and (path.suffix == ".arrows" or path.name in acknowledged)
        )


def node_records(run_dir: Path) -> list[NodeRecord]:
    """Read the ledgers of every node in a run's folder. Raises ``RecordError`` when none is."""
    folders = sorted(path.parent for path in (run_dir / TELEMETRY).glob(f"node=*/{LEDGER}"))
    if not folders:
        raise RecordError(
            f"{run_dir}: no run record here (expected {TELEMETRY}/node=*/{LEDGER}); "
            "give the folder that `flopledger run --out` or `flopledger import --out` wrote"
        )
    return [read_node(folder) for folder in folders]


def _lines(path: Path) -> Iterator[Line | Torn | Broken]:
    try:
        yield from read_ledger(path)
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror})") from error


def read_node(folder: Path) -> NodeRecord:
    """Read one node's ledger and check its chain."""
    entries: list[Mapping[str, Any]] = []
    problems: list[Problem] = []
    head = ""
    place = f"{TELEMETRY}/{folder.name}/{LEDGER}"
    for found in _lines(folder / LEDGER):
        if isinstance(found, Line):
            if wrong := what_is_wrong(found.entry):
                detail = f"line {found.number}: {wrong}"
                problems.append(
                    Problem(code="broken-chain", file=place, detail=detail, line=found.number)
                )
                break
            entries.append(found.entry)
            head = found.digest
        else:
            problems.append(problem_of(found, place))
    header = next((e for e in entries if e.get("kind") == "header"), {})
    if header and header.get("schema") != SCHEMA:
        raise RecordError(
            f"{folder / LEDGER}: written in {header.get('schema')!r}, this version reads {SCHEMA}"
        )
    return NodeRecord(
        folder=folder,
        header=header,
        entries=tuple(entries),
        head=head,
        problems=tuple(problems),
    )


def problem_of(damage: Torn | Broken, file: str) -> Problem:
    """Say what is wrong with a ledger's line."""
    if isinstance(damage, Torn):
        code, reason = "torn-tail", f"{damage.length} bytes at {damage.offset} cut short"
    else:
        code, reason = "broken-chain", damage.reason
    detail = f"line {damage.number}: {reason}"
    return Problem(code=code, file=file, detail=detail, line=damage.number)


def check_chain(path: Path, file: str) -> Iterator[Problem]:
    """Check one ledger of chained lines. Raises ``OSError`` for what is no file."""
    for found in read_ledger(path):
        if not isinstance(found, Line):
            yield problem_of(found, file)


def verify(run_dir: Path) -> list[Problem]:
    """Check every chain and every segment's digest; an empty list means: nothing was altered.

    Telemetry and step ledgers alike.

    What is wrong is named by file and, within a ledger, by line: the first line that does not
    continue from the one before it, or that a crash cut short. For a segment the detail holds both
    digests, or the byte up to which it can be read. Whoever rewrites a ledger from some line on, with
    every digest after it, is found only by a signature over its head (``NodeRecord.head``).
    """
    from profilers.steps.record.check import check_steps, step_ledgers

    problems: list[Problem] = list(check_steps(run_dir))
    # A run whose devices nobody watched has steps alone.
    watched = (run_dir / TELEMETRY).is_dir() or not step_ledgers(run_dir)
    for record in node_records(run_dir) if watched else ():
        problems.extend(record.problems)
        problems.extend(_check_segments(record))
        problems.extend(_check_spool(record))
        if not record.sealed:
            detail = "the recorder did not end in order; everything up to its last sweep is here"
            problems.append(Problem(code="unsealed", file=record.place(""), detail=detail))
    return problems


def _check_segments(record: NodeRecord) -> Iterator[Problem]:
    told = {e["file"]: e for e in record.entries if e.get("kind") in {"segment", "compacted"}}
    opened = {e["file"] for e in record.entries if e.get("kind") == "segment-open"}
    replaced = {n for e in record.entries if e.get("kind") == "compacted" for n in e["of"]}
    for name, entry in told.items():
        path = record.folder / name
        if name in replaced:
            continue
        if not path.is_file():
            yield Problem(
                code="missing-segment", file=record.place(name), detail="the journal names it"
            )
            continue
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != entry["sha256"]:
            detail = f"SHA-256 {found}, the journal says {entry['sha256']}"
            yield Problem(code="digest-mismatch", file=record.place(name), detail=detail)
    for path in sorted(record.folder.glob("samples-*.arrows")):
        if path.name in replaced:
            continue
        if path.name not in opened:
            yield Problem(
                code="unknown-segment", file=record.place(path.name), detail="not in the journal"
            )
        try:
            _, torn = read_stream(path)
        except OSError as error:
            detail = f"cannot be read ({error.strerror})"
            yield Problem(code="unreadable", file=record.place(path.name), detail=detail)
            continue
        if torn is not None:
            detail = f"readable up to byte {torn} of {path.stat().st_size}"
            yield Problem(code="torn-tail", file=record.place(path.name), detail=detail)


def _check_spool(record: NodeRecord) -> Iterator[Problem]:
    path = record.folder / SPOOL
    if not path.is_file() or not path.stat().st_size:  # emptied where it could not be removed
        return
    if record.sealed:
        yield Problem(
            code="unknown-segment", file=record.place(SPOOL), detail="a sealed record has none"
        )
        return
    _, _, torn = record.spooled()
    if torn is not None:
        detail = f"readable up to byte {torn} of {path.stat().st_size}"
        yield Problem(code="torn-tail", file=record.place(SPOOL), detail=detail)


def read_record(run_dir: Path) -> Trace:
    """Read all nodes of a run into one trace; the same device is never counted twice."""
    whole = Trace(devices={})
    for record in node_records(run_dir):
        with said_by(record.folder):
            whole = whole.merge(read_node_trace(record))
    return whole


@contextlib.contextmanager
def said_by(folder: Path) -> Iterator[None]:
    """Say of which node's samples something is wrong: they may come from an audited party."""
    try:
        yield
    except _FAULTS as error:
        text = f"{folder}: samples that cannot be read ({type(error).__name__}: {error})"
        raise RecordError(text[:1000]) from error


def _with_tables(record: NodeRecord) -> "tuple[NodeRecord, list[pa.Table]]":
    """Read the samples, and the ledger anew where its recorder has just put them into another file.

    The ledger knows the new file before the old ones go.
    """
    for _ in range(_LOOKS):
        with contextlib.suppress(FileNotFoundError):
            if not record.has_lost_a_segment:
                return record, list(record.segments())
        record = read_node(record.folder)
    return record, list(record.segments())


def read_node_trace(record: NodeRecord) -> Trace:
    """Read one node's samples, gaps and events."""
    import pyarrow as pa

    record, tables = _with_tables(record)
    devices = record.devices()
    gaps, events = record.gaps(), record.events()
    traces: dict[DeviceKey, DeviceTrace] = {}
    if tables:
        table = pa.concat_tables(tables, promote_options="default").combine_chunks()
        words = table.column("device").to_pylist()
        names = np.array(words, dtype=object)
        described = {str(key): key for key in devices}
        for word in dict.fromkeys(words):
            key = described.get(word) or DeviceKey.parse(word)
            device = devices.setdefault(key, Device(key=key, node=record.node))
            rows = table.filter(pa.array(names == word))
            traces[key] = device_trace_of(rows, device, record.described(key))
    for key, device in devices.items():
        seen = traces.get(key) or DeviceTrace.of_samples(device, [])
        traces[key] = DeviceTrace(
            device=device,
            time_ns=seen.time_ns,
            period_ns=seen.period_ns,
            wall_ns=seen.wall_ns,
            series=seen.series,
            gaps=tuple(g for g in gaps if g.device == key),
            events=tuple(e for e in events if e.device == key),
        )
    ends = [e for e in record.entries if e.get("kind") == "run"]
    return Trace(
        devices=traces,
        gaps=tuple(g for g in gaps if g.device is None),
        events=tuple(e for e in events if e.device is None),
        started_ns=next((e["time_ns"] for e in ends if e.get("what") == "start"), None),
        ended_ns=next((e["time_ns"] for e in ends if e.get("what") == "end"), None),
    )
