"""Recorded telemetry among a run's evidence: read by the telemetry pillar, cut to the run's window.

Files of devices and files of nodes never add up with each other: devices win, since a node's meter
covers more than the run's part of it.
"""

from collections.abc import Sequence

from flopledger.logs.evidence import EvidenceFile
from flopledger.logs.run_facts import Recorded, Resolved
from flopledger.logs.telemetry_devices import united
from flopledger.logs.telemetry_files import names_of, opened
from flopledger.logs.telemetry_windows import Measured, seen_by


def measure(files: Sequence[EvidenceFile], started: float | None, ended: float | None) -> Measured:
    """Integrate the recordings between ``started`` and ``ended`` (unix s), or over their length.

    A device that several files name by the same identity is counted once.
    """
    if not files:
        return Measured()
    recordings, findings, repeats = united([opened(file) for file in files])
    found = [seen_by(recording, started, ended) for recording in recordings]
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
        names=tuple(fact for recording in recordings for fact in names_of(recording)),
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
