"""Checkpoints of one Trainer: each repeats the whole history so far, so the latest one speaks."""

from dataclasses import replace

from flopledger.facts import Finding
from flopledger.logs.checks import differ
from flopledger.logs.evidence import Evidence

_STATES = frozenset({"hf-trainer-state"})
#: Epochs that differ by less are one number, rounded in two places.
_SAME_EPOCH = 0.01
#: Older Trainers round the epoch of their results to two digits behind the point.
_ROUNDED = 0.005
#: What a checkpoint knew of a run that went on: the end has its own figures, or none.
_OVERTAKEN = frozenset({"steps", "epochs", "claimed_flop", "tokens"})


def latest(evidence: Evidence) -> tuple[Evidence, list[Finding]]:
    """Drop the facts of earlier checkpoints: those of one run plan the same steps."""
    done = evidence.by_file("steps", _STATES)
    planned = evidence.by_file("planned_steps", _STATES)
    if len(done) < 2 or len({planned.get(file) for file in done}) != 1:
        return evidence, []
    newest = max(done, key=lambda file: done[file])
    # Of one step there is one state: two that differ are no checkpoints of one another.
    earlier = {
        file
        for file in set(done) - {newest}
        if done[file] < done[newest] or _tells_the_same(evidence, file, newest)
    }
    if not earlier:
        return evidence, []
    kept = tuple(fact for fact in evidence.facts if fact.file not in earlier)
    findings = tuple(
        finding
        for finding in evidence.findings
        if not any(place.split(": ")[0] in earlier for place in finding.evidence)
    )
    finding = Finding(
        code="earlier-checkpoints",
        severity="info",
        message=f"{len(earlier)} earlier checkpoints of the run hold what {newest} holds as well",
        evidence=tuple(sorted(earlier)),
    )
    return replace(evidence, facts=kept, findings=findings), [finding]


def _tells_the_same(evidence: Evidence, one: str, other: str) -> bool:
    """Say whether two states of one step agree in what they count."""
    for name in ("tokens", "claimed_flop", "timed_seconds"):
        values = [
            [fact.value for fact in evidence.named(name) if fact.file == file]
            for file in (one, other)
        ]
        if all(values) and differ(values[0][0], values[1][0]):
            return False
    return True


def finished_later(evidence: Evidence) -> tuple[Evidence, list[Finding]]:
    """Let the results of a finished run overrule a checkpoint's state that it left behind."""
    ended = evidence.by_file("epochs", frozenset({"hf-results"}))
    states = evidence.by_file("epochs", _STATES)
    if not ended or len(states) != 1:
        return evidence, []
    end = max(ended.values())
    (state, reached), results = next(iter(states.items())), max(ended, key=lambda one: ended[one])
    if reached >= end * (1 - _SAME_EPOCH):
        return evidence, []
    if round(end, 2) == end and end - reached <= _ROUNDED:
        return evidence, []
    facts = [f for f in evidence.facts if f.file != state or f.name not in _OVERTAKEN]
    planned = evidence.by_file("planned_epochs", _STATES).get(state)
    steps = [f for f in evidence.named("planned_steps") if f.file == state]
    if steps and planned is not None and abs(end / planned - 1) < _SAME_EPOCH:
        how = f"{steps[0].locator}, all of them done by {results}"
        facts.append(replace(steps[0], name="steps", locator=how))
    kept = tuple(
        finding
        for finding in evidence.findings
        if not (finding.code == "stopped-early" and finding.evidence[0].startswith(f"{state}: "))
    )
    finding = Finding(
        code="earlier-checkpoints",
        severity="info",
        message=f"{state} is of epoch {reached:.4g}; {results} is of the run's end at epoch {end:.4g}",
        evidence=(state, results),
    )
    return replace(evidence, facts=tuple(facts), findings=kept), [finding]
