"""Tensor activity: what the matrix pipes were seen to execute.

    executed FLOP = sum over devices and time of activity x FLOP per clock x clock

Executed FLOP include recomputation, padding and everything else that ran: they bound model FLOP from
above, and never say what was trained. The hard end holds whatever the sensors may have missed.
"""

from flopledger.estimate import ComputeEstimate
from flopledger.inputs import RunFigures
from flopledger.parts import Part
from flopledger.quantity import Interval
from flopledger.telemetry import Telemetry, executed

GROUP = "device telemetry"


def estimate(
    run: RunFigures, telemetry: Telemetry | None, part: Part | None
) -> tuple[ComputeEstimate, ...]:
    """Give the hard bound and, where gauges allow one, the two-sided figure of executed FLOP."""
    if telemetry is None or part is None:
        return ()
    bounds = executed(telemetry, part, run.precision)
    if bounds is None or bounds.hard.high is None:
        return ()
    coverage = bounds.coverage
    notes = (
        f"telemetry: {telemetry.place}",
        f"precision {run.precision or 'open: every one of the part is allowed for'}",
        "coverage of the device-seconds: "
        + ("not known" if coverage is None else f"{coverage:.1%}, the rest at full rate"),
    )
    hard = _estimate(run, Interval(low=None, best=None, high=bounds.hard.high), notes, bound=True)
    seen = bounds.estimated
    if seen is None or seen.high is None or seen.low <= 0:
        return (hard,)
    flop = Interval(low=seen.low, best=(seen.low * seen.high) ** 0.5, high=seen.high)
    gauges = "gauges taken as representative of the time between samples"
    return (hard, _estimate(run, flop, (*notes, gauges), bound=False))


def _estimate(
    run: RunFigures, flop: Interval, notes: tuple[str, ...], *, bound: bool
) -> ComputeEstimate:
    return ComputeEstimate(
        method="tensor-activity",
        run=run.name,
        basis="hardware",
        flop=flop,
        bound_only=bound,
        independence_group=GROUP,
        inputs=(),
        assumptions=notes,
    )
