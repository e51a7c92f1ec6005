"""The summary of a profiled run: what its devices did between the child's start and its end.

``summary.json`` holds plain numbers; what could not be read is null and has a finding that says
why. Nothing is rounded up to a whole: a device that was lost counts until it was lost.
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profilers.integrals import (
    Energy,
    clearly_less,
    covered_seconds,
    energy,
    gaps_within,
    mean_integral,
)

if TYPE_CHECKING:
    from flopledger.profiling.process_tree import Attribution
    from hardware_db import Accelerator
    from profilers.trace import DeviceTrace, Trace

SCHEMA = "flopledger/run-summary/1"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """What the wrapper itself knows about the run."""

    command: list[str]
    exit_code: int
    started: str
    """ISO 8601, UTC."""
    duration_seconds: float
    start_ns: int
    """The window on the record's axis."""
    end_ns: int
    interval_seconds: float
    attribution: "Attribution"
    """Which devices are the run's, and how that is known."""
    sources: list[dict[str, Any]]
    trouble: list[str]
    left_running: int = 0
    """Processes that the command left behind when it ended."""
    job_nodes: int = 1
    """Nodes of the Slurm job for which the command started ``srun``."""
    elsewhere: frozenset[str] = frozenset()
    """Launchers that the command started and whose work no process of this host is."""
    unwritten_sweeps: int = 0
    """Sweeps that the disk had refused to the end."""


class Findings:
    """Collects what a reader must know beside the numbers."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []

    def add(self, code: str, severity: str, message: str, *evidence: str) -> None:
        """Add one finding."""
        self.items.append(
            {"code": code, "severity": severity, "message": message, "evidence": list(evidence)}
        )


def summarise(facts: RunFacts, trace: "Trace") -> dict[str, Any]:
    """Return the summary as plain JSON."""
    findings = Findings()
    _tell_sources(facts, findings)
    used = facts.attribution.used
    devices = [trace.devices[key] for key in sorted(used)]
    # A partition's board sensors are its parent's: its joules are not missing, they are counted.
    parents = {device.device.key.uuid for device in devices if device.device.key.mig}
    wholes = [t for k, t in trace.devices.items() if not k.mig and k.uuid in parents]
    devices += [t for t in wholes if t.device.key not in used]
    entries = [_device(facts, trace, device, findings) for device in devices]
    energies = [e for e, d in zip(entries, devices, strict=True) if not d.device.key.mig]
    joules = [entry["energy_joules"] for entry in energies]
    total = sum(joules) if joules and None not in joules else None
    if not devices:
        findings.add("no-devices", "warning", "no device was seen: nothing is known about energy")
    elif facts.attribution.evidence == "none":
        findings.add(
            "devices-unattributed",
            "info",
            "nothing says which devices this run used: all of the host's are counted",
        )
    _tell_company(facts, findings)
    _tell_events(trace, devices, findings)
    bounds = _flop_bounds(facts, trace, devices, findings)
    energy_bounds = _energy_bounds(energies)
    if facts.elsewhere or facts.job_nodes > 1:
        # What other hosts drew and computed belongs to the run, too: no sum over this one is its own.
        total = None
        known = facts.attribution.evidence != "none"
        energy_bounds = [energy_bounds[0], None] if known and energy_bounds else None
        bounds = _open_above(bounds) if known and bounds else None
    return {
        "schema": SCHEMA,
        "command": facts.command,
        "exit_code": facts.exit_code,
        "started": facts.started,
        "duration_seconds": facts.duration_seconds,
        "energy_joules": total,
        "energy_bounds_joules": energy_bounds,
        "model_flop": None,
        "hardware_flop": None,
        "flop_bounds": bounds,
        "devices": entries,
        "attribution": facts.attribution.evidence,
        "findings": findings.items,
    }


def save(summary: Mapping[str, Any], folder: Path) -> None:
    """Write the summary whole or not at all."""
    draft = folder / "summary.json.part"
    text = json.dumps(summary, indent=2, allow_nan=False) + "\n"
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(folder / "summary.json")
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def _device(
    facts: RunFacts, trace: "Trace", seen: "DeviceTrace", findings: Findings
) -> dict[str, Any]:
    from flopledger.run_bounds import tensor_share

    start, end = facts.start_ns, facts.end_ns
    device = seen.device
    name = f"{device.name or 'device'} {device.key}"
    node_gaps = tuple(g for g in trace.gaps if g.node in {None, device.node})
    slack = round(1.5e9 * facts.interval_seconds)
    gaps = gaps_within(seen, node_gaps, start, end, slack)
    measured = energy(seen, start, end)
    busy = mean_integral(seen, "gpu_util_permille", start, end)
    covered = covered_seconds(seen, start, end)
    if not device.key.mig:
        _tell_energy(facts, measured, name, findings)
    if busy is None or busy.seconds <= 0:
        findings.add("busy-time-missing", "info", f"{name}: utilisation could not be read")
    if gaps:
        told = ", ".join(f"{g.reason} {(g.end_ns - g.start_ns) / 1e9:.1f} s" for g in gaps[:5])
        findings.add("coverage-gap", "warning", f"{name}: not seen all the time ({told})")
    return {
        "uuid": device.key.uuid,
        "mig": device.key.mig or None,
        "name": device.name,
        "node": device.node,
        "energy_joules": None if measured is None else measured.joules,
        "energy_basis": None if measured is None else measured.basis,
        "energy_bounds_joules": None if measured is None else [measured.low, measured.high],
        "busy_seconds": None if busy is None or busy.seconds <= 0 else busy.value / 1000,
        "tensor_activity": tensor_share(seen, start, end),
        "covered_seconds": covered,
        "status": _status(gaps, covered, end),
        "gaps": [
            {"start": g.start_ns / 1e9, "end": g.end_ns / 1e9, "reason": g.reason} for g in gaps
        ],
    }


def _status(gaps: list[Any], covered: float, end_ns: int) -> str:
    """Return ``ok``, ``lost`` (gone at the end), ``partial`` or ``unseen``."""
    if any(gap.reason == "lost" and gap.end_ns >= end_ns for gap in gaps):
        return "lost"
    if covered <= 0:
        return "unseen"
    return "partial" if gaps else "ok"


def _tell_energy(facts: RunFacts, measured: Energy | None, name: str, findings: Findings) -> None:
    if measured is None:
        findings.add("energy-missing", "warning", f"{name}: neither energy nor power could be read")
        return
    window = (facts.end_ns - facts.start_ns) / 1e9
    if measured.basis == "power":
        findings.add(
            "energy-from-power",
            "info",
            f"{name}: no energy counter that moved all the time; integrated from power readings, which "
            "alias with the load",
        )
    if clearly_less(measured.seconds, window):
        findings.add(
            "energy-partial",
            "warning",
            f"{name}: energy is known for {measured.seconds:.1f} of {window:.1f} s; "
            "the figure is what was measured, and the bounds say what the rest may add",
        )


def _energy_bounds(entries: list[dict[str, Any]]) -> list[float | None] | None:
    """Add the ends: a gain error of one sensor type is shared, it does not average out."""
    bounds = [entry["energy_bounds_joules"] for entry in entries]
    if not bounds or None in bounds:
        return None
    highs = [high for _, high in bounds]
    return [sum(low for low, _ in bounds), None if None in highs else sum(highs)]


def _tell_sources(facts: RunFacts, findings: Findings) -> None:
    for source in facts.sources:
        if not source.get("open"):
            detail = source.get("detail", source.get("reason", "unknown"))
            findings.add("source-unavailable", "warning", f"{source['name']}: {detail}")
    for trouble in facts.trouble:
        findings.add("sampler-trouble", "warning", f"the sampler: {trouble}")


def _tell_company(facts: RunFacts, findings: Findings) -> None:
    for key, number in sorted(facts.attribution.shared.items()):
        findings.add(
            "device-shared",
            "warning",
            f"{key}: the driver listed {number} other process(es) on it; energy, busy time and FLOP "
            "are the device's and may be partly theirs",
        )
    if facts.job_nodes > 1:
        findings.add(
            "nodes-unseen",
            "warning",
            f"the job has {facts.job_nodes} nodes and this record has the devices of one; start the "
            "profiler on each: `srun flopledger run --out DIR/node-$SLURM_NODEID -- COMMAND`",
        )
    if facts.elsewhere:
        names = ", ".join(sorted(facts.elsewhere))
        findings.add(
            "work-elsewhere",
            "warning",
            f"the command handed work to {names}: what that ran on other hosts, or under a daemon of "
            "this one, was not seen, so the run's energy and FLOP have no sum here; start the "
            "profiler there instead, for Slurm `srun flopledger run --out DIR -- COMMAND`",
        )
    if facts.unwritten_sweeps:
        findings.add(
            "disk-refused",
            "warning",
            f"the disk refused the record to its end; {facts.unwritten_sweeps} sweeps lost",
        )
    if facts.left_running:
        findings.add(
            "processes-left-running",
            "warning",
            f"{facts.left_running} process(es) outlived the command; what they did after its end is "
            "not in this record",
        )


def _tell_events(trace: "Trace", devices: "list[DeviceTrace]", findings: Findings) -> None:
    told = {
        "xid": ("warning", "the driver reported XID {code}"),
        "counter-reset": ("warning", "{signal} {why}: a new segment begins there"),
        "rejected": ("warning", "{signal} was impossible ({why}) and is not used"),
        "stale": ("warning", "{signal} {why}"),
        "device-vanished": ("warning", "the device disappeared"),
        "duplicate-uuid": ("warning", "two devices have this identity; one of them is counted"),
    }
    for device in devices:
        for event in device.events:
            if event.kind in told:
                severity, text = told[event.kind]
                message = text.format_map({"code": "?", "signal": "?", "why": "?", **event.detail})
                findings.add(event.kind, severity, f"{device.device.key}: {message}")
    for event in trace.events:
        if event.kind == "clock-step":
            seconds = float(event.detail.get("step_ns") or 0) / 1e9
            findings.add(
                "clock-step",
                "info",
                f"the wall clock was moved by {seconds:+.3f} s; durations are monotonic",
            )
        elif event.kind == "record-removed":
            findings.add(
                "record-removed",
                "warning",
                "the devices' record was removed while it was written: what it held is lost, and what "
                "came after stands in a new one",
            )
        elif event.kind == "disk-refused":
            lost = event.detail.get("lost_sweeps")
            findings.add(
                "disk-refused", "warning", f"the disk refused the record; {lost} sweeps lost"
            )


def _flop_bounds(
    facts: RunFacts, trace: "Trace", devices: "list[DeviceTrace]", findings: Findings
) -> dict[str, Any] | None:
    from dataclasses import replace

    from flopledger.run_bounds import UnknownRates, flop_bounds
    from profilers.bounds import contradictions_of

    # A partition has no clock of its own: its parent's bounds all of them.
    wholes = [seen for seen in devices if not seen.device.key.mig]
    parts = {seen.device.key: _part(seen, findings) for seen in wholes}
    known = {key: part for key, part in parts.items() if part is not None}
    window = replace(
        trace,
        devices={seen.device.key: seen for seen in wholes},
        started_ns=facts.start_ns,
        ended_ns=facts.end_ns,
    )
    told = None
    contradictions = contradictions_of(window)
    # A sum without one of its parts would bound nothing.
    if known and len(known) == len(parts):
        try:
            told, bounds = flop_bounds(window, known)
            contradictions = bounds.findings
        except UnknownRates as error:
            findings.add("no-flop-bound", "info", str(error))
    for one in contradictions:
        findings.add(one.code, "warning", f"{one.device}: {one.message}")
    return told


def _open_above(bounds: dict[str, Any]) -> dict[str, Any]:
    """Return bounds without their upper ends: work that was not seen has none."""
    return {
        name: _open_above(value) if isinstance(value, dict) else value
        for name, value in bounds.items()
    } | ({"high": None} if "high" in bounds else {})


def _part(seen: "DeviceTrace", findings: Findings) -> "Accelerator | None":
    import hardware_db

    device = seen.device
    if device.name is None:
        findings.add("unknown-accelerator", "warning", f"{device.key}: the device has no name")
        return None
    memory = None if device.memory_bytes is None else device.memory_bytes / 1e9
    contradiction = ""
    try:
        return hardware_db.identify(device.name, memory_gb=memory).device()
    except hardware_db.AmbiguousAccelerator:
        pass
    except hardware_db.HardwareError as error:
        contradiction = str(error)
    try:
        # Parts that compute alike need not be told apart for a bound on FLOP.
        part = hardware_db.identify_compute(device.name).device()
    except hardware_db.AmbiguousAccelerator as error:
        findings.add("ambiguous-accelerator", "warning", str(error))
        return None
    except hardware_db.HardwareError as error:
        findings.add("unknown-accelerator", "warning", str(error))
        return None
    if contradiction:
        # A card with more memory than it was sold with, or a share of one: the name's rates bound it.
        findings.add("accelerator-mismatch", "warning", f"{device.key}: {contradiction}")
    return part
