"""Thinning keeps what matters: extremes, means, gaps, counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopledger.profiling.telemetry_view import MOMENTS, TelemetryView, thin
from flopledger.reports.content.telemetry import extent
from flopledger.telemetry import Telemetry
from profilers.trace import Device, DeviceKey, DeviceTrace, Event, Series, Trace


def _view(
    powers: list[list[int]],
    start: int = 0,
    step: int = 10**9,
    events: tuple[Event, ...] = (),
    moments: int = MOMENTS,
) -> TelemetryView | None:
    """Devices that give one reading of power a second, in watts."""
    devices = {}
    for index, watts in enumerate(powers):
        device = Device(key=DeviceKey(uuid=f"GPU-{index}"))
        count = len(watts)
        times = start + step * np.arange(count, dtype=np.int64)
        devices[device.key] = DeviceTrace(
            device=device,
            time_ns=times,
            period_ns=np.full(count, step, np.int64),
            series={"power_mw": Series.of_numbers(1000 * np.array(watts, np.int64))},
        )
    trace = Trace(devices=devices, events=events)
    return thin(Telemetry(trace=trace, names=("t",)), moments)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2000), min_size=2, max_size=900), min_size=1, max_size=3))
def test_no_peak_and_no_sample_is_lost(powers: list[list[int]]) -> None:
    view = _view(powers)
    assert view is not None
    (power,) = view.envelopes
    everything = [watt for watts in powers for watt in watts]
    assert power.samples == len(everything)
    assert power.devices == len(powers)
    assert max(v for v in power.high if v is not None) == pytest.approx(max(everything))
    assert min(v for v in power.low if v is not None) == pytest.approx(min(everything))
    for low, mean, high in zip(power.low, power.mean, power.high, strict=True):
        if low is not None:
            assert low - 1e-9 <= mean <= high + 1e-9


@given(st.integers(4, 3000))
@settings(max_examples=30, deadline=None)
def test_an_even_recording_has_no_gap(count: int) -> None:
    view = _view([[100] * count])
    assert view is not None
    assert None not in view.envelopes[0].mean
    assert view.moments == min(MOMENTS, count)


def test_the_mean_is_that_of_the_samples() -> None:
    # Four samples, two moments: (100 + 300) / 2 and (500 + 700) / 2.
    view = _view([[100, 300, 500, 700]], moments=2)
    assert view is not None
    assert view.envelopes[0].mean == (200.0, 600.0)
    assert view.seconds == 3.0


def test_nothing_to_draw_is_nothing() -> None:
    assert thin(None) is None
    assert _view([[100]]) is None  # one moment is no time
    assert thin(Telemetry(trace=Trace(devices={}), names=())) is None


@pytest.mark.parametrize(
    ("kinds", "ends"),
    [
        ((), "over 3 seconds from 2026-01-01 00:00:00 UTC"),
        (
            ("zone-unknown",),
            "over 3 seconds from 2026-01-01 00:00:00 (of a zone that is not known)",
        ),
        (("zone-unknown", "date-unknown"), "over 3 seconds"),
    ],
)
def test_a_time_is_said_as_far_as_its_stamp_tells(kinds: tuple[str, ...], ends: str) -> None:
    events = tuple(Event(time_ns=0, kind=kind, detail={}) for kind in kinds)
    # 1,767,225,600 s after 1970 is the first second of 2026.
    view = _view([[1, 2, 3, 4]], start=1_767_225_600 * 10**9, events=events)
    assert view is not None
    assert extent(view).endswith(ends)
