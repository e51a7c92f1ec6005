"""Cumulative counters of one device: what their spans add up to, with the errors of their ends."""

import math

import numpy as np

from profilers.bound_pieces import Column, CounterSpans, Floats, Limits, Pieces, max_clock
from profilers.trace import DeviceTrace

_SLACK = 1.05
"""A counter faster than the clock by more than this is summed over SMs."""


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


def telescoped(spans: CounterSpans) -> CounterSpans:
    """Unite the spans of each segment: its edges are paid for once."""
    _, first = np.unique(spans.segment, return_index=True)
    last = np.append(first[1:], len(spans.segment)) - 1
    return CounterSpans(
        start=spans.start[first],
        stop=spans.stop[last],
        delta=np.add.reduceat(spans.delta, first),
        segment=spans.segment[first],
    )


def energy_column(device: DeviceTrace, spans: CounterSpans, limits: Limits) -> Column:
    """Return the joules of each span: gain error, and the counter's update period at both ends."""
    joules = spans.delta * 1e-3
    most = most_power(device, limits)
    edge = math.inf if most is None else 2 * most * limits.energy_edge_s
    low = np.maximum(joules * (1 - limits.energy_gain) - edge, 0.0)
    return Column(low, joules * (1 + limits.energy_gain) + edge)


def most_power(device: DeviceTrace, limits: Limits) -> float | None:
    """Return the highest board power: as stated, described, or the highest limit recorded."""
    if limits.max_power_watts is not None:
        return limits.max_power_watts
    if device.device.power_limit_mw is not None:
        return device.device.power_limit_mw * 1e-3
    series = device.series.get("power_limit_mw")
    if series is None or not series.present.any():
        return None
    return float(series.masked.max()) * 1e-3


def counter_scale(
    device: DeviceTrace, cut: Pieces, sm_count: int | None, limits: Limits
) -> float | None:
    """Return how many SMs a cycle counter is summed over, from the elapsed cycles (DCGM 1084)."""
    elapsed = cut.counters.get("sm_cycles_elapsed")
    fastest = max_clock(device, limits)
    if elapsed is None or math.isinf(fastest):
        return None
    per_second = float(elapsed.delta.sum() / over(cut.seconds, elapsed).sum())
    if per_second <= fastest * _SLACK:
        return 1.0
    if sm_count and per_second <= fastest * _SLACK * sm_count:
        return float(sm_count)
    return None
