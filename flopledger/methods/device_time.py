"""Device-time: accelerator-seconds x dense peak x utilisation.

    model FLOP    = device-seconds x peak(precision) x MFU / rho      MFU disclosed
    model FLOP    = device-seconds x peak(precision) x HFU / rho / r  HFU disclosed
    model FLOP    = device-seconds x peak(precision) x U              U from the prior of its class
    model FLOP   <= device-seconds x ceiling                          nothing else known: a bound

``rho`` is the share by which billed hours at a steady-state utilisation overstate the work kept:
restarts, evaluation and start-up are in the hours, not in the MFU. Its prior is fitted on runs that
disclose hours and MFU independently (`methods/data/priors.toml`). ``r`` is hardware over model FLOP:
1 without recomputation, 4/3 when every activation is computed again, anything between where the
case does not say.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopledger.estimate import Basis, ComputeEstimate, Draws, log_variances, summarize
from flopledger.inputs import Input, RunFigures
from flopledger.methods import priors
from flopledger.parts import Part
from flopledger.quantity import Interval, Quantity, between, exact
from flopledger.text import number

if TYPE_CHECKING:
    from flopledger.quantity import Samples

GROUP = "device time"
_NARROW = frozenset({"fp8", "fp6", "fp4", "int8", "int4"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Utilisation:
    """How busy the devices were, and on whose word."""

    quantity: Quantity | priors.Prior
    basis: Basis
    goodput: bool  #: whether rho applies
    stated: Input | None
    assumption: str


def estimate(
    run: RunFigures, part: Part | None, draws: Draws, *, amount_known: bool
) -> ComputeEstimate | None:
    """Estimate from hours; ``None`` without hours or part.

    A utilisation prior is used only where the amount trained is known too (``amount_known``): it
    then serves to test hours against work. With neither amount nor utilisation the hours give an
    upper bound and no figure.
    """
    seconds = run.device_seconds
    if seconds is None or part is None:
        return None
    if run.device_rate is not None and run.mfu is None and run.hfu is None:
        return _from_rate(run, seconds, run.device_rate, draws)
    utilisation = utilisation_of(run, part, amount_known=amount_known)
    if utilisation is None or not seconds.quantity.is_two_sided:
        return bound(run, part)
    peak = peak_of(run, part, utilisation)
    if peak is None:
        return None
    parts: dict[str, Samples] = {
        "device_seconds": draws.of(f"{run.name}/device_seconds", seconds.quantity),
        "peak": draws.of(f"{run.name}/peak", peak_quantity(peak)),
        "utilisation": draws.of(f"{run.name}/utilisation", utilisation.quantity),
    }
    sample = parts["device_seconds"] * parts["peak"] * parts["utilisation"]
    assumptions = [utilisation.assumption, part.describe_peak(run.precision)]
    if peak != part.peak(run.precision):
        assumptions.append(
            f"the prior is of 16-bit runs: at {run.precision} the peak runs from the 16-bit one up"
        )
    sample, kept = model_flop_kept(run, utilisation, sample, parts, draws)
    assumptions += kept
    if utilisation.goodput:
        assumptions.append(_by_the_formula(seconds, peak, utilisation))
    stated = () if utilisation.stated is None else (utilisation.stated,)
    return ComputeEstimate(
        method="device-time",
        run=run.name,
        basis="model",
        flop=summarize(sample),
        bound_only=False,
        independence_group=GROUP,
        inputs=(seconds, part.as_input(run.precision), *stated),
        assumptions=tuple(assumptions),
        draws=sample,
        from_prior=utilisation.stated is None,
        log_variance=log_variances(parts),
    )


def model_flop_kept(
    run: RunFigures,
    utilisation: Utilisation,
    sample: "Samples",
    parts: "dict[str, Samples]",
    draws: Draws,
) -> "tuple[Samples, list[str]]":
    """Take what was not kept (rho) and what was computed again (r) out of a utilisation's FLOP.

    Gives the draws and what they assume; the factors are added to ``parts``.
    """
    assumptions = []
    if utilisation.goodput:
        rho = priors.goodput_ratio()
        parts["goodput"] = draws.of("goodput_ratio", rho)
        sample = sample / parts["goodput"]
        assumptions.append(rho.describe())
    if utilisation.basis == "hardware":
        recomputed = recompute_factor(run.recompute)
        parts["recomputation"] = draws.of(f"{run.name}/recompute", recomputed)
        sample = sample / parts["recomputation"]
        assumptions.append(f"recomputation taken out of the HFU ({run.recompute or 'not stated'})")
    return sample, assumptions


def _by_the_formula(seconds: Input, peak: Interval, utilisation: Utilisation) -> str:
    """State the product as the EU guidelines' formula has it, for whoever reports by it."""
    assert utilisation.stated is not None
    flop = seconds.quantity.interval * peak * utilisation.stated.quantity.interval
    ends = flop.best if flop.best is not None else None
    words = number(ends) if ends else f"{number(flop.low)} to {number(flop.high)}"
    return (
        f"undivided, as N x L x H x U (guidelines, annex A.2.1): {words} FLOP, if the utilisation is the "
        "average over all the hours"
    )


def bound(run: RunFigures, part: Part | None) -> ComputeEstimate | None:
    """Give what the devices could have done at most in the hours; hard, so it can refute."""
    seconds = run.device_seconds
    if seconds is None or part is None or seconds.quantity.interval.high is None:
        return None
    ceiling = part.ceiling(run.precision)
    if ceiling is None:
        return None
    return ComputeEstimate(
        method="device-time",
        run=run.name,
        basis="hardware",
        bound_only=True,
        flop=Interval(low=None, best=None, high=seconds.quantity.interval.high * ceiling.value),
        independence_group=GROUP,
        inputs=(seconds, part.as_input(run.precision)),
        assumptions=(ceiling.basis, "utilisation of 1: an upper bound, not an estimate"),
    )


def recompute_factor(recompute: str | None) -> Quantity:
    """Hardware FLOP over model FLOP: one more forward pass (a third of the rest) at most."""
    if recompute == "none":
        return exact(1.0)
    return exact(4 / 3) if recompute == "full" else between(1.0, 4 / 3)


def utilisation_of(run: RunFigures, part: Part, *, amount_known: bool) -> Utilisation | None:
    """Take the disclosed utilisation, else the prior of the part's class, if that may serve."""
    for stated, basis in ((run.mfu, "model"), (run.hfu, "hardware")):
        if stated is None or not stated.quantity.is_two_sided:
            continue
        word = "MFU" if basis == "model" else "HFU"
        return Utilisation(
            quantity=stated.quantity,
            basis="model" if basis == "model" else "hardware",
            goodput=True,
            stated=stated,
            assumption=f"the disclosed {word} held while steps ran; rho covers the rest",
        )
    if not amount_known:
        return None
    on_images = run.tokens is None and run.samples is not None and run.sequence_length is None
    prior = priors.of_images() if on_images else priors.utilisation(part.architecture)
    return Utilisation(
        quantity=prior, basis="model", goodput=False, stated=None, assumption=prior.describe()
    )


def peak_of(run: RunFigures, part: Part, utilisation: Utilisation) -> Interval | None:
    """Give the peak that the utilisation refers to.

    The priors were fitted on 16-bit runs. Narrower formats raise the peak more than the work done,
    so a prior then applies to anything from the 16-bit peak to the stated one.
    """
    peak = part.peak(run.precision)
    if utilisation.stated is not None or run.precision not in _NARROW:
        return peak
    sixteen = part.peak("bf16")
    if peak is None or sixteen is None or sixteen.low is None or peak.high is None:
        return peak
    return Interval(low=sixteen.low, best=None, high=peak.high)


def _from_rate(
    run: RunFigures, seconds: Input, rate: Input, draws: Draws
) -> ComputeEstimate | None:
    """Use a stated FLOP/s a device; what the party's software counts as FLOP is its own affair."""
    if not (seconds.quantity.is_two_sided and rate.quantity.is_two_sided):
        return None
    rho = priors.goodput_ratio()
    parts: dict[str, Samples] = {
        "device_seconds": draws.of(f"{run.name}/device_seconds", seconds.quantity),
        "rate": draws.of(f"{run.name}/rate", rate.quantity),
        "goodput": draws.of("goodput_ratio", rho),
    }
    sample = parts["device_seconds"] * parts["rate"] / parts["goodput"]
    return ComputeEstimate(
        method="device-time",
        run=run.name,
        basis="model",
        flop=summarize(sample),
        bound_only=False,
        independence_group=GROUP,
        inputs=(seconds, rate),
        assumptions=("the stated FLOP/s are model FLOP", rho.describe()),
        draws=sample,
        log_variance=log_variances(parts),
    )


def peak_quantity(peak: Interval) -> Quantity:
    """Give a peak, or the range that is open, as a quantity."""
    assert peak.low is not None
    assert peak.high is not None
    return exact(peak.low) if peak.low == peak.high else between(peak.low, peak.high)
