"""Tensor activity: what the matrix pipes were seen to execute.

    executed FLOP = sum over devices and time of activity x FLOP per clock x clock

Executed FLOP include recomputation, padding and everything else that ran: they bound model FLOP from
above, and never say what was trained. The hard end holds whatever the sensors may have missed.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopledger.estimate import ComputeEstimate
from flopledger.facts import Finding
from flopledger.inputs import RunFigures
from flopledger.parts import Part
from flopledger.quantity import Interval

if TYPE_CHECKING:
    from flopledger.coverage import Coverage
    from flopledger.telemetry import Telemetry
    from profilers.bounds import FlopBounds

GROUP = "device telemetry"
#: Readings that contradict one another: no bound that rests on them may refute anybody.
_UNTRUSTED = frozenset(
    {
        "counter-fault",
        "estimates-disagree",
        "telemetry-contradicts-itself",
        "tensor-without-power",
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Activity:
    """What the devices were seen to do."""

    estimates: tuple[ComputeEstimate, ...] = ()
    findings: tuple[Finding, ...] = ()
    #: executed FLOP/s a device while it was recorded; an end is open where nothing gives it
    pace: Interval | None = None


def estimate(
    run: RunFigures,
    telemetry: "Telemetry | None",
    part: Part | None,
    extent: "Coverage | None" = None,
) -> Activity:
    """Give the hard bound and, where gauges allow one, the two-sided figure of executed FLOP.

    Beside them stand the contradictions within the telemetry itself: a counter that is at fault, or
    gauges that cannot all be true. Of a part of the run (``extent``) only the lower end is of the run.
    """
    if telemetry is None or part is None:
        return Activity()
    from flopledger.telemetry import executed, recorded_seconds

    bounds = executed(telemetry, part, run.precision)
    if bounds is None:
        return Activity()
    findings = tuple(
        Finding(
            code=one.code,
            severity="warning",
            message=f"run {run.name}: {one.device}: {one.message}",
            evidence=telemetry.names,
        )
        for one in bounds.findings
    )
    if bounds.hard.high is None or any(one.code in _UNTRUSTED for one in bounds.findings):
        return Activity(findings=findings)
    pace = _pace(bounds, recorded_seconds(telemetry))
    coverage, covers = bounds.coverage, extent.covers if extent is not None else "unknown"
    notes = (
        f"telemetry: {telemetry.place}",
        f"precision {run.precision or 'open: every one of the part is allowed for'}",
        "coverage of the device-seconds: "
        + ("not known" if coverage is None else f"{coverage:.1%}, the rest at full rate"),
        *(
            ()
            if extent is None or covers == "whole"
            else (f"of what was recorded: {extent.words}",)
        ),
    )
    seen = bounds.estimated
    if covers == "part":
        if seen is None or seen.low <= 0:
            return Activity(findings=findings, pace=pace)
        least = Interval(low=seen.low, best=None, high=None)
        told = _estimate(run, least, notes, bound=True, is_whole=False)
        return Activity(estimates=(told,), findings=findings, pace=pace)
    most = Interval(low=None, best=None, high=bounds.hard.high)
    hard = _estimate(run, most, notes, bound=True, is_whole=covers == "whole")
    if seen is None or seen.high is None or seen.low <= 0:
        return Activity(estimates=(hard,), findings=findings, pace=pace)
    flop = Interval(low=seen.low, best=(seen.low * seen.high) ** 0.5, high=seen.high)
    gauges = "gauges taken as representative of the time between samples"
    told = _estimate(run, flop, (*notes, gauges), bound=False, is_whole=covers == "whole")
    return Activity(estimates=(hard, told), findings=findings, pace=pace)


def _pace(bounds: "FlopBounds", seconds: float) -> Interval | None:
    """Divide what was executed by the time that was recorded, all devices together."""
    if seconds <= 0 or bounds.hard.high is None:
        return None
    seen = bounds.estimated
    low = None if seen is None or seen.low <= 0 else seen.low / seconds
    return Interval(low=low, best=None, high=max(bounds.hard.high / seconds, low or 0.0))


def _estimate(
    run: RunFigures, flop: Interval, notes: tuple[str, ...], *, bound: bool, is_whole: bool
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
        is_whole_run=is_whole,
    )
