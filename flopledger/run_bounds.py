"""From what a run's devices did (seconds, cycles) to what they can have computed (FLOP).

The telemetry pillar bounds device time (``profilers.bounds``); here it meets the rates of the parts.
Executed FLOP only: how much of it was useful model FLOP is another question. No common counter tells
the precision, so each has a range of its own, and the range over all ends at the widest one.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hardware_db import Accelerator
    from profilers.bounds import FlopBounds, Interval, Limits, Rates
    from profilers.trace import DeviceKey, DeviceTrace, Trace

ROUNDING = 0.0005
"""Our recorder keeps activities as whole permille."""
_VECTOR_PIPES = ("fp64", "fp32", "fp16")
Ends = Mapping[str, tuple[float, float]]
"""Precision to (lowest, highest) FLOP per cycle."""


class UnknownRates(Exception):  # noqa: N818 - said to people, never raised at them
    """A part whose FLOP per clock are not public."""


def matrix_rates(part: "Accelerator") -> Ends:
    """Return FLOP per cycle of the whole device by precision, dense, on the matrix units.

    Each precision has two ends, because on some parts the rate depends on what sums are kept in. A
    part without matrix units is bounded by its vector rates. Integer operations are no FLOP. Raises
    ``UnknownRates`` where none is public.
    """
    found = _rates(part, "matrix" if _has_matrix(part) else "vector")
    if not found:
        raise UnknownRates(f"{part.id}: its rates are not public")
    return found


def _has_matrix(part: "Accelerator") -> bool:
    return any(f.engine == "matrix" and not _integer(f.dtype) for f in part.peaks)


def _rates(part: "Accelerator", engine: str) -> dict[str, tuple[float, float]]:
    from hardware_db import HardwareError

    found: dict[str, tuple[float, float]] = {}
    for figure in part.peaks:
        if figure.sparse or figure.engine != engine or _integer(figure.dtype):
            continue
        try:
            per_second = part.peak_at(
                figure.dtype, clock_mhz=1.0, engine=engine, accumulate=figure.accumulate
            )
        except HardwareError:
            continue
        rate = per_second / 1e6
        low, high = found.get(figure.dtype, (rate, rate))
        found[figure.dtype] = (min(low, rate), max(high, rate))
    return dict(sorted(found.items()))


def _integer(dtype: str) -> bool:
    return dtype.startswith("int")


def limits_of(part: "Accelerator", seen: "DeviceTrace") -> "Limits":
    """Return what bounds a device whatever its sensors say: the database and the device itself."""
    from profilers.bounds import Limits

    clocks = [part.max_clock.mhz] if part.max_clock is not None else []
    if seen.device.max_sm_clock_mhz is not None:
        clocks.append(seen.device.max_sm_clock_mhz)  # a board maker's edition may run faster
    return Limits(max_clock_hz=max(clocks) * 1e6 if clocks else None, activity_step=ROUNDING)


def flop_bounds(
    trace: "Trace", parts: "Mapping[DeviceKey, Accelerator]"
) -> "tuple[dict[str, Any], FlopBounds]":
    """Bound the executed FLOP of a trace's devices over its window; ``parts`` names them all.

    Returns plain JSON (``low`` and ``high``: matrix units, any precision, gauges taken as
    representative; ``hard``: all units, whatever the sensors' blind spots allow), and the hard
    bounds with their findings. Raises ``UnknownRates`` where one part's rates are not public: a sum
    without it would bound nothing.
    """
    from profilers.bounds import cut_trace, executed_flop

    rates = {key: matrix_rates(part) for key, part in parts.items()}
    limits = {key: limits_of(part, trace.devices[key]) for key, part in parts.items()}
    cuts = cut_trace(trace, limits)
    every = {key: _matrix_only(own.values()) for key, own in rates.items()}
    common = sorted(set.intersection(*(set(own) for own in rates.values())))
    by_precision = {
        name: _best(
            executed_flop(cuts, {key: _matrix_only([own[name]]) for key, own in rates.items()})
        )
        for name in common
    }
    whole = executed_flop(cuts, {key: _all_units(part, rates[key]) for key, part in parts.items()})
    return {
        **_ends(_best(executed_flop(cuts, every))),
        "hard": _ends(whole.hard),
        "basis": "hardware",
        "by_precision": {name: _ends(found) for name, found in by_precision.items()},
        "grade": _grade(whole),
        "assumptions": _assumptions(trace, parts),
    }, whole


def _matrix_only(rates: "Iterable[tuple[float, float]]") -> "Rates":
    from profilers.bounds import Rates

    lows, highs = zip(*rates, strict=True)
    return Rates(tensor=(min(lows), max(highs)), vector=0.0)


def _all_units(part: "Accelerator", matrix: Ends) -> "Rates":
    """Return the rates of all pipes: the vector ones may work while the matrix ones do."""
    from profilers.bounds import Rates

    widest = max((high for _, high in _rates(part, "vector").values()), default=0.0)
    # Which of the vector pipes executes packed halves differs by generation: each may.
    pipes = dict.fromkeys(_VECTOR_PIPES, (0.0, widest))
    tensor = (0.0, 0.0)
    if _has_matrix(part):
        tensor = min(low for low, _ in matrix.values()), max(high for _, high in matrix.values())
    return Rates(tensor=tensor, vector=widest, pipes=pipes, sm_count=part.compute_units)


def _best(bounds: "FlopBounds") -> "Interval":
    """Return the estimate, or the hard bound where no gauge allows one."""
    return bounds.hard if bounds.estimated is None else bounds.estimated


def _ends(interval: "Interval") -> dict[str, float | None]:
    return {"low": interval.low, "high": interval.high}


def _grade(bounds: "FlopBounds") -> str:
    """Return the grade of the weakest device's best instrument."""
    grades = []
    for device in bounds.devices:
        if "cycle-counter" in device.used:
            grades.append("instrument-counter")
        elif device.integrals.active_cycles:
            grades.append("sampled-counter")
        else:
            grades.append("gauge")
    order = ("gauge", "sampled-counter", "instrument-counter")
    return min(grades, key=order.index)


def _assumptions(trace: "Trace", parts: "Mapping[DeviceKey, Accelerator]") -> list[str]:
    told = []
    for key in parts:
        series = trace.devices[key].series
        if "tensor_activity_permille" in series or "mma_cycles_active" in series:
            told.append("tensor activity 1.0 is the dense peak rate at the actual clock")
        else:
            told.append("a busy device may have computed at its peak, or not at all")
        told.append("between two samples the clock lay between what they saw (`hard`: anywhere)")
    told.append("matrices are dense; structured sparsity would double every figure")
    told.append("matrix units only, except for `hard`, which holds vector arithmetic, too")
    return list(dict.fromkeys(told))


def tensor_share(trace: "DeviceTrace", start_ns: int, end_ns: int) -> float | None:
    """Return the mean tensor activity over the time in which it was read; None where never."""
    from profilers.integrals import mean_integral

    amount = mean_integral(trace, "tensor_activity_permille", start_ns, end_ns)
    if amount is None or amount.seconds <= 0:
        return None
    return amount.value / amount.seconds / 1000
