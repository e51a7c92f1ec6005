"""The true FLOP of a simulated device lies inside every reported range, whatever was seen of it."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopledger.run_bounds import UnknownRates, flop_bounds, matrix_rates
from hardware_db import identify
from profilers import Device, DeviceKey, DeviceTrace, Reason, Sample, Trace, Unavailable

SECOND = 1_000_000_000
H100 = identify("NVIDIA H100 80GB HBM3")
A100 = identify("NVIDIA A100-SXM4-80GB")
LOST = Unavailable(reason=Reason.LOST)
RATES = {"bf16": 4096, "fp8": 8192}  # FLOP per SM and clock, dense, of an H100

KEY = DeviceKey(uuid="G")


def window(seconds, *devices):
    """Put traces into a run of so many seconds, which began at 0."""
    return Trace(
        devices={trace.device.key: trace for trace in devices},
        started_ns=0,
        ended_ns=seconds * SECOND,
    )


stretches = st.lists(
    st.tuples(
        st.floats(0, 1),  # true tensor activity
        st.integers(210, 1980),  # true clock in MHz
        st.booleans(),  # was it seen?
        st.booleans(),  # had the sample its activity?
    ),
    min_size=1,
    max_size=20,
)


@given(stretches, st.sampled_from(sorted(RATES)))
@settings(max_examples=80, deadline=None)
def test_the_truth_is_inside(rows, precision):
    samples, truth, seen_before = [], 0.0, True
    for number, (activity, clock, seen, told) in enumerate(rows):
        truth += activity * clock * 1e6 * 132 * RATES[precision]  # for one second
        if seen:
            readings = {
                "sm_clock_mhz": clock,
                "tensor_activity_permille": round(1000 * activity) if told else LOST,
                "gpu_util_permille": 1000,
            }
            at = (number + 1) * SECOND
            # After a stretch that nobody saw the chain begins anew: it speaks for no time.
            period = SECOND if seen_before else 0
            samples.append(
                Sample(device=DeviceKey(uuid="G"), monotonic_ns=None, wall_ns=at,
                       period_ns=period, readings=readings)
            )  # fmt: skip
        seen_before = seen
    trace = DeviceTrace.of_samples(Device(key=KEY), samples)
    told, _ = flop_bounds(window(len(rows), trace), {KEY: H100})
    for found in (told["by_precision"][precision], told, told["hard"]):
        assert found["low"] <= truth * (1 + 1e-9)
        assert truth <= found["high"] * (1 + 1e-9)


def test_a_busy_gauge_proves_no_arithmetic():
    key = KEY
    readings = {"sm_clock_mhz": 1410, "gpu_util_permille": 500}
    samples = [
        Sample(device=key, monotonic_ns=None, wall_ns=at * SECOND, period_ns=SECOND,
               readings=readings)
        for at in (1, 2)
    ]  # fmt: skip
    trace = DeviceTrace.of_samples(Device(key=key), samples)
    told, _ = flop_bounds(window(2, trace), {key: A100})
    # 108 SM x 2048 FLOP x 1.41 GHz x 2 s x (50 % + 1 point that a whole percent may hide).
    bf16 = told["by_precision"]["bf16"]
    assert bf16 == {"low": 0, "high": pytest.approx(108 * 2048 * 1.41e9 * 2 * 0.51)}
    assert told["grade"] == "gauge"
    assert "int8" not in told["by_precision"]
    # The gauge saw 1/6 s of each second; the rest may have been busy, on vector units, too.
    assert told["hard"]["low"] == 0
    assert told["hard"]["high"] > 1.5 * bf16["high"]


def test_ends_of_several_devices_add_up():
    key = KEY
    sample = Sample(device=key, monotonic_ns=None, wall_ns=SECOND, period_ns=SECOND,
                    readings={"sm_clock_mhz": 1000, "tensor_activity_permille": 400})  # fmt: skip
    trace = DeviceTrace.of_samples(Device(key=key), [sample])
    one, _ = flop_bounds(window(1, trace), {key: H100})
    # Half a permille of rounding, each way, on every device: it does not average out.
    bf16 = one["by_precision"]["bf16"]
    assert bf16["low"] == pytest.approx(132 * 4096 * 1e9 * 0.3995)
    assert bf16["high"] == pytest.approx(132 * 4096 * 1e9 * 0.4005)
    twin = DeviceKey(uuid="H")
    second = DeviceTrace.of_samples(Device(key=twin), [replace(sample, device=twin)])
    both, _ = flop_bounds(window(1, trace, second), {key: H100, twin: H100})
    assert both["by_precision"]["bf16"] == pytest.approx({n: 2 * v for n, v in bf16.items()})
    assert one["grade"] == both["grade"] == "sampled-counter"


def test_cycle_counters_are_the_best_grade():
    """Elapsed 1 GHz x 132 SM, a tenth of it on the matrix pipe, for 9 s between ten looks."""
    billion = 132 * 10**9
    samples = [
        Sample(device=KEY, monotonic_ns=None, wall_ns=at * SECOND, period_ns=SECOND, readings={
            "sm_cycles_elapsed": 10**15 + at * billion, "mma_cycles_active": 10**14 + at * billion // 10,
        })
        for at in range(1, 11)
    ]  # fmt: skip
    device = DeviceTrace.of_samples(Device(key=KEY), samples)
    told, bounds = flop_bounds(window(10, device), {KEY: H100})
    assert told["grade"] == "instrument-counter"
    # At least the narrowest precision (fp64: 1024 FLOP per SM and clock) on 9 s of a tenth of 1 GHz.
    least = min(low for low, _ in matrix_rates(H100).values()) / 132
    assert bounds.hard.low == pytest.approx(132 * least * 1e9 * 0.1 * 9)


def test_a_part_without_public_rates_is_no_zero():
    bare = replace(H100, peaks=())
    with pytest.raises(UnknownRates, match="not public"):
        matrix_rates(bare)


def test_what_sums_are_kept_in_may_double_a_rate():
    """An RTX 4090 adds FP16 products in FP16 twice as fast as in FP32; which was done is unknown."""
    low, high = matrix_rates(identify("NVIDIA GeForce RTX 4090"))["fp16"]
    assert high == 2 * low
