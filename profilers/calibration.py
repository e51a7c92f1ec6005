"""What the instruments of this machine cost and whether they agree: call latencies, update periods.

Works on anything that a source can open; the stand-in included, whose figures then say nothing
about a real driver. Known matrix products need the parts' rates: ``flopledger.profiling.known_products``.
"""

import itertools
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass

from profilers.reading import Reading, Reason, Unavailable
from profilers.source import Source
from profilers.values import Device, DeviceKey


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """How long one sweep of one source takes."""

    median_ms: float
    worst_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class EnergyCheck:
    """The energy counter against the power readings over the same time."""

    device: Device
    seconds: float
    counter_watts: float | None
    """None: no counter, or it did not move."""
    power_watts: float | None
    """None: no power reading."""
    update_ms: float | None
    """Median time between two changes of the counter; None where it changed less than twice."""


def sweep_latency(source: Source, sweeps: int = 20) -> Latency:
    """Time whole sweeps of an open source."""
    took = []
    for _ in range(sweeps):
        before = time.perf_counter()
        source.sweep()
        took.append((time.perf_counter() - before) * 1e3)
    return Latency(median_ms=statistics.median(took), worst_ms=max(took))


def energy_checks(source: Source, seconds: float) -> list[EnergyCheck]:
    """Watch every device for some seconds, fifty times a second."""
    seen: dict[object, list[tuple[int, object, object]]] = {}
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for sample in source.sweep().samples:
            row = (
                sample.monotonic_ns or 0,
                sample.readings.get("energy_mj"),
                sample.readings.get("power_mw"),
            )
            seen.setdefault(sample.device, []).append(row)
        time.sleep(0.02)
    return [_energy_check(device, seen.get(device.key, [])) for device in source.devices()]


def _energy_check(device: Device, rows: list[tuple[int, object, object]]) -> EnergyCheck:
    energy = [(at, mj) for at, mj, _ in rows if isinstance(mj, int | float)]
    power = [mw for _, _, mw in rows if isinstance(mw, int | float)]
    changes = [
        (at, mj) for (at, mj), (_, last) in zip(energy[1:], energy, strict=False) if mj != last
    ]
    counter = update = None
    if len(changes) > 1:
        # From change to change, so that the counter's coarseness does not blur the ends.
        (first, low), (last, high) = changes[0], changes[-1]
        counter = (high - low) / 1e3 / ((last - first) / 1e9)
        update = statistics.median((b - a) / 1e6 for (a, _), (b, _) in itertools.pairwise(changes))
    return EnergyCheck(
        device=device,
        seconds=(rows[-1][0] - rows[0][0]) / 1e9 if rows else 0.0,
        counter_watts=counter,
        power_watts=statistics.fmean(power) / 1e3 if power else None,
        update_ms=update,
    )


COSTS = {
    "tensor_activity_permille": "FLOP is bounded by clock and utilisation only: no lower bound",
    "mma_cycles_active": "no raw cycle counters (DCGM 4.6 or later has them): sampled activity "
    "instead of exact integrals",
    "sm_clock_mhz": "every bound uses the highest clock: up to about 1.4 times wider",
    "energy_mj": "energy is integrated from power readings, which alias with the load",
    "power_mw": "no check of the energy counter",
    "gpu_util_permille": "busy time is unknown: the upper bound covers all of the time",
    "event_reasons": "why a clock was held is unknown",
    "process_count": "devices cannot be attributed to a run by the driver's process list, and "
    "whether others shared them is unknown",
    "memory_used_bytes": "whether a model was loaded at all goes unseen",
    "ecc_uncorrected": "memory errors go unseen",
    "temperature_c": "a device that slowed down from heat is told only by its event reasons",
    "cpu_retired_flop": "no count of what the CPU computed",
}
"""What a missing signal costs an auditor."""

_NO_ENERGY = "energy is unknown: no joules, and no bound on FLOP from them"
_PARTITION = "the whole device has it: what one partition drew or did of that is unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """A signal that cannot be read here and matters."""

    signal: str
    why: Unavailable
    cost: str
    """What an auditor loses."""
    mend: str
    """What would bring it; empty where nothing does."""


def answers(source: Source) -> dict[DeviceKey, dict[str, Reading]]:
    """Return what each device answers to one sweep, after one that asks everything.

    A mean or a slow signal may be ``pending`` in the second; the first one's answer then speaks.
    """
    first = {sample.device: dict(sample.readings) for sample in source.sweep().samples}
    for sample in source.sweep().samples:
        known = first.setdefault(sample.device, {})
        for name, reading in sample.readings.items():
            if not (isinstance(reading, Unavailable) and reading.reason is Reason.PENDING):
                known[name] = reading
    return first


def refusals(device: Device, readings: Mapping[str, Reading]) -> dict[str, Unavailable]:
    """Return every signal of the device's kind that gives no number here, and why."""
    return dict(device.missing) | {
        name: reading
        for name, reading in readings.items()
        if isinstance(reading, Unavailable) and reading.reason is not Reason.PENDING
    }


def missing_costs(device: Device, refused: Mapping[str, Unavailable]) -> list[Missing]:
    """Return what matters of the refused signals, what it costs and what mends it."""
    names = (
        ["cpu_retired_flop"]
        if device.vendor == "cpu"
        else [n for n in COSTS if n != "cpu_retired_flop"]
    )
    return [
        Missing(
            signal=name,
            why=refused[name],
            cost=_cost(name, device, refused),
            mend=_mend(name, refused[name]),
        )
        for name in names
        if name in refused
    ]


def _cost(name: str, device: Device, refused: Mapping[str, Unavailable]) -> str:
    if name in {"energy_mj", "power_mw"} and {"energy_mj", "power_mw"} <= refused.keys():
        return _PARTITION if device.key.mig else _NO_ENERGY
    return COSTS[name]


def _mend(name: str, why: Unavailable) -> str:
    if why.reason is Reason.FORBIDDEN:
        if name == "tensor_activity_permille":
            return (
                "run as root, or load the driver with NVreg_RestrictProfilingToAdminUsers=0, "
                "or read a dcgm-exporter"
            )
        return "ask with more rights (root, or a container with the device's capabilities)"
    if why.reason is Reason.LOST:
        return "reset the device or boot the host; the kernel's log has an XID"
    if "Function Not Found" in why.detail:
        return "a newer driver: the installed library has no such function"
    if name == "tensor_activity_permille" and why.reason is Reason.UNSUPPORTED:
        return "NVML has it from Hopper on; before, a dcgm-exporter may have it (--dcgm URL)"
    return ""
