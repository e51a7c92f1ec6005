"""What telemetry bounds: device integrals, and executed FLOP once the roof names rates.

The integrals (seconds, cycles of one SM, joules) are this pillar's answer. ``executed_flop`` turns
them into FLOP with the numbers that its caller gives (FLOP per cycle, joules per FLOP): no peak is
known here. Bounds are met per device and piece of time first and added afterwards, because adding
first throws the information away.

Hard bounds hold whatever the sensors' stated errors and blind spots allow; estimates take gauges as
representative. They are kept apart: only a hard bound can prove that a claim is impossible. Counters are
taken to show their resets: one that outgrew its old value between two looks shows nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from profilers.bound_checks import Contradiction, cross_check
from profilers.bound_counters import counter_scale, energy_column, over, telescoped
from profilers.bound_intervals import Interval, bounded, total, useful
from profilers.bound_pieces import COUNTERS, Column, CounterSpans, Limits, Pieces, pieces
from profilers.coarse import coarsened
from profilers.trace import DeviceKey, DeviceTrace, Trace

__all__ = [
    "Contradiction",
    "DeviceFlop",
    "DeviceIntegrals",
    "FlopBounds",
    "Interval",
    "Limits",
    "Rates",
    "executed_flop",
    "integrals",
    "total",
    "useful",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """What the roof says a device does. FLOP per SM clock cycle are those of the whole device."""

    tensor: tuple[float, float]
    """FLOP per tensor-busy cycle: of the narrowest and the widest precision not excluded."""
    vector: float
    """Largest FLOP per cycle of all other pipes together."""
    pipes: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """FLOP per busy cycle by pipe (``hmma``, ``fp32`` ...), where precision is known by pipe."""
    sm_count: int | None = None
    """SMs of the device: tells summed counters from those of one SM."""
    joules_per_flop: float | None = None
    """Smallest energy of one executed FLOP; None: no bound from energy."""
    joules_per_flop_is_hard: bool = False
    """True only where the smallest energy comes from a favourable operand pattern and clock."""
    idle_watts: float = 0.0
    """Smallest power of the idle board: energy below it did no work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceIntegrals:
    """One device's telemetry, added up. Cycles are those of one SM."""

    key: DeviceKey
    claimed_seconds: float
    covered_seconds: float
    """Seconds for which some sample speaks; uncovered ones stand at [0, cap] in every bound."""
    clock_cycles: Interval
    """B1: cycles that can have passed."""
    busy_cycles: Interval
    """B2: cycles in which work can have been resident; the lower end is 0: residence is no work."""
    active_cycles: Mapping[str, Interval]
    """B4: pipe-busy cycles by pipe, hard."""
    active_cycles_estimated: Mapping[str, Interval]
    """B4 with activity and clock taken as representative."""
    counted_cycles: Mapping[str, float]
    """B3: increase of each cycle counter between looks, as the instrument counts them: of one SM or
    summed over all, see ``Rates.sm_count``."""
    energy_joules: Interval | None
    """Energy between looks at the counter, with gain and edges; None: no counter, or nobody knows
    the highest power, which bounds the edges."""
    energy_joules_estimated: Interval | None
    """The counter with edges at its own mean power; without a counter, power integrated over the
    covered time with the gain error; None: neither."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceFlop:
    """Executed FLOP of one device."""

    key: DeviceKey
    hard: Interval
    estimated: Interval | None
    """None: no gauge to estimate from, or the estimates contradict each other."""
    cap: Interval
    """B1 alone: what the device can have done in the claimed time."""
    used: tuple[str, ...]
    """Instruments that tightened the hard bound."""
    integrals: DeviceIntegrals


@dataclass(frozen=True, kw_only=True, slots=True)
class FlopBounds:
    """Executed FLOP of a trace: hard and estimated, with what contradicts itself."""

    hard: Interval
    estimated: Interval | None
    """None unless every device has an estimate."""
    devices: tuple[DeviceFlop, ...]
    findings: tuple[Contradiction, ...]

    @property
    def coverage(self) -> float | None:
        """Covered over claimed device-seconds; None where nothing was claimed."""
        claimed = math.fsum(d.integrals.claimed_seconds for d in self.devices)
        covered = math.fsum(d.integrals.covered_seconds for d in self.devices)
        return covered / claimed if claimed else None


def integrals(
    trace: Trace, limits: Limits | Mapping[DeviceKey, Limits] | None = None
) -> tuple[DeviceIntegrals, ...]:
    """Return every device's integrals over the run's time (``started_ns`` to ``ended_ns``)."""
    devices = ((key, coarsened(device)) for key, device in trace.devices.items())
    return tuple(
        _integrals(device, _pieces(trace, device, _limits_of(limits, key)), _limits_of(limits, key))
        for key, device in devices
    )


def executed_flop(
    trace: Trace,
    rates: Rates | Mapping[DeviceKey, Rates],
    limits: Limits | Mapping[DeviceKey, Limits] | None = None,
) -> FlopBounds:
    """Bound the executed FLOP of every device and of all together.

    ``rates`` and ``limits`` are for all devices, or by device. Raises ``KeyError`` for a device
    without rates: nothing falls back to another device's.
    """
    found: list[DeviceFlop] = []
    findings: list[Contradiction] = []
    for key, recorded in trace.devices.items():
        device = coarsened(recorded)
        own = rates[key] if isinstance(rates, Mapping) else rates
        limit = _limits_of(limits, key)
        cut = _pieces(trace, device, limit)
        bound, contradictions = _device_flop(device, cut, own, limit)
        found.append(bound)
        findings.extend(contradictions)
        findings.extend(cross_check(key, cut))
    estimates = [d.estimated for d in found if d.estimated is not None]
    return FlopBounds(
        hard=total(d.hard for d in found),
        estimated=total(estimates) if found and len(estimates) == len(found) else None,
        devices=tuple(found),
        findings=tuple(findings),
    )


def _limits_of(limits: Limits | Mapping[DeviceKey, Limits] | None, key: DeviceKey) -> Limits:
    if isinstance(limits, Mapping):
        return limits.get(key, Limits())
    return limits or Limits()


def _pieces(trace: Trace, device: DeviceTrace, limits: Limits) -> Pieces:
    return pieces(
        device, limits, start_ns=trace.started_ns, end_ns=trace.ended_ns, events=trace.events
    )


def _integrals(device: DeviceTrace, cut: Pieces, limits: Limits) -> DeviceIntegrals:
    return DeviceIntegrals(
        key=device.device.key,
        claimed_seconds=float(cut.seconds.sum()),
        covered_seconds=float(cut.seconds[cut.seen].sum()),
        clock_cycles=_interval(cut.clock),
        busy_cycles=_interval(cut.busy),
        active_cycles={pipe: _interval(column) for pipe, column in cut.active.items()},
        active_cycles_estimated={
            pipe: _interval(column) for pipe, column in cut.active_estimate.items()
        },
        counted_cycles={
            name: float(spans.delta.sum())
            for name, spans in cut.counters.items()
            if name != "energy_mj"
        },
        energy_joules=_energy(device, cut, limits),
        energy_joules_estimated=_energy_estimated(cut, limits),
    )


def _interval(column: Column) -> Interval:
    return bounded(*column.sum())


def _energy(device: DeviceTrace, cut: Pieces, limits: Limits) -> Interval | None:
    spans = cut.counters.get("energy_mj")
    if spans is None:
        return None
    column = energy_column(device, telescoped(spans), limits)
    found = bounded(*column.sum())
    return None if found.high is None else found


def _energy_estimated(cut: Pieces, limits: Limits) -> Interval | None:
    spans = cut.counters.get("energy_mj")
    known = ~np.isnan(cut.power_watts)
    if spans is not None:
        whole = telescoped(spans)
        joules = whole.delta * 1e-3
        edge = 2 * limits.energy_edge_s * joules / over(cut.seconds, whole)
    elif known.any():
        joules = cut.power_watts[known] * cut.seconds[known]
        edge = np.zeros(len(joules))
    else:
        return None
    low = np.maximum(joules * (1 - limits.energy_gain) - edge, 0.0)
    return bounded(float(low.sum()), float((joules * (1 + limits.energy_gain) + edge).sum()))


def _device_flop(
    device: DeviceTrace, cut: Pieces, rates: Rates, limits: Limits
) -> tuple[DeviceFlop, list[Contradiction]]:
    key = device.device.key
    most = rates.tensor[1] + rates.vector
    cap = bounded(0.0, cut.clock.sum()[1] * most)
    used: list[str] = []
    findings: list[Contradiction] = []
    hard = _gauges(cut.busy, cut.active, rates)
    if _tighter(hard, Column(hard.low, cut.clock.high * most)):
        used.append("gauges")
    blocks = hard
    low, high = hard.sum()
    for name, spans, column in _counted(device, cut, rates, limits, findings):
        met, contradiction = _meet(blocks, spans, column, key, name)
        findings.extend(contradiction)
        if met[0] > low * (1 + 1e-9) or met[1] < high * (1 - 1e-9):
            used.append(name)
        low, high = max(low, met[0]), min(high, met[1])
    if low > high * (1 + 1e-9):
        findings.append(_empty(key, "the instruments", low, high))
        low, high = hard.sum()[0], hard.sum()[1]
    estimated, contradictions = _estimated(device, cut, rates, limits, bounded(low, max(low, high)))
    return (
        DeviceFlop(
            key=key,
            hard=bounded(low, max(low, high)),
            estimated=estimated,
            cap=cap,
            used=tuple(used),
            integrals=_integrals(device, cut, limits),
        ),
        [*findings, *contradictions],
    )


def _gauges(busy: Column, active: Mapping[str, Column], rates: Rates) -> Column:
    """Meet the gauges' bounds in every piece: B1 and B2 in ``busy``, B4 in ``active``."""
    low = np.zeros(len(busy.high))
    high = busy.high * (rates.tensor[1] + rates.vector)
    tensor = active.get("tensor")
    if tensor is not None:
        low = np.maximum(low, tensor.low * rates.tensor[0])
        high = np.minimum(high, tensor.high * rates.tensor[1] + busy.high * rates.vector)
    parts = [(active[pipe], rates.pipes[pipe]) for pipe in rates.pipes if pipe in active]
    if parts:
        low = np.maximum(low, sum((c.low * r[0] for c, r in parts), np.zeros(len(low))))
    if {"hmma", "imma", "dfma"} <= set(active) & set(rates.pipes):
        matrix = [(active[p], rates.pipes[p]) for p in ("hmma", "imma", "dfma")]
        inside = sum((c.high * r[1] for c, r in matrix), np.zeros(len(low)))
        high = np.minimum(high, inside + busy.high * rates.vector)
    return Column(low, high)


def _tighter(a: Column, b: Column) -> bool:
    return bool((a.high < b.high * (1 - 1e-9)).any() or (a.low > 0).any())


def _counted(
    device: DeviceTrace,
    cut: Pieces,
    rates: Rates,
    limits: Limits,
    findings: list[Contradiction],
) -> list[tuple[str, CounterSpans, Column]]:
    """Return what cumulative counters say: cycles (B3), and energy (B6) where it is hard."""
    found: list[tuple[str, CounterSpans, Column]] = []
    spans = cut.counters.get(COUNTERS["tensor"])
    if spans is not None:
        scale = counter_scale(device, cut, rates.sm_count, limits)
        if scale is None:
            findings.append(
                Contradiction(
                    code="counter-scale-unknown",
                    device=device.device.key,
                    message="cycle counters may be of one SM or summed over all; they are not used",
                )
            )
        else:
            busy = over(cut.busy.high, spans)
            cycles = spans.delta / scale
            column = Column(
                cycles * rates.tensor[0], cycles * rates.tensor[1] + busy * rates.vector
            )
            found.append(("cycle-counter", spans, column))
    energy = cut.counters.get("energy_mj")
    if energy is not None and rates.joules_per_flop and rates.joules_per_flop_is_hard:
        whole = telescoped(energy)
        for spans in (energy, whole):
            joules = energy_column(device, spans, limits)
            found.append(("energy", spans, _energy_flop(cut, spans, joules, rates)))
    return found


def _energy_flop(cut: Pieces, spans: CounterSpans, joules: Column, rates: Rates) -> Column:
    assert rates.joules_per_flop
    idle = over(cut.seconds, spans) * rates.idle_watts
    spent = np.maximum(joules.high - idle, 0.0)
    return Column(np.zeros(len(spent)), spent / rates.joules_per_flop)


def _meet(
    base: Column, spans: CounterSpans, column: Column, key: DeviceKey, name: str
) -> tuple[tuple[float, float], list[Contradiction]]:
    """Meet a counter's spans with the pieces under them; return the sums over all pieces."""
    low, high = over(base.low, spans), over(base.high, spans)
    met_low, met_high = np.maximum(low, column.low), np.minimum(high, column.high)
    empty = met_low > met_high * (1 + 1e-9)
    findings = []
    if empty.any():
        worst = int(np.flatnonzero(empty)[0])
        findings.append(_empty(key, name, float(met_low[worst]), float(met_high[worst])))
        # Where they contradict each other neither is believed: both ends are kept.
        met_low = np.where(empty, np.minimum(low, column.low), met_low)
        met_high = np.where(empty, np.maximum(high, column.high), met_high)
    outside = np.ones(len(base.low), np.bool_)
    for start, stop in zip(spans.start.tolist(), spans.stop.tolist(), strict=True):
        outside[start:stop] = False
    return (
        float(met_low.sum() + base.low[outside].sum()),
        float(met_high.sum() + base.high[outside].sum()),
    ), findings


def _estimated(
    device: DeviceTrace, cut: Pieces, rates: Rates, limits: Limits, hard: Interval
) -> tuple[Interval | None, list[Contradiction]]:
    """Meet the estimates: sampled activity and clock, and energy with a calibrated cost."""
    key = device.device.key
    if cut.clock_estimate is None:
        return None, []
    # Utilisation is the weaker witness: it only speaks where no pipe's own activity does.
    busy = cut.busy if "tensor" in cut.active_estimate else cut.busy_estimate or cut.clock_estimate
    column = _gauges(Column(np.zeros(len(busy.high)), busy.high), cut.active_estimate, rates)
    # An unseen piece has no gauge: it stands at what the hard bound leaves.
    column = Column(
        np.where(cut.seen, column.low, 0.0),
        np.where(cut.seen, column.high, cut.clock.high * (rates.tensor[1] + rates.vector)),
    )
    if bool((column.low > column.high * (1 + 1e-9)).any()):
        return None, [_disagree(key, "activity and busy time", *column.sum())]
    found: Interval | None = bounded(*column.sum())
    energy = cut.counters.get("energy_mj")
    if energy is not None and rates.joules_per_flop and not rates.joules_per_flop_is_hard:
        joules = energy_column(device, telescoped(energy), limits)
        flop = _energy_flop(cut, telescoped(energy), joules, rates)
        (low, high), contradictions = _meet(column, telescoped(energy), flop, key, "energy")
        if contradictions:
            return None, [_disagree(key, "energy and activity", low, high)]
        found = bounded(low, high)
    found = hard.meet(found) if found is not None else None
    if found is None:
        return None, [_disagree(key, "estimates and hard bounds", hard.low, hard.high or math.inf)]
    return found, []


def _disagree(key: DeviceKey, what: str, low: float, high: float) -> Contradiction:
    """Estimates that disagree: a gauge was not representative; hard bounds are not touched."""
    return Contradiction(
        code="estimates-disagree",
        device=key,
        message=f"{what} ({low:.4g} and {high:.4g} FLOP); no estimate is given",
    )


def _empty(key: DeviceKey, what: str, low: float, high: float) -> Contradiction:
    return Contradiction(
        code="telemetry-contradicts-itself",
        device=key,
        message=f"{what}: at least {low:.4g} FLOP by one reading, at most {high:.4g} by another",
    )
