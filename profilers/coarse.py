"""A trace at the pace of its slowest means.

A fast recorder asks some instruments in every sweep and others only now and then; the cells between
are ``pending``, and the mean that follows speaks for all of that time. Bounds compare signals piece by
piece, so the pieces must be those over which every mean was taken: rows are joined up to the next one
that has them all.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from profilers.reading import SIGNALS, Kind, Reason
from profilers.trace import DeviceTrace, Series

Ints = NDArray[np.int64]


def coarsened(trace: DeviceTrace) -> DeviceTrace:
    """Join the rows that wait for a mean with the row that brings it; the trace itself if none do.

    Gauges become their time-weighted mean over the joined rows, or the absence of the first that was
    missing; counters and states keep their last value. Rows are not joined across a gap.
    """
    waiting = np.zeros(len(trace), np.bool_)
    for name, series in trace.series.items():
        if name in SIGNALS and SIGNALS[name].kind is Kind.MEAN:
            waiting |= _is_pending(series)
    if not waiting.any():
        return trace
    first, last = _groups(trace, waiting)
    start, _ = trace.spans()
    seconds = trace.period_ns.astype(np.float64)
    return replace(
        trace,
        time_ns=trace.time_ns[last],
        period_ns=trace.time_ns[last] - start[first],
        wall_ns=None if trace.wall_ns is None else trace.wall_ns[last],
        monotonic_ns=None if trace.monotonic_ns is None else trace.monotonic_ns[last],
        series={
            name: _averaged(series, first, last, seconds) if _is_gauge(name) else series.take(last)
            for name, series in trace.series.items()
        },
    )


def _is_gauge(name: str) -> bool:
    return name in SIGNALS and SIGNALS[name].kind is Kind.GAUGE


def _is_pending(series: Series) -> NDArray[np.bool_]:
    codes = [n + 1 for n, why in enumerate(series.palette) if why.reason is Reason.PENDING]
    pending: NDArray[np.bool_] = np.isin(series.codes, codes)
    return pending


def _groups(trace: DeviceTrace, waiting: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Give the first and last row of each group; a row that waits in vain stands alone."""
    start, end = trace.spans()
    joined = np.zeros(len(trace), np.bool_)  # whether a row continues the one before it
    joined[1:] = waiting[:-1] & (start[1:] == end[:-1])
    first = np.flatnonzero(~joined)
    last = np.append(first[1:] - 1, len(trace) - 1)
    return first, last


def _averaged(series: Series, first: Ints, last: Ints, seconds: NDArray[np.float64]) -> Series:
    """Average each group by time; a group with an absent cell takes that cell's reason."""
    absent = np.maximum.reduceat(series.codes, first)
    # A row without length (the first of a recording) still has a say where nothing else has.
    weight = np.where(seconds > 0, seconds, 1e-9)
    values = np.where(series.codes == 0, series.payload, 0).astype(np.float64)
    means = np.add.reduceat(values * weight, first) / np.add.reduceat(weight, first)
    alone = first == last
    means = np.where(alone, series.payload[last], means)
    return Series(payload=means, codes=absent.astype(np.uint32), palette=series.palette)
