"""A recording made small enough to look at: extremes and mean for each of a few hundred moments.

A week of a thousand devices at 1 Hz is 6e8 samples; a page has room for some hundred points. Every
sample falls into one moment, and the moment keeps the lowest, the highest and the mean value of all
devices, so that no peak is lost to thinning. A moment without samples stays empty: it is a gap.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from flopledger.telemetry import Telemetry
    from profilers.trace import DeviceTrace

MOMENTS = 240
#: Signal -> (label, unit, factor to that unit); alternatives of one label: the first recorded wins.
SIGNALS = {
    "tensor_activity_permille": ("tensor pipes active", "%", 0.1),
    "sm_activity_permille": ("multiprocessors active", "%", 0.1),
    "gpu_util_permille": ("a kernel resident", "%", 0.1),
    "power_mw": ("board power", "W", 1e-3),
    "power_average_mw": ("board power", "W", 1e-3),
    "memory_used_bytes": ("memory in use", "GB", 1e-9),
    "sm_clock_mhz": ("clock", "MHz", 1.0),
    "temperature_c": ("temperature", "°C", 1.0),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """One signal, moment by moment; ``None`` where no device gave a number."""

    label: str
    unit: str
    low: tuple[float | None, ...]
    mean: tuple[float | None, ...]
    high: tuple[float | None, ...]
    samples: int  #: numbers that went in
    devices: int  #: that gave any


@dataclass(frozen=True, kw_only=True, slots=True)
class TelemetryView:
    """A run's recordings, thinned for display."""

    files: tuple[str, ...]
    started_ns: int  #: Unix nanoseconds of the first sample, as its clock has it
    clock: str  #: what that clock is: "UTC", "zone-unknown" (of a place that nobody names), "date-unknown"
    seconds: float  #: from the first sample to the last
    moments: int
    envelopes: tuple[Envelope, ...]


def thin(telemetry: "Telemetry | None", moments: int = MOMENTS) -> TelemetryView | None:
    """Thin ``telemetry`` to ``moments`` points in time; ``None`` where there is nothing to draw."""
    if telemetry is None:
        return None
    devices = [device for device in telemetry.trace.devices.values() if len(device)]
    if not devices:
        return None
    start = min(int(device.time_ns[0]) for device in devices)
    end = max(int(device.time_ns[-1]) for device in devices)
    if end <= start:
        return None
    # A sample a moment at least; the spaces between samples are no gaps (``_held``).
    moments = min(moments, max(2, max(len(device) for device in devices)))
    found = (_envelope(name, devices, start, end, moments) for name in SIGNALS)
    envelopes = tuple(_first_of_each_label(one for one in found if one is not None))
    if not envelopes:
        return None
    return TelemetryView(
        files=telemetry.names,
        started_ns=start,
        clock=_clock(telemetry),
        seconds=(end - start) / 1e9,
        moments=moments,
        envelopes=envelopes,
    )


def _clock(telemetry: "Telemetry") -> str:
    """Name the clock of the stamps: the weakest of all that were joined."""
    kinds = {event.kind for event in telemetry.trace.events}
    return next((one for one in ("date-unknown", "zone-unknown") if one in kinds), "UTC")


def _first_of_each_label(found: "Iterable[Envelope]") -> "list[Envelope]":
    kept: dict[str, Envelope] = {}
    for one in found:
        kept.setdefault(one.label, one)
    return list(kept.values())


def _envelope(
    signal: str, devices: "list[DeviceTrace]", start: int, end: int, moments: int
) -> Envelope | None:
    import numpy as np

    low, high = np.full(moments, np.inf), np.full(moments, -np.inf)
    total, count = np.zeros(moments), np.zeros(moments, np.int64)
    seen, spacing = 0, 0.0
    for device in devices:
        series = device.series.get(signal)
        if series is None or not series.present.any():
            continue
        seen += 1
        known = series.present
        values = series.payload[known].astype(np.float64)
        place = _moments(device.time_ns[known], start, end, moments)
        if len(values) > 1:
            spacing = max(spacing, float(np.median(np.diff(device.time_ns[known]))))
        np.minimum.at(low, place, values)
        np.maximum.at(high, place, values)
        total += np.bincount(place, weights=values, minlength=moments)
        count += np.bincount(place, minlength=moments)
    if not seen:
        return None
    label, unit, factor = SIGNALS[signal]
    mean = total / np.maximum(count, 1)
    rows = _held(count, math.ceil(2 * spacing / (end - start) * moments))
    return Envelope(
        label=label,
        unit=unit,
        low=_known(low * factor, rows),
        mean=_known(mean * factor, rows),
        high=_known(high * factor, rows),
        samples=int(count.sum()),
        devices=seen,
    )


def _moments(
    stamps: "NDArray[np.int64]", start: int, end: int, moments: int
) -> "NDArray[np.int64]":
    import numpy as np

    share = (stamps - start).astype(np.float64) / (end - start)
    return np.minimum((share * moments).astype(np.int64), moments - 1)


def _held(count: "NDArray[np.int64]", reach: int) -> list[int | None]:
    """Give, for each moment, the moment whose values it shows; ``None`` in a gap.

    Signals that change slowly are read seldom. Between two readings that are no farther apart than
    ``reach`` moments (twice the signal's own pace) the earlier one holds.
    """
    known = [at for at, seen in enumerate(count.tolist()) if seen]
    shown: list[int | None] = [at if seen else None for at, seen in enumerate(count.tolist())]
    for one, after in pairwise(known):
        if after - one <= reach:
            shown[one:after] = [one] * (after - one)
    return shown


def _known(values: "NDArray[np.float64]", rows: "Sequence[int | None]") -> tuple[float | None, ...]:
    return tuple(None if row is None else float(values[row]) for row in rows)
