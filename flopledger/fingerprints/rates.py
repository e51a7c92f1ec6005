"""Mistakes about the rate that hours are multiplied with, and about the hours themselves."""

import math
from collections.abc import Iterable

from flopledger.fingerprints.fingerprint import Context, Fingerprint, matching
from flopledger.inputs import RunFigures

#: A total that equals a product of figures within this (in the logarithm) was computed so.
_EXACT = 0.012


def of_hours(value: float, context: Context) -> Iterable[Fingerprint]:
    """List other rates that the hours may have been multiplied with."""
    run, part = context.run, context.part
    seconds = run.device_seconds.quantity.best if run.device_seconds is not None else None
    precision = run.precision or "bf16"
    peak = part.peak(precision) if part is not None else None
    if part is None or peak is None or peak.high is None:
        return
    stated = [
        (one.quantity.best, word)
        for one, word in ((run.mfu, "the stated MFU"), (run.hfu, "the stated HFU"))
        if one is not None and one.quantity.best is not None
    ]
    shares = [*stated, *((each, f"an assumed {each:g}") for each in (0.3, 0.4, 0.5, 1.0))]
    for name, rate in part.other_rates(precision):
        product = next(
            (
                words
                for share, words in shares
                if seconds is not None and abs(math.log(value / (seconds * rate * share))) < _EXACT
            ),
            None,
        )
        yield Fingerprint(
            code="wrong-peak",
            factor=rate / peak.high if product is None else value / context.estimate,
            tolerance=0.04,
            reason=f"the {name} was used",
            backed=()
            if product is None
            else (f"the figure is device-hours x that peak x {product}",),
            # Hours that come to the figure with no share of that peak speak against it.
            weight=-0.3 if product is None else 1.0 if "stated" in product else 0.0,
            opposed=() if seconds is not None else ("no hours are stated to multiply it with",),
        )
    for share, words in shares[len(stated) :]:
        if seconds is None or share < 1:
            continue
        if abs(math.log(value / (seconds * peak.high * share))) < _EXACT:
            yield Fingerprint(
                code="utilisation-assumed",
                factor=value / context.estimate,
                tolerance=0.04,
                reason="a utilisation of 1 was assumed",
                backed=(f"the figure is device-hours x the dense peak x {words}",),
                weight=0.5,
            )


def of_the_clock(context: Context) -> Iterable[Fingerprint]:
    """List the two ways in which hours of the clock and hours of all devices are taken for one another."""
    run = context.run
    devices = run.device_count.quantity.best if run.device_count is not None else None
    if devices is None or devices < 2 or run.device_seconds is None:
        return
    backed = (f"{devices:,.0f} devices are stated",)
    # Hours that a device-time route was made of are divided by the goodput ratio, a claim is not.
    tolerance = min(0.3, math.log(devices) / 4)
    if " x " in run.device_seconds.source:
        factor, reason = 1 / devices, "hours of the clock stand for those of all devices"
    else:
        factor = devices
        reason = "the stated device-hours are hours of the clock, and the claim holds all devices"
    yield Fingerprint(
        code="unit-ambiguity", factor=factor, tolerance=tolerance, reason=reason, backed=backed
    )


#: How far (in the logarithm) a run's utilisation may lie from the usual one, which hours are read with.
_UTILISATION = 0.25
#: Factors between device-time and work (device-time over architecture).
ROUTES = (
    Fingerprint(
        code="wrong-peak",
        factor=2.0,
        tolerance=0.12,
        reason="a sparse peak, FP8 for BF16, hours of dies or cores taken for chips, or two runs in "
        "the hours",
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=0.5,
        tolerance=0.12,
        reason="an encoder-decoder whose tokens meet half of the weights, hours of chips taken for "
        "dies or cores, or half of the period",
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=8.0,
        tolerance=_UTILISATION,
        reason="hours of a node taken for hours of each of its 8 devices",
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=1 / 8,
        tolerance=_UTILISATION,
        reason="node-hours stated as device-hours (8 devices a node)",
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=1 / 4,
        tolerance=_UTILISATION,
        reason="node-hours stated as device-hours (4 devices a node)",
    ),
)


#: Beyond this factor between hours and work no downtime and no fast chip is left to explain it.
ABSURD = 20.0
#: Slips that put hours or tokens wrong by so much: (device-time over work, what was written).
_SLIPS = (
    (1 / 3600, "hours of a figure in seconds' place (or seconds divided by 3,600 twice)"),
    (3600.0, "seconds written as hours"),
    (1e-3, "hours in thousands written as hours, or tokens a thousand times too many"),
    (1e3, "tokens in thousands written as tokens, or hours a thousand times too many"),
    (1e-6, "hours in millions written as hours, or tokens a million times too many"),
    (1e6, "tokens in millions written as tokens, or hours a million times too many"),
    (1e-9, "tokens a billion times too many, such as billions written twice"),
    (1e9, "tokens in billions written as tokens, or parameters in billions"),
    (1e12, "tokens in trillions written as tokens"),
    (1 / 24, "days written as hours"),
)


def absurd(ratio: float, run: RunFigures) -> list[Fingerprint]:
    """List the slips of units that set device-time over work so far off, closest first.

    A utilisation is known to a factor of two at best, so a slip need not fit better than that.
    """
    slips = list(_SLIPS)
    count = run.device_count.quantity.best if run.device_count is not None else None
    if count is not None and count >= 4:
        words = f"hours of the clock written as device-hours (the run had {count:,.0f} devices)"
        slips.append((1 / count, words))
    if run.sequence_length is not None and run.sequence_length > 16:
        length = run.sequence_length
        slips.append((float(length), f"samples of {length:,} tokens written as tokens"))
        slips.append((1 / length, f"tokens multiplied by the {length:,} of a sample once more"))
    slips += [
        (epochs, f"the data set's size in the place of all {epochs:.3g} passes over it")
        for epochs in run.several_passes
        if epochs > 2
    ]
    found = [
        # Devices that the case states speak for the clock; a prefix is nobody's statement.
        Fingerprint(
            code="unit-ambiguity",
            factor=factor,
            tolerance=0.8,
            reason=reason,
            weight=0.5 if "of the clock" in reason or "passes over it" in reason else 0.0,
        )
        for factor, reason in slips
    ]
    return matching(ratio, spread=0.0, known=tuple(found))


#: The same for energies: (energy over what was drawn, what was written).
_ENERGY_SLIPS = (
    (1e3, "kWh written as MWh, Wh as kWh, or mJ as J"),
    (1e-3, "GWh written as MWh, kWh as Wh, or kJ as J"),
    (3600.0, "joules read as watt-hours"),
    (1 / 3600, "watt-hours read as joules"),
    (1e6, "Wh written as MWh, or mJ as kJ"),
    (1e-6, "GWh written as kWh, or MWh as Wh"),
    (3.6e6, "joules read as kWh"),
    (1 / 3.6e6, "kWh read as joules"),
)


def absurd_energy(ratio: float) -> list[Fingerprint]:
    """List the slips of units that set an energy so far off, closest first."""
    known = tuple(
        Fingerprint(code="unit-ambiguity", factor=factor, tolerance=0.8, reason=reason)
        for factor, reason in _ENERGY_SLIPS
    )
    return matching(ratio, spread=0.0, known=known)


def wall_for_device_hours(devices: float) -> Fingerprint:
    """Hours of the clock in the place of those of all devices."""
    return Fingerprint(
        code="unit-ambiguity",
        factor=1 / devices,
        tolerance=0.3,
        reason=f"hours of the clock stated as device-hours (the run had {devices:,.0f} devices)",
        backed=(f"{devices:,.0f} devices are stated",),
    )
