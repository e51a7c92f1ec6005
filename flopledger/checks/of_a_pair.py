"""Two routes of one run against each other: what the work cost, and what the time or the energy held."""

import math

from flopledger import fingerprints
from flopledger import verdict as bands
from flopledger.checks.of_a_run import Check, finding_of
from flopledger.combine import Pair
from flopledger.facts import Finding, Severity
from flopledger.inputs import Input, RunFigures
from flopledger.text import factor, sigmas
from flopledger.verdict import Verdict

#: Kinds whose passes beside training may be many times the training.
_WITH_PASSES = frozenset({"rl", "distillation"})
_SEVERAL_DEVICES = 4  #: of fewer, the factor is that of many other mistakes


def pair_check(run: RunFigures, pair: Pair) -> Check:
    """Test two independent routes against one another."""
    outcome = bands.of_z(pair.z)
    if outcome is Verdict.CONSISTENT:
        return Check(verdict=outcome)
    if pair.ratio > 1 and pair.second.from_prior:
        # Idle hours contradict nothing: only a utilisation of this run's own could do that.
        outcome = Verdict.NEEDS_EXPLANATION
    is_absurd = _is_absurd(run, pair)
    found = [_disagreement(run, pair, outcome, is_absurd=is_absurd)]
    if is_absurd:
        found.append(_slip(run, pair))
    else:
        found += _known_factors(run, pair)
    return Check(verdict=outcome, findings=tuple(found))


def _is_absurd(run: RunFigures, pair: Pair) -> bool:
    """Say whether the routes are so far apart that no reading of a right figure explains it."""
    if pair.ratio > 1 and run.kind in _WITH_PASSES and _unstated(run):
        return False  # a teacher may be a hundred times the student
    return not 1 / fingerprints.ABSURD < pair.ratio < fingerprints.ABSURD


def _disagreement(run: RunFigures, pair: Pair, outcome: Verdict, *, is_absurd: bool) -> Finding:
    """Say by how much the routes differ, and what that would mean."""
    severity: Severity = "error" if outcome is Verdict.INCONSISTENT else "warning"
    source = "energy" if _by_energy(pair) else "hours"
    code = "unexplained-compute" if pair.ratio > 1 else "implausible-utilisation"
    if is_absurd and pair.ratio > 1 and source == "hours" and pair.second.from_prior:
        reading = (
            "no published run left as much of its hours unused: one of the figures is of another "
            "unit or run, or the model waits for memory or data (a recommender's tables, single "
            "samples), which a stated mfu would settle"
        )
    elif is_absurd:
        reading = "no idle time and no other work explains as much; one of the figures is wrong"
    elif pair.ratio > 1:
        reading = (
            f"the {source} could hold more compute than the work accounts for: {_unstated(run)}downtime, "
            f"other runs, or work that was left out{_little_used(run, pair, source)}"
        )
    else:
        reading = (
            f"the work needs more than the {source} gave: {source} understated or work overstated"
        )
    relation = (
        f"{pair.second.method} / {pair.first.method} = {factor(pair.ratio)} ({sigmas(pair.z)})"
    )
    return finding_of(code, severity, f"run {run.name}: {relation}: {reading}", run)


def _known_factors(run: RunFigures, pair: Pair) -> list[Finding]:
    """Name the known mistakes whose factor is the one by which the routes differ."""
    extra = []
    tokens, devices = map(_best, (run.tokens, run.device_count))
    if tokens is not None:
        extra.append(fingerprints.per_trillion_tokens(tokens))
    extra += [fingerprints.several_epochs(epochs) for epochs in run.several_passes]
    if devices is not None and devices >= _SEVERAL_DEVICES:
        extra.append(fingerprints.wall_for_device_hours(devices))
    fits = fingerprints.matching(
        pair.ratio,
        spread=abs(math.log(pair.ratio) / pair.z),
        known=fingerprints.ROUTES,
        extra=tuple(extra),
    )
    return [
        finding_of(
            fit.code,
            "info",
            f"run {run.name}: the factor {factor(pair.ratio)} fits: {fit.words}. A question to ask",
            run,
        )
        for fit in fits
    ]


def _best(known: Input | None) -> float | None:
    return None if known is None else known.quantity.best


def _by_energy(pair: Pair) -> bool:
    return "energy" in (pair.first.method, pair.second.method)


def _unstated(run: RunFigures) -> str:
    """Name the passes that runs of such a kind make, where the case gives none of them."""
    stated = (run.rollout_tokens, run.reference_model, run.reward_model, run.teacher_model)
    if any(one is not None for one in stated):
        return ""
    if run.kind == "rl":
        return (
            "rollouts and the passes of reference and reward models (rollout_tokens, reference_model and "
            "reward_model are not stated), "
        )
    if run.kind == "distillation":
        return "the teacher's forward passes (teacher_model is not stated), "
    return "passes of a teacher, generated data, "


#: Kinds that generate, one token after the other.
_GENERATING = frozenset({"rl", "synthetic-data"})


def _little_used(run: RunFigures, pair: Pair, source: str) -> str:
    """Say why such a run may leave more of its hours unused than the runs that it is held against."""
    each = run.tokens_per_sample.quantity.best if run.tokens_per_sample is not None else None
    if not pair.second.from_prior or source != "hours":
        return ""
    if run.kind in _GENERATING:
        reason = "text is generated a token at a time, which reads all weights for each and computes little"
    elif each == 1:
        reason = "rows that are looked up in tables wait for memory and network, and compute little"
    else:
        return ""
    return (
        f". Or nothing was: {reason}, and the hours are held against the utilisation of language models in "
        "pre-training; a stated mfu, over the whole run, settles it"
    )


def _slip(run: RunFigures, pair: Pair) -> Finding:
    """Say that figures so far apart are in wrong units, and in which, where one fits."""
    by_energy = _by_energy(pair)
    known = (
        fingerprints.absurd_energy(pair.ratio)
        if by_energy
        else fingerprints.absurd(pair.ratio, run)
    )
    suspects = "energy, tokens" if by_energy else "hours, tokens"
    likely = "; or ".join(one.reason for one in known[:3])
    message = (
        f"run {run.name}: {pair.second.method} and {pair.first.method} differ by a factor of "
        f"{factor(max(pair.ratio, 1 / pair.ratio))}, which no utilisation explains: one of "
        f"{suspects} and parameters is in another unit, or of another run"
        + (f"; likeliest: {likely}" if likely else "")
    )
    return finding_of("unit-ambiguity", "warning", message, run)
