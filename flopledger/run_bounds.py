"""From what devices did (seconds, cycles) to what they can have computed (FLOP), as hard ranges.

The pillars give integrals; here they meet a peak. Executed FLOP only: how much of it was useful
model FLOP is another question. Precision is unknown to every counter but the split ones, so each
precision has its own range, and the range over all of them ends at the widest one.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from profilers.integrals import covered_seconds, mean_integral, overlap_seconds, product_integral
from profilers.reading import SIGNALS, Kind

if TYPE_CHECKING:
    from hardware_db import Accelerator
    from profilers.trace import DeviceTrace

ROUNDING_PERMILLE = 0.5
"""Activities are kept as whole permille."""


@dataclass(slots=True)
class DeviceBounds:
    """Executed dense matrix FLOP of one device over a window."""

    by_precision: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Precision to (low, high)."""
    hard_high: float = 0.0
    """FLOP at the highest clock of the widest precision all the time: no sensor is trusted."""
    grade: str = "gauge"
    """``sampled-counter`` when tensor activity was read, ``gauge`` when only the clock was."""
    assumptions: list[str] = field(default_factory=list)


def device_bounds(
    trace: "DeviceTrace", part: "Accelerator", start_ns: int, end_ns: int
) -> DeviceBounds | None:
    """Bound the dense FLOP that a device executed; None where its rates are not public.

    High: tensor activity x clock where both were read; else utilisation, else the clock alone;
    time without any reading at the highest clock. Low: what tensor activity shows, else 0, because
    a busy gauge proves no arithmetic at all.
    """
    from hardware_db import HardwareError

    # Integer operations are no FLOP. A part without matrix units is bounded by its vector rates.
    paths = {(f.dtype, f.engine) for f in part.peaks if not f.sparse and f.dtype[:3] != "int"}
    matrix = {path for path in paths if path[1] == "matrix"}
    answer = DeviceBounds()
    window = (end_ns - start_ns) / 1e9
    for dtype, engine in sorted(matrix or paths):
        try:
            per_mhz = part.peak_at(dtype, clock_mhz=1.0, engine=engine)
            ceiling = part.ceiling_flop_per_second(dtype, engine=engine)
        except HardwareError:
            continue
        answer.by_precision[dtype] = _range(trace, per_mhz, ceiling, window, start_ns, end_ns)
        answer.hard_high = max(answer.hard_high, ceiling * window)
    if not answer.by_precision:
        return None
    if _has(trace, "tensor_activity_permille") and _has(trace, "sm_clock_mhz"):
        answer.grade = "sampled-counter"
        answer.assumptions.append("tensor activity 1.0 is the dense peak rate at the actual clock")
        answer.assumptions.append("the clock at each sample stands for the time since the last one")
    else:
        answer.assumptions.append("a busy device may have computed at its peak, or not at all")
    answer.assumptions.append("matrices are dense; structured sparsity would double every figure")
    if matrix:
        answer.assumptions.append("matrix units only; vector arithmetic comes on top")
    return answer


def _has(trace: "DeviceTrace", signal: str) -> bool:
    series = trace.series.get(signal)
    return series is not None and bool(series.present.any())


def _range(
    trace: "DeviceTrace",
    per_mhz: float,
    ceiling: float,
    window: float,
    start_ns: int,
    end_ns: int,
) -> tuple[float, float]:
    """Return (low, high) FLOP of one precision."""
    clock, tensor = "sm_clock_mhz", "tensor_activity_permille"
    active = product_integral(trace, tensor, clock, start_ns, end_ns)
    if active is not None and active.seconds > 0:
        cycles = mean_integral(trace, clock, start_ns, end_ns)
        slack = 0.0 if cycles is None else cycles.value * ROUNDING_PERMILLE / 1000
        known, seconds = active.value / 1000, active.seconds
        low = max(0.0, known - slack) * per_mhz
        return low, (known + slack) * per_mhz + max(0.0, window - seconds) * ceiling
    assert SIGNALS[clock].kind is Kind.GAUGE
    busy = _busy_cycles(trace, start_ns, end_ns)
    if busy is not None:
        cycles_mhz, seconds = busy
        return 0.0, cycles_mhz * per_mhz + max(0.0, window - seconds) * ceiling
    return 0.0, window * ceiling


def _busy_cycles(trace: "DeviceTrace", start_ns: int, end_ns: int) -> tuple[float, float] | None:
    """Return (MHz x seconds in which a kernel may have been resident, seconds known)."""
    import numpy as np

    clock = trace.series.get("sm_clock_mhz")
    if clock is None or not bool(clock.present.any()):
        return None
    seconds = overlap_seconds(trace, None, start_ns, end_ns)
    share = np.ones(len(seconds))
    use = trace.series.get("gpu_util_permille")
    if use is not None:
        # A whole percent: the true share may be a point higher. Unknown utilisation is full.
        share = np.where(use.present, np.minimum(1.0, use.payload / 1000 + 0.01), 1.0)
    kept = clock.present
    cycles = float((clock.payload * share * seconds)[kept].sum())
    return cycles, float(seconds[kept].sum())


def summed(parts: list[DeviceBounds]) -> dict[str, Any]:
    """Add the bounds of all devices end by end: shared errors do not cancel."""
    precisions = sorted(set.intersection(*(set(part.by_precision) for part in parts)))
    by_precision = {
        name: {
            "low": sum(part.by_precision[name][0] for part in parts),
            "high": sum(part.by_precision[name][1] for part in parts),
        }
        for name in precisions
    }
    low = sum(min(low for low, _ in part.by_precision.values()) for part in parts)
    high = sum(max(high for _, high in part.by_precision.values()) for part in parts)
    grades = {part.grade for part in parts}
    return {
        "low": low,
        "high": high,
        "hard": {"low": 0.0, "high": sum(part.hard_high for part in parts)},
        "basis": "hardware",
        "by_precision": by_precision,
        "grade": "sampled-counter" if grades == {"sampled-counter"} else "gauge",
        "assumptions": list(dict.fromkeys(a for part in parts for a in part.assumptions)),
    }


def tensor_share(trace: "DeviceTrace", start_ns: int, end_ns: int) -> float | None:
    """Return the mean tensor activity over the time in which it was read; None where never."""
    amount = mean_integral(trace, "tensor_activity_permille", start_ns, end_ns)
    if amount is None or amount.seconds <= 0 or covered_seconds(trace, start_ns, end_ns) <= 0:
        return None
    return amount.value / amount.seconds / 1000
