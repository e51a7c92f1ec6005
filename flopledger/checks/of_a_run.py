"""The comparisons that a run is put through. Each gives a verdict and says what it found."""

import math
from dataclasses import dataclass, replace

from flopledger import disagreements, scope
from flopledger import verdict as bands
from flopledger.combine import speakers
from flopledger.estimate import ComputeEstimate
from flopledger.facts import Finding, Severity
from flopledger.inputs import RunFigures
from flopledger.logs import Resolved
from flopledger.methods import energy, priors, work
from flopledger.methods.passes import Pass
from flopledger.parts import Part, resolve_from_evidence, same_part
from flopledger.quantity import Interval
from flopledger.text import factor, number, percent
from flopledger.verdict import Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One comparison: what it says, and what it found."""

    verdict: Verdict
    findings: tuple[Finding, ...] = ()


def as_question(check: Check) -> Check:
    """Soften what rests on a recording that nothing shows to cover the run: it can only ask."""
    if check.verdict is not Verdict.INCONSISTENT:
        return check
    findings = tuple(
        replace(
            one,
            severity="warning",
            message=f"{one.message}; or what was recorded or listed is a part of the run",
        )
        if one.severity == "error"
        else one
        for one in check.findings
    )
    return Check(verdict=Verdict.NEEDS_EXPLANATION, findings=findings)


def architecture_route(estimates: list[ComputeEstimate]) -> ComputeEstimate | None:
    """Pick the architecture route, two-sided if there is one, else its bound."""
    routes = [one for one in estimates if one.independence_group == work.GROUP]
    return next(iter(speakers(routes)), routes[0] if routes else None)


def plausible_precisions(utilisation: dict[str, Interval]) -> tuple[str, ...]:
    """List the precisions whose implied utilisation has been seen in published runs.

    An upper bound (padded tokens, a log that breaks off) rules no precision out.
    """
    return tuple(
        precision
        for precision, interval in utilisation.items()
        if (figure := interval.best or interval.low) is None
        or figure <= bands.PLAUSIBLE_UTILISATION
    )


def utilisation_check(
    run: RunFigures,
    part: Part | None,
    estimates: list[ComputeEstimate],
    utilisation: dict[str, Interval],
) -> Check:
    """Test the work against the devices: above 1 impossible, above 0.60 implausible."""
    if not utilisation or part is None:
        return Check(verdict=Verdict.UNDETERMINED)
    beyond = _beyond_ceiling(run, part, estimates)
    if beyond is not None:
        return Check(verdict=Verdict.INCONSISTENT, findings=(beyond,))
    if run.precision is None:
        return _infer_precision(run, utilisation)
    stated = utilisation.get(run.precision)
    if stated is None or stated.low is None:
        return Check(verdict=Verdict.UNDETERMINED)
    outcome = bands.of_utilisation(stated.low)
    if outcome is Verdict.CONSISTENT:
        return Check(verdict=outcome)
    narrower = [one for one in plausible_precisions(utilisation) if one != run.precision]
    hint = f"; it would be ordinary at {' or '.join(narrower)}" if narrower else ""
    message = (
        f"run {run.name}: the work needs {percent(stated)} of the dense {run.precision} peak over "
        f"the whole run, above anything published (0.60){hint}; hours may be understated, or tokens "
        "overstated"
    )
    severity: Severity = "error" if outcome is Verdict.INCONSISTENT else "warning"
    return Check(
        verdict=outcome, findings=(finding_of("implausible-utilisation", severity, message, run),)
    )


#: Kinds whose utilisation the disclosures of pre-training speak for.
_LIKE_DISCLOSED = frozenset({"pretraining", "continued"})


def band_check(
    run: RunFigures, part: Part | None, utilisation: dict[str, Interval], *, experts: bool
) -> Check:
    """Hold the implied utilisation against what published runs of the part's class reached.

    For language models whose utilisation is not disclosed: a disclosed one is a sharper test.
    """
    band = priors.band(part.architecture, experts=experts) if part is not None else None
    sixteen = utilisation.get("bf16") or utilisation.get("fp16")
    if band is None or sixteen is None or run.mfu or run.hfu or run.tokens is None:
        return Check(verdict=Verdict.UNDETERMINED)
    if run.kind not in _LIKE_DISCLOSED or run.precision not in (None, "bf16", "fp16", "fp8"):
        return Check(verdict=Verdict.UNDETERMINED)
    low, high = band.low, band.high
    if sixteen.high is not None and sixteen.high < low:
        code, reading = "unexplained-compute", "hours overstated or idle, or work left out"
    elif run.precision in ("bf16", "fp16") and sixteen.low is not None and sixteen.low > high:
        code, reading = "implausible-utilisation", "hours understated, or tokens overstated"
    elif part is not None and (named := _as_named(sixteen, part, run.precision)) is not None:
        if named.high is None or named.high >= low:
            return Check(verdict=Verdict.CONSISTENT)
        code, sixteen = "unit-ambiguity", named
        reading = (
            f"they fit only if the hours are of each of its {part.candidates[0].device_kind}s; say of "
            "what they are, or hours are overstated"
        )
    else:
        return Check(verdict=Verdict.CONSISTENT)
    message = (
        f"run {run.name}: the work is {percent(sixteen)} of the dense 16-bit peak over the stated "
        f"hours; published runs on {band.runs_on} reached {low:.0%} to {high:.0%}: {reading}"
    )
    return Check(
        verdict=Verdict.NEEDS_EXPLANATION, findings=(finding_of(code, "warning", message, run),)
    )


def _as_named(spanned: Interval, part: Part, precision: str | None) -> Interval | None:
    """Read a utilisation that spans a part and its devices by the part alone, which is what was named.

    ``None`` where one name means one device, so that nothing is spanned.
    """
    peak = part.peak(precision or "bf16")
    if peak is None or not peak.low or not peak.high or spanned.high is None:
        return None
    if all(candidate.devices_per_package == 1 for candidate in part.candidates):
        return None
    return Interval(low=spanned.low, best=None, high=spanned.high * peak.low / peak.high)


def _beyond_ceiling(
    run: RunFigures, part: Part, estimates: list[ComputeEstimate]
) -> Finding | None:
    """Give the finding that the work exceeds what the devices can do at all, if it does."""
    route, ceiling = architecture_route(estimates), part.ceiling(run.precision)
    assert run.device_seconds is not None
    seconds = run.device_seconds.quantity.interval.high
    if route is None or route.flop.low is None:
        return None
    limits = [
        (one.flop.high, "the telemetry allows at most")
        for one in estimates
        if one.method == "tensor-activity" and one.bound_only and one.flop.high is not None
    ]
    if ceiling is not None and seconds is not None:
        words = f"{number(seconds / 3600, 4)} device-hours ({ceiling.basis}) cannot do more than"
        limits.append((seconds * ceiling.value, words))
    limit, words = min(limits, default=(math.inf, ""))
    if route.flop.low <= limit:
        return None
    message = (
        f"run {run.name}: {route.method} finds at least {number(route.flop.low)} FLOP, but {words} "
        f"{number(limit)}: {factor(route.flop.low / limit)} times too much; device time is "
        "understated or work is overstated"
    )
    return finding_of("exceeds-physical-limit", "error", message, run)


def by_the_evidences_part(
    run: RunFigures, named: str | None, place: str, estimates: list[ComputeEstimate]
) -> list[Finding]:
    """Say what follows if the evidence's part did the work and not the case's: a mismatch may hide a lie."""
    if named is None or run.accelerator is None or run.accelerator_place is not None:
        return []
    if run.device_seconds is None or same_part(run.accelerator, named) is not False:
        return []
    part, _ = resolve_from_evidence(named, place=place)
    beyond = None if part is None else _beyond_ceiling(run, part, estimates)
    if beyond is None:
        return []
    message = f"if {named!r}, which the evidence names, did the work: {beyond.message}"
    return [finding_of("accelerator-mismatch", "warning", message, run)]


def _infer_precision(run: RunFigures, utilisation: dict[str, Interval]) -> Check:
    """Say which precisions the rate allows, where the case names none."""
    sixteen = [name for name in ("bf16", "fp16") if name in utilisation]
    plausible = plausible_precisions(utilisation)
    rates = ", ".join(f"{name} {percent(interval)}" for name, interval in utilisation.items())
    if not plausible:
        message = f"run {run.name}: implied utilisation is implausible at every precision ({rates})"
        least = min(interval.low or 0.0 for interval in utilisation.values())
        hopeless = least > bands.SUSTAINABLE_UTILISATION
        outcome = Verdict.INCONSISTENT if hopeless else Verdict.NEEDS_EXPLANATION
        severity: Severity = "error" if hopeless else "warning"
        finding = finding_of("implausible-utilisation", severity, message, run)
        return Check(verdict=outcome, findings=(finding,))
    if all(interval.low is None for interval in utilisation.values()):
        return _upper_bounds_only(run, utilisation, rates)
    excluded = [name for name in sixteen if name not in plausible]
    message = f"run {run.name}: precision not stated; implied utilisation by precision: {rates}"
    if excluded and run.device_seconds is not None and not run.device_seconds.is_whole_run:
        # Half of a run's devices make any work look too fast for its precision.
        message += (
            f"; that excludes {' and '.join(excluded)} only if these were all of the run's devices, which "
            "nothing shows: a tracker lists those of one host, and a recording may be of a part"
        )
        finding = finding_of("precision-inferred", "warning", message, run)
        return Check(verdict=Verdict.NEEDS_EXPLANATION, findings=(finding,))
    if excluded:
        message += f"; {' and '.join(excluded)} excluded, so {' or '.join(plausible)} was used"
    finding = finding_of("precision-inferred", "warning" if excluded else "info", message, run)
    return Check(verdict=Verdict.CONSISTENT, findings=(finding,))


def _upper_bounds_only(run: RunFigures, utilisation: dict[str, Interval], rates: str) -> Check:
    """Judge utilisations that are upper bounds: they can clear a run, and never accuse it."""
    highest = [interval.high for interval in utilisation.values() if interval.high is not None]
    clear = bool(highest) and min(highest) <= bands.PLAUSIBLE_UTILISATION
    message = (
        f"run {run.name}: precision not stated; the amount is an upper bound or the time a lower "
        f"one, so utilisation is at most: {rates}"
    )
    return Check(
        verdict=Verdict.CONSISTENT if clear else Verdict.UNDETERMINED,
        findings=(finding_of("precision-inferred", "info", message, run),),
    )


def assumed_scope(run: RunFigures, passes: tuple[Pass, ...]) -> list[Finding]:
    """State the reading that a run's place in the ledgers rests on, with what it weighs."""
    found = []
    reading = scope.reading(run)
    if reading is not None and not (passes and run.kind in ("rl", "distillation")):
        found.append(f"run {run.name} ({run.kind}): {reading}")
    of_passes = scope.unsettled_passes({one.name for one in passes})
    if of_passes is not None:
        listed = ", ".join(f"{one.name} {number(one.flop.best)} FLOP" for one in passes)
        found.append(f"run {run.name}: beside training: {listed}; {of_passes}")
    return [finding_of("scope-assumption", "info", message, run) for message in found]


def epochs_taken_in(run: RunFigures, size: Resolved | None = None) -> list[Finding]:
    """Say that stated tokens or samples are read as those of all epochs: many mean the data set's.

    Of runs whose evidence does not give the data set's size, which would decide it. Epochs of
    reinforcement learning go over rollouts and are asked about elsewhere. Where a text names just these
    tokens (``size``) as what was passed over several times, an answer is needed.
    """
    amount = run.tokens or run.samples
    passes = run.several_passes
    if not passes or amount is None or run.kind == "rl" or not amount.source.startswith(run.place):
        return []
    if amount.quantity.interval.low != amount.quantity.interval.high:
        return []  # both readings are in it
    shown = number(amount.quantity.best)
    words = " or ".join(f"{one:.3g}" for one in passes)
    by_text = run.passes is not None and run.epochs is None
    message = (
        f"run {run.name}: the {amount.name} ({shown}) are taken as those of all {words} epochs "
        f"together; if they are the data set's, the work is {words} times as much"
    )
    if by_text:
        assert run.passes is not None
        message += f". The epochs are a text's word ({run.passes.source})"
    is_size = size is not None and disagreements.is_size(amount, size)
    if not is_size or run.passes is None or amount.name != "tokens":
        return [finding_of("epochs-taken-in", "info", message, run)]
    assert size is not None
    where = "" if size.derivation == run.passes.source else f" ({size.derivation})"
    message += f", which names these tokens as what was passed over{where}"
    return [finding_of("epochs-taken-in", "warning", message, run)]


def unused_energy(
    run: RunFigures, part: Part | None, estimates: list[ComputeEstimate]
) -> list[Finding]:
    """Say why a stated energy tests and bounds nothing."""
    if run.energy_joules is None or any(one.method == "energy" for one in estimates):
        return []
    if part is None:
        reason = "no known accelerator is stated, whose rated power it could be divided by"
    elif energy.rated_power(part) is None:
        reason = f"no rated power of {part.spelled} is on record"
    elif run.energy_joules.quantity.interval.high is None:
        reason = "it is known at its lower end alone, as of a recording of a part; the rest of it is missing"
    else:
        reason = f"no peak of {part.spelled} is on record for its precision"
    message = f"run {run.name}: its energy enters no figure and no test: {reason}"
    return [finding_of("energy-unused", "info", message, run)]


def missing_figures(run: RunFigures, estimates: list[ComputeEstimate]) -> list[Finding]:
    """Say what keeps this run from having a figure."""
    if speakers(estimates):
        return []
    bounds = [one.flop for one in estimates if one.bound_only]
    only = "only bounds" if bounds else "no figure"
    message = (
        f"run {run.name}: {only} can be given: a figure takes tokens or samples with a model, "
        "both ends of them, or device-hours with a disclosed utilisation"
    )
    if run.samples is not None and run.tokens is None and run.model is not None:
        message += (
            "; samples are known, and not what one of them costs: tokens_per_sample (1 for a row of a "
            "table), or the model's config or architecture with its input, would tell"
        )
    return [finding_of("tokens-missing", "warning", message, run)]


def finding_of(code: str, severity: Severity, message: str, run: RunFigures) -> Finding:
    """Give a finding about a run, with the run as its place."""
    return Finding(code=code, severity=severity, message=message, evidence=(run.place,))
