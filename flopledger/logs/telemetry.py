"""Recorded telemetry among a run's evidence: read by the telemetry pillar, cut to the run's window.

Files of devices and files of nodes never add up with each other: devices win, since a node's meter
covers more than the run's part of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flopledger.facts import Fact, Finding, Grade
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceFile
from flopledger.logs.run_facts import Bound, Resolved

if TYPE_CHECKING:
    from profilers.importers import Recording
    from profilers.trace import DeviceTrace

#: A window seen for less than this is seen in part.
_WHOLE = 0.98


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What instruments saw of a run."""

    energy_joules: Resolved | None = None
    energy_boundary: Resolved | None = None
    device_seconds: Resolved | None = None  #: seconds seen, summed over devices
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


def measure(files: Sequence[EvidenceFile], started: float | None, ended: float | None) -> Measured:
    """Integrate the recordings between ``started`` and ``ended`` (unix s), or over their length."""
    if not files:
        return Measured()
    found = [_one(file, started, ended) for file in files]
    findings = tuple(finding for part in found for finding in part.findings)
    parts = [part for part in found if part.energy_boundary is not None]
    kept = [part for part in parts if _boundary(part) == "device"] or parts
    energies = [part.energy_joules for part in kept if part.energy_joules is not None]
    times = [part.device_seconds for part in kept if part.device_seconds is not None]
    return Measured(
        energy_joules=_sum(energies, "J") if energies else None,
        energy_boundary=kept[0].energy_boundary if energies else None,
        device_seconds=_sum(times, "s") if times and _boundary(kept[0]) == "device" else None,
        findings=findings,
    )


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
    )


def _one(file: EvidenceFile, started: float | None, ended: float | None) -> Measured:
    from profilers.errors import ProfilersError
    from profilers.importers import collect, open_recording

    try:
        _, recording = open_recording(file.path)
        trace = collect([recording])
    except ProfilersError as error:
        finding = Finding(
            code="evidence-unreadable", severity="error", message=str(error), evidence=(file.name,)
        )
        return Measured(findings=(finding,))
    devices = [device for device in trace.devices.values() if len(device)]
    if not devices or trace.started_ns is None or trace.ended_ns is None:
        return Measured()
    findings = [
        Finding(code=finding.code, severity="info", message=finding.message, evidence=(file.name,))
        for finding in recording.findings
    ]
    window = (trace.started_ns, trace.ended_ns)
    asked = None
    on_wall = all(device.wall_ns is not None for device in devices)
    if started is not None and ended is not None and on_wall:
        asked = (round(started * 1e9), round(ended * 1e9))
        if asked[1] <= window[0] or asked[0] >= window[1]:
            findings.append(_elsewhere(file))
            return Measured(findings=tuple(findings))
        window = asked
    return _integrals(file, recording, devices, window, findings, is_run=asked is not None)


def _elsewhere(file: EvidenceFile) -> Finding:
    return Finding(
        code="clock-disagreement",
        severity="warning",
        message=f"{file.name} does not overlap the run's timed window: its clock or its zone "
        "differs, or it is of another run; it was not used",
        evidence=(file.name,),
    )


def _integrals(
    file: EvidenceFile,
    recording: "Recording",
    devices: "list[DeviceTrace]",
    window: tuple[int, int],
    findings: list[Finding],
    *,
    is_run: bool,
) -> Measured:
    """Integrate over ``window``; without a run's window, over what the recording speaks for."""
    from profilers.integrals import covered_seconds, energy

    drawn = [energy(device, *window) for device in devices]
    seen = sum(covered_seconds(device, *window) for device in devices)
    length = (window[1] - window[0]) / 1e9
    whole = not is_run or seen >= _WHOLE * length * len(devices)
    bound: Bound = "exact" if whole else "at least"
    if not whole:
        share = seen / (length * len(devices))
        findings.append(
            Finding(
                code="coverage-gap",
                severity="info",
                message=f"{file.name} speaks for {share:.0%} of {length:,.0f} s on {len(devices)} "
                f"{recording.scope}s: sums are lower bounds",
                evidence=(file.name,),
            )
        )
    where = f"{recording.format}, {len(devices)} {recording.scope}s over {length:,.3f} s"
    counted = all(part is not None and part.basis == "counter" for part in drawn)
    grade = Grade.INSTRUMENT if counted else Grade.GAUGE

    def figure(name: str, value: float | str, unit: str | None, how: str) -> Resolved:
        fact = Fact(name=name, value=value, unit=unit, file=file.name, locator=where, grade=grade)
        kind: Bound = bound if unit is not None else "exact"
        return Resolved(value=value, unit=unit, facts=(fact,), derivation=how, bound=kind)

    joules = [part.joules for part in drawn if part is not None]
    return Measured(
        energy_joules=figure("energy_joules", sum(joules), "J", f"{file.name}: {where}")
        if len(joules) == len(devices)
        else None,
        energy_boundary=figure("energy_boundary", recording.scope, None, f"{file.name}: {where}"),
        device_seconds=figure("accelerator_seconds", seen, "s", f"{file.name}: {where}, seen"),
        findings=tuple(findings),
    )
