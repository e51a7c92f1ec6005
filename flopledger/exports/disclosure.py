"""The figures that disclosure forms ask for, each known or with what it would take to know it."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopledger import scope
from flopledger.digests import is_sha256
from flopledger.inputs import Input
from flopledger.quantity import Interval
from flopledger.text import interval, number

if TYPE_CHECKING:
    from collections.abc import Callable

    from flopledger.auditing import AuditReport
    from flopledger.inputs import RunFigures
    from flopledger.ledgers import Standing
    from flopledger.reconcile import RunAudit

SYSTEMIC_RISK = "eu-systemic-risk-1e25"
_UPDATES = "parameter_update"
DAY, KILOWATT_HOUR, MEGAWATT_HOUR = 86_400.0, 3.6e6, 3.6e9  #: seconds; joules


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One field of a form: ``text`` is ``None`` where it is not known, and ``needed`` says why."""

    text: str | None
    needed: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Total:
    """A sum over runs; ``figure`` is ``None`` unless every run of it is known."""

    figure: Interval | None
    missing: tuple[str, ...]  #: runs without the figure
    least: float | None = None  #: what the known runs alone come to: no sum over all is smaller


def significant(value: float, digits: int) -> str:
    """Write in the form that the EU's forms give: ``2.3e25``, ``4e5``."""
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def order_of_magnitude(value: float) -> str:
    """Write the power of ten of the figure as rounded to two significant digits: ``10^25``."""
    exponent = f"{value:.1e}".partition("e")[2]
    return f"10^{int(exponent)}"


def updates(report: "AuditReport") -> Interval | None:
    """Give the compute that directly updated the model's parameters (annex A.1 (a))."""
    return None if report.combined is None else report.combined.flop


def compute(report: "AuditReport") -> Interval | None:
    """Give the same with bounds where there is no figure; ``None`` where nothing is known."""
    figure = updates(report)
    if figure is not None:
        return figure
    found = next((one.flop for one in report.standings if one.regime.ledger == _UPDATES), None)
    return None if found is None or (found.low is None and found.high is None) else found


def cumulative(report: "AuditReport") -> "Standing | None":
    """Find where the case stands against the presumption of systemic risk (annex A.1 (b))."""
    return next((one for one in report.standings if one.regime.id == SYSTEMIC_RISK), None)


def total(report: "AuditReport", read: "Callable[[RunFigures], Interval | None]") -> Total:
    """Add one figure, which is never negative, over the runs that count cumulatively."""
    found: list[Interval] = []
    missing = []
    for run in counted(report):
        value = read(run.figures)
        if value is None:
            missing.append(run.figures.name)
        else:
            found.append(value)
    least = math.fsum(one.low or 0.0 for one in found) or None
    if missing or not found:
        return Total(figure=None, missing=tuple(missing), least=least)
    bests = [one.best for one in found if one.best is not None]
    highs = [one.high for one in found if one.high is not None]
    figure = Interval(
        low=least,
        best=math.fsum(bests) if len(bests) == len(found) else None,
        high=math.fsum(highs) if len(highs) == len(found) else None,
    )
    return Total(figure=figure, missing=(), least=least)


def counted(report: "AuditReport") -> "list[RunAudit]":
    """List the runs that the EU's cumulative ledger counts."""
    return [run for run in report.runs if scope.counts(run.figures, "eu_cumulative")]


def wall_clock(figures: "RunFigures") -> Interval | None:
    """Give a run's wall-clock seconds: as stated, else device time over devices."""
    stated = figures.wall_seconds or figures.timed_seconds
    if stated is not None:
        return stated.quantity.interval
    if figures.device_seconds is None or figures.device_count is None:
        return None
    return figures.device_seconds.quantity.interval / figures.device_count.quantity.interval


def device_days(report: "AuditReport") -> tuple[dict[str, Interval], tuple[str, ...]]:
    """Add device-days by accelerator; beside them the runs whose device time is not known."""
    found: dict[str, Interval] = {}
    missing = []
    for run in counted(report):
        seconds = run.figures.device_seconds
        name = _part(run)
        if seconds is None or name is None:
            missing.append(run.figures.name)
            continue
        days = seconds.quantity.interval / DAY
        found[name] = found[name] + days if name in found else days
    return found, tuple(missing)


def _part(run: "RunAudit") -> str | None:
    if run.part is None:
        return run.figures.accelerator
    return run.part.candidates[0].name if run.part.id is not None else run.part.spelled


def energy(report: "AuditReport") -> Total:
    """Add measured energy, joules."""
    return total(report, lambda run: _interval(run.energy_joules))


def energy_words(report: "AuditReport") -> str | None:
    """Write the energy to two digits, or the bound that is known of it: no run uses less than nothing."""
    found = energy(report)
    text = rounded(found.figure, 2, "MWh", per=MEGAWATT_HOUR)
    if text is not None or found.least is None:
        return text
    least = f"at least {significant(found.least / MEGAWATT_HOUR, 2)} MWh"
    return f"{least} (nothing measured of {', '.join(found.missing)})"


def energy_bounds(report: "AuditReport") -> dict[str, str]:
    """List the runs of whose energy only a bound is known, in kWh: formats have no field for these."""
    found = {}
    for run in counted(report):
        known = _interval(run.figures.energy_joules)
        if known is not None and known.best is None:
            found[run.figures.name] = f"{interval(known / KILOWATT_HOUR)} kWh"
    return found


def chance(share: float | None) -> str:
    """Write a probability for a machine, without more certainty than draws and bounds can show."""
    if share is None:
        return "not known"
    if share < 0.001:
        return "< 0.001"
    return "> 0.999" if share > 0.999 else f"{share:.3g}"


def digest(text: str) -> str | None:
    """Give a SHA-256; ``None`` for the word that stands where a digest would tell something withheld."""
    return text if is_sha256(text) else None


def energy_boundaries(report: "AuditReport") -> tuple[str, ...]:
    """Name what the energy was measured at: device, node or rack."""
    found = {
        run.figures.energy_boundary or "boundary not stated"
        for run in counted(report)
        if run.figures.energy_joules is not None
    }
    return tuple(sorted(found))


def parameters(report: "AuditReport") -> tuple[Input, ...]:
    """List the parameter counts that entered the routes."""
    found: dict[tuple[str, str], Input] = {}
    for one in report.estimates:
        for known in one.inputs:
            if known.name in {"parameters", "active_parameters"}:
                found.setdefault((known.name, known.source), known)
    return tuple(found.values())


def rounded(figure: Interval | None, digits: int, unit: str, *, per: float = 1.0) -> str | None:
    """Write a figure (or its bound) to so many significant digits; ``None`` where nothing is known."""
    if figure is None:
        return None
    scaled = figure / per
    if scaled.best is not None:
        return f"{significant(scaled.best, digits)} {unit}"
    known = [
        f"{word} {significant(end, digits)} {unit}"
        for word, end in (("at least", scaled.low), ("at most", scaled.high))
        if end is not None and end > 0
    ]
    return " and ".join(known) or None


def uncertainty(figure: Interval) -> str:
    """Say how sure a figure is, and whether that is within the guidelines' 30%."""
    if figure.best is None or figure.low is None or figure.high is None:
        return f"bounds only: {interval(figure)} FLOP"
    low, high = figure.low / figure.best - 1, figure.high / figure.best - 1
    within = "within" if max(-low, high) <= 0.30 else "outside"
    return (
        f"90% of the probability lies between {number(figure.low)} and {number(figure.high)} FLOP "
        f"({low:+.0%} to {high:+.0%}): {within} the 30% margin of annex A.2 of the guidelines"
    )


def methodology(report: "AuditReport") -> tuple[str, ...]:
    """Describe method, conventions and approximations, a sentence a route."""
    found = [
        "FLOP are model FLOP: forward and backward passes, a multiply-add counted as 2, recomputed "
        "activations and elementwise work left out; precision plays no part (annex A.2)"
    ]
    routes = {
        "counted": "the architecture was traced operator by operator and multiplied by what was trained",
        "closed-form": "operations were computed from the model's dimensions and multiplied by what was "
        "trained (annex A.2.2)",
        "device-time": "devices x time x dense peak x utilisation (annex A.2.1)",
        "energy": "measured energy over the power that a device draws when it trains gives device time, "
        "and that times dense peak and utilisation the operations",
        "tensor-activity": "executed operations were integrated from the devices' activity counters",
    }
    for one in report.estimates:
        notes = "; ".join(one.assumptions)
        text = f"run {one.run}, {one.method}: {routes.get(one.method, one.method)}"
        what = "gives a bound of" if one.bound_only else "gives"
        found.append(f"{text}; {what} {interval(one.flop)} FLOP" + (f" ({notes})" if notes else ""))
    if report.combined is not None:
        found.append(f"combined: {report.combined.rule}")
    return tuple(found)


def missing_compute(report: "AuditReport") -> str:
    """Say what it would take to state the compute."""
    runs = [run.figures.name for run in report.runs if run.combined is None]
    names = f" of {', '.join(runs)}" if runs else ""
    return (
        f"the amount trained with the model's dimensions, or device-hours with a utilisation{names}"
    )


def _interval(known: Input | None) -> Interval | None:
    return None if known is None else known.quantity.interval
