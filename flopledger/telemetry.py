"""Recorded telemetry among a run's evidence: device-seconds, energy, and what the FLOP can have been.

The profilers pillar returns device integrals; here they meet the peaks. A recording that belongs to
a run bounds what its devices executed; it never says what was trained.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from flopledger.facts import Fact, Finding, Grade
from flopledger.parts import Part
from profilers import ProfilersError, importers
from profilers.bounds import DeviceIntegrals, FlopBounds, Limits, Rates, executed_flop, integrals
from profilers.trace import DeviceTrace, Trace

COVERAGE_NEEDED = 0.98  #: below this share of covered device-seconds a finding says so
_VECTOR_PRECISIONS = ("fp64", "fp32", "fp16")


@dataclass(frozen=True, kw_only=True, slots=True)
class Telemetry:
    """What the recordings of one run hold."""

    trace: Trace
    names: tuple[str, ...]  #: the files
    devices: tuple[DeviceIntegrals, ...]
    findings: tuple[Finding, ...]

    @property
    def place(self) -> str:
        """The files, for sources."""
        return ", ".join(self.names)

    @property
    def claimed_seconds(self) -> float:
        """Device-seconds of the recorded window."""
        return sum(device.claimed_seconds for device in self.devices)

    @property
    def covered_seconds(self) -> float:
        """Device-seconds for which some sample speaks."""
        return sum(device.covered_seconds for device in self.devices)

    @property
    def is_windows(self) -> bool:
        """Whether this is energy of separate windows (Zeus, CodeCarbon): nothing lies between."""
        series = [set(device.series) for device in self.trace.devices.values()]
        return bool(series) and all(names == {"energy_mj"} for names in series)

    @property
    def device_seconds(self) -> float:
        """Device-seconds that the recording is about."""
        return self.covered_seconds if self.is_windows else self.claimed_seconds

    @property
    def energy_joules(self) -> tuple[float, float] | None:
        """Energy of all devices as (low, high); ``None`` unless every device has a reading."""
        if self.is_windows:
            measured = sum(_rises(device) for device in self.trace.devices.values()) / 1000
            return measured, measured
        found = [device.energy_joules or device.energy_joules_estimated for device in self.devices]
        ends = [(one.low, one.high) for one in found if one is not None and one.high is not None]
        if not ends or len(ends) < len(found):
            return None
        return sum(low for low, _ in ends), sum(high for _, high in ends)


def read(files: Mapping[str, Path]) -> tuple[Telemetry | None, set[str]]:
    """Read those of ``files`` that are telemetry; give it with the names that were understood.

    A damaged recording is a finding, not an error: the party may have handed in what it had.
    """
    recordings, names, findings = [], [], []
    for name, path in files.items():
        try:
            _, recording = importers.open_recording(path)
        except importers.UnknownFormatError:
            continue
        except (ProfilersError, OSError) as error:
            findings.append(_finding("evidence-unreadable", f"{name}: {error}", name))
            continue
        recordings.append(recording)
        names.append(name)
    if not recordings:
        return None, set()
    try:
        trace = importers.collect(recordings)
        found = integrals(trace)
    except ProfilersError as error:
        findings.append(_finding("evidence-unreadable", str(error), ", ".join(names)))
        return Telemetry(
            trace=Trace(devices={}), names=(), devices=(), findings=tuple(findings)
        ), set()
    for name, recording in zip(names, recordings, strict=True):
        findings += [
            _finding(one.code, f"{name}: {one.message}", name) for one in recording.findings
        ]
    telemetry = Telemetry(trace=trace, names=tuple(names), devices=found, findings=tuple(findings))
    if not telemetry.is_windows:
        noted = (*findings, *_coverage(found, names))
        telemetry = replace(telemetry, findings=noted)
    return telemetry, set(names)


def facts(telemetry: Telemetry) -> tuple[Fact, ...]:
    """State what the recordings say, under the canonical names."""
    if not telemetry.devices:
        return ()
    values: list[tuple[str, float | str, str | None]] = [
        ("accelerator_count", len(telemetry.devices), "devices"),
        ("accelerator_seconds", telemetry.device_seconds, "s"),
        ("covered_accelerator_seconds", telemetry.covered_seconds, "s"),
    ]
    names = {
        device.device.name for device in telemetry.trace.devices.values() if device.device.name
    }
    values += [("accelerator", name, None) for name in sorted(names)]
    energy = telemetry.energy_joules
    if energy is not None:
        values += [
            ("energy_joules", (energy[0] + energy[1]) / 2, "J"),
            ("energy_boundary", "device", None),
        ]
    return tuple(
        Fact(
            name=name,
            value=value,
            unit=unit,
            file=telemetry.place,
            locator="integrated over the recording",
            grade=Grade.GAUGE,
        )
        for name, value, unit in values
    )


def executed(telemetry: Telemetry, part: Part, precision: str | None) -> FlopBounds | None:
    """Bound the FLOP that the recorded devices executed; ``None`` where no rate is public.

    With several candidates, or an open precision, the rates span all of them.
    """
    if not telemetry.devices:
        return None
    tensor = part.flop_per_cycle(precision)
    vector = [part.flop_per_cycle(name, engine="vector") for name in _VECTOR_PRECISIONS]
    known = [ends for ends in vector if ends is not None]
    if tensor is None or not known:
        return None
    rates = Rates(tensor=tensor, vector=max(high for _, high in known))
    return executed_flop(telemetry.trace, rates, Limits(max_clock_hz=part.max_clock_hz))


def _rises(device: DeviceTrace) -> float:
    """Add what a counter rose by; a fall begins a new window and adds nothing."""
    column = device.series["energy_mj"]
    values = column.payload[column.present]
    return float(sum(max(0, after - before) for before, after in pairwise(values.tolist())))


def _coverage(devices: tuple[DeviceIntegrals, ...], names: list[str]) -> list[Finding]:
    claimed = sum(device.claimed_seconds for device in devices)
    covered = sum(device.covered_seconds for device in devices)
    if not claimed or covered / claimed >= COVERAGE_NEEDED:
        return []
    message = (
        f"telemetry speaks for {covered / claimed:.1%} of its device-seconds; in the rest the devices "
        "may have been idle or at full rate"
    )
    return [_finding("coverage-gap", message, ", ".join(names))]


def _finding(code: str, message: str, place: str) -> Finding:
    return Finding(code=code, severity="warning", message=message, evidence=(place,))
