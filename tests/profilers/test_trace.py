"""Readings that are not there, columns, spans and merging."""

import dataclasses
import operator
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers import (
    SIGNALS,
    Device,
    DeviceKey,
    DeviceTrace,
    Gap,
    Reason,
    Sample,
    Series,
    Trace,
    Unavailable,
    is_number,
)
from profilers.reading import UnavailableError
from profilers.trace import Event, TraceError

GPU = DeviceKey(uuid="GPU-1")
LOST = Unavailable(reason=Reason.LOST, detail="fell off the bus")
SECOND = 1_000_000_000


def sample(second: float, key: DeviceKey = GPU, period: float = 1.0, **readings) -> Sample:
    stamp = round(second * SECOND)
    return Sample(
        device=key,
        monotonic_ns=stamp,
        wall_ns=stamp + 5,
        period_ns=round(period * SECOND),
        readings=readings,
    )


def trace(*samples: Sample, **more) -> DeviceTrace:
    return DeviceTrace.of_samples(Device(key=samples[0].device, name="H100"), samples, **more)


@pytest.mark.parametrize(
    "misuse",
    [
        int,
        float,
        bool,
        operator.neg,
        abs,
        round,
        lambda r: r + 1,
        lambda r: 1 - r,
        lambda r: r < 1,
        lambda r: sum([r]),
        lambda r: max(r, 1),
        lambda r: [0, 1][r],
    ],
)
def test_an_absent_reading_never_becomes_a_number(misuse):
    with pytest.raises(UnavailableError, match=r"lost .fell off the bus."):
        misuse(LOST)


def test_every_signal_names_its_unit_and_meaning():
    for name, signal in SIGNALS.items():
        assert name == signal.name
        assert signal.unit
        assert signal.meaning


readings = st.one_of(
    st.integers(-(2**60), 2**60),
    st.sampled_from([LOST, Unavailable(reason=Reason.GAP), Unavailable(reason=Reason.MIG)]),
)


@given(st.lists(st.lists(readings, max_size=8), min_size=1, max_size=4))
def test_a_series_gives_back_what_went_in(parts):
    joined = Series.joined([Series.of_readings(part) for part in parts])
    assert [joined.at(row) for row in range(len(joined))] == [r for part in parts for r in part]
    assert int(joined.masked.count()) == sum(is_number(r) for part in parts for r in part)


def test_floats_stay_floats_and_integers_integers():
    assert Series.of_readings([1, LOST]).payload.dtype == np.int64
    mixed = Series.of_readings([1, 0.25, LOST])
    assert [mixed.at(0), mixed.at(1), mixed.at(2)] == [1.0, 0.25, LOST]


def test_a_gap_in_time_is_not_covered():
    # Stamps 1, 2, 10, 11 s, each speaking for 1 s: (0,1] (1,2] (9,10] (10,11] = 4 s, not 11 s.
    seen = trace(*(sample(at, power_mw=1) for at in (1, 2, 10, 11)))
    assert seen.covered_seconds() == 4.0


def test_two_recorders_of_one_device_count_a_second_once():
    first = trace(*(sample(at, power_mw=100) for at in (1, 2, 3)))
    # The second recorder looks half a second later: it adds (3, 3.5] only. 3 + 0.5 = 3.5 s.
    second = trace(*(sample(at, sm_clock_mhz=1980) for at in (1.5, 2.5, 3.5)))
    both = Trace(devices={GPU: first}).merge(Trace(devices={GPU: second}))
    assert list(both.devices) == [GPU]
    merged = both.devices[GPU]
    assert merged.covered_seconds() == 3.5
    assert merged.reading("power_mw", 0) == 100
    absent = merged.reading("power_mw", 1)
    assert isinstance(absent, Unavailable)
    assert absent.reason is Reason.ABSENT


def test_a_second_recorder_that_begins_takes_no_time_from_the_first():
    # Its first sample, at 1.5 s, speaks for no time; the first recorder's (1, 2] stays whole.
    first = trace(*(sample(at, power_mw=100) for at in (1, 2, 3)))
    second = trace(sample(1.5, period=0, power_mw=100), sample(2.5, period=1, power_mw=100))
    assert first.merged(second).covered_seconds() == 3.0


def test_a_short_sample_inside_a_long_one_hides_nothing():
    # (0, 4] of one recorder and (2, 3] of the other: 4 seconds, not 2 + 1.
    first = trace(sample(4, period=4, power_mw=100))
    assert first.merged(trace(sample(3, power_mw=100))).covered_seconds() == 4.0


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), max_size=12),
)
def test_spans_cover_the_union_exactly(first, second):
    rows = {at: min(period, at) for at, period in [*second, *first]}
    seen = trace(*(sample(at, period=rows[at], power_mw=1) for at in sorted(rows)))
    union = {tick for at, period in rows.items() for tick in range(at - period, at)}
    start, end = seen.spans()
    assert seen.covered_seconds() == len(union)
    assert all(a <= b for a, b in zip(start, end, strict=True))


def test_merging_a_record_with_itself_changes_nothing():
    gap = Gap(start_ns=SECOND, end_ns=2 * SECOND, reason="timed_out", device=GPU)
    event = Event(time_ns=SECOND, kind="xid", device=GPU, detail={"code": 79})
    one = trace(sample(1, power_mw=1), sample(2, power_mw=LOST), gaps=[gap], events=[event])
    twice = one.merged(one)
    assert twice.gaps == (gap,)
    assert twice.events == (event,)
    assert [s.readings for s in twice.samples()] == [s.readings for s in one.samples()]


def test_records_of_many_events_are_merged_in_time():
    """Each event once, by what it is; and one whose details hold a list (a forged one) as well."""
    events = [
        Event(time_ns=at, kind="processes", device=GPU, detail={"n": at}) for at in range(40_000)
    ]
    odd = Event(time_ns=5, kind="odd", detail={"list": [1]})
    first, second = (
        Trace(devices={}, events=tuple(events)),
        Trace(devices={}, events=(odd, *events)),
    )
    began = time.process_time()
    merged = first.merge(second)
    # Comparing each with each would be 1.6e9 comparisons, minutes.
    assert time.process_time() - began < 10
    assert len(merged.events) == 40_001


def test_partitions_of_one_card_are_different_devices():
    whole, part = DeviceKey(uuid="GPU-1"), DeviceKey(uuid="GPU-1", mig="MIG-7")
    merged = Trace(devices={whole: trace(sample(1, whole))}).merge(
        Trace(devices={part: trace(sample(1, part))})
    )
    assert set(merged.devices) == {whole, part}
    assert DeviceKey.parse(str(part)) == part
    assert DeviceKey.parse(str(whole)) == whole


def test_a_stepped_wall_clock_does_not_stretch_the_axis():
    stepped = [sample(1), dataclasses.replace(sample(2), wall_ns=5000 * SECOND), sample(3)]
    seen = trace(*stepped)
    # The axis starts at the first wall stamp (1 s + 5 ns) and advances by monotonic seconds.
    assert seen.time_ns.tolist() == [SECOND + 5, 2 * SECOND + 5, 3 * SECOND + 5]
    assert seen.covered_seconds() == 3.0


def test_disorder_is_refused():
    with pytest.raises(TraceError, match="not in time order"):
        trace(sample(2), sample(1))
    with pytest.raises(TraceError, match="before its start"):
        Gap(start_ns=2, end_ns=1, reason="gap")
