"""Recordings of a run's devices against the peaks: what they can have executed.

`flopledger.logs` takes device-seconds and energy from the same files; here the whole trace meets the
rates of the part. The profilers pillar returns device integrals and knows no peak.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flopledger.logs import EvidenceFile
from flopledger.parts import Part

if TYPE_CHECKING:
    from profilers.bounds import FlopBounds
    from profilers.trace import DeviceKey, DeviceTrace, Trace

_VECTOR_PRECISIONS = ("fp64", "fp32", "fp16")


@dataclass(frozen=True, kw_only=True, slots=True)
class Telemetry:
    """The recordings of one run, joined by device."""

    trace: "Trace"
    names: tuple[str, ...]  #: the files
    #: meters of nodes and racks among them: they draw power, and execute nothing
    meters: "frozenset[DeviceKey]" = frozenset()

    @property
    def place(self) -> str:
        """The files, for sources."""
        return ", ".join(self.names)


def read(files: Sequence[EvidenceFile]) -> Telemetry | None:
    """Join the recordings; ``None`` without one, or where they are damaged (a finding elsewhere)."""
    if not files:
        return None
    from flopledger.logs import run_records
    from flopledger.logs.notes import Notes
    from flopledger.logs.telemetry_files import options
    from profilers import ProfilersError
    from profilers.importers import collect, open_recording
    from profilers.trace import Trace

    try:
        records = [file for file in files if run_records.is_record(file.path)]
        others = [file for file in files if file not in records]
        opened = [open_recording(file.path, options(file))[1] for file in others]
        trace = collect(one for one in opened if one.scope == "device")
        of_nodes = collect(one for one in opened if one.scope != "device")
        meters = set(of_nodes.devices)
        trace = trace.merge(of_nodes) if trace.devices else of_nodes
        for file in records:
            record = run_records.read(file.path, Notes(file.name))
            if record is None or record.trace is None:
                continue
            used = {
                key: device for key, device in record.trace.devices.items() if key in record.used
            }
            meters |= set(used) if record.scope != "device" else set()
            ends = record.trace.started_ns, record.trace.ended_ns
            trace = trace.merge(
                Trace(
                    devices=used,
                    gaps=record.trace.gaps,
                    events=record.trace.events,
                    started_ns=ends[0],
                    ended_ns=ends[1],
                )
            )
    except ProfilersError:
        return None
    return (
        Telemetry(
            trace=trace,
            names=tuple(file.name for file in files),
            meters=frozenset(meters),
        )
        if trace.devices
        else None
    )


def executed(telemetry: Telemetry, part: Part, precision: str | None) -> "FlopBounds | None":
    """Bound the FLOP that the recorded devices executed; ``None`` where no rate is public.

    With several candidates, or an open precision, the rates span all of them.
    """
    from profilers.bounds import Limits, Rates, executed_flop

    tensor = part.flop_per_cycle(precision)
    vector = [part.flop_per_cycle(name, engine="vector") for name in _VECTOR_PRECISIONS]
    known = [ends for ends in vector if ends is not None]
    if tensor is None or not known:
        return None
    rates = Rates(tensor=tensor, vector=max(high for _, high in known))
    devices = {
        key: one for key, one in telemetry.trace.devices.items() if key not in telemetry.meters
    }
    if not devices:
        return None
    trace = replace(telemetry.trace, devices=devices)
    return executed_flop(trace, rates, Limits(max_clock_hz=part.max_clock_hz))


def recorded_seconds(telemetry: Telemetry) -> float:
    """Add up the time from first to last sample of each device, holes included."""
    spans = (
        int(one.time_ns[-1]) - int(one.time_ns[0] - one.period_ns[0])
        for key, one in telemetry.trace.devices.items()
        if key not in telemetry.meters and len(one)
    )
    return sum(spans) / 1e9


#: Share of the time a kernel is resident, and of the power in work, below which a device idles.
_IDLE_BUSY, _IDLE_POWER = 0.05, 0.5
#: So many samples at each end, and a busy middle of as many: fewer show nothing.
_ENDS = 2


def from_idle_to_idle(telemetry: Telemetry | None) -> bool:
    """Say whether all devices were idle when the recording began and ended, and busy between."""
    if telemetry is None:
        return False
    devices = [one for key, one in telemetry.trace.devices.items() if key not in telemetry.meters]
    return bool(devices) and all(_idles_at_both_ends(one) for one in devices)


def _idles_at_both_ends(device: "DeviceTrace") -> bool:
    import numpy as np

    for name in ("gpu_util_permille", "power_mw"):
        if name not in device.series:
            continue
        known = device.series[name].masked.compressed()
        if len(known) < 3 * _ENDS:
            continue
        busy = float(np.median(known[_ENDS:-_ENDS]))
        idle = 1000 * _IDLE_BUSY if name == "gpu_util_permille" else _IDLE_POWER * busy
        ends = max(known[:_ENDS].max(), known[-_ENDS:].max())
        return bool(ends < idle < busy)
    return False
