"""Rows that wait for a slow mean are joined with the row that brings it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.bounds import Limits, Rates, executed_flop
from profilers.coarse import coarsened
from profilers.reading import Reason, Unavailable
from profilers.trace import Device, DeviceKey, DeviceTrace, Series, Trace

PENDING = Unavailable(reason=Reason.PENDING, detail="not asked in this sweep")
LOST = Unavailable(reason=Reason.LOST, detail="gone")
TENTH = 100_000_000  # ns
KEY = DeviceKey(uuid="GPU-1")


def _trace(activity: list, clock: list, *, gap_before: int | None = None) -> DeviceTrace:
    """Ten sweeps a second; ``gap_before`` names a row that follows a hole of one second."""
    time = np.arange(1, len(activity) + 1, dtype=np.int64) * TENTH
    if gap_before is not None:
        time[gap_before:] += 10 * TENTH
    return DeviceTrace(
        device=Device(key=KEY, max_sm_clock_mhz=2000),
        time_ns=time,
        period_ns=np.full(len(time), TENTH, np.int64),
        series={
            "tensor_activity_permille": Series.of_readings(activity),
            "sm_clock_mhz": Series.of_readings(clock),
        },
    )


def test_a_trace_without_waiting_is_left_alone() -> None:
    trace = _trace([500] * 4, [1000] * 4)
    assert coarsened(trace) is trace


def test_joined_rows_carry_mean_and_whole_period() -> None:
    joined = coarsened(_trace([PENDING, PENDING, 600, PENDING, 400], [900, 1000, 1100, 1000, 2000]))
    assert joined.period_ns.tolist() == [3 * TENTH, 2 * TENTH]
    assert joined.series["tensor_activity_permille"].payload.tolist() == [600, 400]
    # means of 900, 1000, 1100 and of 1000, 2000
    assert joined.series["sm_clock_mhz"].payload.tolist() == [1000, 1500]


def test_nothing_is_joined_across_a_gap() -> None:
    joined = coarsened(_trace([PENDING, PENDING, 600], [1000] * 3, gap_before=2))
    assert joined.period_ns.tolist() == [2 * TENTH, TENTH]
    assert joined.series["tensor_activity_permille"].at(0) == PENDING


def test_an_absent_gauge_stays_absent() -> None:
    joined = coarsened(_trace([PENDING, 600], [LOST, 1000]))
    assert joined.series["sm_clock_mhz"].at(0) == LOST


@given(
    st.lists(st.tuples(st.integers(1, 12), st.integers(0, 1000)), min_size=1, max_size=8),
    st.integers(200, 2000),
)
def test_the_estimate_does_not_depend_on_the_pace(groups: list, clock: int) -> None:
    activity: list = []
    for waits, value in groups:
        activity += [PENDING] * (waits - 1) + [value]
    trace = _trace(activity, [clock] * len(activity))
    whole = Trace(devices={KEY: trace}, started_ns=0, ended_ns=int(trace.time_ns[-1]))
    # 1000 FLOP a tensor-busy cycle: sum of activity x clock x seconds
    truth = sum(1000 * value / 1000 * clock * 1e6 * waits * 0.1 for waits, value in groups)
    rates = Rates(tensor=(1000.0, 1000.0), vector=0.0)
    bounds = executed_flop(whole, rates, Limits(activity_step=0.0))
    assert bounds.estimated is not None
    assert bounds.estimated.low == pytest.approx(truth, rel=1e-6, abs=1)
    assert bounds.estimated.high == pytest.approx(truth, rel=1e-6, abs=1)
    assert bounds.hard.low <= truth * (1 + 1e-9) + 1
    assert bounds.hard.high is None or truth <= bounds.hard.high * (1 + 1e-9) + 1
