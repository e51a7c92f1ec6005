"""Which input the answer hangs on, and what would turn the verdict."""

from collections import defaultdict
from dataclasses import dataclass

from flopledger import verdict as bands
from flopledger.checks.clock_hours import READ_AGAIN
from flopledger.claims.claim import Claim
from flopledger.combine import Combined
from flopledger.reconcile import RunAudit
from flopledger.scope import counts
from flopledger.text import interval, number
from flopledger.verdict import Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """One input's share of the variance of the total's logarithm."""

    input: str
    log_variance_share: float


def shares(runs: list[RunAudit], total: Combined | None) -> tuple[Share, ...]:
    """Split the log variance over the inputs, largest first; shares sum to 1.

    To first order: a run weighs by its share of the total, a route by its weight in the run, an
    input by the variance of its logarithm.
    """
    if total is None or not total.flop.best:
        return ()
    variances: dict[str, float] = defaultdict(float)
    for run in runs:
        if run.combined is None or not counts(run.figures, "parameter_update"):
            continue
        part = (run.combined.flop.best or 0.0) / total.flop.best
        prefix = f"{run.figures.name}: " if len(runs) > 1 else ""
        for route, weight in run.combined.weights:
            for name, variance in route.log_variance:
                variances[prefix + name] += (part * weight) ** 2 * variance
    everything = sum(variances.values())
    if everything == 0:
        return ()
    found = [
        Share(input=name, log_variance_share=variance / everything)
        for name, variance in variances.items()
        if variance > 0
    ]
    return tuple(sorted(found, key=lambda share: (-share.log_variance_share, share.input)))


def would_change(
    verdict: Verdict, runs: list[RunAudit], claim: Claim | None, total: Combined | None
) -> tuple[str, ...]:
    """Say in sentences which figures would flip the verdict and which documents would help."""
    answers: list[str] = []
    if claim is not None and total is not None:
        answers += _claim_limits(verdict, claim, total)
    for run in runs:
        answers += _hours_limits(run)
        answers += _missing_documents(run)
    return tuple(answers)


def _claim_limits(verdict: Verdict, claim: Claim, total: Combined) -> list[str]:
    low, high = total.flop.low, total.flop.high
    if low is None or high is None:
        return []
    if claim.flop.best is None:
        return _bound_limits(claim, low, high)
    lowest, highest = low / bands.CLAIM_EXPLAINABLE, high * bands.CLAIM_EXPLAINABLE
    if verdict is Verdict.INCONSISTENT:
        lowest, highest = low / bands.CLAIM_AGREES, high * bands.CLAIM_AGREES
        if lowest <= claim.flop.best <= highest:
            return [
                "the claim lies within the estimate; what contradicts is among the case's other figures"
            ]
        return [
            f"a claim between {number(lowest, 2)} and {number(highest, 2)} FLOP would agree with the "
            "estimate"
        ]
    followed = not lowest <= claim.flop.best <= highest
    unless = ", unless it follows a convention" if followed else ""
    return [
        f"a claim below {number(lowest, 2)} or above {number(highest, 2)} FLOP would be inconsistent{unless} "
        f"(claimed: {interval(claim.flop)})"
    ]


def _bound_limits(claim: Claim, low: float, high: float) -> list[str]:
    """Say which bounds the estimate would contradict; one end of a bound can be wrong, never the other."""
    turned = (
        f"below {number(low / bands.CLAIM_AGREES, 2)}"
        if claim.flop.high is not None
        else f"above {number(high * bands.CLAIM_AGREES, 2)}"
    )
    return [f"a bound {turned} FLOP would be inconsistent (claimed: {interval(claim.flop)})"]


def _hours_limits(run: RunAudit) -> list[str]:
    """Say which device time would make the work implausible at the stated precision."""
    used = run.utilisation.get(run.figures.precision or "")
    if used is None or used.best is None or not used.best:
        return []
    factor = used.best / bands.SUSTAINABLE_UTILISATION
    if factor >= 1:
        return []
    seconds = run.figures.device_seconds
    whose = "those taken" if seconds and seconds.source.endswith(READ_AGAIN) else "those stated"
    return [
        f"run {run.figures.name}: device-hours below {factor:.0%} of {whose} could not have done the work"
    ]


def _missing_documents(run: RunAudit) -> list[str]:
    figures = run.figures
    answers = []
    if figures.tokens is None and figures.samples is None:
        answers.append("the amount trained (tokens, all epochs) would allow a count")
    elif figures.model is None and figures.recorded_flop is None:
        answers.append("the model's config.json would allow a count")
    if figures.device_seconds is None:
        answers.append("device-hours with the part's name would allow an independent check")
    elif figures.mfu is None and figures.hfu is None:
        answers.append("a utilisation from the run's own logs would narrow the device-time route")
    return [f"run {figures.name}: {answer}" for answer in answers]
