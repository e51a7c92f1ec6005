"""Energy against hours: the mean power that the two imply."""

from typing import TYPE_CHECKING

from flopledger.inputs import RunFigures
from flopledger.methods import energy
from flopledger.parts import Part
from flopledger.run_checks import Check, finding_of
from flopledger.text import number
from flopledger.verdict import Verdict

if TYPE_CHECKING:
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


#: Mean power so many times the rated one, or so small a part of it, is no way to run a device.
_SLIP = 30.0


def power_check(run: RunFigures, part: Part | None) -> Check:
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
        unit = "kWh written as MWh" if share > 1 else "GWh written as MWh"
        reading = f"a slip of a unit ({unit}, hours of the clock as device-hours), or {reading}"
    message = (
        f"run {run.name}: energy over device-hours is {number(share, 2)} of the rated board power "
        f"(energy of: {run.energy_boundary or 'not stated what'}); training draws {low:g} to "
        f"{high:g}: {reading}"
    )
    severity: Severity = "error" if outcome is Verdict.INCONSISTENT else "warning"
    return Check(
        verdict=outcome, findings=(finding_of("power-implausible", severity, message, run),)
    )
