"""Energy against hours: the mean power that the two imply."""

from typing import TYPE_CHECKING

from flopledger import combine, fingerprints
from flopledger.checks.of_a_run import Check, finding_of
from flopledger.inputs import RunFigures
from flopledger.methods import energy
from flopledger.parts import Part
from flopledger.text import number
from flopledger.verdict import Verdict

if TYPE_CHECKING:
    from flopledger.estimate import ComputeEstimate
    from flopledger.facts import Severity

#: Mean power over rated power by boundary: what asks for an explanation below, above, and what no
#: training run can draw. A power limit caps boards; nodes and sites have other loads beside them.
_POWER_BANDS = {
    "device": (0.15, 1.1, 1.5),
    "node": (0.25, 1.8, 2.5),
    "rack": (0.25, 2.0, 3.0),
    "facility": (0.25, 2.5, 3.5),
    None: (0.15, 2.5, 3.5),
}


def is_ordinary(share: float, boundary: str | None) -> bool:
    """Say whether a mean power is one that training draws, as its meter sees it."""
    low, high, _ = _POWER_BANDS[boundary]
    return low <= share <= high


def impossible(boundary: str | None) -> float:
    """Give the mean power over the rated one that no run in training can draw."""
    return _POWER_BANDS[boundary][2]


#: Mean power so many times the rated one, or so small a part of it, is no way to run a device.
_SLIP = 30.0
#: Where in its band a share most likely lies, in the logarithm's middle.
_USUAL = 0.7


def credible(
    run: RunFigures, part: Part | None, estimates: "list[ComputeEstimate]"
) -> "list[ComputeEstimate]":
    """Leave out an energy that no such device can have drawn in the time, where time and work agree.

    Power tens of times beyond what a board takes, or below what an idle one does, is no measurement of
    these devices. Either the energy or the hours are wrong; that the work confirms the hours decides which.
    Without that witness both stand; and below that factor a forgotten meter may be what tells the truth.
    """
    if not _is_set_aside(run, part, estimates):
        return estimates
    return [one for one in estimates if one.method != "energy"]


def _is_set_aside(run: RunFigures, part: Part | None, estimates: "list[ComputeEstimate]") -> bool:
    share = energy.mean_power_share(run, part)
    if share is None or 1 / _SLIP < share < _SLIP:
        return False
    others = [one for one in combine.speakers(estimates) if one.method != "energy"]
    pairs = [pair for pair in combine.pairs(others) if _is_witness(pair)]
    return bool(pairs) and all(pair.agrees for pair in pairs)


def _is_witness(pair: combine.Pair) -> bool:
    return "device-time" in (pair.first.method, pair.second.method)


def power_check(run: RunFigures, part: Part | None, estimates: "list[ComputeEstimate]") -> Check:
    """Test energy against hours by the mean power that the two imply."""
    share = energy.mean_power_share(run, part)
    if share is None or part is None or energy.circularity(run, part) is not None:
        return Check(verdict=Verdict.UNDETERMINED)
    low, high, impossible = _POWER_BANDS[run.energy_boundary]
    if low <= share <= high:
        return Check(verdict=Verdict.CONSISTENT)
    outcome = Verdict.INCONSISTENT if share > impossible else Verdict.NEEDS_EXPLANATION
    reading = (
        "hours are understated, or the energy is of more than this run"
        if share > high
        else "the devices stood idle, the hours are overstated, or the energy is of a part of them"
    )
    if not 1 / _SLIP < share < _SLIP:
        fits = fingerprints.absurd_energy(share / _USUAL)
        unit = "; ".join(one.reason for one in fits[:2]) or "of the energy"
        reading = f"a slip of a unit ({unit}; or hours of the clock as device-hours), or {reading}"
    message = (
        f"run {run.name}: energy over device-hours is {number(share, 2)} of the rated board power "
        f"(energy of: {run.energy_boundary or 'not stated what'}); training draws {low:g} to "
        f"{high:g}: {reading}"
    )
    if _is_set_aside(run, part, estimates):
        message += (
            ". No such device draws that in training, and the work agrees with the hours: the energy does "
            "not enter the interval"
        )
    severity: Severity = "error" if outcome is Verdict.INCONSISTENT else "warning"
    return Check(
        verdict=outcome, findings=(finding_of("power-implausible", severity, message, run),)
    )
