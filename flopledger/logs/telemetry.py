"""Recorded telemetry among a run's evidence: read by the telemetry pillar, cut to the run's window.

Files of devices and files of nodes never add up with each other: devices win, since a node's meter
covers more than the run's part of it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

from flopledger.facts import Fact, Finding, Grade
from flopledger.logs import run_records
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceFile
from flopledger.logs.notes import Notes
from flopledger.logs.run_facts import Bound, Recorded, Resolved
from flopledger.text import number, share

if TYPE_CHECKING:
    from profilers.importers import Options
    from profilers.trace import DeviceKey, DeviceTrace

#: A window seen for less than this is seen in part.
_WHOLE = 0.98
#: So many equal rows, every signal of every device, are a copy and no coincidence.
_ROWS = 5
#: Recordings of stretches of work; between two of them nothing was meant to be seen.
_STRETCHES = {"zeus", "codecarbon"}
#: Scope of an importer whose meter covers all devices of a host, and how it counts them in their name.
_TOGETHER = "devices-together"
_COUNTED = re.compile(r"\b(\d{1,3}) x\s")


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What instruments saw of a run."""

    energy_joules: Resolved | None = None
    energy_boundary: Resolved | None = None
    device_seconds: Resolved | None = None  #: seconds seen, summed over devices
    recorded: Recorded | None = None  #: how much they saw
    repeats: tuple[str, ...] = ()  #: files that are older copies of another one, left out
    names: tuple[Fact, ...] = ()  #: of the devices, as the driver spelled them
    findings: tuple[Finding, ...] = field(default_factory=tuple)


def is_telemetry(document: Document) -> bool:
    """Say whether an importer of the telemetry pillar claims the file."""
    from profilers.errors import ProfilersError
    from profilers.importers import Opened, recognise

    head = document.head[: 64 * 1024]
    opened = Opened(path=document.path, size=document.size_bytes, head=head)
    try:
        return recognise(opened) is not None
    except (ProfilersError, ValueError):
        return False


def options(file: EvidenceFile) -> "Options":
    """Give what the case states about a recording: the zone of stamps that carry none."""
    from profilers.importers import Options, stamps

    return Options(zone=None if file.zone is None else stamps.zone(file.zone))


def measure(files: Sequence[EvidenceFile], started: float | None, ended: float | None) -> Measured:
    """Integrate the recordings between ``started`` and ``ended`` (unix s), or over their length.

    A device that several files name by the same identity is counted once.
    """
    if not files:
        return Measured()
    opened, findings, repeats = _united([_open(file) for file in files])
    found = [_one(recording, started, ended) for recording in opened]
    findings = (*findings, *(finding for part in found for finding in part.findings))
    parts = [part for part in found if part.energy_boundary is not None]
    kept = [part for part in parts if _boundary(part) == "device"] or parts
    energies = [part.energy_joules for part in kept if part.energy_joules is not None]
    times = [part.device_seconds for part in kept if part.device_seconds is not None]
    return Measured(
        energy_joules=_sum(energies, "J") if energies else None,
        energy_boundary=kept[0].energy_boundary if energies else None,
        device_seconds=_sum(times, "s") if times and _boundary(kept[0]) == "device" else None,
        recorded=_joined([part.recorded for part in kept if part.recorded is not None]),
        repeats=repeats,
        names=tuple(fact for recording in opened for fact in _names(recording)),
        findings=findings,
    )


def _joined(parts: Sequence[Recorded]) -> Recorded | None:
    """Add up recordings of different devices."""
    if not parts:
        return None
    windows = [part.window_seconds for part in parts]
    return Recorded(
        scope=parts[0].scope,
        devices=sum(part.devices for part in parts),
        device_seconds=sum(part.device_seconds for part in parts),
        files=tuple(name for part in parts for name in part.files),
        window_seconds=None
        if any(window is None for window in windows)
        else max(window for window in windows if window is not None),
        is_watched=all(part.is_watched for part in parts),
    )


def _names(recording: "_Opened") -> Iterator[Fact]:
    """The part that a recording names; a run's record has told its own."""
    if recording.scope != "device" or recording.kind == run_records.FORMAT:
        return
    names = {one.device.name for one in recording.devices.values() if one.device.name}
    for name in sorted({_COUNTED.sub("", name).strip() for name in names}):
        yield Fact(
            name="accelerator",
            value=name,
            unit=None,
            file=recording.file.name,
            locator=f"{recording.kind}, name of the device",
            grade=Grade.INSTRUMENT,
        )


@dataclass(kw_only=True, slots=True, eq=False)
class _Opened:
    """One file or record, read."""

    file: EvidenceFile
    kind: str  #: the importer's format, or that of a run record
    scope: str  #: device, node or rack; group: devices of an unknown number, metered together
    devices: "dict[DeviceKey, DeviceTrace]"
    each: int = 1  #: devices behind one row of ``devices``, where a meter sums them up
    is_whole_run: bool = False
    window: tuple[int, int] | None = None  #: of a watched command; else what was recorded
    findings: tuple[Finding, ...] = ()


def _open(file: EvidenceFile) -> _Opened | Finding:
    from profilers.errors import ProfilersError
    from profilers.importers import collect, open_recording

    if file.path.is_dir() and run_records.is_record(file.path):
        record = run_records.read(file.path, Notes(file.name))
        if record is None or record.trace is None or record.scope == "mixed":
            return _Opened(file=file, kind=run_records.FORMAT, scope="device", devices={})
        start, end = record.trace.started_ns, record.trace.ended_ns
        return _Opened(
            file=file,
            kind=run_records.FORMAT,
            scope=record.scope,
            devices={key: record.trace.devices[key] for key in record.used},
            is_whole_run=record.is_whole_run,
            window=(start, end) if start is not None and end is not None else None,
        )
    try:
        _, recording = open_recording(file.path, options(file))
        trace = collect([recording])
    except ProfilersError as error:
        return Finding(
            code="evidence-unreadable", severity="error", message=str(error), evidence=(file.name,)
        )
    devices = {key: device for key, device in trace.devices.items() if len(device)}
    scope, each = recording.scope, 1
    if scope == _TOGETHER:
        counts = {_count_in_name(device.device.name) for device in devices.values()}
        known = counts.pop() if len(counts) == 1 else None
        scope, each = ("group", 1) if known is None else ("device", known)
    return _Opened(
        file=file,
        kind=recording.format,
        scope=scope,
        each=each,
        devices=devices,
        findings=tuple(
            Finding(code=one.code, severity="info", message=one.message, evidence=(file.name,))
            for one in recording.findings
        ),
    )


def _count_in_name(name: str | None) -> int | None:
    """Add up the devices that a name counts: ``4 x NVIDIA A100`` are four."""
    counts = [int(match[1]) for match in _COUNTED.finditer(name or "")]
    return sum(counts) or None


def _united(
    found: "list[_Opened | Finding]",
) -> tuple[list[_Opened], tuple[Finding, ...], tuple[str, ...]]:
    """Join what several files say about one device; say where nobody can tell devices apart.

    Gives the recordings, what was noticed, and the files that repeat another one.
    """
    opened = [one for one in found if isinstance(one, _Opened)]
    findings = [one for one in found if isinstance(one, Finding)]
    first: dict[tuple[str, DeviceKey], _Opened] = {}
    for recording in opened:
        for key, device in list(recording.devices.items()):
            owner = first.setdefault((recording.scope, key), recording)
            if owner is not recording:
                owner.devices[key] = owner.devices[key].merged(device)
                del recording.devices[key]
    unnamed = [one for one in opened if one.devices and not any(map(_has_identity, one.devices))]
    copies = _copies(unnamed[:50])
    for copy, longer in copies:
        copy.devices = {}
        findings.append(
            Finding(
                code="device-identity-unknown",
                severity="info",
                message=f"every row of {copy.file.name} stands in {longer.file.name}, too: an older "
                "copy of the same recording; its devices are counted once",
                evidence=(copy.file.name, longer.file.name),
            )
        )
    unnamed = [one for one in unnamed if one.devices]
    twice = [
        (one, two)
        for one, two in combinations(unnamed[:50], 2)
        if one.scope == two.scope == "device" and _overlap(one, two)
    ]
    if twice:
        one, two = twice[0]
        findings.append(
            Finding(
                code="device-identity-unknown",
                severity="warning",
                message=f"{one.file.name} and {two.file.name} cover the same time and name their "
                "devices by index alone: they were counted as different devices; if both are of "
                "one machine, its device time and energy are counted twice",
                evidence=(one.file.name, two.file.name),
            )
        )
    repeats = tuple(copy.file.name for copy, _ in copies)
    kept = [one for one in opened if one.devices or one.findings]
    return kept, tuple(findings), repeats


def _copies(unnamed: list[_Opened]) -> list[tuple[_Opened, _Opened]]:
    """Pair each recording that another one holds whole with that other one."""
    ordered = sorted(unnamed, key=lambda one: sum(len(seen) for seen in one.devices.values()))
    found = []
    for place, one in enumerate(ordered):
        longer = next((other for other in ordered[place + 1 :] if _holds(other, one)), None)
        if longer is not None:
            found.append((one, longer))
    return found


def _holds(longer: _Opened, one: _Opened) -> bool:
    """Say whether every device and row of ``one`` stands in ``longer``, place by place."""
    if longer.kind != one.kind:
        return False
    there = {_slot(key): seen for key, seen in longer.devices.items()}
    return all(
        _slot(key) in there and _has_rows(there[_slot(key)], seen)
        for key, seen in one.devices.items()
    )


def _slot(key: "DeviceKey") -> tuple[str, str]:
    return key.uuid.rpartition("/")[2], key.mig


def _has_rows(longer: "DeviceTrace", one: "DeviceTrace") -> bool:
    import numpy as np

    _, at, there = np.intersect1d(one.time_ns, longer.time_ns, return_indices=True)
    signals = set(one.series) & set(longer.series)
    if len(at) < len(one) or len(at) < _ROWS or not signals:
        return False
    pairs = [
        (one.series[name].masked[at].filled(-1), longer.series[name].masked[there].filled(-1))
        for name in signals
    ]
    # Readings that never change, as of idle boards, tell nobody which machine they are of.
    has_life = any(len(np.unique(mine)) > 1 for mine, _ in pairs)
    return has_life and all(np.array_equal(mine, other) for mine, other in pairs)


def _has_identity(key: "DeviceKey") -> bool:
    """Say whether a device is named by more than its place in one file."""
    return "/" not in key.uuid


def _overlap(one: _Opened, two: _Opened) -> bool:
    (start, end), (begin, finish) = _span(one), _span(two)
    return start < finish and begin < end


def _span(recording: _Opened) -> tuple[int, int]:
    if recording.window is not None:
        return recording.window
    devices = [device for device in recording.devices.values() if len(device)]
    starts = [int(device.time_ns[0] - device.period_ns[0]) for device in devices]
    return min(starts), max(int(device.time_ns[-1]) for device in devices)


def _boundary(part: Measured) -> str:
    return str(part.energy_boundary.value) if part.energy_boundary is not None else ""


def _sum(parts: Sequence[Resolved], unit: str) -> Resolved:
    bounds = {part.bound for part in parts}
    return Resolved(
        value=sum(part.number for part in parts),
        unit=unit,
        facts=tuple(fact for part in parts for fact in part.facts),
        derivation="; ".join(part.derivation for part in parts),
        bound="at least" if "at least" in bounds else "exact",
        is_whole_run=all(part.is_whole_run for part in parts),
    )


def _one(recording: _Opened, started: float | None, ended: float | None) -> Measured:
    devices = [device for device in recording.devices.values() if len(device)]
    findings = list(recording.findings)
    if not devices:
        return Measured(findings=tuple(findings))
    window = _span(recording)
    is_run = recording.is_whole_run
    on_wall = all(device.wall_ns is not None for device in devices)
    if started is not None and ended is not None and on_wall:
        asked = (round(started * 1e9), round(ended * 1e9))
        if asked[1] <= window[0] or asked[0] >= window[1]:
            findings.append(_elsewhere(recording.file))
            return Measured(findings=tuple(findings))
        window, is_run = asked, True
    return _integrals(recording, devices, window, findings, is_run=is_run)


def _elsewhere(file: EvidenceFile) -> Finding:
    return Finding(
        code="clock-disagreement",
        severity="warning",
        message=f"{file.name} does not overlap the run's timed window: its clock or its zone "
        "differs, or it is of another run; it was not used",
        evidence=(file.name,),
    )


def _integrals(
    recording: _Opened,
    devices: "list[DeviceTrace]",
    window: tuple[int, int],
    findings: list[Finding],
    *,
    is_run: bool,
) -> Measured:
    """Integrate over ``window``; without a run's window, over what the recording speaks for."""
    from profilers.integrals import covered_seconds, energy

    file = recording.file
    drawn = [energy(device, *window) for device in devices]
    seen = sum(covered_seconds(device, *window) for device in devices)
    length = (window[1] - window[0]) / 1e9
    whole = seen >= _WHOLE * length * len(devices)
    # Between two recorded stretches of work nothing was meant to be seen: no hole, unless in a run.
    count = len(devices) * recording.each
    boundary = "device" if recording.scope == "group" else recording.scope
    has_hole = not whole and (is_run or recording.kind not in _STRETCHES)
    bound: Bound = "at least" if has_hole else "exact"
    # A cumulative counter that was read on both sides of a hole knows what was drawn in it.
    known = all(part is not None and part.seconds >= _WHOLE * length for part in drawn)
    joules_bound: Bound = "exact" if known else bound
    if has_hole:
        findings.append(
            Finding(
                code="coverage-gap",
                severity="info",
                message=f"{file.name} speaks for {share(seen / (length * len(devices)))} of "
                f"{number(length, 4)} s on {count} {recording.scope}s: "
                + ("device time is a lower bound" if known else "sums are lower bounds"),
                evidence=(file.name,),
            )
        )
    where = f"{recording.kind}, {count} {recording.scope}s over {number(length, 4)} s"
    counted = all(part is not None and part.basis == "counter" for part in drawn)
    grade = Grade.INSTRUMENT if counted else Grade.GAUGE

    def figure(name: str, value: float | str, unit: str | None, kind: Bound) -> Resolved:
        fact = Fact(name=name, value=value, unit=unit, file=file.name, locator=where, grade=grade)
        how = f"{file.name}: {where}" + (", seen" if unit == "s" else "")
        return Resolved(
            value=value, unit=unit, facts=(fact,), derivation=how, bound=kind, is_whole_run=is_run
        )

    joules = [part.joules for part in drawn if part is not None]
    extent = seen if recording.kind in _STRETCHES else _extent(recording, devices, window)
    return Measured(
        recorded=Recorded(
            scope=recording.scope,
            devices=count,
            device_seconds=extent * recording.each,
            files=(file.name,),
            window_seconds=length if is_run else None,
            is_watched=recording.is_whole_run,
        ),
        energy_joules=figure("energy_joules", sum(joules), "J", joules_bound)
        if len(joules) == len(devices)
        else None,
        energy_boundary=figure("energy_boundary", boundary, None, "exact"),
        # A meter of all devices of a host does not say which of them the run used.
        device_seconds=figure("accelerator_seconds", seen, "s", bound)
        if recording.each == 1 and recording.scope != "group"
        else None,
        findings=tuple(findings),
    )


def _extent(recording: _Opened, devices: "list[DeviceTrace]", window: tuple[int, int]) -> float:
    """Add up the devices' time from first to last sample inside ``window``, holes included."""
    if recording.is_whole_run and recording.window is not None:
        spans = [recording.window] * len(devices)
    else:
        spans = [(int(one.time_ns[0] - one.period_ns[0]), int(one.time_ns[-1])) for one in devices]
    start, end = window
    return sum(max(0, min(last, end) - max(first, start)) for first, last in spans) / 1e9
