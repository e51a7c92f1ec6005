"""A device's telemetry cut into pieces of time, with what each piece can have held.

Pieces are the stretches that samples speak for, and the stretches between that nobody saw. Each
piece has, per SM, the clock cycles it can have had, the busy and the tensor-active ones. *Hard*
columns hold whatever the sensors' stated errors and blind spots allow; *estimated* columns take a
sampled gauge as representative of its piece. Nothing here knows a FLOP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from profilers.counters import ENERGY_UPDATE_SECONDS, SENSOR_GAIN, CounterSpans, spans_of
from profilers.trace import DeviceKey, DeviceTrace, Event

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

UTIL_WINDOW_S = 1 / 6
"""Shortest period that a driver's utilisation gauge speaks for."""
UTIL_WINDOW_LONGEST_S = 1.0
"""Longest such period."""
UTIL_STEP = 0.01
"""Utilisation is a whole percent: 0 may hide up to one point."""
PAIR_WINDOW_S = 0.2
"""What a recorder with pairs of looks sees of each piece (finding ``sampled-pair``)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What bounds a device whatever its sensors say. All of it is the caller's knowledge."""

    max_clock_hz: float | None = None
    """Highest SM clock; None: the device's own description, else unknown."""
    min_clock_hz: float = 0.0
    """Lowest SM clock of a device at work; 0 claims nothing."""
    max_power_watts: float | None = None
    """Highest board power; None: the power limit in the device's description, else unknown."""
    energy_gain: float = SENSOR_GAIN
    """Relative gain error of energy and power sensors, systematic."""
    energy_edge_s: float = ENERGY_UPDATE_SECONDS
    """Update period of the energy counter: uncertainty at each end of a span."""
    activity_step: float = 0.001
    """Rounding of activity ratios (0-1), each way."""
    clock_at_power: Sequence[tuple[float, float]] = ()
    """Rising (watts, hertz) points of a power-limit sweep; used for estimates where the clock is
    missing."""


@dataclass(frozen=True, slots=True)
class Column:
    """Bounds of one quantity for every piece; ``high`` may be infinite."""

    low: Floats
    high: Floats

    def sum(self) -> tuple[float, float]:
        """Return the sums of both ends."""
        return float(self.low.sum()), float(self.high.sum())


@dataclass(frozen=True, kw_only=True, slots=True)
class Pieces:
    """A device's claimed time in pieces."""

    seconds: Floats
    seen: NDArray[np.bool_]
    """False: nobody saw this piece."""
    clock: Column
    """SM clock cycles of one SM, hard."""
    busy: Column
    """Clock cycles of one SM in which work can have been resident, hard; and its share of SMs."""
    active: Mapping[str, Column]
    """Pipe-busy cycles of one SM by signal, hard."""
    clock_estimate: Column | None
    busy_estimate: Column | None
    active_estimate: Mapping[str, Column]
    counters: Mapping[str, CounterSpans]
    power_watts: Floats
    """Board power; NaN where it was not read. Internal: never leaves as a number."""
    util: Floats
    """Utilisation 0-1; NaN where it was not read."""
    incredible: NDArray[np.bool_]
    """True where a pipe was busier than the device was said to be: residence is not believed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """One device, its limits, and its claimed time in pieces."""

    device: DeviceTrace
    """At the pace of its slowest means (``profilers.coarse``)."""
    limits: Limits
    pieces: Pieces

    @property
    def key(self) -> DeviceKey:
        """What the device is."""
        return self.device.device.key


RESIDENCE = ("graphics_activity_permille", "sm_activity_permille")
ACTIVITIES = ("tensor", "hmma", "imma", "dfma", "dmma", "fp64", "fp32", "fp16")
COUNTERS = {
    "tensor": "mma_cycles_active",
    "hmma": "hmma_cycles_active",
    "imma": "imma_cycles_active",
    "dfma": "dfma_cycles_active",
    "dmma": "dmma_cycles_active",
    "fp64": "fp64_cycles_active",
    "fp32": "fp32_cycles_active",
    "fp16": "fp16_cycles_active",
}


def pieces(
    trace: DeviceTrace,
    limits: Limits,
    *,
    start_ns: int | None = None,
    end_ns: int | None = None,
    events: Sequence[Event] = (),
) -> Pieces:
    """Cut a device's claimed time (by default: what its samples span) into pieces."""
    begin, end = trace.spans()
    cuts, rows = _partition(begin, end, start_ns, end_ns)
    seconds = np.diff(cuts) / 1e9
    read = _Read(trace, rows)
    fastest = max_clock(trace, limits)
    power = read.gauge("power_mw", 1e-3)
    if np.isnan(power).all():
        power = read.gauge("power_average_mw", 1e-3)
    guessed = _clock_estimate(read.gauge("sm_clock_mhz", 1e6), power, seconds, fastest, limits)
    periods = _periods(trace, rows)
    time = _Time(
        seconds=seconds,
        periods=periods,
        window=np.minimum(_window(trace, events), periods),
        fastest=fastest,
        clock=guessed,
    )
    util = read.gauge("gpu_util_permille", 1e-3)
    incredible = _incredible(read, limits)
    busy, busy_estimate = _busy(read, time, limits, util, incredible)
    active, active_estimate = _active(read, time, limits)
    return Pieces(
        seconds=seconds,
        seen=rows >= 0,
        clock=Column(np.zeros(len(seconds)), seconds * fastest),
        busy=busy,
        active=active,
        clock_estimate=guessed,
        busy_estimate=busy_estimate,
        active_estimate=active_estimate,
        counters=_counters(trace, cuts),
        power_watts=power,
        util=util,
        incredible=incredible,
    )


def max_clock(trace: DeviceTrace, limits: Limits) -> float:
    """Return the highest SM clock in hertz; infinite where nobody knows it.

    A clock that was seen above the stated maximum raises it: the sensor is believed.
    """
    told = limits.max_clock_hz
    if told is None and trace.device.max_sm_clock_mhz is not None:
        told = trace.device.max_sm_clock_mhz * 1e6
    if told is None:
        return np.inf
    series = trace.series.get("sm_clock_mhz")
    highest = 0.0
    if series is not None and series.present.any():
        highest = float(series.masked.max()) * 1e6
    return max(told, highest)


def _partition(
    begin: Ints, end: Ints, start_ns: int | None, end_ns: int | None
) -> tuple[Ints, Ints]:
    """Return the cut points and, for each piece, the row that speaks for it (-1: none)."""
    edges = [begin, end]
    if start_ns is not None and end_ns is not None:
        edges.append(np.array([start_ns, end_ns], np.int64))
    cuts = np.unique(np.concatenate(edges)) if len(begin) or start_ns is not None else begin
    if start_ns is not None and end_ns is not None:
        cuts = cuts[(cuts >= start_ns) & (cuts <= end_ns)]
    if len(cuts) < 2:
        return cuts[:1] if len(cuts) else np.zeros(1, np.int64), np.zeros(0, np.int64)
    # Spans do not overlap, so the row of a piece is the first whose end is not before the piece's.
    row = np.searchsorted(end, cuts[1:])
    inside = row < len(end)
    where = np.minimum(row, max(len(end) - 1, 0))
    if len(end):
        inside &= begin[where] <= cuts[:-1]
    return cuts, np.where(inside, where, -1).astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Read:
    """What a device's samples say of the pieces that they speak for."""

    trace: DeviceTrace
    rows: Ints
    """The sample of each piece; -1: none."""

    def gauge(self, signal: str, unit: float) -> Floats:
        """Return a signal for each piece in its unit, NaN where there is no number."""
        out = np.full(len(self.rows), np.nan)
        series = self.trace.series.get(signal)
        if series is not None and len(series):
            known = (self.rows >= 0) & series.present[np.maximum(self.rows, 0)]
            out[known] = series.payload[self.rows[known]].astype(np.float64) * unit
        return out


@dataclass(frozen=True, kw_only=True, slots=True)
class _Time:
    """How long pieces are, how much of one a mean speaks for, and how fast a clock ran in it."""

    seconds: Floats
    periods: Floats
    """Of the sample that speaks for a piece; 0: none does."""
    window: Floats
    """Seconds that an activity mean speaks for."""
    fastest: float
    """Highest SM clock in hertz; may be infinite."""
    clock: Column | None
    """Estimated cycles of each piece; None where nothing says."""


def _window(trace: DeviceTrace, events: Sequence[Event]) -> float:
    """Return how much of a piece an activity mean speaks for, in seconds (infinite: all of it)."""
    kinds = {event.kind for event in (*trace.events, *events)}
    if "window-unknown" in kinds:
        return 0.0
    return PAIR_WINDOW_S if "sampled-pair" in kinds else np.inf


def _clock_estimate(
    sampled: Floats, power: Floats, seconds: Floats, fastest: float, limits: Limits
) -> Column | None:
    """Take the clock between two looks to lie between them; from the power where it is missing."""
    before = np.concatenate([sampled[:1], sampled[:-1]])
    low = np.fmin(sampled, before)
    high = np.fmax(sampled, before)
    if limits.clock_at_power:
        watts, hertz = np.array(sorted(limits.clock_at_power), np.float64).T
        lifted = np.interp(power, watts, hertz)
        missing = np.isnan(high) & ~np.isnan(power)
        high = np.where(missing, lifted, high)
        low = np.where(missing, 0.0, low)
    if np.isnan(high).all():
        return None
    high = np.where(np.isnan(high), fastest, high)
    return Column(np.where(np.isnan(low), 0.0, low) * seconds, high * seconds)


def _times(amount: Floats, by: float) -> Floats:
    """Multiply by a factor that may be infinite; nothing times anything stays nothing."""
    return (
        np.where(amount > 0, amount, 0.0) * by
        if np.isfinite(by)
        else np.where(amount > 0, np.inf, 0.0)
    )


def _util_seconds(util: Floats, seconds: Floats) -> Floats:
    """Return the longest busy time that a utilisation gauge allows in a piece.

    The gauge speaks for some W seconds, W unknown between 1/6 and 1, and is renewed when they are
    over: at the look its window ended up to W ago. In a piece longer than 2 W it lies inside, and
    the rest is free: seconds - (1 - util) W, largest for the shortest W. For the longest W a piece of
    1 s may hold nothing of the window, and one of up to 2 s what of it reaches past the first second.
    """
    top = np.minimum(util + UTIL_STEP, 1.0)
    shortest = seconds - np.where(seconds >= 2 * UTIL_WINDOW_S, (1 - top) * UTIL_WINDOW_S, 0.0)
    past = np.maximum(seconds - UTIL_WINDOW_LONGEST_S, 0.0)
    longest = UTIL_WINDOW_LONGEST_S + np.minimum(past, top * UTIL_WINDOW_LONGEST_S)
    longest = np.where(seconds >= 2 * UTIL_WINDOW_LONGEST_S, 0.0, longest)
    return np.minimum(seconds, np.maximum(shortest, longest))


def _mean_seconds(top: Floats, seconds: Floats, window: Floats) -> Floats:
    """Return the longest active time that a mean over a window allows in a piece."""
    return np.minimum(seconds, top * window + np.maximum(seconds - window, 0.0))


def _busy(
    read: _Read, time: _Time, limits: Limits, util: Floats, incredible: NDArray[np.bool_]
) -> tuple[Column, Column | None]:
    """Bound the cycles in which work can have been resident, from every gauge that says so."""
    seconds = time.seconds
    known = ~np.isnan(util)
    most = np.where(known, _util_seconds(np.where(known, util, 1.0), seconds), seconds)
    guess = np.where(known, np.minimum(util + UTIL_STEP, 1.0), np.nan)
    for name in RESIDENCE:
        ratio = read.gauge(name, 1e-3)
        known = ~np.isnan(ratio) & ~incredible
        top = np.where(known, np.minimum(ratio + limits.activity_step, 1.0), 1.0)
        most = np.where(known, np.minimum(most, _mean_seconds(top, seconds, time.window)), most)
        guess = np.where(known, np.fmin(guess, top), guess)
    nothing = np.zeros(len(seconds))
    busy = Column(nothing, _times(most, time.fastest))
    if time.clock is None or np.isnan(guess).all():
        return busy, None
    return busy, Column(nothing, np.where(np.isnan(guess), 1.0, guess) * time.clock.high)


def _incredible(read: _Read, limits: Limits) -> NDArray[np.bool_]:
    """Say where a matrix pipe was busier than the whole device: no pipe works without a warp."""
    pipe = read.gauge("tensor_activity_permille", 1e-3)
    wrong = np.zeros(len(pipe), np.bool_)
    for name in RESIDENCE:
        resident = read.gauge(name, 1e-3)
        # Comparing with "not a number" says no, which is right for what was not read.
        wrong |= pipe - limits.activity_step > resident + limits.activity_step + UTIL_STEP
    return wrong


def _active(
    read: _Read, time: _Time, limits: Limits
) -> tuple[dict[str, Column], dict[str, Column]]:
    """Bound the pipe-busy cycles from activity ratios: busy cycles over elapsed cycles."""
    hard: dict[str, Column] = {}
    guesses: dict[str, Column] = {}
    # Where a piece is only a part of its sample's period, the window may lie outside of it.
    outside = np.minimum(time.window, np.maximum(time.periods - time.seconds, 0.0))
    for pipe in ACTIVITIES:
        ratio = read.gauge(f"{pipe}_activity_permille", 1e-3)
        known = ~np.isnan(ratio)
        if not known.any():
            continue
        low = np.where(known, np.maximum(ratio - limits.activity_step, 0.0), 0.0)
        high = np.where(known, np.minimum(ratio + limits.activity_step, 1.0), 1.0)
        least = low * time.window * limits.min_clock_hz
        if bool((outside > 0).any()):
            least = np.maximum(least - _times(outside, time.fastest), 0.0)
        most = np.where(known, _mean_seconds(high, time.seconds, time.window), time.seconds)
        hard[pipe] = Column(least, _times(most, time.fastest))
        if time.clock is not None:
            guesses[pipe] = Column(low * time.clock.low, high * time.clock.high)
    return hard, guesses


def _periods(trace: DeviceTrace, rows: Ints) -> Floats:
    """Return the period of the sample that speaks for each piece, in seconds; 0: none does."""
    out = np.zeros(len(rows))
    known = rows >= 0
    out[known] = trace.period_ns[rows[known]] / 1e9
    return out


def _counters(trace: DeviceTrace, cuts: Ints) -> dict[str, CounterSpans]:
    names = ("energy_mj", "sm_cycles_elapsed", *COUNTERS.values())
    found = {}
    for name in names:
        series = trace.series.get(name)
        spans = None if series is None else spans_of(trace, series, cuts)
        if spans is not None:
            found[name] = spans
    return found
