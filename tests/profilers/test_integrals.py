"""Seconds, cycles and joules, with the arithmetic in sight."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profilers import Device, DeviceKey, DeviceTrace, Gap, Reason, Sample, Trace, Unavailable
from profilers.integrals import (
    counter_increase,
    covered_seconds,
    energy,
    gaps_within,
    mean_integral,
    power_integral,
)

GPU = DeviceKey(uuid="GPU-1")
SECOND = 1_000_000_000
RESET = Unavailable(reason=Reason.RESET)
LOST = Unavailable(reason=Reason.LOST)
PENDING = Unavailable(reason=Reason.PENDING)


def trace(*rows, limit=700_000, gaps=()) -> DeviceTrace:
    """Rows are (second, period, readings)."""
    samples = [
        Sample(
            device=GPU,
            monotonic_ns=None,
            wall_ns=round(at * SECOND),
            period_ns=round(period * SECOND),
            readings=readings,
        )
        for at, period, readings in rows
    ]
    device = Device(key=GPU, power_limit_mw=limit)
    return DeviceTrace.of_samples(device, samples, gaps=gaps)


def counter(*cells) -> DeviceTrace:
    return trace(*((at, 1, {"energy_mj": cell}) for at, cell in enumerate(cells)))


def test_a_counter_is_shared_out_at_the_edges():
    # 100, 300, 600 mJ at 0, 1, 2 s. From 0.5 to 1.5 s: half of 200 and half of 300 = 250 mJ.
    amount = counter_increase(counter(100, 300, 600), "energy_mj", SECOND // 2, 3 * SECOND // 2)
    assert amount.value == 250
    assert amount.seconds == 1.0


def test_a_counter_covers_a_gap_but_never_a_reset():
    # Lost at 1 and 2 s: the counter still knows what was drawn: 900 - 100 = 800 mJ over 3 s.
    whole = counter_increase(counter(100, LOST, LOST, 900), "energy_mj", 0, 3 * SECOND)
    assert (whole.value, whole.seconds) == (800, 3.0)
    # Reset between 1 and 3 s: (200 - 100) + (70 - 20) = 150 mJ over 1 + 1 s.
    broken = counter(100, 200, RESET, 20, 70)
    parts = counter_increase(broken, "energy_mj", 0, 4 * SECOND)
    assert (parts.value, parts.seconds) == (150, 2.0)
    # The same when a recording has the fall itself and no reset cell.
    fallen = counter_increase(counter(100, 200, 20, 70), "energy_mj", 0, 3 * SECOND)
    assert (fallen.value, fallen.seconds) == (150, 2.0)


def test_a_counter_that_was_never_read_is_none_and_not_zero():
    assert counter_increase(counter(LOST, LOST), "energy_mj", 0, SECOND) is None
    assert counter_increase(counter(5), "energy_mj", 0, SECOND) is None
    assert counter_increase(counter(5, 6), "ecc_corrected", 0, SECOND) is None


def test_pending_cells_lend_their_time_to_the_next_number():
    # Means over 0.2 s, sampled each 0.1 s: 500 permille for 0.2 s and 1000 for 0.2 s
    # = 500 x 0.2 + 1000 x 0.2 = 300 permille-seconds over 0.4 s.
    name = "tensor_activity_permille"
    cells = [PENDING, 500, PENDING, 1000]
    seen = trace(*((0.1 * (n + 1), 0.1, {name: c}) for n, c in enumerate(cells)))
    amount = mean_integral(seen, name, 0, SECOND)
    assert amount.value == pytest.approx(300)
    assert amount.seconds == pytest.approx(0.4)


def test_power_is_integrated_only_where_it_was_seen():
    # 100 W to 200 W over 1 s = 150 J; then a hole of 8 s; then 1 s at 300 W = 300 J.
    seen = trace(
        (0, 0, {"power_mw": 100_000}),
        (1, 1, {"power_mw": 200_000}),
        (9, 0, {"power_mw": 300_000}),
        (10, 1, {"power_mw": 300_000}),
    )
    amount = power_integral(seen, 0, 10 * SECOND)
    assert (amount.value, amount.seconds) == (450, 2.0)
    # Half of the first second: the mean of 100 and 150 W over 0.5 s = 62.5 J.
    assert power_integral(seen, 0, SECOND // 2).value == pytest.approx(62.5)


def test_unseen_time_widens_energy_up_to_the_power_limit():
    # 100 J over the first of two seconds; the other one may hold 700 W x 1 s = 700 J.
    seen = trace((0, 0, {"energy_mj": 0}), (1, 1, {"energy_mj": 100_000}))
    found = energy(seen, 0, 2 * SECOND)
    assert (found.joules, found.seconds, found.basis) == (100, 1.0, "counter")
    # Gain 5 %, and 2 x 0.1 s at 100 W = 20 J of the counter's coarseness.
    assert found.low == pytest.approx(100 * 0.95 - 20)
    assert found.high == pytest.approx(100 * 1.05 + 20 + 700)
    assert energy(trace((0, 0, {"energy_mj": LOST})), 0, SECOND) is None
    unlimited = trace((0, 0, {"energy_mj": 0}), (1, 1, {"energy_mj": 1}), limit=None)
    assert energy(unlimited, 0, 2 * SECOND).high is None


def test_a_counter_that_stands_still_under_power_is_no_zero():
    # 300 W for 1 s = 300 J, whatever a counter says that did not move.
    cell = {"energy_mj": 5000, "power_mw": 300_000}
    found = energy(trace((0, 0, cell), (1, 1, cell)), 0, SECOND)
    assert (found.joules, found.basis) == (300, "power")
    # An idle board that truly draws nothing keeps its counter.
    idle = {"energy_mj": 5000, "power_mw": 0}
    found = energy(trace((0, 0, idle), (1, 1, idle)), 0, SECOND)
    assert (found.joules, found.basis, found.high) == (0, "counter", 0)


def test_a_counter_that_stops_for_good_is_not_believed_from_there_on():
    # 300 W for 6 s = 1800 J. The counter has 600 J of the first two seconds and then stands still: it
    # covers less than the power readings do.
    cells = [0, 300_000, *[600_000] * 5]
    rows = [(at, 1, {"energy_mj": cell, "power_mw": 300_000}) for at, cell in enumerate(cells)]
    found = energy(trace(*rows), 0, 6 * SECOND)
    assert (found.joules, found.seconds, found.basis) == (1800, 6.0, "power")
    # Without power readings: 600 J of two seconds, and up to 700 W for the other four.
    alone = energy(counter(*cells), 0, 6 * SECOND)
    assert (alone.joules, alone.seconds, alone.basis) == (600, 2.0, "counter")
    assert alone.high == pytest.approx(600 * 1.05 + 0.2 * 300 + 4 * 700)
    # A pause that a rise makes good was a slow reader's: 1200 J over all six seconds.
    slow = counter(0, 300_000, 600_000, 600_000, 600_000, 600_000, 1_200_000)
    found = energy(slow, 0, 6 * SECOND)
    assert (found.joules, found.seconds) == (1200, 6.0)


def test_no_counter_without_a_witness_says_that_nothing_was_drawn():
    assert energy(counter(5000, 5000), 0, SECOND) is None
    assert energy(counter(5000, 5000, 5000), SECOND // 4, SECOND // 2) is None


def test_a_counter_that_power_contradicts_has_bounds_that_hold_both():
    # 100 J a second by the counter, 300 W by the sensor, over 6 s: 600 J or 1800 J, each within 5 %.
    rows = [(at, 1, {"energy_mj": 100_000 * at, "power_mw": 300_000}) for at in range(7)]
    found = energy(trace(*rows), 0, 6 * SECOND)
    assert (found.joules, found.basis) == (600, "counter")
    # Two updates of 0.1 s at 300 W = 60 J may be missing below.
    assert found.low == pytest.approx(600 * 0.95 - 60)
    assert found.high == pytest.approx(1800 * 1.05)


def test_what_nobody_saw_is_a_gap():
    told = Gap(start_ns=2 * SECOND, end_ns=5 * SECOND, reason="crashed", node="n")
    seen = trace((1, 1, {}), (2, 1, {}), (5, 0, {}), (6, 1, {}))
    slack = 3 * SECOND // 2
    assert [g.reason for g in gaps_within(seen, (told,), 0, 6 * SECOND, slack)] == ["crashed"]
    untold = gaps_within(seen, (), 0, 10 * SECOND, slack)
    assert [(g.reason, g.start_ns // SECOND, g.end_ns // SECOND) for g in untold] == [
        ("missing", 2, 5),
        ("missing", 6, 10),
    ]
    assert covered_seconds(seen, 0, 6 * SECOND) == 3.0


@given(
    rises=st.lists(st.integers(0, 10**6), min_size=2, max_size=40),
    lost=st.sets(st.integers(0, 39)),
    cut=st.floats(0, 1),
)
@settings(max_examples=80, deadline=None)
def test_adding_two_windows_gives_the_whole(rises, lost, cut):
    values = np.cumsum(rises).tolist()
    cells = [LOST if n in lost else value for n, value in enumerate(values)]
    seen = counter(*cells)
    end = (len(values) - 1) * SECOND
    middle = round(cut * end)
    whole = counter_increase(seen, "energy_mj", 0, end)
    parts = [counter_increase(seen, "energy_mj", *w) for w in ((0, middle), (middle, end))]
    total = sum(part.value for part in parts if part is not None)
    assert total == pytest.approx(0.0 if whole is None else whole.value, rel=1e-9, abs=1e-6)


@given(
    steps=st.lists(st.integers(90_000_001, 110_000_999), min_size=20, max_size=60),
    first=st.integers(0, 999),
)
@settings(max_examples=50, deadline=None)
def test_a_counter_keeps_its_sum_whatever_the_rounding(steps, first):
    """600 W from the first look to the last: the spans of the counter hold all of its rise.

    Stamps are cut to microseconds and periods are rounded up, as the journal does; a row's period then
    begins up to a microsecond before the stamp of the row before it.
    """
    from profilers.bounds import contradictions_of, cut_trace
    from profilers.segment import period_us

    key = DeviceKey(uuid="GPU-1")
    stamp, samples, before = 10**18 + first, [], None
    for step in steps:
        stamp += step
        at = stamp // 1000 * 1000
        period = 0 if before is None else period_us(stamp - before) * 1000
        before = stamp
        readings = {"energy_mj": 600 * (stamp - 10**18) // 10**6, "power_mw": 600_000}
        samples.append(
            Sample(device=key, monotonic_ns=at, wall_ns=at, period_ns=period, readings=readings)
        )
    device = DeviceTrace.of_samples(Device(key=key), samples)
    trace = Trace(devices={key: device})
    (cut,) = cut_trace(trace).values()
    spans = cut.pieces.counters["energy_mj"]
    rise = samples[-1].readings["energy_mj"] - samples[0].readings["energy_mj"]
    assert spans.delta.sum() == rise
    assert spans.seconds.sum() == pytest.approx(sum(steps[1:]) / 1e9, abs=1e-6)
    assert not contradictions_of(trace)
