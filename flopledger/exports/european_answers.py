"""Answers to the fields of the EU's documents that an audit can fill, each with what would complete it."""

from typing import TYPE_CHECKING

from flopledger.exports import disclosure
from flopledger.exports.disclosure import DAY, Answer
from flopledger.text import interval, number, share

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport


def answered(text: str | None, needed: str) -> Answer:
    """Answer a field, or say what its answer needs."""
    return Answer(text=text, needed="" if text is not None else needed)


def updates(report: "AuditReport") -> Answer:
    """Training compute of this model's own runs, to two digits."""
    text = disclosure.rounded(disclosure.compute(report), 2, "FLOP")
    return answered(text, disclosure.missing_compute(report))


def cumulative(report: "AuditReport") -> Answer:
    """Compute that counts for systemic risk, to two digits."""
    standing = disclosure.cumulative(report)
    if standing is None:
        return Answer(text=None, needed=f"an audit that includes {disclosure.SYSTEMIC_RISK}")
    text = disclosure.rounded(standing.flop, 2, "FLOP")
    return answered(text, disclosure.missing_compute(report))


def uncertainty(report: "AuditReport") -> Answer:
    """How sure the training compute is."""
    flop = disclosure.compute(report)
    text = None if flop is None else disclosure.uncertainty(flop)
    return answered(text, disclosure.missing_compute(report))


def cumulative_uncertainty(report: "AuditReport") -> Answer:
    """How sure the cumulative compute is."""
    standing = disclosure.cumulative(report)
    known = standing is not None and (standing.flop.low or standing.flop.high) is not None
    text = disclosure.uncertainty(standing.flop) if standing is not None and known else None
    return answered(text, disclosure.missing_compute(report))


def wall_clock(report: "AuditReport") -> Answer:
    """Training time, runs one after another, in days."""
    found = disclosure.total(report, disclosure.wall_clock)
    text = disclosure.rounded(found.figure, 1, "days, runs one after another", per=DAY)
    return answered(text, f"wall-clock hours of {_names(found.missing)}")


def months(report: "AuditReport") -> Answer:
    """Place the wall clock in the form's ranges."""
    figure = disclosure.total(report, disclosure.wall_clock)
    days = None if figure.figure is None else figure.figure.best
    if days is None:
        return Answer(text=None, needed=f"wall-clock hours of {_names(figure.missing)}")
    months = days / DAY / 30.44
    ranges = ((1, "less than 1 month"), (3, "1 to 3 months"), (6, "3 to 6 months"))
    return Answer(
        text=next((text for limit, text in ranges if months < limit), "more than 6 months")
    )


def hardware(report: "AuditReport") -> Answer:
    """Days of devices, by part."""
    found, missing = disclosure.device_days(report)
    parts = [
        text
        for name, days in found.items()
        if (text := disclosure.rounded(days, 1, f"{name} days")) is not None
    ]
    needed = f"device-hours and the part of {_names(missing)}" if missing or not parts else ""
    text = " and ".join(parts)
    if text and missing:
        text += f" (without {_names(missing)})"
    return Answer(text=text or None, needed=needed)


def parameters(report: "AuditReport") -> Answer:
    """How many parameters the model has."""
    found = [
        f"{interval(one.quantity.interval)} {one.name.replace('_', ' ')}"
        for one in disclosure.parameters(report)
    ]
    return answered(
        "; ".join(found) or None, "the parameter count; flopledger count gives it of dimensions"
    )


def energy(report: "AuditReport") -> Answer:
    """Measured energy in MWh, to two digits."""
    found = disclosure.energy(report)
    text = disclosure.energy_words(report)
    needed = (
        f"measured energy of {_names(found.missing)}: a meter's or the devices' counters, with the "
        "boundary (device, node, facility). This tool derives no energy from compute"
    )
    return Answer(text=text, needed=needed if text is None or found.missing else "")


def energy_method(report: "AuditReport") -> Answer:
    """Where the energy was read, and at which boundary."""
    if disclosure.energy_words(report) is None:
        return Answer(text=None, needed="the energy itself")
    sources = dict.fromkeys(
        run.figures.energy_joules.source
        for run in disclosure.counted(report)
        if run.figures.energy_joules is not None
    )
    where = ", ".join(disclosure.energy_boundaries(report))
    return Answer(text=f"as given in {'; '.join(sources)} (measured at: {where})")


def _names(runs: tuple[str, ...]) -> str:
    return f"run {', '.join(runs)}" if runs else "every run"


def crossing(report: "AuditReport") -> Answer:
    """When the threshold of systemic risk is crossed, if it is."""
    found = [one for one in report.crossings if one.regime == disclosure.SYSTEMIC_RISK]
    if not found:
        return Answer(text=None, needed="tokens and pace of the run that crosses it, if any does")
    (one,) = found
    if one.share_of_run is None:
        return Answer(text=f"before run {one.run}, by what it builds on")
    when = [f"after {share(one.share_of_run)} of run {one.run}"]
    if one.tokens is not None:
        when.append(f"at {number(one.tokens)} tokens")
    if one.wall_clock_hours is not None:
        when.append(f"after {number(one.wall_clock_hours)} hours at the mean pace")
    if one.date is not None:
        when.append(f"on {one.date}")
    later = "" if one.share_of_run <= 1 else " (only if the run went on beyond what is stated)"
    return Answer(text=f"{', '.join(when)}{later}")
