"""Cumulative counters of one device against its pieces: sums, scale, and the errors of their ends."""

import math

import numpy as np

from profilers.bounds.pieces import Column, Cut, Floats, max_clock
from profilers.counters import CounterSpans, energy_ends, outgrown, with_hidden_resets

_SLACK = 1.05
"""A counter faster than the clock by more than this is summed over SMs."""
_SEVERAL = 3


def over(values: Floats, spans: CounterSpans) -> Floats:
    """Add up pieces over each span."""
    if np.isinf(values).any():
        return np.array(
            [values[a:b].sum() for a, b in zip(spans.start, spans.stop, strict=True)], np.float64
        )
    # Extended precision: a second's difference of two months' running sum keeps its digits.
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.longdouble)])
    found: Floats = (sums[spans.stop] - sums[spans.start]).astype(np.float64)
    return found


def energy_spans(cut: Cut) -> CounterSpans | None:
    """Return the energy counter's spans (millijoules), with what a hidden reset may have held."""
    spans = cut.pieces.counters.get("energy_mj")
    watts = most_power(cut)
    if spans is None or watts is None:
        return spans
    # The counter follows the sensor's gain, and moves in steps of its update period.
    fastest = watts * 1e3 * (1 + cut.limits.energy_gain)
    return with_hidden_resets(spans, fastest, cut.limits.energy_edge_s)


def energy_column(cut: Cut, spans: CounterSpans) -> Column:
    """Return the joules of each span: gain error, and the counter's update period at both ends."""
    most, limits = most_power(cut), cut.limits
    edge = np.full(len(spans.delta), math.inf if most is None else 2 * most * limits.energy_edge_s)
    return Column(*energy_ends(spans.delta * 1e-3, spans.most * 1e-3, edge, limits.energy_gain))


def most_power(cut: Cut) -> float | None:
    """Return the highest board power: as stated, described, or the highest limit recorded."""
    if cut.limits.max_power_watts is not None:
        return cut.limits.max_power_watts
    if cut.device.device.power_limit_mw is not None:
        return cut.device.device.power_limit_mw * 1e-3
    series = cut.device.series.get("power_limit_mw")
    if series is None or not series.present.any():
        return None
    return float(series.masked.max()) * 1e-3


def counter_scale(cut: Cut, sm_count: int | None) -> float | None:
    """Return how many SMs a cycle counter is summed over, from the elapsed cycles (DCGM 1084).

    None where that is not to be told. A reset makes the cycles of one span look few; it is allowed
    for, but not a hidden one in each of several spans.
    """
    elapsed = cut.pieces.counters.get("sm_cycles_elapsed")
    fastest = max_clock(cut.device, cut.limits)
    if elapsed is None or math.isinf(fastest):
        return None
    rate = elapsed.delta / elapsed.seconds
    sure = ~outgrown(elapsed, fastest * _SLACK * (sm_count or 1))
    if sure.any():
        rate = rate[sure]
    elif len(rate) < _SEVERAL:
        return None
    per_second = float(np.median(rate))
    if per_second <= fastest * _SLACK:
        return 1.0
    if sm_count and per_second <= fastest * _SLACK * sm_count:
        return float(sm_count)
    return None


def cycle_spans(cut: Cut, spans: CounterSpans, scale: float) -> CounterSpans:
    """Return a cycle counter's spans, with what a hidden reset may have held."""
    fastest = max_clock(cut.device, cut.limits)
    return with_hidden_resets(spans, None if math.isinf(fastest) else fastest * _SLACK * scale)
