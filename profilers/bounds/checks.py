"""Readings of one device against each other: what contradicts is a finding, never averaged away."""

from dataclasses import dataclass

import numpy as np

from profilers.bounds.pieces import Cut, Pieces
from profilers.counters import CounterSpans, contradict
from profilers.trace import DeviceKey

BUSY = 0.5
"""Utilisation from which a device counts as busy."""
POWER_SHARE = 0.5
"""Of the highest power seen of this device: high from here on."""
IDLE_SHARE = 0.25
TENSOR_HIGH = 0.30
_LEAST_PIECES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Contradiction:
    """Something in the telemetry that cannot all be true."""

    code: str
    """Kebab-case word."""
    device: DeviceKey
    message: str
    seconds: float | None = None
    """Time over which it shows; None where it has no length."""


def cross_check(cut: Cut) -> list[Contradiction]:
    """Compare utilisation, tensor activity, power and energy of one device."""
    key, pieces = cut.key, cut.pieces
    found = [_energy(key, pieces), _idle_and_busy(key, pieces)]
    if "tensor" in pieces.active and not np.isnan(pieces.power_watts).all():
        found += [_silent_counter(key, pieces), _cheap_tensor(key, pieces)]
    return [one for one in found if one is not None]


def _idle_and_busy(key: DeviceKey, cut: Pieces) -> Contradiction | None:
    """A matrix pipe that is busier than the device: one of the two counters is at fault."""
    if not cut.incredible.any():
        return None
    return Contradiction(
        code="telemetry-contradicts-itself",
        device=key,
        message="tensor activity is above SM or graphics activity, which it cannot be; "
        "neither of the two is believed to bound the other",
        seconds=float(cut.seconds[cut.incredible].sum()),
    )


def _tensor_share(cut: Pieces) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the largest tensor activity that each piece allows; NaN where it was not read."""
    tensor = cut.active["tensor"]
    share = np.full(len(cut.seconds), np.nan)
    finite = np.isfinite(cut.clock.high) & (cut.clock.high > 0) & np.isfinite(tensor.high)
    share[finite] = tensor.high[finite] / cut.clock.high[finite]
    return share


def _silent_counter(key: DeviceKey, cut: Pieces) -> Contradiction | None:
    """High utilisation and power with no tensor activity at all is a fault of the counter."""
    most = np.nanmax(cut.power_watts)
    hot = cut.power_watts >= most * POWER_SHARE
    silent = (cut.util >= BUSY) & hot & (_tensor_share(cut) <= 0.002)
    if silent.sum() < _LEAST_PIECES or most <= 0:
        return None
    other = (cut.util >= BUSY) & hot & (_tensor_share(cut) > 0.002)
    if other.any():
        return None
    return Contradiction(
        code="counter-fault",
        device=key,
        message="busy and drawing power all the time, but the tensor counter never moved",
        seconds=float(cut.seconds[silent].sum()),
    )


def _cheap_tensor(key: DeviceKey, cut: Pieces) -> Contradiction | None:
    """High tensor activity at idle power is forged or mis-scaled."""
    most = np.nanmax(cut.power_watts)
    cold = cut.power_watts <= most * IDLE_SHARE
    active = cut.active.get("tensor")
    assert active is not None
    cheap = cold & (_tensor_share(cut) >= TENSOR_HIGH)
    if cheap.sum() < _LEAST_PIECES:
        return None
    return Contradiction(
        code="tensor-without-power",
        device=key,
        message="tensor activity is high while the board draws little: forged or mis-scaled",
        seconds=float(cut.seconds[cheap].sum()),
    )


def _energy(key: DeviceKey, cut: Pieces) -> Contradiction | None:
    """Compare the energy counter with the integrated power over the spans that both cover."""
    spans = cut.counters.get("energy_mj")
    if spans is None or np.isnan(cut.power_watts).all():
        return None
    counted, integrated, seconds = 0.0, 0.0, 0.0
    for start, stop, delta in _each(spans):
        watts = cut.power_watts[start:stop]
        if np.isnan(watts).any():
            continue
        counted += delta * 1e-3
        integrated += float((watts * cut.seconds[start:stop]).sum())
        seconds += float(cut.seconds[start:stop].sum())
    if not contradict(counted, integrated, seconds):
        return None
    return Contradiction(
        code="energy-disagreement",
        device=key,
        message=f"the energy counter says {counted:.4g} J, integrated power {integrated:.4g} J",
        seconds=seconds,
    )


def _each(spans: CounterSpans) -> list[tuple[int, int, float]]:
    return list(zip(spans.start.tolist(), spans.stop.tolist(), spans.delta.tolist(), strict=True))
