"""Energy: joules to device-time by the power that a device in training draws, then as device-time.

    device-seconds = joules / (TDP x power share [x PUE])
    model FLOP     = device-seconds x peak x utilisation

There is no fixed number of joules a FLOP: the same chip and task vary by a factor 2 with scale. What
is known better is the power that training draws:

- a **node** draws a share of its accelerators' TDP that was fitted on MLPerf power submissions
  (``data/power.toml``; above 1, since fans, processors and supplies are in it);
- a **device** draws half to all of its board power; the power limit caps it;
- where the boundary is not stated, anything between the two, a site's overhead included.

Energy that is hours times a rated power says nothing that the hours do not say. It is tested for that
first; such an energy shares the hours' group and confirms nothing.
"""

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from flopledger.estimate import ComputeEstimate, Draws, log_variances, summarize
from flopledger.facts import Grade
from flopledger.inputs import Input, RunFigures
from flopledger.methods import device_time, priors
from flopledger.parts import Part
from flopledger.quantity import Interval, Quantity, between, exact
from flopledger.text import number

if TYPE_CHECKING:
    from flopledger.quantity import Samples

GROUP = "energy meter"
#: A board in training: half of its rated power to all of it.
DEVICE_SHARE = (0.5, 1.0)
#: Below this share of its rated power no board computes at its full rate, whatever its power limit.
LEAST_SHARE = 0.3
#: Three submitters with one kind of node each: no narrower than this (ln).
_NODE_FLOOR = 0.15
#: A site's overhead over its computers, where it is not stated; hyperscale to an old machine room.
PUE = (1.05, 1.6)
#: From the least that boards draw to what a site draws for nodes.
UNSTATED_SHARE = (0.5, 1.9)
#: No single device is rated higher.
_MOST_WATTS = 3000.0
#: Round overheads that published energies were multiplied with.
_ROUND_PUE = (1.0, 1.05, 1.08, 1.09, 1.1, 1.12, 1.15, 1.2, 1.25, 1.3, 1.4, 1.5, 1.58)
#: A product of printed figures hits its factors within this; a meter does not.
_IDENTITY = 0.003
#: The same for TDP with the overheads that papers use most, whose hours are often rounded. Nodes
#: draw about 1.2 times their boards' TDP by a meter, so that factor alone shows nothing.
_LOOSE_PUE, _LOOSE = (1.0, 1.1), 0.015


@dataclass(frozen=True, kw_only=True, slots=True)
class Circularity:
    """Why an energy repeats the hours."""

    watts: float  #: a device, as the identity has it
    pue: float

    @property
    def words(self) -> str:
        """The identity in words."""
        overhead = "" if self.pue == 1 else f" x {self.pue:g}"
        return f"device-hours x {self.watts:g} W{overhead}"


def estimate(
    run: RunFigures, part: Part | None, draws: Draws, *, amount_known: bool
) -> ComputeEstimate | None:
    """Estimate from energy; ``None`` without energy, part, rated power, or any utilisation."""
    joules = run.energy_joules
    if joules is None or part is None:
        return None
    utilisation = device_time.utilisation_of(run, part, amount_known=amount_known)
    if utilisation is None or not joules.quantity.is_two_sided:
        return bound(run, part)
    peak, power = device_time.peak_of(run, part, utilisation), rated_power(part)
    if peak is None or power is None:
        return None
    share, note = _share(run)
    parts: dict[str, Samples] = {
        "energy": draws.of(f"{run.name}/energy", joules.quantity),
        "power share": draws.of(f"{run.name}/power share", share),
        "rated power": draws.of(f"{run.name}/rated power", power.quantity),
        "peak": draws.of(f"{run.name}/peak", device_time.peak_quantity(peak)),
        "utilisation": draws.of(f"{run.name}/utilisation", utilisation.quantity),
    }
    sample = parts["energy"] / (parts["power share"] * parts["rated power"])
    sample = sample * parts["peak"] * parts["utilisation"]
    assumptions = [note, utilisation.assumption, part.describe_peak(run.precision)]
    sample, kept = device_time.model_flop_kept(run, utilisation, sample, parts, draws)
    assumptions += kept
    repeated = circularity(run, part)
    if repeated is not None:
        assumptions.append(f"the energy is {repeated.words}: no second line of evidence")
    return ComputeEstimate(
        method="energy",
        run=run.name,
        basis="model",
        flop=summarize(sample),
        bound_only=False,
        independence_group=GROUP if repeated is None else device_time.GROUP,
        inputs=(joules, power, part.as_input(run.precision)),
        assumptions=tuple(assumptions),
        draws=sample,
        # The power share is a prior even where the utilisation was disclosed.
        from_prior=True,
        log_variance=log_variances(parts),
    )


def bound(run: RunFigures, part: Part) -> ComputeEstimate | None:
    """Give what the energy can have paid for at most: the ceiling's rate at the least power.

    No board computes at its full rate on three tenths of its rated power: measured runs take three
    times as many joules a FLOP as this allows, or more. Overheads in the energy only widen it.
    """
    joules, power, ceiling = run.energy_joules, rated_power(part), part.ceiling(run.precision)
    if joules is None or power is None or ceiling is None or joules.quantity.interval.high is None:
        return None
    watts = power.quantity.interval.low
    assert watts is not None
    most = joules.quantity.interval.high / (LEAST_SHARE * watts) * ceiling.value
    return ComputeEstimate(
        method="energy",
        run=run.name,
        basis="hardware",
        bound_only=True,
        flop=Interval(low=None, best=None, high=most),
        independence_group=GROUP if circularity(run, part) is None else device_time.GROUP,
        inputs=(joules, power, part.as_input(run.precision)),
        assumptions=(
            ceiling.basis,
            f"no device computes at that rate below {LEAST_SHARE:.0%} of its rated power",
        ),
    )


def circularity(run: RunFigures, part: Part | None) -> Circularity | None:
    """Find the round power (and overhead) by which a stated energy was derived from the hours.

    A metered energy is never circular, whatever it happens to equal.
    """
    seconds, joules = run.device_seconds, run.energy_joules
    if seconds is None or joules is None or joules.grade is not Grade.STATEMENT:
        return None
    if seconds.quantity.best is None or joules.quantity.best is None:
        return None
    watts = joules.quantity.best / seconds.quantity.best
    rated = {one.tdp_w for one in part.candidates if one.tdp_w} if part is not None else set()
    loose = () if run.energy_boundary in ("node", "rack") else _LOOSE_PUE
    tests = [(tdp, pue, _LOOSE) for tdp in sorted(rated) for pue in loose]
    tests += [(tdp, pue, _IDENTITY) for tdp in sorted(rated) for pue in _ROUND_PUE]
    if run.pue is not None and run.pue.quantity.best is not None:
        tests += [(tdp, run.pue.quantity.best, _LOOSE) for tdp in sorted(rated)]
    for tdp, pue, tolerance in tests:
        if abs(math.log(watts / (tdp * pue))) < tolerance:
            return Circularity(watts=tdp, pue=pue)
    nearest = round(watts / 10) * 10.0
    # Every large number is near a round one: only what a device can be said to draw is a rating.
    most = UNSTATED_SHARE[1] * max(rated, default=_MOST_WATTS / UNSTATED_SHARE[1])
    if 0 < nearest <= most and abs(watts / nearest - 1) < 5e-4:
        return Circularity(watts=nearest, pue=1.0)
    return None


def mean_power_share(run: RunFigures, part: Part | None) -> float | None:
    """Energy over device-time and rated power; ``None`` where one of them is not one number."""
    seconds, joules = run.device_seconds, run.energy_joules
    power = rated_power(part) if part is not None else None
    figures = [one.quantity.best if one else None for one in (seconds, joules, power)]
    if figures[0] is None or figures[1] is None or figures[2] is None:
        return None
    return figures[1] / (figures[0] * figures[2])


def rated_power(part: Part) -> Input | None:
    """Board power of one device of the part; a range where candidates differ."""
    watts = [
        one.tdp_w / devices
        for one in part.candidates
        if one.tdp_w
        for devices in {1, one.devices_per_package}
    ]
    if not watts or any(not one.tdp_w for one in part.candidates):
        return None
    return Input(
        name="rated power",
        quantity=between(min(watts), max(watts)),
        unit="W per device",
        source=f"hardware_db: {', '.join(one.id for one in part.candidates)}",
    )


def node_share() -> priors.Prior:
    """Power of a node in training over the rated power of its accelerators."""
    entry = _table()["node_share"]
    return priors.Prior(
        name="node power over the accelerators' rated power",
        median=entry["median"],
        sigma=entry["sigma"],
        n=entry["n"],
        freedom=entry["n"] - 1,
        as_of=entry["as_of"],
        floor=_NODE_FLOOR,
    )


def _share(run: RunFigures) -> tuple[Quantity | priors.Prior, str]:
    """Give the power share of the energy's boundary, overhead included, and what it assumes."""
    low, high = DEVICE_SHARE
    if run.energy_boundary == "device":
        return between(low, high), f"a board in training draws {low:.0%} to {high:.0%} of its TDP"
    prior = node_share()
    if run.energy_boundary in ("node", "rack"):
        return prior, prior.describe()
    overhead = run.pue.quantity if run.pue is not None else between(*PUE)
    if run.energy_boundary == "facility" and overhead.is_two_sided:
        ends, site = prior.interval, overhead.interval
        assert ends.low is not None
        assert ends.high is not None
        assert site.low is not None
        assert site.high is not None
        note = f"{prior.describe()}, times a PUE of {number(site.low)} to {number(site.high)}"
        return between(ends.low * site.low, ends.high * site.high), note
    low, high = UNSTATED_SHARE
    if run.pue is not None and exact(1.0) != run.pue.quantity:
        note = "boundary not stated; the stated PUE is taken to be in the energy"
    else:
        note = "whether the energy is of boards, nodes or a site is not stated"
    return between(low, high), f"{note}: {low:g} to {high:g} of the rated power"


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files("flopledger.methods") / "data" / "power.toml").read_text("utf-8"))
