"""What a device's trace adds up to between two moments: what was measured, in seconds and joules.

Figures for people: the amount that was seen and the seconds for which it holds, so that what was
not seen is never mistaken for idleness. What an amount *bounds* is ``profilers.bounds``; both take
their differences of counters from ``profilers.counters``. No FLOP here: only the roof knows a peak.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from profilers.counters import ENERGY_UPDATE_SECONDS, SENSOR_GAIN, contradict, energy_ends, looks
from profilers.trace import DeviceTrace, Gap, Ints

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Amount:
    """An integral and the part of the window for which it holds."""

    value: float
    """In the unit of the function that returned it."""
    seconds: float
    """Seconds of the window that it covers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Energy:
    """Energy of one device over a window."""

    joules: float
    """What was measured, over ``seconds`` of the window."""
    seconds: float
    basis: str
    """``counter`` (the device's own energy counter) or ``power`` (integrated power readings)."""
    low: float
    """Joules that were drawn at least: measured, less the sensor's gain and resolution."""
    high: float | None
    """Joules at most, the unseen time at the enforced limit; None where the limit is unknown."""


def counter_increase(trace: DeviceTrace, name: str, start_ns: int, end_ns: int) -> Amount | None:
    """Return by how much a counter rose inside the window; None where it was never read twice.

    Differences are taken between neighbouring numbers, never across a reset, and are shared out in
    proportion to time at the window's edges. An absence of another kind (a gap, a hang) is spanned:
    that is what a cumulative counter is for.
    """
    series = trace.series.get(name)
    found = None if series is None else looks(trace, series)
    if found is None:
        return None
    length = (found.end_ns - found.start_ns).astype(np.float64)
    inside = np.minimum(found.end_ns, end_ns) - np.maximum(found.start_ns, start_ns)
    inside = np.where(found.whole, np.maximum(inside, 0), 0)
    if not bool((inside > 0).any()):
        return None
    return Amount(
        value=float((found.rise * inside / length).sum()), seconds=float(inside.sum()) / 1e9
    )


def overlap_seconds(trace: DeviceTrace, signal: str | None, start_ns: int, end_ns: int) -> Floats:
    """Return for each sample the seconds of the window for which it speaks."""
    start, end = trace.spans(signal)
    inside = np.minimum(end, end_ns) - np.maximum(start, start_ns)
    seconds: Floats = np.maximum(inside, 0).astype(np.float64) / 1e9
    return seconds


def mean_integral(trace: DeviceTrace, name: str, start_ns: int, end_ns: int) -> Amount | None:
    """Return the time integral of a signal (its unit x seconds); None where it was never read."""
    series = trace.series.get(name)
    if series is None or not bool(series.present.any()):
        return None
    seconds = overlap_seconds(trace, name, start_ns, end_ns)[series.present]
    values = series.payload[series.present].astype(np.float64)
    return Amount(value=float((values * seconds).sum()), seconds=float(seconds.sum()))


def power_integral(trace: DeviceTrace, start_ns: int, end_ns: int) -> Amount | None:
    """Return joules from power readings, by trapezoids between neighbours that were both seen."""
    series = trace.series.get("power_mw")
    if series is None or int(series.present.sum()) < 2:
        return None
    rows = np.flatnonzero(series.present)
    times = trace.time_ns[rows].astype(np.float64)
    watts = series.payload[rows].astype(np.float64) / 1000
    # Neighbours belong together only if the later one speaks for the time since the earlier one.
    start, _ = trace.spans()
    joined = (np.diff(rows) == 1) & (start[rows[1:]] <= trace.time_ns[rows[:-1]])
    left, right = np.maximum(times[:-1], start_ns), np.minimum(times[1:], end_ns)
    seconds = np.where(joined, np.maximum(right - left, 0), 0) / 1e9
    slope = np.diff(watts) / np.diff(times)
    middle = watts[:-1] + slope * ((left + right) / 2 - times[:-1])
    if not bool((seconds > 0).any()):
        return None
    return Amount(value=float((middle * seconds).sum()), seconds=float(seconds.sum()))


def energy(trace: DeviceTrace, start_ns: int, end_ns: int) -> Energy | None:
    """Return a device's energy in the window: its own counter first, integrated power else.

    A counter that stood still says nothing (a window within one of its steps, or a broken counter)
    unless power readings say that nothing was drawn: then it is power, and not a zero. So it is where
    power was read for clearly more of the window than the counter moved in. Where the two contradict
    each other the counter's figure stands, between bounds that hold both.
    """
    window = max(0.0, (end_ns - start_ns) / 1e9)
    counted = counter_increase(trace, "energy_mj", start_ns, end_ns)
    drawn = power_integral(trace, start_ns, end_ns)
    if counted is not None and _is_overruled(counted, drawn, window):
        counted = None
    used = counted or drawn
    if used is None:
        return None
    joules = used.value if counted is None else used.value / 1000
    unseen = max(0.0, window - used.seconds)
    if unseen <= 0.001:
        unseen = 0.0  # rounding of the stamps, not time
    limit = trace.device.power_limit_mw
    worst = 0.0 if not unseen else None if limit is None else unseen * limit / 1000
    ends = [_ends(joules, 0.0)]
    if counted is not None:
        watts = drawn.value / drawn.seconds if drawn is not None else 0.0
        # One update period at either end, at the mean power of the time that was seen.
        ends = [_ends(joules, 2 * ENERGY_UPDATE_SECONDS * max(joules / counted.seconds, watts))]
        if drawn is not None and contradict(joules, watts * counted.seconds, drawn.seconds):
            ends.append(_ends(watts * counted.seconds, 0.0))
    return Energy(
        joules=joules,
        seconds=used.seconds,
        basis="power" if counted is None else "counter",
        low=min(low for low, _ in ends),
        high=None if worst is None else max(high for _, high in ends) + worst,
    )


def clearly_less(seconds: float, window_seconds: float) -> bool:
    """Say whether a figure of these seconds leaves a part of a window open that is worth a word."""
    return window_seconds - seconds > max(0.02 * window_seconds, 0.05)


def _is_overruled(counted: Amount, drawn: Amount | None, window: float) -> bool:
    """Say whether a counter's rise is no answer beside what the power readings say."""
    if drawn is None:
        return counted.value == 0  # no board draws nothing: the counter is coarse, or broken
    if counted.value == 0:
        return drawn.value > 0
    return clearly_less(counted.seconds, window) and clearly_less(counted.seconds, drawn.seconds)


def _ends(joules: float, edge: float) -> tuple[float, float]:
    measured = np.array([joules])
    low, high = energy_ends(measured, measured, np.array([edge]), SENSOR_GAIN)
    return float(low[0]), float(high[0])


def covered_seconds(trace: DeviceTrace, start_ns: int, end_ns: int) -> float:
    """Return the seconds of the window for which some sample of the device speaks."""
    return float(overlap_seconds(trace, None, start_ns, end_ns).sum())


def gaps_within(
    trace: DeviceTrace, node_gaps: tuple[Gap, ...], start_ns: int, end_ns: int, slack_ns: int
) -> list[Gap]:
    """Return every stretch of the window in which the device was not seen.

    Recorded gaps first; then what no sample speaks for and no gap explains, longer than
    ``slack_ns`` (the sampling interval), as ``missing``.
    """
    told = [
        Gap(
            start_ns=max(gap.start_ns, start_ns),
            end_ns=min(gap.end_ns, end_ns),
            reason=gap.reason,
            device=trace.device.key,
            node=gap.node,
            detail=gap.detail,
        )
        for gap in (*trace.gaps, *node_gaps)
        if gap.end_ns > start_ns and gap.start_ns < end_ns
    ]
    known: list[tuple[int, int]] = [(gap.start_ns, gap.end_ns) for gap in told]
    starts, ends = trace.spans()
    known += [(int(a), int(b)) for a, b in zip(*_joined(starts, ends), strict=True)]
    at = start_ns
    for first, last in sorted(known):
        if first - at > slack_ns:
            told.append(_missing(trace, at, min(first, end_ns)))
        at = max(at, last)
        if at >= end_ns:
            break
    if end_ns - at > slack_ns:
        told.append(_missing(trace, at, end_ns))
    return sorted(told, key=lambda gap: (gap.start_ns, gap.end_ns))


def _missing(trace: DeviceTrace, start_ns: int, end_ns: int) -> Gap:
    return Gap(start_ns=start_ns, end_ns=end_ns, reason="missing", device=trace.device.key)


def _joined(starts: Ints, ends: Ints) -> tuple[list[int], list[int]]:
    """Merge spans that touch, so that a long trace has a handful of stretches."""
    kept = ends > starts
    starts, ends = starts[kept], ends[kept]
    if not len(starts):
        return [], []
    cut = np.flatnonzero(starts[1:] > ends[:-1]) + 1
    first = np.concatenate([[0], cut])
    last = np.concatenate([cut - 1, [len(ends) - 1]])
    return starts[first].tolist(), ends[last].tolist()
