"""The event files of one run: a writer begins a new one at every start, and one for each purpose.

A folder is a run, as TensorBoard has it. Folders inside it belong to it, so do folders that were written
at the same time (``train`` beside ``validation``), and so does one that goes on at a later step than the
one before began with, as the Trainer begins a new folder at every start. What begins anew is another run.

Time is the union of their spans, so that files written side by side count once and the hours between two
starts not at all. Of a last value the latest file speaks.
"""

import posixpath
from dataclasses import replace

from flopledger.facts import NAMES, Fact, Finding, Grade
from flopledger.logs.evidence import Evidence

_FORMAT = "tensorboard-events"
#: Last values: what a later file says includes the earlier.
_LAST = ("steps", "tokens", "samples", "claimed_flop", "last_logged_step", "planned_steps")
#: A share of the files' time that is as good as all of it.
_NEARLY_ALL = 0.99
_TIMES = frozenset(
    {"wall_seconds", "timed_seconds", "events_begin", "events_end", "events_first_step"}
)


def join(evidence: Evidence) -> tuple[Evidence, list[Finding]]:
    """Give the evidence with several event files of one run read as one."""
    spans = sorted(_spans(evidence).items(), key=lambda one: one[1])
    if len(spans) < 2:
        return evidence, []
    files = [file for file, _ in spans]
    runs = _runs(spans, {f.file: int(f.value) for f in evidence.named("events_first_step")})
    if len(runs) > 1:
        return _several(evidence, files, runs)
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


def _runs(
    spans: list[tuple[str, tuple[float, float]]], first_steps: dict[str, int]
) -> list[list[str]]:
    """Give the files of each run, in the order of their beginning."""
    starts: list[list[str]] = []  # the files of one start, or of one folder
    reached = 0.0
    for file, (begin, end) in spans:
        same = next((files for files in starts if any(_is_near(file, one) for one in files)), None)
        if same is None and starts and begin <= reached:
            same = starts[-1]
        if same is None:
            starts.append(same := [])
        same.append(file)
        reached = max(reached, end)
    runs: list[list[str]] = []
    for files in starts:
        if runs and _goes_on(files, runs[-1], first_steps):
            runs[-1].extend(files)
        else:
            runs.append(list(files))
    return runs


def _is_near(one: str, other: str) -> bool:
    """Say whether one file lies in the folder of the other, or in a folder inside it."""
    folders = [posixpath.dirname(name) for name in (one, other)]
    if "" in folders:
        return folders[0] == folders[1]  # the case's own folder holds everything
    return any(f"{a}/".startswith(f"{b}/") for a, b in (folders, folders[::-1]))


def _goes_on(files: list[str], run: list[str], first_steps: dict[str, int]) -> bool:
    """Say whether a start took up the count where an earlier one had left it."""
    now, before = (
        min((first_steps[one] for one in names if one in first_steps), default=None)
        for names in (files, run)
    )
    return now is not None and before is not None and now > before


def _several(
    evidence: Evidence, files: list[str], runs: list[list[str]]
) -> tuple[Evidence, list[Finding]]:
    """Take neither time nor amount from files of several runs: which one is meant is not known."""
    dropped = _TIMES | {*_LAST}
    kept = tuple(f for f in evidence.facts if f.file not in files or f.name not in dropped)
    finding = Finding(
        code="several-runs",
        severity="warning",
        message=f"{len(files)} event files are of {len(runs)} runs, each in a folder of its own and begun "
        "anew: neither time nor steps are taken; give each its own [[run]]",
        evidence=tuple(run[0] for run in runs),
    )
    return replace(evidence, facts=kept), [finding]


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
