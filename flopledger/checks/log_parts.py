"""A log of a part of its run: what it shows of the rest, and at what pace.

A log that begins at step 1,000, or ends at 2,000 of 10,000, is of a part, or of a run that stopped.
Where the case states more than such a log holds, both readings explain the figures (design 104):

    up to the log's last step       its own count of steps shows that there was more: believed
    up to the steps that it planned  only the case says that the run went on: asks for the rest
    beyond them                      log and case contradict one another

In all three the log's sums are lower bounds and the stated figures are used. The log's pace is the
run's: stated hours that the stated amount does not take at that pace are asked about. A log that was
begun and ended as planned is all of its run, and is no matter of this module.

Where the case states no amount, a log that begins later than its run is a lower bound: the model was
trained before. Of runs that train a given model further, the first step may be the given one's last.
"""

from dataclasses import replace

from flopledger import scope
from flopledger.coverage import Coverage
from flopledger.facts import Finding, Severity
from flopledger.inputs import RunFigures
from flopledger.logs import Evidence, RunFacts
from flopledger.logs.run_facts import Resolved
from flopledger.methods import priors
from flopledger.text import factor, number, share

#: Counts closer than this are the same; batches are dropped at the end of an epoch.
_SAME = 0.02
_SUMS = ("tokens", "samples", "timed_seconds", "wall_seconds", "accelerator_seconds")


def judge(
    run: RunFigures, evidence: Evidence, found: RunFacts
) -> tuple[RunFacts, tuple[Finding, ...]]:
    """Make the sums of a log of a part lower bounds, where the case states more; say what is asked."""
    steps, more = found.steps, _more(run, found)
    if steps is None or not steps.number:
        return found, ()
    begun = _begun(found, steps)
    if more is None and begun > _SAME * (begun + steps.number) and run.kind not in scope.FURTHER:
        return _at_least(found), (_before(run, steps, begun),)
    if more is None or more <= 1 + _SAME:
        return found, ()
    planned = max((float(fact.value) for fact in evidence.named("planned_steps")), default=0.0)
    last = begun + steps.number
    if begun == 0 and last >= planned * (1 - _SAME):
        return found, ()
    findings = [_rest(run, steps, more, begun, max(planned, last)), *_pace(run, found, more)]
    return _at_least(found), tuple(findings)


def _at_least(found: RunFacts) -> RunFacts:
    changes: dict[str, object] = {}
    for name in _SUMS:
        figure: Resolved | None = getattr(found, name)
        if figure is not None and figure.bound == "exact":
            changes[name] = replace(figure, bound="at least")
    return replace(found, **changes)  # type: ignore[arg-type]


def _before(run: RunFigures, steps: Resolved, begun: float) -> Finding:
    """Say that a run's first steps are missing, and that nothing in the case says what they were."""
    message = (
        f"run {run.name}: its log begins at step {number(begun)} of {number(begun + steps.number)}: what "
        "came before is not in it and nothing else states it, so its sums are lower bounds; the earlier logs "
        "or the amount would settle it, and kind = continued a run that began there"
    )
    return Finding(
        code="coverage-gap", severity="warning", message=message, evidence=(steps.derivation,)
    )


def _begun(found: RunFacts, steps: Resolved) -> float:
    """Give the step before the first one of the log that the steps were taken from."""
    first = found.first_step
    if first is None:
        return 0.0
    facts = (*first.facts, *first.alternatives)
    same = [fact for fact in facts if fact.file == steps.facts[0].file]
    return float(same[0].value) if same else 0.0


def narrowed(coverage: Coverage | None, *, is_part: bool) -> Coverage | None:
    """Let recordings that cover the window of a log of a part be of that part, too."""
    if coverage is None or coverage.covers != "whole" or not is_part:
        return coverage
    return Coverage(covers="part", words="its log is of a part of the run", time_short=True)


def _more(run: RunFigures, found: RunFacts) -> float | None:
    """Give the stated amount over the logged one."""
    for stated, logged in ((run.tokens, found.tokens), (run.samples, found.samples)):
        low = stated.quantity.interval.low if stated is not None else None
        if low is not None and logged is not None and logged.bound == "exact" and logged.number:
            return low / logged.number
    return None


def _rest(run: RunFigures, steps: Resolved, more: float, begun: float, planned: float) -> Finding:
    last, done = begun + steps.number, steps.number
    words = (
        f"run {run.name}: the log holds steps {number(begun)} to {number(last)} and {share(1 / more)} of the "
        "stated amount"
    )
    severity: Severity = "warning"
    if more <= last / done * (1 + _SAME):
        code, severity = "coverage-gap", "info"
        words += ", and its count of steps shows the rest: its sums are lower bounds"
    elif more <= planned / done * (1 + _SAME):
        code = "coverage-unproven"
        words += (
            f"; only the case says that the run went on (planned: {number(planned)} steps); what would show "
            "it: the rest of the log, a later checkpoint's step, or the scheduler's record of the jobs"
        )
    else:
        code = "amount-mismatch"
        words += (
            f", which is more than all of the {number(planned)} steps that it counts to or plans come to (a "
            f"factor {factor(more * done / planned)}): the amount is overstated, or the log is of another run"
        )
    return Finding(code=code, severity=severity, message=words, evidence=(steps.derivation,))


def _pace(run: RunFigures, found: RunFacts, more: float) -> list[Finding]:
    """Hold the stated device-hours against what the stated amount takes at the log's pace."""
    stated, timed = run.device_seconds, found.timed_seconds or found.wall_seconds
    count = None if found.accelerator_count is None else found.accelerator_count.number
    if count is None and run.device_count is not None:
        count = run.device_count.quantity.best
    if stated is None or timed is None or not count or timed.bound != "exact":
        return []
    needed, high = timed.number * count * more, priors.goodput_ratio().interval.high
    low, most = stated.quantity.interval.low, stated.quantity.interval.high
    assert high is not None
    if (low is None or low <= needed * high) and (most is None or most >= needed * (1 - _SAME)):
        return []
    message = (
        f"run {run.name}: at the log's pace the stated amount takes {number(needed / 3600)} device-hours, "
        f"and {number((low or most or 0.0) / 3600)} are stated: hours or amount are misstated, or the "
        "rest of the run went at another pace"
    )
    return [
        Finding(
            code="device-time-mismatch",
            severity="warning",
            message=message,
            evidence=(stated.source, timed.derivation),
        )
    ]
