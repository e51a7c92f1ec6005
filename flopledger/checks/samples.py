"""A recording of a part against the whole: at what pace did the devices work while they were seen?

Sums of a part bound nothing from above, but its pace can be held against the pace that work over hours
comes to. Executed FLOP include recomputation (a third at most), and billed hours hold waiting: an honest
recording shows up to 4/3 x the goodput ratio's upper end times the pace of the whole, and never a pace
at which the devices cannot have done the work. Which stretch was recorded somebody chose: it asks.
"""

import math
from typing import TYPE_CHECKING

from flopledger.checks import power
from flopledger.checks.of_a_run import Check, architecture_route, finding_of
from flopledger.estimate import ComputeEstimate
from flopledger.inputs import RunFigures
from flopledger.methods import energy, priors
from flopledger.methods.device_time import recompute_factor
from flopledger.quantity import Interval
from flopledger.text import factor, number
from flopledger.verdict import Verdict

if TYPE_CHECKING:
    from flopledger.coverage import Coverage
    from flopledger.logs.run_facts import Recorded
    from flopledger.parts import Part


def pace_check(
    run: RunFigures,
    estimates: list[ComputeEstimate],
    pace: Interval | None,
    coverage: "Coverage | None",
) -> Check:
    """Hold the recorded ``pace`` (executed FLOP/s a device) against work over hours."""
    route, seconds = architecture_route(estimates), run.device_seconds
    if pace is None or coverage is None or coverage.covers != "part":
        return Check(verdict=Verdict.UNDETERMINED)
    if route is None or seconds is None:
        return Check(verdict=Verdict.UNDETERMINED)
    whole = route.flop / seconds.quantity.interval
    most = recompute_factor(run.recompute).interval.high
    waiting = priors.goodput_ratio().interval.high
    assert most is not None
    assert waiting is not None
    above, below = pace.low or 0.0, pace.high or math.inf
    if whole.low is not None and whole.low > below:
        message = (
            f"run {run.name}: the work over the stated device-hours is {number(whole.low)} FLOP/s a "
            f"device, but while they were recorded the devices could do {number(below)} at most: hours "
            "understated, work overstated, or a slow stretch was recorded"
        )
    elif whole.high is not None and above > whole.high * most * waiting:
        message = (
            f"run {run.name}: while they were recorded the devices executed {number(above)} FLOP/s each "
            f"or more, {factor(above / whole.high)} times what the work comes to over the stated "
            "device-hours: hours or devices overstated, work left out, or the best stretch was recorded"
        )
    else:
        return Check(verdict=Verdict.CONSISTENT)
    finding = finding_of("sample-pace-mismatch", "warning", message, run)
    return Check(verdict=Verdict.NEEDS_EXPLANATION, findings=(finding,))


def power_check(
    run: RunFigures,
    part: "Part | None",
    recorded: "Recorded | None",
    coverage: "Coverage | None",
) -> Check:
    """Hold the mean power of the recorded devices, while they were recorded, against their rated one.

    Of a part of the run the energy bounds nothing; that its devices stood idle, or drew what no board
    draws, is told by their own seconds all the same.
    """
    rated = energy.rated_power(part) if part is not None else None
    watts = rated.quantity.best if rated is not None else None
    joules = run.energy_joules.quantity.interval.low if run.energy_joules is not None else None
    if coverage is None or coverage.covers != "part" or recorded is None or not watts or not joules:
        return Check(verdict=Verdict.UNDETERMINED)
    if recorded.scope != "device" or run.energy_boundary != "device":
        return Check(verdict=Verdict.UNDETERMINED)
    share = joules / (recorded.device_seconds * watts)
    if power.is_ordinary(share, "device"):
        return Check(verdict=Verdict.UNDETERMINED)
    reading = (
        "the sensor or its unit is wrong, or it is not of these devices alone"
        if share > 1
        else "the recorded devices stood idle, or most samples are missing: others trained, the recording is "
        "of another time, or the sensor's unit is wrong"
    )
    message = (
        f"run {run.name}: while they were recorded, devices drew {number(share, 2)} of their rated power in "
        f"the mean; training draws 0.15 to 1.1: {reading}"
    )
    finding = finding_of("power-implausible", "warning", message, run)
    return Check(verdict=Verdict.NEEDS_EXPLANATION, findings=(finding,))
