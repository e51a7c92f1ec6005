"""One device's instruments met with each other: the executed FLOP that all of them allow.

Gauges are met piece by piece, counters over their own spans; only then is anything added.
"""

import math
from collections.abc import Iterable, Mapping

import numpy as np

from profilers.bounds.checks import Contradiction
from profilers.bounds.counters import (
    counter_scale,
    cycle_spans,
    energy_column,
    energy_spans,
    over,
)
from profilers.bounds.intervals import Interval, bounded
from profilers.bounds.pieces import COUNTERS, Column, Cut, Floats
from profilers.bounds.sums import device_integrals
from profilers.bounds.values import DeviceFlop, Rates
from profilers.counters import CounterSpans, telescoped
from profilers.trace import DeviceKey

_MATRIX_PIPES = ("hmma", "imma", "dfma")
_VECTOR_PIPES = ("fp64", "fp32", "fp16")


def device_flop(cut: Cut, rates: Rates) -> tuple[DeviceFlop, list[Contradiction]]:
    """Bound one device's executed FLOP; what contradicts itself stands beside it."""
    pieces, key = cut.pieces, cut.key
    cap = _times(pieces.clock.high, rates.tensor[1] + rates.vector)
    gauges = _gauges(pieces.busy, pieces.active, rates)
    used = ["gauges"] if _tighter(gauges, cap) else []
    findings: list[Contradiction] = []
    low, high = gauges.sum()
    for name, spans, column in _counted(cut, rates, findings):
        met, contradictions = _meet(gauges, spans, column, key, name)
        findings.extend(contradictions)
        if met[0] > low * (1 + 1e-9) or met[1] < high * (1 - 1e-9):
            used.append(name)
        low, high = max(low, met[0]), min(high, met[1])
    if low > high * (1 + 1e-9):
        findings.append(_empty(key, "the instruments", low, high))
        low, high = gauges.sum()
    hard = bounded(low, max(low, high))
    estimated, contradictions = _estimated(cut, rates, hard)
    bound = DeviceFlop(
        key=key,
        hard=hard,
        estimated=estimated,
        cap=bounded(0.0, float(cap.sum())),
        used=tuple(dict.fromkeys(used)),
        integrals=device_integrals(cut),
    )
    return bound, [*findings, *contradictions]


def _times(cycles: Floats, flop: float) -> Floats:
    """Multiply cycles, which may be unbounded, by a rate: no rate makes no FLOP of any of them."""
    return cycles * flop if flop else np.zeros(len(cycles))


def _sum(columns: Iterable[Floats], length: int) -> Floats:
    return sum(columns, np.zeros(length))


def _gauges(busy: Column, active: Mapping[str, Column], rates: Rates) -> Column:
    """Meet the gauges' bounds in every piece: B1 and B2 in ``busy``, B4 in ``active``."""
    low = np.zeros(len(busy.high))
    vector = _vector(busy, active, rates)
    high = _times(busy.high, rates.tensor[1]) + vector
    tensor = active.get("tensor")
    if tensor is not None:
        # Integer products keep the same pipe busy and are no FLOP.
        integer = active["imma"].high if "imma" in active else 0.0
        low = np.maximum(tensor.low - integer, 0.0) * rates.tensor[0]
        high = np.minimum(high, _times(tensor.high, rates.tensor[1]) + vector)
    parts = [(active[pipe], rates.pipes[pipe]) for pipe in rates.pipes if pipe in active]
    low = np.maximum(low, _sum((column.low * rate[0] for column, rate in parts), len(low)))
    if set(_MATRIX_PIPES) <= set(active) & set(rates.pipes):
        matrix = [_times(active[pipe].high, rates.pipes[pipe][1]) for pipe in _MATRIX_PIPES]
        high = np.minimum(high, _sum(matrix, len(low)) + vector)
    return Column(low, high)


def _vector(busy: Column, active: Mapping[str, Column], rates: Rates) -> Floats:
    """Bound what is not done by matrix pipes: by residence, and by its own pipes where all told."""
    resident = _times(busy.high, rates.vector)
    if not set(_VECTOR_PIPES) <= set(active) & set(rates.pipes):
        return resident
    pipes = [_times(active[pipe].high, rates.pipes[pipe][1]) for pipe in _VECTOR_PIPES]
    return np.minimum(resident, _sum(pipes, len(resident)))


def _tighter(gauges: Column, cap: Floats) -> bool:
    return bool((gauges.high < cap * (1 - 1e-9)).any() or (gauges.low > 0).any())


def _counted(
    cut: Cut, rates: Rates, findings: list[Contradiction]
) -> list[tuple[str, CounterSpans, Column]]:
    """Return what cumulative counters say: cycles (B3), and energy (B6) where it is hard."""
    found: list[tuple[str, CounterSpans, Column]] = []
    spans = cut.pieces.counters.get(COUNTERS["tensor"])
    if spans is not None:
        scale = counter_scale(cut, rates.sm_count)
        if scale is None:
            message = "cycle counters may be of one SM or summed over all; they are not used"
            findings.append(
                Contradiction(code="counter-scale-unknown", device=cut.key, message=message)
            )
        else:
            spans = cycle_spans(cut, spans, scale)
            found.append(("cycle-counter", spans, _cycle_flop(cut, spans, scale, rates)))
    if rates.joules_per_flop and rates.joules_per_flop_is_hard:
        energy = energy_spans(cut)
        spent = () if energy is None else (energy, telescoped(energy))
        found += [("energy", spans, _energy_flop(cut, spans, rates)) for spans in spent]
    return found


def _cycle_flop(cut: Cut, spans: CounterSpans, scale: float, rates: Rates) -> Column:
    """Turn tensor cycles into FLOP; integer products, counted apart, are none."""
    floating = spans.delta
    integer = cut.pieces.counters.get(COUNTERS["imma"])
    if integer is not None:
        same = np.array_equal(integer.start, spans.start) and np.array_equal(
            integer.stop, spans.stop
        )
        floating = np.maximum(spans.delta - integer.delta, 0.0) if same else spans.delta * 0
    vector = _times(over(cut.pieces.busy.high, spans), rates.vector)
    most = spans.most / scale * rates.tensor[1] + vector
    return Column(floating / scale * rates.tensor[0], most)


def _energy_flop(cut: Cut, spans: CounterSpans, rates: Rates) -> Column:
    assert rates.joules_per_flop
    joules = energy_column(cut, spans)
    idle = over(cut.pieces.seconds, spans) * rates.idle_watts
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
    cut: Cut, rates: Rates, hard: Interval
) -> tuple[Interval | None, list[Contradiction]]:
    """Meet the estimates: sampled activity and clock, and energy with a calibrated cost."""
    pieces, key = cut.pieces, cut.key
    if pieces.clock_estimate is None:
        return None, []
    # Utilisation is the weaker witness: it only speaks where no pipe's own activity does.
    busy = pieces.busy
    if "tensor" not in pieces.active_estimate:
        busy = pieces.busy_estimate or pieces.clock_estimate
    column = _gauges(busy, pieces.active_estimate, rates)
    # An unseen piece has no gauge: it stands at what the hard bound leaves.
    most = _times(pieces.clock.high, rates.tensor[1] + rates.vector)
    column = Column(
        np.where(pieces.seen, column.low, 0.0), np.where(pieces.seen, column.high, most)
    )
    if bool((column.low > column.high * (1 + 1e-9)).any()):
        return None, [_disagree(key, "activity and busy time", *column.sum())]
    found: Interval | None = bounded(*column.sum())
    energy = energy_spans(cut)
    if energy is not None and rates.joules_per_flop and not rates.joules_per_flop_is_hard:
        whole = telescoped(energy)
        flop = _energy_flop(cut, whole, rates)
        (low, high), contradictions = _meet(column, whole, flop, key, "energy")
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
