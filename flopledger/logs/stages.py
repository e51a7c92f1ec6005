"""Stages of one run whose settings differ: a restart on other devices, longer sequences later on.

One count of devices times all the time, or one length times all the samples, would be wrong then by as
much as the stages differ. Each stage is multiplied with its own, and the products are added up.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from flopledger.facts import Fact, Finding
from flopledger.logs.notes import Notes, line
from flopledger.logs.stepping import Step, StepLog

_SECONDS, _LEAST = "staged_accelerator_seconds", "accelerator_seconds_at_least"
#: What the device-seconds of the stages take the place of, and their tokens.
_DEVICES = frozenset({"accelerator_count", "world_size"})
_LENGTHS = frozenset({"tokens_per_sample", "sequence_length"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """What one launch did: the steps that it covers, and its own settings; ``None``: not printed."""

    place: str
    begin: float  #: steps done before it
    end: float
    seconds: float | None = None  #: of all its steps
    is_least: bool = False  #: seconds are between stamps, and so a lower bound
    devices: float | None = None
    batch: float | None = None  #: samples a step
    length: float | None = None  #: tokens a sample
    samples: float | None = None  #: of all its steps
    step_tokens: float | None = None  #: tokens a step, where the log says that


@dataclass(frozen=True, kw_only=True, slots=True)
class Sums:
    """What was added up over stages, and which facts of each stage no longer speak for the run."""

    figures: dict[str, float]  #: canonical name -> sum
    replaced: frozenset[str]  #: names of facts that are of one stage only
    words: tuple[str, ...]  #: what differs, and what was made of it


def add_up(stages: Sequence[Stage]) -> Sums:
    """Add up what differs; where a stage lacks a setting that others have, nothing is made up for it."""
    figures: dict[str, float] = {}
    replaced: set[str] = set()
    words = []
    if _differ([one.devices for one in stages]):
        total = _sum([_times(one.seconds, one.devices) for one in stages])
        if total is not None:
            is_least = any(one.is_least for one in stages)
            figures[_LEAST if is_least else _SECONDS] = round(total, 3)
            replaced |= _DEVICES
            words.append(_listed("devices", [(one.devices, one.place) for one in stages]))
    samples = [_of_kept(one, steps) for one, steps in zip(stages, _kept(stages), strict=True)]
    if _differ([one.batch for one in stages]):
        replaced.add("global_batch")
        words.append(_listed("samples a step", [(one.batch, one.place) for one in stages]))
        if (total := _sum(samples)) is not None:
            figures["samples"] = round(total)
    if _differ([one.step_tokens for one in stages]):
        replaced |= {"tokens_per_step", "tokens", "global_batch", "samples"}
        words.append(_listed("tokens a step", [(one.step_tokens, one.place) for one in stages]))
    if _differ([one.length for one in stages]):
        replaced |= _LENGTHS
        words.append(_listed("tokens a sample", [(one.length, one.place) for one in stages]))
    if replaced & {"tokens_per_step", "sequence_length"}:
        _add_tokens(stages, samples, figures, replaced)
    return Sums(figures=figures, replaced=frozenset(replaced), words=tuple(words))


def _add_tokens(
    stages: Sequence[Stage],
    samples: Sequence[float | None],
    figures: dict[str, float],
    replaced: set[str],
) -> None:
    """Add the tokens of the stages up, and give the length at which their attention is that of the sum."""
    each = [
        _times(one.length, count) if one.step_tokens is None else one.step_tokens * steps
        for one, count, steps in zip(stages, samples, _kept(stages), strict=True)
    ]
    tokens = _sum(each)
    if not tokens:
        replaced |= {"samples", "global_batch"}
        return
    figures["tokens"] = round(tokens)
    # Attention costs a token as much as its sequence is long, so the mean over tokens gives its sum.
    squares = _sum([_times(one.length, mine) for one, mine in zip(stages, each, strict=True)])
    if "sequence_length" in replaced and squares is not None:
        figures["sequence_length"] = round(squares / tokens, 3)


def finding(sums: Sums, places: Sequence[str]) -> Finding:
    """Say what differs between the stages."""
    made = [
        words
        for name, words in (
            (_SECONDS, "device-seconds"),
            (_LEAST, "device-seconds between stamps"),
            ("tokens", "tokens"),
            ("sequence_length", "attention at the mean length of a token's sequence"),
            ("samples", "samples"),
        )
        if name in sums.figures
    ]
    outcome = f"; added up stage by stage: {', '.join(made)}" if made else ""
    is_open = bool(sums.replaced & {*_LENGTHS, "tokens_per_step"}) and "tokens" not in sums.figures
    if is_open:
        outcome += "; how many samples each stage had is not known, so no tokens are taken"
    return Finding(
        code="settings-changed",
        severity="warning" if is_open else "info",
        message=f"the run's settings changed on the way: {'; '.join(sums.words)}{outcome}",
        evidence=tuple(places),
    )


def note(stages: Sequence[Stage], notes: Notes) -> None:
    """Write down what stages inside one log come to, in the place of what its first stage printed."""
    sums = add_up(stages)
    if not sums.words:
        return
    gone = sums.replaced | set(sums.figures)
    notes.facts[:] = [fact for fact in notes.facts if fact.name not in gone]
    place = f"{stages[0].place} to {stages[-1].place}: {len(stages)} stages added up"
    for name, value in sums.figures.items():
        notes.fact(name, int(value) if value == int(value) else value, place)
    notes.findings.append(finding(sums, [f"{notes.file}: {one.place}" for one in stages]))


#: Settings that a log may print again for a later launch: fact -> field of a stage.
_PRINTED = {
    "accelerator_count": "devices",
    "world_size": "devices",
    "global_batch": "batch",
    "sequence_length": "length",
    "tokens_per_step": "step_tokens",
}


def of_log(log: StepLog, notes: Notes) -> None:
    """Write down what launches come to that were appended to one log and printed other settings."""
    printed = sorted(
        (int(fact.locator.removeprefix("line ")), _PRINTED[fact.name], float(fact.value))
        for fact in notes.facts
        if fact.name in _PRINTED
        and fact.locator.removeprefix("line ").isdecimal()
        and isinstance(fact.value, int | float)
    )
    names = {name for _, name, _ in printed}
    if log.other_runs or all(
        len({value for _, other, value in printed if other == name}) < 2 for name in names
    ):
        return
    lines = [number for number, _, _ in printed]
    launches: dict[int, list[tuple[Step, int]]] = {}
    for step, span in log.spans():
        launches.setdefault(bisect_right(lines, step.line), []).append((step, span))
    stages = []
    for above, steps in sorted(launches.items()):
        first, last = steps[0][0], steps[-1][0]
        summed = _sum([_times(step.seconds, span) for step, span in steps])
        stamps = [step.stamp for step, _ in steps if step.stamp is not None]
        stages.append(
            Stage(
                place=line(first.line),
                begin=max(first.step - log.interval, log.first_step),
                end=last.step,
                seconds=summed if summed is not None or len(stamps) < 2 else stamps[-1] - stamps[0],
                is_least=summed is None,
                **{name: value for _, name, value in printed[:above]},
            )
        )
    _drop_launches_without_steps(stages, notes)
    note(stages, notes)


def _drop_launches_without_steps(stages: Sequence[Stage], notes: Notes) -> None:
    """Leave out settings of launches that ended before their first step, or had none any more."""
    for name, field in _PRINTED.items():
        held = {getattr(one, field) for one in stages}
        if None not in held:
            notes.facts[:] = [
                fact
                for fact in notes.facts
                if fact.name != name or not fact.locator.startswith("line ") or fact.value in held
            ]


def without(facts: Sequence[Fact], sums: Sums, files: set[str]) -> list[Fact]:
    """Leave out what the files of single stages say and the sums say better."""
    gone = sums.replaced | set(sums.figures)
    return [fact for fact in facts if fact.file not in files or fact.name not in gone]


def _kept(stages: Sequence[Stage]) -> list[float]:
    """Give the steps of each stage that no later one did again."""
    kept, limit = [], float("inf")
    for one in reversed(stages):
        kept.append(max(0.0, min(one.end, limit) - one.begin))
        limit = min(limit, one.begin)
    return kept[::-1]


def _of_kept(one: Stage, steps: float) -> float | None:
    """Give the samples of the steps that were kept."""
    done = one.end - one.begin
    if one.samples is not None and done > 0:
        return one.samples * steps / done
    return None if one.batch is None else one.batch * steps


def _times(one: float | None, two: float | None) -> float | None:
    return None if one is None or two is None else one * two


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _differ(values: Sequence[float | None]) -> bool:
    return len({value for value in values if value is not None}) > 1


def _listed(what: str, values: Sequence[tuple[float | None, str]]) -> str:
    """List the values in their order, each with the place where it first held."""
    shown: list[str] = []
    before: float | None = None
    for value, place in values:
        if value != before:
            shown.append(f"{'not printed' if value is None else f'{value:,.0f}'} ({place})")
        before = value
    more = f", and {len(shown) - 6} more" if len(shown) > 6 else ""
    return f"{what} {', '.join(shown[:6])}{more}"
