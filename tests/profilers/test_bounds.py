"""The truth of a simulated device lies inside every interval that its telemetry is given."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profilers.bounds import Interval, Limits, Rates, executed_flop, integrals, total, useful
from profilers.reading import Reason, Unavailable
from profilers.trace import Device, DeviceKey, DeviceTrace, Event, Series, Trace

FAST_HZ = 1.98e9
SLOW_HZ = 0.2e9
TICK_NS = 50_000_000  # the simulation's own step: 50 ms
KAPPA = 4096.0 * 132  # FLOP per tensor-busy cycle of the whole device
VECTOR = 256.0 * 132
J_MIN = 2e-13  # joules per executed FLOP, never less in the simulation
START = 1_700_000_000 * 10**9


def device_of(index=0, limit_w=1500.0):
    return Device(
        key=DeviceKey(uuid=f"GPU-00000000-0000-0000-0000-{index:012d}"),
        max_sm_clock_mhz=1980,
        power_limit_mw=int(limit_w * 1000),
    )


class Simulated:
    """A device that truly works: clock, tensor share, vector share and power per tick."""

    def __init__(self, seed, ticks, burst):
        rng = np.random.default_rng(seed)
        self.clock = rng.uniform(SLOW_HZ, FAST_HZ, ticks)
        on = np.repeat(rng.random(ticks // burst + 1) < 0.6, burst)[:ticks]
        self.tensor = np.where(on, rng.uniform(0, 1, ticks), 0)
        self.vector = np.where(on, rng.uniform(0, 1, ticks), 0)
        self.resident = on
        cycles = self.clock * TICK_NS / 1e9
        self.elapsed = np.concatenate([[0], np.cumsum(cycles)])
        self.tensor_cycles = np.concatenate([[0], np.cumsum(cycles * self.tensor)])
        self.flop = cycles * (self.tensor * KAPPA + self.vector * VECTOR)
        # Every FLOP costs at least J_MIN; the idle board draws 70 W on top.
        joules = self.flop * J_MIN * rng.uniform(1, 3, ticks) + 70 * TICK_NS / 1e9
        self.power = joules / (TICK_NS / 1e9)
        self.energy = np.concatenate([[0], np.cumsum(joules)])

    def trace(self, step, gaps, gain, index=0, reset_at=None):
        """Sample every ``step`` ticks, leaving out the samples whose number is in ``gaps``."""
        marks = [m for m in range(0, len(self.clock) + 1, step) if m // step not in gaps]
        period = [0]
        columns = {
            n: []
            for n in (
                "sm_clock_mhz",
                "gpu_util_permille",
                "tensor_activity_permille",
                "power_mw",
                "energy_mj",
                "mma_cycles_active",
                "sm_cycles_elapsed",
                "sm_activity_permille",
            )
        }
        previous = None
        for mark in marks:
            contiguous = previous is not None and mark - previous == step
            length = step if contiguous else 0
            if previous is not None:
                period.append(length * TICK_NS)
            last = max(mark - 1, 0)
            window = slice(max(mark - 10, 0), max(mark, 1))  # half a second
            columns["sm_clock_mhz"].append(int(self.clock[last] / 1e6))
            columns["gpu_util_permille"].append(int(self.resident[window].mean() * 100) * 10)
            if length:
                span = slice(mark - length, mark)
                elapsed = self.elapsed[mark] - self.elapsed[mark - length]
                busy = self.tensor_cycles[mark] - self.tensor_cycles[mark - length]
                columns["tensor_activity_permille"].append(round(busy / elapsed * 1000))
                share = (self.resident[span] * np.diff(self.elapsed)[span]).sum() / elapsed
                columns["sm_activity_permille"].append(round(share * 1000))
            else:
                nothing = Unavailable(reason=Reason.ABSENT, detail="first of a chain")
                columns["tensor_activity_permille"].append(nothing)
                columns["sm_activity_permille"].append(nothing)
            columns["power_mw"].append(int(self.power[last] * gain * 1000))
            base = 0 if reset_at is None or mark < reset_at else reset_at
            columns["energy_mj"].append(int((self.energy[mark] - self.energy[base]) * gain * 1000))
            summed = 132  # the counters add up all SMs
            columns["mma_cycles_active"].append(
                int((self.tensor_cycles[mark] - self.tensor_cycles[base]) * summed)
            )
            columns["sm_cycles_elapsed"].append(
                int((self.elapsed[mark] - self.elapsed[base]) * summed)
            )
            previous = mark
        return DeviceTrace(
            device=device_of(index),
            time_ns=START + np.array(marks, np.int64) * TICK_NS,
            period_ns=np.array(period[: len(marks)], np.int64),
            series={name: Series.of_readings(cells) for name, cells in columns.items()},
        )


LIMITS = Limits(min_clock_hz=SLOW_HZ, max_power_watts=3000.0)
RATES = Rates(
    tensor=(KAPPA, KAPPA),
    vector=VECTOR,
    sm_count=132,
    joules_per_flop=J_MIN,
    joules_per_flop_is_hard=True,
)
SIGNALS = [
    "sm_clock_mhz",
    "gpu_util_permille",
    "tensor_activity_permille",
    "power_mw",
    "energy_mj",
    "mma_cycles_active",
    "sm_cycles_elapsed",
    "sm_activity_permille",
]


def only(trace, kept):
    return replace(trace, series={n: s for n, s in trace.series.items() if n in kept})


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    step=st.sampled_from([1, 2, 5, 20, 60, 200]),
    burst=st.sampled_from([1, 3, 30]),
    gaps=st.sets(st.integers(0, 30), max_size=6),
    gain=st.floats(0.96, 1.04),
    kept=st.sets(st.sampled_from(SIGNALS)),
    reset=st.one_of(st.none(), st.integers(1, 390)),
    shift=st.tuples(st.integers(0, 40), st.integers(0, 40)),
)
def test_the_truth_lies_inside(seed, step, burst, gaps, gain, kept, reset, shift):
    simulated = Simulated(seed, 400, burst)
    trace = only(simulated.trace(step, gaps, gain, reset_at=reset), kept)
    # The claimed time may begin and end inside samples.
    begin, end = shift[0], 400 - shift[1]
    whole = Trace(
        devices={trace.device.key: trace},
        started_ns=START + begin * TICK_NS,
        ended_ns=START + end * TICK_NS,
    )
    truth = simulated.flop[begin:end].sum()
    bounds = executed_flop(whole, RATES, LIMITS)
    assert bounds.hard.contains(truth), (bounds.hard, truth, bounds.findings)
    assert bounds.hard.high <= bounds.devices[0].cap.high * (1 + 1e-9)
    assert not [f for f in bounds.findings if f.code == "telemetry-contradicts-itself"]
    seconds = (end - begin) * TICK_NS / 1e9
    assert bounds.devices[0].integrals.claimed_seconds == pytest.approx(seconds)
    cycles = np.diff(simulated.elapsed)[begin:end].sum()
    assert bounds.devices[0].integrals.clock_cycles.contains(cycles)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), gain=st.floats(0.96, 1.04), count=st.integers(2, 4))
def test_devices_share_one_systematic_error(seed, gain, count):
    """The sum over devices holds the truth although all sensors err the same way."""
    simulated = [Simulated(seed + i, 200, 3) for i in range(count)]
    traces = [s.trace(20, set(), gain, index=i) for i, s in enumerate(simulated)]
    whole = Trace(
        devices={t.device.key: t for t in traces},
        started_ns=START,
        ended_ns=START + 200 * TICK_NS,
    )
    bounds = executed_flop(whole, RATES, LIMITS)
    assert bounds.hard.contains(sum(s.flop.sum() for s in simulated))
    alone = [
        executed_flop(
            Trace(devices={t.device.key: t}, started_ns=START, ended_ns=START + 200 * TICK_NS),
            RATES,
            LIMITS,
        )
        for t in traces
    ]
    # Linear: the width of the sum is the sum of the widths, not its root of squares.
    assert bounds.hard.width == pytest.approx(sum(one.hard.width for one in alone), rel=1e-6)
    energy = [d.integrals.energy_joules for d in bounds.devices]
    for one, s in zip(energy, simulated, strict=True):
        assert one.contains(s.energy[-1])


def test_counters_beat_gauges_by_far():
    simulated = Simulated(1, 400, 3)
    trace = simulated.trace(20, set(), 1.0)
    whole = Trace(devices={trace.device.key: trace})
    full = executed_flop(whole, RATES, LIMITS)
    gauges = executed_flop(
        Trace(devices={trace.device.key: only(trace, {"gpu_util_permille", "sm_clock_mhz"})}),
        RATES,
        LIMITS,
    )
    assert "cycle-counter" in full.devices[0].used
    assert full.hard.width < 0.15 * gauges.hard.width
    assert gauges.hard.low == 0  # utilisation never proves a FLOP


def flat(seconds=10, **signals):
    """A device with constant readings, a sample a second."""
    rows = seconds + 1
    return DeviceTrace(
        device=device_of(),
        time_ns=START + np.arange(rows, dtype=np.int64) * 10**9,
        period_ns=np.array([0] + [10**9] * seconds, np.int64),
        series={n: Series.of_readings([v] * rows) for n, v in signals.items()},
    )


def whole_of(trace, **more):
    return Trace(devices={trace.device.key: trace}, **more)


def test_ofu_arithmetic_by_hand():
    """40 % tensor activity at 1500 MHz for 10 s: 0.4 x 1.5e9 x 10 = 6e9 busy cycles of one SM."""
    trace = flat(tensor_activity_permille=400, sm_clock_mhz=1500)
    found = integrals(whole_of(trace))[0]
    exact = 0.4 * 1.5e9 * 10
    step = 0.001 * 1.5e9 * 10  # rounding of the ratio
    guess = found.active_cycles_estimated["tensor"]
    assert guess.low == pytest.approx(exact - step)
    assert guess.high == pytest.approx(exact + step)
    # Hard: the clock may have been at 1980 MHz between two looks, and nothing bounds it below.
    assert found.active_cycles["tensor"].low == 0
    assert found.active_cycles["tensor"].high == pytest.approx(0.401 * 1.98e9 * 10)
    assert found.clock_cycles.high == pytest.approx(1.98e9 * 10)


def test_utilisation_hides_what_it_does_not_see():
    """A sample each 10 s sees 1/6 s of it: 9 5/6 s are free, and 0 % hides one point."""
    trace = flat(1, gpu_util_permille=0)
    trace = DeviceTrace(
        device=trace.device,
        time_ns=START + np.array([0, 10 * 10**9], np.int64),
        period_ns=np.array([0, 10 * 10**9], np.int64),
        series=trace.series,
    )
    busy = integrals(whole_of(trace))[0].busy_cycles
    assert busy.high == pytest.approx((10 - 0.99 / 6) * 1.98e9)


def test_an_unseen_stretch_stands_at_the_cap():
    trace = flat(10, tensor_activity_permille=0)
    longer = whole_of(trace, started_ns=START, ended_ns=START + 20 * 10**9)
    bounds = executed_flop(longer, Rates(tensor=(1.0, 1.0), vector=0.0))
    # 10 s seen at most 0.001 x 1.98e9, 10 s unseen at 1.98e9
    assert bounds.hard.high == pytest.approx(10 * 0.001 * 1.98e9 + 10 * 1.98e9)
    assert bounds.coverage == pytest.approx(0.5)


def test_unknown_clock_leaves_the_bound_open():
    trace = flat(10, gpu_util_permille=1000)
    unknown = DeviceTrace(
        device=Device(key=trace.device.key),
        time_ns=trace.time_ns,
        period_ns=trace.period_ns,
        series=trace.series,
    )
    bounds = executed_flop(whole_of(unknown), Rates(tensor=(1.0, 1.0), vector=0.0))
    assert bounds.hard.high is None
    assert bounds.hard.low == 0


def test_a_counter_covers_a_gap_and_a_reset_does_not():
    def counted(values):
        trace = flat(3)
        cells = {"energy_mj": Series.of_readings(values)}
        return integrals(
            whole_of(
                DeviceTrace(
                    device=trace.device,
                    time_ns=trace.time_ns,
                    period_ns=trace.period_ns,
                    series=cells,
                )
            ),
            Limits(max_power_watts=0.0, energy_gain=0.0),
        )[0].energy_joules

    missed = Unavailable(reason=Reason.TIMED_OUT)
    # 1000 mJ at the start, 4000 mJ at the end: 3 J, whatever was missed between.
    assert counted([1000, missed, missed, 4000]).high == pytest.approx(3.0)
    # Back to 500 after 2000: 1 J before and 1.5 J after the reset; the step between is unknown.
    assert counted([1000, 2000, 500, 2000]).high == pytest.approx(1.0 + 1.5)
    again = Unavailable(reason=Reason.RESET)
    assert counted([1000, 2000, again, 3000]).high == pytest.approx(1.0)


def test_energy_without_a_known_power_limit_is_an_estimate():
    """1000 J in 10 s: 5 % gain, and 0.1 s of the mean 100 W at both ends."""
    trace = flat(10)
    # The driver was loaded long ago: no second can have filled the counter from zero.
    series = {"energy_mj": Series.of_readings([10**9 + 100_000 * i for i in range(11)])}
    bare = replace(trace, device=Device(key=trace.device.key), series=series)
    found = integrals(whole_of(bare))[0]
    assert found.energy_joules is None
    assert found.energy_joules_estimated.low == pytest.approx(1000 * 0.95 - 2 * 0.1 * 100)
    assert found.energy_joules_estimated.high == pytest.approx(1000 * 1.05 + 2 * 0.1 * 100)
    series["power_limit_mw"] = Series.of_readings([700_000] * 11)
    limited = integrals(whole_of(replace(bare, series=series)))[0]
    assert limited.energy_joules.high == pytest.approx(1000 * 1.05 + 2 * 0.1 * 700)


def test_a_reset_that_was_outgrown_cannot_break_the_upper_end():
    """100 J, then 300 J a second later, at 700 W at most: it may have begun at zero in between."""

    def energy(first, second, watts):
        trace = replace(
            flat(1), series={"energy_mj": Series.of_readings([first * 1000, second * 1000])}
        )
        limits = Limits(max_power_watts=watts, energy_gain=0.0, energy_edge_s=0.0)
        return integrals(whole_of(trace), limits)[0].energy_joules

    hidden = energy(100, 300, 700.0)
    assert hidden.low == pytest.approx(300 - 100)  # what is sure: at least the difference
    assert hidden.high == pytest.approx(700)  # what a second can hold
    # 1100 J is more than 700 W can have filled within the second: no reset, 200 J.
    shown = energy(900, 1100, 700.0)
    assert (shown.low, shown.high) == (pytest.approx(200), pytest.approx(200))


def test_integer_products_are_no_flop():
    """40 % of the matrix pipe, 30 of it integer: at least 10 % (less the rounding) is FLOP."""
    trace = flat(tensor_activity_permille=400, imma_activity_permille=300, sm_clock_mhz=1500)
    bounds = executed_flop(whole_of(trace), Rates(tensor=(1.0, 1.0), vector=0.0))
    assert bounds.estimated.low == pytest.approx((0.399 - 0.301) * 1.5e9 * 10)
    assert bounds.estimated.high == pytest.approx(0.401 * 1.5e9 * 10)


def test_a_pipe_busier_than_its_device_is_a_finding_and_keeps_both_ends():
    """Tensor 40 % while no SM had a warp: what a zeroed or refused counter looks like."""
    trace = flat(tensor_activity_permille=400, sm_activity_permille=0, sm_clock_mhz=1500)
    bounds = executed_flop(whole_of(trace), Rates(tensor=(1.0, 1.0), vector=0.0))
    assert {f.code for f in bounds.findings} == {"telemetry-contradicts-itself"}
    assert bounds.findings[0].seconds == pytest.approx(10)
    assert bounds.hard.contains(0.4 * 1.5e9 * 10)
    assert bounds.estimated.contains(0.4 * 1.5e9 * 10)
    assert bounds.hard.low == 0


@pytest.mark.parametrize(
    ("length", "share"),
    # 1 s: the window may have ended before it. Longer: all but the shortest, 0.99 / 6 s.
    [(0.1, 1.0), (1.0, 1.0), (1.5, 1 - 0.99 / 6 / 1.5), (3.0, 1 - 0.99 / 6 / 3)],
)
def test_utilisation_speaks_for_a_window_that_is_over(length, share):
    trace = replace(
        flat(1, gpu_util_permille=0),
        time_ns=START + np.array([0, int(length * 10**9)], np.int64),
        period_ns=np.array([0, int(length * 10**9)], np.int64),
    )
    busy = integrals(whole_of(trace))[0].busy_cycles
    assert busy.high == pytest.approx(length * share * 1.98e9)


def test_vector_pipes_bound_the_vector_part():
    """FP32 pipe 10 %, the others idle: not the 100 % that residence alone would allow."""
    seen = {"fp32_activity_permille": 100, "fp64_activity_permille": 0, "fp16_activity_permille": 0}
    trace = flat(tensor_activity_permille=0, sm_clock_mhz=1500, **seen)
    pipes = {"fp64": (0.0, 1.0), "fp32": (0.0, 2.0), "fp16": (0.0, 2.0)}
    bounds = executed_flop(whole_of(trace), Rates(tensor=(0.0, 0.0), vector=4.0, pipes=pipes))
    # (0.101 x 2 + 0.001 x 1 + 0.001 x 2) FLOP a cycle x 1.5 GHz x 10 s.
    assert bounds.estimated.high == pytest.approx((0.202 + 0.001 + 0.002) * 1.5e9 * 10)
    without = executed_flop(whole_of(trace), Rates(tensor=(0.0, 0.0), vector=4.0))
    assert without.estimated.high > 5 * bounds.estimated.high


def test_contradicting_instruments_are_a_finding():
    """Tensor cycles of a full device against an energy that allows a hundredth of it."""
    rows = 11
    clock = 1.5e9
    trace = flat(
        10,
        sm_clock_mhz=1500,
    )
    series = dict(trace.series)
    series["sm_cycles_elapsed"] = Series.of_readings([int(i * clock) for i in range(rows)])
    series["mma_cycles_active"] = Series.of_readings([int(i * clock) for i in range(rows)])
    series["energy_mj"] = Series.of_readings([i * 1000 for i in range(rows)])
    trace = DeviceTrace(
        device=trace.device, time_ns=trace.time_ns, period_ns=trace.period_ns, series=series
    )
    rates = Rates(
        tensor=(KAPPA, KAPPA),
        vector=0.0,
        sm_count=132,
        joules_per_flop=1e-12,
        joules_per_flop_is_hard=True,
    )
    bounds = executed_flop(whole_of(trace), rates, Limits(max_power_watts=1.0))
    assert "telemetry-contradicts-itself" in {f.code for f in bounds.findings}
    # Neither is believed: what the counter says is still inside.
    assert bounds.hard.contains(10 * clock * KAPPA)


@pytest.mark.parametrize(
    ("signals", "code"),
    [
        (
            {"gpu_util_permille": 1000, "tensor_activity_permille": 0, "power_mw": 600_000},
            "counter-fault",
        ),
        ({"power_mw": 300_000, "energy_mj": None}, "energy-disagreement"),
    ],
)
def test_cross_checks(signals, code):
    rows = 11
    energy = "energy_mj" in signals
    trace = flat(10, **{n: v for n, v in signals.items() if v is not None})
    if energy:  # 200 J a second by the counter, 300 W by the power sensor
        series = dict(trace.series)
        series["energy_mj"] = Series.of_readings([200_000 * i for i in range(rows)])
        trace = DeviceTrace(
            device=trace.device, time_ns=trace.time_ns, period_ns=trace.period_ns, series=series
        )
    bounds = executed_flop(whole_of(trace), Rates(tensor=(1.0, 1.0), vector=0.0))
    assert code in {f.code for f in bounds.findings}


def test_tensor_without_power_is_a_finding():
    trace = flat(10)
    series = {
        "tensor_activity_permille": Series.of_readings([0] * 5 + [900] * 6),
        "power_mw": Series.of_readings([600_000] * 5 + [80_000] * 6),
    }
    trace = DeviceTrace(
        device=trace.device, time_ns=trace.time_ns, period_ns=trace.period_ns, series=series
    )
    bounds = executed_flop(whole_of(trace), Rates(tensor=(1.0, 1.0), vector=0.0))
    assert "tensor-without-power" in {f.code for f in bounds.findings}


def test_a_pair_of_looks_does_not_speak_for_its_spacing():
    """Activity 0 seen for 0.2 s of each second leaves 0.8 s free."""
    trace = flat(10, tensor_activity_permille=0)
    paired = whole_of(trace, events=(Event(time_ns=START, kind="sampled-pair"),))
    cycles = integrals(paired)[0].active_cycles["tensor"]
    assert cycles.high == pytest.approx(10 * (0.8 + 0.2 * 0.001) * 1.98e9)


def test_energy_estimate_stays_apart_from_hard_bounds():
    trace = flat(10, sm_clock_mhz=1500)
    series = dict(trace.series)
    series["energy_mj"] = Series.of_readings([100_000 * i for i in range(11)])
    trace = DeviceTrace(
        device=trace.device, time_ns=trace.time_ns, period_ns=trace.period_ns, series=series
    )
    rates = Rates(tensor=(KAPPA, KAPPA), vector=0.0, joules_per_flop=1e-12)
    soft = executed_flop(whole_of(trace), rates, Limits(max_power_watts=0.0))
    # 1000 J with 5 % gain at 1 pJ: at most 1.05e15 FLOP, estimated; hard stays at the clock cap.
    assert soft.estimated.high == pytest.approx(1.05e15)
    assert soft.hard.high == pytest.approx(1.98e9 * 10 * KAPPA)


def test_clock_from_power_where_it_is_missing():
    trace = flat(10, power_mw=400_000)
    limits = Limits(clock_at_power=((100.0, 1e9), (700.0, 2e9)))
    bounds = executed_flop(whole_of(trace), Rates(tensor=(1.0, 1.0), vector=0.0), limits)
    # Half way between the points: 1.5 GHz for 10 s.
    assert bounds.estimated.high == pytest.approx(1.5e10)


def test_intervals():
    a, b = Interval(low=1.0, high=3.0), Interval(low=2.0, high=None)
    assert a.meet(b) == Interval(low=2.0, high=3.0)
    assert a.meet(Interval(low=4.0, high=5.0)) is None
    assert total([a, b]).high is None
    assert total([a, a]).low == pytest.approx(2.0)
    assert useful(a, share_low=0.5) == Interval(low=0.5, high=3.0)
    assert b.width is None
    with pytest.raises(ValueError, match="no interval"):
        Interval(low=2.0, high=1.0)
    with pytest.raises(ValueError, match="share"):
        useful(a, share_low=0.0)


@given(
    st.lists(
        st.tuples(st.floats(0, 1e20), st.floats(0, 1e20), st.floats(0, 1)), min_size=1, max_size=8
    )
)
def test_a_sum_of_truths_lies_in_the_sum_of_intervals(parts):
    intervals = [Interval(low=min(a, b), high=max(a, b)) for a, b, _ in parts]
    truths = [
        i.low + (i.high - i.low) * share for i, (_, _, share) in zip(intervals, parts, strict=False)
    ]
    assert total(intervals).contains(sum(truths))


def test_a_device_without_rates_is_refused():
    trace = flat(3, sm_clock_mhz=1000)
    with pytest.raises(KeyError):
        executed_flop(whole_of(trace), {})
