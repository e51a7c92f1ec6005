"""Hours of the clock that were written down as device-hours, and device-hours written down as the clock's.

The two differ by the number of devices, and both are printed as "hours". The other reading is taken only
where the stated one cannot be (the work exceeds what the devices can do, the clock would have run for years)
and another document than the amount confirms it. An amount that was overstated by about the number of
devices looks alike, so a pace (tokens a second, a utilisation) is a witness for many devices only: it relates
hours to work, and says nothing of either alone. Energy and the clock itself speak of the hours.
"""

import math
from dataclasses import dataclass, replace

from flopledger import combine
from flopledger import verdict as bands
from flopledger.checks import throughput
from flopledger.checks.of_a_run import architecture_route
from flopledger.checks.power import impossible, is_ordinary
from flopledger.estimate import ComputeEstimate, Draws
from flopledger.facts import Finding, Grade
from flopledger.inputs import Input, RunFigures, product, scaled
from flopledger.methods import device_time, energy, priors
from flopledger.parts import Part
from flopledger.text import factor, number

#: Behind the source of hours that were read the other way.
READ_AGAIN = "(hours read the other way)"
#: Two hours that are equal within this are one figure.
_SAME = 0.02
#: Fewer devices than these are a factor by which amounts are misstated as well.
_MANY = 16
#: No training goes on for so long by the clock.
_LONGEST_SECONDS = 3 * 365.25 * 86_400


@dataclass(frozen=True, kw_only=True, slots=True)
class Again:
    """The run with its hours read the other way, and the finding that says so."""

    run: RunFigures
    finding: Finding


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reading:
    """One way to read the hours."""

    run: RunFigures
    part: Part | None
    route: ComputeEstimate | None  #: the work, two-sided
    draws: Draws

    def work_fits(self) -> bool | None:
        """Say whether the work agrees with these hours, by the run's own pace where it states one."""
        if self.route is None or self.part is None:
            return None
        timed = device_time.estimate(self.run, self.part, self.draws, amount_known=True)
        if timed is None or timed.draws is None:
            return None
        (pair,) = combine.pairs([self.route, timed])
        return pair.agrees

    def pace_fits(self) -> bool | None:
        """Say whether a stated utilisation, rate or throughput leads from these hours to the work."""
        run, found = self.run, []
        if run.mfu or run.hfu or run.device_rate:
            found.append(self.work_fits())
        rate, seconds, tokens = run.device_throughput, run.device_seconds, run.tokens
        if rate and seconds and tokens and tokens.name != throughput.DERIVED:
            best = (rate.quantity.best, seconds.quantity.best, tokens.quantity.best)
            if all(best):
                rho = priors.goodput_ratio()
                ratio = best[0] * best[1] / best[2]  # type: ignore[operator]
                z = math.log(ratio / rho.median) / rho.predictive_sigma
                found.append(bands.of_z(z) is bands.Verdict.CONSISTENT)
        known = [one for one in found if one is not None]
        return all(known) if known else None

    def power(self) -> float | None:
        """Give the mean power over the rated one, unless the energy was computed from the hours."""
        if self.part is None or energy.circularity(self.run, self.part) is not None:
            return None
        return energy.mean_power_share(self.run, self.part)

    def is_beyond_ceiling(self) -> bool:
        """Say whether the work is more than the devices can do in these hours."""
        bound = device_time.bound(self.run, self.part)
        least = self.route.flop.low if self.route is not None else None
        return bool(bound and bound.flop.high and least and least > bound.flop.high)


def read_again(
    run: RunFigures, part: Part | None, estimates: list[ComputeEstimate], draws: Draws
) -> Again | None:
    """Give the run with its hours read the other way, where only that reading can be; else ``None``."""
    seconds, count = run.device_seconds, run.device_count
    devices = count.quantity.best if count is not None else None
    if seconds is None or count is None or devices is None or devices < 2:
        return None
    if not seconds.quantity.is_two_sided or seconds.grade is not Grade.STATEMENT:
        return None
    route = architecture_route(estimates)
    is_derived = run.tokens is not None and run.tokens.name == throughput.DERIVED
    if route is not None and (route.draws is None or is_derived):
        route = None
    first = _Reading(run=run, part=part, route=route, draws=draws)
    if is_of_devices(run):
        other = product("device_seconds", "s", seconds, count)
        second = replace(first, run=replace(run, device_seconds=other))
        return _of_the_clock(first, second, devices)
    wall = run.wall_seconds
    if wall is None or (wall.quantity.interval.low or 0.0) <= _LONGEST_SECONDS:
        return None
    other = scaled(wall, 1.0, name="device_seconds", unit="s")
    second = replace(first, run=replace(run, device_seconds=other, wall_seconds=None))
    if second.work_fits() is False or _is_outside(second.power(), run):
        return None
    years = (wall.quantity.interval.low or 0.0) / (365.25 * 86_400)
    message = (
        f"run {run.name}: {_hours(wall)} hours by the clock are stated, which is {number(years, 2)} years: "
        f"they are taken as the device-hours of all {number(devices)} devices together; ask for the dates"
    )
    return _again(second, message, seconds)


def is_of_devices(run: RunFigures) -> bool:
    """Say whether device-hours are stated as such, and not computed from devices and the clock."""
    return run.device_seconds is not None and " x " not in run.device_seconds.source


def _of_the_clock(first: _Reading, second: _Reading, devices: float) -> Again | None:
    run = first.run
    if second.work_fits() is False or second.pace_fits() is False:
        return None
    power, drawn = first.power(), second.power()
    power_refutes = power is not None and power > impossible(run.energy_boundary)
    witnesses = []
    if run.wall_seconds is not None:
        if not _equal(run.wall_seconds, run.device_seconds):
            return None  # the clock says something else
        witnesses.append("the hours by the clock are the very same figure")
    if power is not None:
        if not power_refutes or _is_outside(drawn, run):
            return None
        witnesses.append("the energy is what so many devices draw")
    if devices >= _MANY and first.route is not None and second.pace_fits():
        witnesses.append("the stated pace leads from them to the work")
    is_refuted = first.is_beyond_ceiling() or power_refutes
    if not witnesses or not (is_refuted or run.wall_seconds is not None):
        return None
    assert run.device_seconds is not None
    assert second.run.device_seconds is not None
    why = (
        "more work was done than they allow" if first.is_beyond_ceiling() else "they contradict it"
    )
    if power_refutes and not first.is_beyond_ceiling():
        why = f"their energy would be {factor(power or 0.0)} of the rated power"
    elif not is_refuted:
        why = "devices and the clock give more"
    stated, read = _hours(run.device_seconds), _hours(second.run.device_seconds)
    message = (
        f"run {run.name}: {stated} device-hours are stated for {number(devices)} devices, and {why}; read as "
        f"hours of the clock they are {read} device-hours, and {' and '.join(witnesses)}: that reading is "
        "used. Were they device-hours after all, the work would be overstated as much; the scheduler's table "
        "decides"
    )
    return _again(second, message, run.device_seconds)


def _again(second: _Reading, message: str, stated: Input) -> Again:
    seconds = second.run.device_seconds
    assert seconds is not None
    named = replace(seconds, source=f"{seconds.source} {READ_AGAIN}")
    finding = Finding(
        code="hours-of-the-clock", severity="warning", message=message, evidence=(stated.source,)
    )
    return Again(run=replace(second.run, device_seconds=named), finding=finding)


def _is_outside(share: float | None, run: RunFigures) -> bool:
    return share is not None and not is_ordinary(share, run.energy_boundary)


def _equal(one: Input, two: Input | None) -> bool:
    left, right = one.quantity.best, two.quantity.best if two is not None else None
    return bool(left and right) and abs(math.log(left / right)) <= _SAME  # type: ignore[operator]


def _hours(seconds: Input) -> str:
    ends = seconds.quantity.interval
    return number((ends.best or ends.low or 0.0) / 3600, 4)
