"""One run in several files: checkpoints of one Trainer, logs of one job after the other.

Checkpoints repeat the whole history so far, so the latest one speaks. Console logs cover what their
own job did, so they are joined where one goes on at the step at which another stopped or fell back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

from flopledger.facts import NAMES, Fact, Finding, Grade
from flopledger.logs import checkpoints, event_files, stages
from flopledger.logs.evidence import Evidence
from flopledger.logs.stepping import ENDED

_CONSOLES = (
    "megatron-log",
    "composer-log",
    "torchtitan-log",
    "nanogpt-log",
    "nanochat-log",
    "nemo-log",
    "deepspeed-log",
    "maxtext-log",
    "levanter-log",
    "llm-c-log",
    "nanotron-log",
    "olmo-log",
    "litgpt-log",
    "mmengine-log",
    "labelled-log",
)
#: What adds up over the logs of one run, and what joining replaces besides.
_SUMS = ("samples", "tokens", "timed_seconds", "seen_seconds")
_REPLACED = frozenset({*_SUMS, "steps", "first_step", "lost_steps", "wall_seconds"})


def settle(evidence: Evidence) -> tuple[Evidence, list[Finding]]:
    """Give the evidence with checkpoints reduced to the latest and consecutive logs joined."""
    evidence, findings = checkpoints.latest(evidence)
    evidence, outdated = checkpoints.finished_later(evidence)
    findings += outdated
    evidence, joined = event_files.join(evidence)
    findings += joined
    for format_id in _CONSOLES:
        evidence, joined = _join(evidence, format_id)
        findings += joined
    return evidence, findings


#: What adds up over the records of one run that was started several times.
_OF_RECORDS = (
    "steps",
    "tokens",
    "samples",
    "timed_seconds",
    "recorded_model_flop",
    "recorded_hardware_flop",
    "recorded_flop_at_least",
    "evaluation_flop",
)


def add_records(evidence: Evidence) -> Evidence:
    """Add up the steps of several run records: each is a part of the run's compute."""
    evidence = _lower_bounds(evidence)
    mark = "/ledger.jsonl"
    replaced: list[Fact] = []
    added: list[Fact] = []
    for name in _OF_RECORDS:
        facts = [fact for fact in evidence.named(name) if fact.locator.endswith(mark)]
        if len(facts) < 2:
            continue
        files = ", ".join(fact.file for fact in facts)
        total = sum(fact.value for fact in facts if isinstance(fact.value, int | float))
        added.append(replace(facts[0], value=total, file=files))
        replaced += facts
    kept = tuple(fact for fact in evidence.facts if fact not in replaced)
    return replace(evidence, facts=(*kept, *added)) if added else evidence


def _lower_bounds(evidence: Evidence) -> Evidence:
    """Where a record lacks a figure that others have, their sum is none of the run.

    Of FLOP it is a lower bound still; half of the tokens are nothing that an audit can use.
    """
    mine = [fact for fact in evidence.facts if fact.locator.endswith("/ledger.jsonl")]
    records = {fact.file for fact in mine}
    having = {
        name: {fact.file for fact in mine if fact.name == name}
        for name in ("tokens", "samples", "steps", "recorded_model_flop", "recorded_hardware_flop")
    }
    lacking = {name for name, files in having.items() if files and files != records}
    known = [
        replace(fact, name="recorded_flop_at_least")
        for fact in mine
        if fact.name == "recorded_model_flop" and fact.name in lacking
    ]
    kept = [fact for fact in evidence.facts if not (fact in mine and fact.name in lacking)]
    return replace(evidence, facts=(*kept, *known)) if lacking else evidence


@dataclass(frozen=True, slots=True)
class _Part:
    """One log: the steps that it covers."""

    file: str
    begin: float
    end: float
    at: float | None  #: stamp of its first step
    planned: float | None
    seconds: float | None
    opening: str | None  #: digest of its first steps, where they have no stamps


#: Ranks and nodes of one job print their first step within this time of one another.
_SAME_START_SECONDS = 60.0
#: Sums of step times that differ by less are of the same steps, printed by several ranks.
_SAME_SECONDS = 0.01
_COMPARED = 200  #: logs that are compared with one another
#: What ranks of one job print as their step times differs by less, all in all.
_RANKS_DIFFER = 0.03


def _join(evidence: Evidence, format_id: str) -> tuple[Evidence, list[Finding]]:
    formats = frozenset({format_id})
    parts = _parts(evidence, formats)
    if len(parts) < 2:
        return evidence, []
    evidence, parts, findings = _without_copies(evidence, parts)
    if len(parts) < 2:
        return evidence, findings
    if _are_several_runs(parts) or _run_at_once(parts):
        files = {part.file for part in parts}
        kept_facts = tuple(
            f for f in evidence.facts if f.file not in files or f.name not in _REPLACED
        )
        return replace(evidence, facts=kept_facts), [*findings, _several(parts)]
    if not _is_chain(parts):
        return evidence, findings
    files = {part.file for part in parts}
    kept = max(part.end for part in parts) - parts[0].begin
    again = sum(part.end - part.begin for part in parts) - kept
    facts = [f for f in evidence.facts if f.file not in files or f.name not in _REPLACED]
    facts += _joined(evidence, parts, kept, again)
    finding = Finding(
        code="joined-logs",
        severity="info",
        message=f"{len(parts)} logs follow one another and are one run of {kept:,.0f} steps"
        + (f"; {again:,.0f} steps were done again" if again else ""),
        evidence=tuple(part.file for part in parts),
    )
    findings.append(finding)
    sums = stages.add_up(_stages(evidence, parts))
    if sums.words:
        facts = [*stages.without(facts, sums, {*files, _listed(parts)}), *_added(sums, parts)]
        findings.append(stages.finding(sums, [part.file for part in parts]))
    return replace(evidence, facts=tuple(facts)), findings


def _stages(evidence: Evidence, parts: Sequence["_Part"]) -> list[stages.Stage]:
    """Give what each log did with its own settings."""

    def of(file: str, *names: str) -> float | None:
        found = (fact for name in names for fact in evidence.named(name) if fact.file == file)
        fact = next(found, None)
        return float(fact.value) if fact is not None else None

    return [
        stages.Stage(
            place=part.file,
            begin=part.begin,
            end=part.end,
            seconds=of(part.file, "timed_seconds", "seen_seconds"),
            is_least=part.seconds is None,
            devices=of(part.file, "accelerator_count", "world_size"),
            batch=of(part.file, "global_batch"),
            length=of(part.file, "tokens_per_sample", "sequence_length"),
            samples=of(part.file, "samples"),
            step_tokens=of(part.file, "tokens_per_step"),
        )
        for part in parts
    ]


def _added(sums: stages.Sums, parts: Sequence["_Part"]) -> list[Fact]:
    how = f"{len(parts)} logs added up"
    return [_fact_of(name, value, how, parts) for name, value in sums.figures.items()]


def _listed(parts: Sequence["_Part"]) -> str:
    return ", ".join(part.file for part in parts)


def _parts(evidence: Evidence, formats: frozenset[str]) -> list[_Part]:
    """List the logs of one format, by their steps and then by their clocks."""
    first, stamps, planned, seconds = (
        evidence.by_file(name, formats)
        for name in ("first_step", "stamps_begin", "planned_steps", "timed_seconds")
    )
    openings = {fact.file: str(fact.value) for fact in evidence.named("log_opening")}
    parts = [
        _Part(
            file=file,
            begin=first.get(file, 0.0),
            end=first.get(file, 0.0) + count,
            at=stamps.get(file),
            planned=planned.get(file),
            seconds=seconds.get(file),
            opening=openings.get(file),
        )
        for file, count in evidence.by_file("steps", formats).items()
    ]
    has_clocks = all(part.at is not None for part in parts)

    def order(one: _Part) -> tuple[float, float, str]:
        # Without clocks each is taken to reach beyond those before it, wherever it began.
        return (
            (one.at or 0.0, one.begin, one.file) if has_clocks else (one.end, one.begin, one.file)
        )

    return sorted(parts, key=order)


def _without_copies(
    evidence: Evidence, parts: list[_Part]
) -> tuple[Evidence, list[_Part], list[Finding]]:
    """Keep one log of those that ranks or nodes of one job wrote of the same steps."""
    kept: list[_Part] = []
    copies: dict[str, str] = {}
    for part in sorted(parts, key=lambda one: (-one.end, one.file)):
        original = next((one for one in kept if _is_copy(part, one)), None)
        if original is None:
            kept.append(part)
        else:
            copies[part.file] = original.file
    if not copies:
        return evidence, parts, []
    facts = tuple(f for f in evidence.facts if f.file not in copies or f.name not in _REPLACED)
    findings = tuple(
        one
        for one in evidence.findings
        if not (one.evidence and all(place.split(": ")[0] in copies for place in one.evidence))
    )
    finding = Finding(
        code="duplicate-evidence",
        severity="info",
        message=f"{len(copies)} logs show the steps of another at the same time, as ranks and nodes of "
        "one job print them; each step was counted once",
        evidence=tuple(f"{copy}: as {original}" for copy, original in sorted(copies.items())[:20]),
    )
    left = [part for part in parts if part.file not in copies]
    return replace(evidence, facts=facts, findings=findings), left, [finding]


def _is_copy(part: _Part, original: _Part) -> bool:
    """Say whether ``part`` shows what ``original`` shows, which is no shorter.

    Without clocks those are copies that begin with the same losses and times, or that show the same steps
    in the same time; a log that breaks off sooner may be an attempt else.
    """
    if part.begin != original.begin:
        return False
    if part.at is not None and original.at is not None:
        near = abs(part.at - original.at) <= _SAME_START_SECONDS
        return near and not _differ_in_time(part, original)
    if part.opening is not None and part.opening == original.opening:
        return True
    if part.end != original.end or part.seconds is None or original.seconds is None:
        return False
    return abs(part.seconds - original.seconds) <= _SAME_SECONDS * original.seconds


def _differ_in_time(part: _Part, original: _Part) -> bool:
    """Say whether two logs took unlike times for the same steps: jobs that were started at once.

    Ranks of one job wait for one another in every step.
    """
    if part.end != original.end or part.seconds is None or original.seconds is None:
        return False
    return abs(part.seconds - original.seconds) > _RANKS_DIFFER * original.seconds


def _are_several_runs(parts: Sequence[_Part]) -> bool:
    """Say whether a log begins at step 0 after another, by the clock, had done all that it planned."""
    return any(
        before.at is not None
        and after.at is not None
        and after.begin == 0
        and before.planned is not None
        and before.end >= ENDED * before.planned
        for before, after in pairwise(parts)
    )


def _run_at_once(parts: Sequence[_Part]) -> bool:
    """Say whether two logs, which are no copies, begin with the same step at the same time."""
    return any(
        one.begin == other.begin
        and one.at is not None
        and other.at is not None
        and abs(one.at - other.at) <= _SAME_START_SECONDS
        for one, other in combinations(parts[:_COMPARED], 2)
    )


def _several(parts: Sequence[_Part]) -> Finding:
    files = tuple(part.file for part in parts)
    how = (
        "runs were started at once and took unlike times for the same steps"
        if _run_at_once(parts)
        else "a run begins at step 0 after another had ended as planned"
    )
    return Finding(
        code="several-runs",
        severity="error",
        message=f"{', '.join(files[:5])}: {how}; no "
        "amount and no time is taken from them: give each its own [[run]], since all of them are compute "
        "spent",
        evidence=files,
    )


def _is_chain(parts: Sequence[_Part]) -> bool:
    """Say whether each log goes on where the work stood, or fell back.

    Clocks tell the order, so that an attempt may also end before the one that it repeats. One that
    begins where the first began may be another run.
    """
    has_clocks = all(part.at is not None for part in parts)
    reached = parts[0].end
    for part in parts[1:]:
        if not parts[0].begin < part.begin <= reached or (part.end <= reached and not has_clocks):
            return False
        reached = max(reached, part.end)
    return True


def _joined(evidence: Evidence, parts: Sequence[_Part], kept: float, again: float) -> list[Fact]:
    def fact(name: str, value: float, how: str) -> Fact:
        return _fact_of(name, value, how, parts)

    found = [fact("steps", kept, f"{len(parts)} logs joined")]
    if parts[0].begin:
        found.append(fact("first_step", parts[0].begin, "the earliest log"))
    lost = again + sum(_values(evidence, "lost_steps", parts))
    if lost:
        found.append(fact("lost_steps", lost, "fall-backs within and between the logs"))
    for name in _SUMS:
        values = _values(evidence, name, parts)
        if len(values) != len(parts):
            continue
        # Amounts of steps done again are not kept; their time was spent all the same.
        share = kept / (kept + again) if name in ("samples", "tokens") else 1.0
        found.append(fact(name, round(sum(values) * share, 6), f"the sum of {len(parts)} logs"))
    return found


def _fact_of(name: str, value: float, how: str, parts: Sequence[_Part]) -> Fact:
    number = int(value) if value == int(value) else value
    return Fact(
        name=name,
        value=number,
        unit=NAMES[name][0],
        file=_listed(parts),
        locator=how,
        grade=Grade.LOG,
    )


def _values(evidence: Evidence, name: str, parts: Sequence[_Part]) -> list[float]:
    files = {part.file for part in parts}
    return [float(fact.value) for fact in evidence.named(name) if fact.file in files]
