"""A stated throughput (tokens a second and device) beside hours and tokens: a test, or an amount.

    throughput x device-seconds = rho x tokens

``rho`` is the factor by which billed hours at a steady pace overstate the work that was kept, the same
as for a disclosed utilisation (``methods/priors.py``). Where tokens are stated too, the three are held
against one another; where no document gives an amount, they give one, as wide as ``rho`` is.
"""

import math
from dataclasses import replace

from flopledger import verdict as bands
from flopledger.checks.of_a_run import Check, architecture_route
from flopledger.estimate import ComputeEstimate
from flopledger.facts import Finding
from flopledger.inputs import Input, RunFigures, product
from flopledger.methods import priors
from flopledger.parts import Part
from flopledger.quantity import lognormal
from flopledger.text import number
from flopledger.verdict import Verdict

#: No published run of a language model stayed below this share of the peak while it ran.
_SLOWEST = 0.02
#: Name of an amount that was derived from the throughput; it cannot test what it came from.
DERIVED = "tokens by throughput"


def fill(run: RunFigures) -> tuple[RunFigures, list[Finding]]:
    """Give the run with the tokens that pace and time come to, where nothing else gives an amount."""
    paced = _paced(run)
    if paced is None or run.tokens is not None or run.samples is not None:
        return run, []
    best = paced.quantity.best
    assert best is not None
    rho = priors.goodput_ratio()
    tokens = replace(
        paced, name=DERIVED, quantity=lognormal(best / rho.median, rho.predictive_sigma)
    )
    message = (
        f"run {run.name}: no document gives the tokens; {number(best / rho.median)} follow from the "
        f"stated throughput over the device-hours, divided by {rho.describe()}"
    )
    finding = Finding(
        code="amount-by-throughput", severity="info", message=message, evidence=(paced.source,)
    )
    return replace(run, tokens=tokens), [finding]


def check(run: RunFigures) -> Check:
    """Hold tokens, throughput and device-hours against one another, where all three are stated."""
    paced = _paced(run)
    tokens = run.tokens.quantity.best if run.tokens is not None else None
    if (paced is None or tokens is None) and (beyond := _by_bounds(run)) is not None:
        return beyond
    if paced is None or tokens is None or run.tokens is None or run.tokens.name == DERIVED:
        return Check(verdict=Verdict.UNDETERMINED)
    best = paced.quantity.best
    assert best is not None
    ratio, rho = best / tokens, priors.goodput_ratio()
    outcome = bands.of_z(math.log(ratio / rho.median) / rho.predictive_sigma)
    if outcome is Verdict.CONSISTENT:
        return Check(verdict=outcome)
    reading = (
        "hours of downtime or other work, a best throughput instead of a mean, or a throughput of all "
        "devices taken for one"
        if ratio > rho.median
        else "hours or throughput understated, or tokens overstated"
    )
    finding = Finding(
        code="throughput-mismatch",
        severity="error" if outcome is Verdict.INCONSISTENT else "warning",
        message=f"run {run.name}: throughput x device-hours come to {number(best)} tokens, "
        f"{number(ratio)} times the {number(tokens)} stated: {reading}",
        evidence=(paced.source, run.tokens.source),
    )
    return Check(verdict=outcome, findings=(finding,))


def without_circle(run: RunFigures, check: Check) -> Check:
    """Take "consistent" back where the amount came from the hours that it was tested against."""
    is_derived = run.tokens is not None and run.tokens.name == DERIVED
    if is_derived and check.verdict is Verdict.CONSISTENT:
        return replace(check, verdict=Verdict.UNDETERMINED)
    return check


def pace_check(run: RunFigures, part: Part | None, estimates: list[ComputeEstimate]) -> Check:
    """Hold a stated pace against the part's peak: tokens/s x FLOP a token is FLOP/s of a device."""
    rate, tokens, route = run.device_throughput, run.tokens, architecture_route(estimates)
    peak = part.peak(run.precision) if part is not None else None
    if rate is None or tokens is None or route is None or peak is None or peak.high is None:
        return Check(verdict=Verdict.UNDETERMINED)
    best, flop, amount = rate.quantity.interval.low, route.flop.low, tokens.quantity.interval
    if best is None or flop is None or amount.low is None:
        return Check(verdict=Verdict.UNDETERMINED)
    share = best * flop / amount.low / peak.high
    outcome = bands.of_utilisation(share)
    reading = "a throughput of all devices taken for one, or of another model"
    most = rate.quantity.interval.high, route.flop.high, amount.high, peak.low
    if outcome is Verdict.CONSISTENT and most[0] and most[1] and most[2] and most[3]:
        share = most[0] * most[1] / most[2] / most[3]
        outcome = Verdict.NEEDS_EXPLANATION if share < _SLOWEST else outcome
        reading = "tokens in thousands, a throughput of a sample or a layer, or of another model"
    if outcome is Verdict.CONSISTENT:
        return Check(verdict=Verdict.UNDETERMINED)
    message = (
        f"run {run.name}: the stated tokens a second and device are {number(share)} times the part's dense "
        f"peak: {reading}"
    )
    finding = Finding(
        code="throughput-mismatch",
        severity="error" if outcome is Verdict.INCONSISTENT else "warning",
        message=message,
        evidence=(rate.source,),
    )
    return Check(verdict=outcome, findings=(finding,))


def _by_bounds(run: RunFigures) -> Check | None:
    """Test what is known on one side only: a pace that cannot have made the tokens, or has made more."""
    rate, seconds, tokens = run.device_throughput, run.device_seconds, run.tokens
    if rate is None or seconds is None or tokens is None or tokens.name == DERIVED:
        return None
    paced, said = rate.quantity.interval * seconds.quantity.interval, tokens.quantity.interval
    rho = priors.goodput_ratio()
    most = math.exp(bands.AGREE_Z * rho.predictive_sigma) * rho.median
    least = rho.median**2 / most
    if paced.high is not None and said.low is not None and paced.high < said.low * least:
        relation = (
            f"at most {number(paced.high)} tokens, where at least {number(said.low)} are stated"
        )
    elif paced.low is not None and said.high is not None and paced.low > said.high * most:
        relation = (
            f"at least {number(paced.low)} tokens, where at most {number(said.high)} are stated"
        )
    else:
        return None
    finding = Finding(
        code="throughput-mismatch",
        severity="warning",
        message=f"run {run.name}: throughput x device-hours come to {relation}: one of the three is "
        "misstated",
        evidence=(rate.source, seconds.source, tokens.source),
    )
    return Check(verdict=Verdict.NEEDS_EXPLANATION, findings=(finding,))


def _paced(run: RunFigures) -> Input | None:
    """Multiply throughput and device time, where both have two sides."""
    rate, seconds = run.device_throughput, run.device_seconds
    if rate is None or seconds is None:
        return None
    if not (rate.quantity.is_two_sided and seconds.quantity.is_two_sided):
        return None
    return product(DERIVED, "tokens", rate, seconds)
