"""What one recording saw of a run: its integrals over the run's window, or over its own length."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flopledger.facts import Fact, Finding, Grade
from flopledger.logs.evidence import EvidenceFile
from flopledger.logs.run_facts import Bound, Recorded, Resolved
from flopledger.logs.telemetry_files import Recording
from flopledger.text import number, share

if TYPE_CHECKING:
    from profilers.trace import DeviceTrace

#: A window seen for less than this is seen in part.
_WHOLE = 0.98
#: Recordings of stretches of work; between two of them nothing was meant to be seen.
_STRETCHES = {"zeus", "codecarbon"}


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


def seen_by(recording: Recording, started: float | None, ended: float | None) -> Measured:
    """Integrate one recording between two times (unix s), or over its own length."""
    devices = [device for device in recording.devices.values() if len(device)]
    findings = list(recording.findings)
    if not devices:
        return Measured(findings=tuple(findings))
    window = recording.span
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


def _gap(file: EvidenceFile, covered: str) -> Finding:
    return Finding(
        code="coverage-gap",
        severity="info",
        message=f"{file.name} speaks for {covered}",
        evidence=(file.name,),
    )


def _integrals(
    recording: Recording,
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
    what = f"{count} {recording.scope}s"
    if has_hole:
        below = "device time is a lower bound" if known else "sums are lower bounds"
        covered = f"{share(seen / (length * len(devices)))} of {number(length, 4)} s on {what}"
        findings.append(_gap(file, f"{covered}: {below}"))
    where = f"{recording.kind}, {what} over {number(length, 4)} s"
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


def _extent(recording: Recording, devices: "list[DeviceTrace]", window: tuple[int, int]) -> float:
    """Add up the devices' time from first to last sample inside ``window``, holes included."""
    if recording.is_whole_run and recording.window is not None:
        spans = [recording.window] * len(devices)
    else:
        spans = [(int(one.time_ns[0] - one.period_ns[0]), int(one.time_ns[-1])) for one in devices]
    start, end = window
    return sum(max(0, min(last, end) - max(first, start)) for first, last in spans) / 1e9
