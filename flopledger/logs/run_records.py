"""Run records among the evidence: folders that ``flopledger run`` or ``flopledger import`` wrote.

A record is believed only as far as its chains hold. Where a line, a segment or a file of it was
altered, nothing is taken from the whole record: a figure that might have been chosen is no evidence.
What ``summary.json`` says is rederived from the journals; it only tells which devices were the run's
and how the command ended.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flopledger import foreign_json
from flopledger.facts import Grade
from flopledger.logs import limits, recorded_steps
from flopledger.logs.document import decode_json
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes
from flopledger.logs.numbers import parse_number

if TYPE_CHECKING:
    from flopledger.recording.totals import RunTotals
    from profilers.trace import DeviceKey, Trace

FORMAT = "run-record"
#: Entries of a record's folder that its own reader takes care of.
_OWN = re.compile(r"telemetry|steps|processes|summary\.json|run(-[0-9]+)?\.json|imports\.jsonl")
#: Damage by which a record was changed after it was written; the rest is an end that was cut off.
_ALTERED = frozenset({"broken-chain", "digest-mismatch", "missing-segment", "unknown-segment"})
#: A summary may differ from its own record by rounding, and by no more.
_SAME = 0.02
#: Stands for step ledgers or telemetry whose chain is broken.
_WORTHLESS: Any = object()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RunRecord:
    """One record: its trace, and what its summary adds."""

    trace: "Trace | None"  #: ``None`` where only steps were recorded
    scope: str  #: what its meters stand for: device, node or rack
    is_whole_run: bool  #: a command was watched from its start to its end
    used: "frozenset[DeviceKey]" = field(default_factory=frozenset)  #: the run's devices


def is_own(name: str) -> bool:
    """Say whether a record's own reader takes care of an entry; each launch has a ``run-2.json``."""
    return _OWN.fullmatch(name) is not None


def is_record(folder: Path) -> bool:
    """Say whether a folder holds a run record."""
    return has_telemetry(folder) or any(folder.glob("steps/rank=*/ledger.jsonl"))


def has_telemetry(folder: Path) -> bool:
    """Say whether a record holds what its devices did."""
    return any(folder.glob("telemetry/node=*/journal.jsonl"))


def is_altered(folder: Path) -> bool:
    """Say whether a record was changed after it was written, or cannot be read."""
    from profilers.errors import ProfilersError
    from profilers.record import verify
    from profilers.steps.record.ledger import read_steps

    try:
        if any(
            "cut short" not in problem for one in read_steps(folder) for problem in one.problems
        ):
            return True
        return has_telemetry(folder) and any(one.code in _ALTERED for one in verify(folder))
    except (ProfilersError, OSError, ValueError, LookupError, TypeError):
        return True


def read(
    folder: Path, notes: Notes, *, beside: Sequence[Path] = (), is_told: bool = False
) -> RunRecord | None:
    """Verify and read the record at ``folder``; ``None`` where it was altered or is empty.

    Args:
        folder: The record.
        notes: What is found out.
        beside: Records that hold other ranks of its job.
        is_told: Its steps were added up with those of another record already.

    """
    from profilers.errors import ProfilersError

    try:
        totals = _totals(folder, notes, beside)
        if totals is _WORTHLESS:
            return None
        record = _telemetry(folder, notes, totals) if has_telemetry(folder) else None
        # Steps stand by themselves where no device could be read, and not beside altered telemetry.
        if record is _WORTHLESS or (record is None and totals is None):
            return None
    except (ProfilersError, OSError, ValueError, LookupError, TypeError) as error:
        raise EvidenceError(f"{notes.file}: not a readable run record ({error})") from None
    if totals is not None and not is_told:
        recorded_steps.note(totals, notes)
    return record or RunRecord(trace=None, scope="device", is_whole_run=True)


def _totals(folder: Path, notes: Notes, beside: Sequence[Path]) -> "RunTotals | None":
    """Add up the step ledgers; a broken chain among them makes the whole record worthless."""
    if not (folder / "steps").is_dir():
        return None
    from flopledger.recording.totals import read_totals

    totals = read_totals(folder, *beside)
    altered = [one for one in totals.findings if one.code == "ledger-broken"] if totals else []
    for one in altered:
        notes.finding(
            one.code, "error", f"{one.message}; nothing was taken from this record", "steps"
        )
    return _WORTHLESS if altered else totals


def _telemetry(folder: Path, notes: Notes, totals: "RunTotals | None") -> RunRecord | None:
    """Verify and read what the devices did."""
    from profilers.record import read_record, verify

    problems = verify(folder)
    altered = [problem for problem in problems if problem.code in _ALTERED]
    for problem in altered or problems:
        notes.finding(
            problem.code,
            "error" if altered else "warning" if problem.code == "torn-tail" else "info",
            f"{notes.file}: {problem.file}: {problem.detail}"
            + ("; nothing was taken from this record" if altered else ""),
            problem.file,
        )
    if altered:
        return _WORTHLESS  # type: ignore[no-any-return]
    trace = read_record(folder)
    seen = {key for key, device in trace.devices.items() if len(device) and not key.mig}
    if not seen:
        notes.finding(
            "no-devices", "warning", f"{notes.file}: the record holds no sample", "telemetry"
        )
        return None
    summary = _json(folder / "summary.json", notes)
    used = _of_the_steps(_attributed(summary, seen) if summary else seen, summary, totals)
    if not used:
        notes.finding(
            "energy-of-others",
            "info",
            "the recorded processes computed on the processor: the devices that were sampled beside "
            "them did none of the run's work, and nothing of theirs was taken",
            "telemetry",
        )
        return None
    record = RunRecord(
        trace=trace,
        scope=_scope(folder, notes),
        is_whole_run=summary is not None and trace.ended_ns is not None,
        used=used,
    )
    _note(record, summary, notes)
    return record


def _note(record: RunRecord, summary: Mapping[str, Any] | None, notes: Notes) -> None:
    trace = record.trace
    assert trace is not None
    journal = "telemetry/*/journal.jsonl"
    if record.scope == "device":
        names = {trace.devices[key].device.name for key in record.used}
        for name in sorted(name for name in names if name):
            notes.fact("accelerator", name, journal, grade=Grade.INSTRUMENT)
        if len(names - {None}) > 1:
            notes.finding(
                "accelerator-mismatch",
                "warning",
                f"the record's devices are of different parts: {', '.join(sorted(filter(None, names)))}",
                journal,
            )
        attributed = summary is not None and summary.get("attribution") not in (None, "none")
        name = "accelerator_count" if attributed or not summary else "visible_accelerators"
        notes.fact(name, len(record.used), journal, grade=Grade.INSTRUMENT)
    if not record.is_whole_run or trace.started_ns is None or trace.ended_ns is None:
        return
    seconds = (trace.ended_ns - trace.started_ns) / 1e9
    notes.fact("wall_seconds", round(seconds, 6), journal, grade=Grade.INSTRUMENT)
    assert summary is not None
    _note_end(summary, notes)
    stated = parse_number(summary.get("duration_seconds"))
    if stated is not None and abs(stated - seconds) > _SAME * max(seconds, 1.0):
        notes.finding(
            "record-mismatch",
            "error",
            f"summary.json gives {stated:,.3f} s, the journals {seconds:,.3f} s; the journals, whose "
            "chains hold, are used",
            "summary.json",
        )


def _note_end(summary: Mapping[str, Any], notes: Notes) -> None:
    code = summary.get("exit_code")
    if not isinstance(code, int) or isinstance(code, bool):
        return
    notes.fact("status", f"exit code {code}", "summary.json: $.exit_code")
    if code != 0:
        notes.finding(
            "aborted-run",
            "warning",
            f"the command ended with code {code}; its compute was spent all the same",
            "summary.json: $.exit_code",
        )


def _attributed(summary: Mapping[str, Any], seen: "set[DeviceKey]") -> "set[DeviceKey]":
    """Take the devices that the summary names; all that were seen where it names none of them."""
    listed = summary.get("devices")
    uuids = {
        entry.get("uuid")
        for entry in (listed if isinstance(listed, list) else [])
        if isinstance(entry, dict)
    }
    return {key for key in seen if key.uuid in uuids} or seen


def _of_the_steps(
    used: "set[DeviceKey]", summary: Mapping[str, Any] | None, totals: "RunTotals | None"
) -> "frozenset[DeviceKey]":
    """Take of devices that nobody showed to be the run's those that its steps were done on."""
    if totals is None or (summary or {}).get("attribution") not in (None, "none"):
        return frozenset(used)
    if totals.on_processor and all(device.type == "cpu" for device in totals.devices):
        return frozenset()
    named = {device.uuid for device in totals.devices if device.uuid is not None}
    return frozenset(key for key in used if key.uuid in named) or frozenset(used)


def _scope(folder: Path, notes: Notes) -> str:
    """Find what an imported record's meters stood for; a profiled run's are devices."""
    path = folder / "imports.jsonl"
    if not path.is_file() or path.stat().st_size > limits.SMALL_BYTES:
        return "device"
    scopes = set()
    for line in path.read_text("utf-8", errors="replace").splitlines():
        scope = (foreign_json.table(line) or {}).get("scope")
        if isinstance(scope, str):
            scopes.add(scope)
    if len(scopes) > 1:
        notes.finding(
            "energy-boundary-mixed",
            "warning",
            f"the record joins recordings of {' and '.join(sorted(scopes))}: their energies do not "
            "add up, and none is given",
            "imports.jsonl",
        )
        return "mixed"
    return scopes.pop() if scopes else "device"


def _json(path: Path, notes: Notes) -> Mapping[str, Any] | None:
    if not path.is_file() or path.stat().st_size > limits.SMALL_BYTES:
        return None
    try:
        table = decode_json(path.read_text("utf-8", errors="replace"), path.name)
    except EvidenceError as error:
        notes.finding("evidence-unreadable", "warning", str(error), path.name)
        return None
    return table if isinstance(table, dict) else None
