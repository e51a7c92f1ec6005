"""Cumulative counters: what they rose by between two looks, and what a reset may have hidden.

One rule for every integral and every bound of this pillar. A difference means something between
neighbouring numbers, across an absence of another kind (that is what a counter is for), but never
across a decrease, a reported reset, or a reading that was refused or stale.

A reset that the counter has outgrown shows no decrease. Where somebody knows how fast the counter
can rise, it can be told apart: a value that is more than it could have reached since the last look
was not started from zero in between. Where it is not, the lower end still holds (what was counted
since the reset is the value itself, which is more than the difference) and the upper end is what
the counter can have risen by at all.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from profilers.reading import Reason
from profilers.trace import DeviceTrace, Series

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BREAKS = {Reason.RESET, Reason.REJECTED, Reason.STALE}
"""Absences across which the difference of a counter means nothing."""

SENSOR_GAIN = 0.05
"""Relative error of a board's energy and power sensors, shared by all of a type: it adds linearly."""

ENERGY_UPDATE_SECONDS = 0.1
"""The energy counter moves about every 100 ms: either end of a stretch may be off by that much."""
STANDSTILL_NS = 1_000_000_000
"""Ten of its updates: an energy counter that ends in such a pause of a board under power is broken."""
RESOLUTION_NS = 1000
"""Stamps and periods of a record are whole microseconds."""
ENERGY_TOLERANCE = 0.10
_LEAST_SECONDS = 5.0
"""Shorter than this, a step in the load makes samples of power unlike their mean."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Looks:
    """A counter from one number to the next, in time order."""

    start_ns: Ints
    """Axis time of the earlier number of each pair."""
    end_ns: Ints
    """Axis time of the later one."""
    rise: Floats
    """Later minus earlier, in the counter's unit; negative where it fell."""
    value: Floats
    """The later number itself."""
    whole: NDArray[np.bool_]
    """True where the difference means something."""
    segment: Ints
    """Number of the stretch without a known reset that the pair belongs to."""


def looks(trace: DeviceTrace, series: Series) -> Looks | None:
    """Pair a counter's neighbouring numbers; None where it was read less than twice."""
    rows = np.flatnonzero(series.present)
    if len(rows) < 2:
        return None
    cells = series.payload[rows]
    rise = np.diff(cells).astype(np.float64)  # whole numbers are subtracted before they are rounded
    resets = [number + 1 for number, why in enumerate(series.palette) if why.reason in BREAKS]
    marked = np.cumsum(np.isin(series.codes, resets))[rows]
    broken = (rise < 0) | (np.diff(marked) > 0)
    times = trace.time_ns[rows]
    whole = ~broken
    if series is trace.series.get("energy_mj"):
        whole &= ~_stands_still(trace, times, rise, broken)
    return Looks(
        start_ns=times[:-1],
        end_ns=times[1:],
        rise=rise,
        value=cells[1:].astype(np.float64),
        whole=whole,
        segment=np.cumsum(broken).astype(np.int64),
    )


def _stands_still(
    trace: DeviceTrace, times: Ints, rise: Floats, broken: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Say of each look whether the energy counter had stopped for good: a figure of nothing drawn.

    A pause that a rise makes good is no stop: an exporter that repeats its values catches up.
    """
    segment = np.cumsum(broken)
    moved = np.flatnonzero((rise > 0) & ~broken)
    last = np.full(segment[-1] + 1, -1)
    last[segment[moved]] = moved  # the later one of two stays
    still: NDArray[np.bool_] = (np.arange(len(rise)) > last[segment]) & (rise == 0) & ~broken
    places = np.flatnonzero(still)
    # From the first to the last look of each segment in which nothing moved any more.
    begin, end = np.zeros_like(last), np.zeros_like(last)
    begin[segment[places[::-1]]] = times[:-1][places[::-1]]
    end[segment[places]] = times[1:][places]
    stopped = (end - begin >= STANDSTILL_NS) & _drawn_between(trace, begin, end)
    return still & stopped[segment]


def _drawn_between(trace: DeviceTrace, start_ns: Ints, end_ns: Ints) -> NDArray[np.bool_]:
    """Say of each stretch whether power was read as more than none.

    Where it was not read at all, too: every board draws some.
    """
    power = trace.series.get("power_mw")
    if power is None:
        return np.ones(len(start_ns), dtype=np.bool_)
    drawing = power.present & (power.payload > 0)
    since = np.searchsorted(trace.time_ns, start_ns, side="right")
    until = np.searchsorted(trace.time_ns, end_ns, side="right")
    read, drawn = (np.append(0, np.cumsum(which)) for which in (power.present, drawing))
    found: NDArray[np.bool_] = (drawn[until] > drawn[since]) | (read[until] == read[since])
    return found


def contradict(counted_joules: float, drawn_joules: float, seconds: float) -> bool:
    """Say whether an energy counter and power readings of the same time cannot both be right."""
    larger = max(counted_joules, drawn_joules)
    return (
        seconds >= _LEAST_SECONDS and abs(counted_joules - drawn_joules) > ENERGY_TOLERANCE * larger
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class CounterSpans:
    """What a cumulative counter did over pieces of time, between looks that no known reset parts."""

    start: Ints
    """Index of the first piece of each span."""
    stop: Ints
    """Index after its last piece."""
    seconds: Floats
    """Length of each span."""
    delta: Floats
    """Increase, in the counter's unit: what is known at least."""
    most: Floats
    """Increase at most; more than ``delta`` where a reset may have been outgrown."""
    value: Floats
    """What the counter said at the end of the span."""
    segment: Ints
    """Number of the stretch without a known reset that the span belongs to."""


def spans_of(trace: DeviceTrace, series: Series, cuts: Ints) -> CounterSpans | None:
    """Lay a counter's looks onto pieces of time, which are cut at every look that is used."""
    found = looks(trace, series)
    if found is None:
        return None
    # A period is rounded up, so that the row before may end this much before its own stamp; the cut is
    # then there, and the counter's number belongs to it.
    start = np.searchsorted(cuts, found.start_ns - RESOLUTION_NS)
    stop = np.searchsorted(cuts, found.end_ns - RESOLUTION_NS)
    inside = (found.start_ns >= cuts[0]) & (found.end_ns <= cuts[-1])
    kept = found.whole & inside & (stop > start)
    if not kept.any():
        return None
    return CounterSpans(
        start=start[kept].astype(np.int64),
        stop=stop[kept].astype(np.int64),
        seconds=(found.end_ns - found.start_ns)[kept] / 1e9,
        delta=found.rise[kept],
        most=found.rise[kept],
        value=found.value[kept],
        segment=found.segment[kept],
    )


def outgrown(spans: CounterSpans, per_second: float, extra_s: float = 0.0) -> NDArray[np.bool_]:
    """Say of each span whether the counter can have started from zero inside of it.

    ``per_second`` is the fastest that the counter can rise; ``extra_s`` the time by which its steps
    may lag behind.
    """
    can: NDArray[np.bool_] = spans.value <= per_second * (spans.seconds + extra_s)
    return can


def with_hidden_resets(
    spans: CounterSpans, per_second: float | None, extra_s: float = 0.0
) -> CounterSpans:
    """Widen the spans that may hide a reset, for a counter that rises no faster than this.

    None: nobody knows how fast it can rise, and every reset is taken to show.
    """
    if per_second is None:
        return spans
    fastest = np.maximum(spans.delta, per_second * (spans.seconds + extra_s))
    return replace(spans, most=np.where(outgrown(spans, per_second, extra_s), fastest, spans.delta))


def telescoped(spans: CounterSpans) -> CounterSpans:
    """Unite the spans of each segment: the errors of its ends are paid for once."""
    _, first = np.unique(spans.segment, return_index=True)
    last = np.append(first[1:], len(spans.segment)) - 1
    return CounterSpans(
        start=spans.start[first],
        stop=spans.stop[last],
        seconds=np.add.reduceat(spans.seconds, first),
        delta=np.add.reduceat(spans.delta, first),
        most=np.add.reduceat(spans.most, first),
        value=spans.value[last],
        segment=spans.segment[first],
    )


def energy_ends(joules: Floats, most: Floats, edge: Floats, gain: float) -> tuple[Floats, Floats]:
    """Return the ends of energies that a sensor with these errors has shown, in joules.

    ``most`` is what it may have shown had no reset been hidden, ``edge`` what the resolution at both
    ends of a stretch may hold.
    """
    low: Floats = np.maximum(joules * (1 - gain) - edge, 0.0)
    return low, most * (1 + gain) + edge
