"""The true FLOP of a simulated device lies inside every reported range, whatever was seen of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopledger.run_bounds import device_bounds, summed
from hardware_db import identify
from profilers import Device, DeviceKey, DeviceTrace, Reason, Sample, Unavailable

SECOND = 1_000_000_000
H100 = identify("NVIDIA H100 80GB HBM3")
A100 = identify("NVIDIA A100-SXM4-80GB")
LOST = Unavailable(reason=Reason.LOST)
RATES = {"bf16": 4096, "fp8": 8192}  # FLOP per SM and clock, dense, of an H100

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
    trace = DeviceTrace.of_samples(Device(key=DeviceKey(uuid="G")), samples)
    bounds = device_bounds(trace, H100, 0, len(rows) * SECOND)
    low, high = bounds.by_precision[precision]
    assert low <= truth * (1 + 1e-9)
    assert truth <= high * (1 + 1e-9)
    whole = summed([bounds])
    assert whole["low"] <= truth * (1 + 1e-9)
    assert truth <= whole["high"] * (1 + 1e-9)
    assert truth <= whole["hard"]["high"] * (1 + 1e-9)


def test_a_busy_gauge_proves_no_arithmetic():
    key = DeviceKey(uuid="G")
    readings = {"sm_clock_mhz": 1410, "gpu_util_permille": 500}
    samples = [
        Sample(device=key, monotonic_ns=None, wall_ns=at * SECOND, period_ns=SECOND,
               readings=readings)
        for at in (1, 2)
    ]  # fmt: skip
    trace = DeviceTrace.of_samples(Device(key=key), samples)
    bounds = device_bounds(trace, A100, 0, 2 * SECOND)
    low, high = bounds.by_precision["bf16"]
    # 108 SM x 2048 FLOP x 1.41 GHz x 2 s x (50 % + 1 point that a whole percent may hide).
    assert low == 0
    assert high == pytest.approx(108 * 2048 * 1.41e9 * 2 * 0.51)
    assert bounds.grade == "gauge"
    assert "int8" not in bounds.by_precision


def test_ends_of_several_devices_add_up():
    key = DeviceKey(uuid="G")
    sample = Sample(device=key, monotonic_ns=None, wall_ns=SECOND, period_ns=SECOND,
                    readings={"sm_clock_mhz": 1000, "tensor_activity_permille": 400})  # fmt: skip
    trace = DeviceTrace.of_samples(Device(key=key), [sample])
    one = device_bounds(trace, H100, 0, SECOND)
    low, high = one.by_precision["bf16"]
    # Half a permille of rounding, each way, on every device: it does not average out.
    assert low == pytest.approx(132 * 4096 * 1e9 * 0.3995)
    assert high == pytest.approx(132 * 4096 * 1e9 * 0.4005)
    both = summed([one, one])
    assert both["by_precision"]["bf16"] == {"low": 2 * low, "high": 2 * high}
