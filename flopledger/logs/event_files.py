"""The event files of one run: a writer begins a new one at every start, and one for each purpose.

Time is the union of their spans, so that files written side by side count once and the hours between two
starts not at all. Of a last value the latest file speaks.
"""

from dataclasses import replace

from flopledger.facts import NAMES, Fact, Finding, Grade
from flopledger.logs.evidence import Evidence

_FORMAT = "tensorboard-events"
#: Last values: what a later file says includes the earlier.
_LAST = ("steps", "tokens", "samples", "claimed_flop", "last_logged_step", "planned_steps")
#: A share of the files' time that is as good as all of it.
_NEARLY_ALL = 0.99
_TIMES = frozenset({"wall_seconds", "timed_seconds", "events_begin", "events_end"})


def join(evidence: Evidence) -> tuple[Evidence, list[Finding]]:
    """Give the evidence with several event files of one run read as one."""
    spans = sorted(_spans(evidence).items(), key=lambda one: one[1])
    if len(spans) < 2:
        return evidence, []
    files = [file for file, _ in spans]
    total, gaps, reached = 0.0, 0, 0.0
    for _, (begin, end) in spans:
        gaps += reached > 0 and begin > reached
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    kept = [fact for fact in evidence.facts if fact.file not in files or fact.name not in _TIMES]
    kept = _latest(kept, spans)
    place = f"the union of {len(files)} files' spans"
    kept.append(_fact("wall_seconds", round(total, 6), ", ".join(files), place))
    timed = [f for f in evidence.named("timed_seconds") if f.file in files]
    known = {fact.file for fact in timed}
    covered = sum(end - begin for file, (begin, end) in spans if file in known)
    if covered >= _NEARLY_ALL * total:
        # What is left is an evaluation after the end, or an attempt that broke off at once.
        seconds = sum(float(fact.value) for fact in timed)
        names = ", ".join(fact.file for fact in timed)
        kept.append(_fact("timed_seconds", seconds, names, f"the sum of {len(timed)} files"))
    else:
        # A process that was killed wrote no time of its own, so the rest is not the whole.
        kept.append(_fact("seen_seconds", round(total, 6), ", ".join(files), place))
    finding = Finding(
        code="joined-logs",
        severity="info",
        message=f"{len(files)} event files are read as one run of {gaps + 1} starts; if they are of "
        "different runs, give each its own [[run]]",
        evidence=tuple(files),
    )
    return replace(evidence, facts=tuple(kept)), [finding]


def _spans(evidence: Evidence) -> dict[str, tuple[float, float]]:
    of_events = {name for name, one in evidence.sources.items() if one.format == _FORMAT}
    ends = {fact.file: float(fact.value) for fact in evidence.named("events_end")}
    return {
        fact.file: (float(fact.value), ends[fact.file])
        for fact in evidence.named("events_begin")
        if fact.file in of_events and fact.file in ends
    }


def _latest(facts: list[Fact], spans: list[tuple[str, tuple[float, float]]]) -> list[Fact]:
    """Drop last values that a file of a later end gives as well."""
    order = {file: end for file, (_, end) in spans}
    dropped: list[Fact] = []
    for name in _LAST:
        same = [fact for fact in facts if fact.name == name and fact.file in order]
        if len({fact.file for fact in same}) > 1:
            last = max((fact.file for fact in same), key=lambda file: order[file])
            dropped += [fact for fact in same if fact.file != last]
    return [fact for fact in facts if fact not in dropped]


def _fact(name: str, value: float, file: str, how: str) -> Fact:
    return Fact(
        name=name, value=value, unit=NAMES[name][0], file=file, locator=how, grade=Grade.LOG
    )
