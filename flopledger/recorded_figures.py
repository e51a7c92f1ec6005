"""Figures that rest on recordings: whose word goes before theirs, and what they are of."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from flopledger.facts import Fact, Grade
from flopledger.job_width import Launch
from flopledger.logs import Evidence, RunFacts
from flopledger.logs.run_facts import Recorded, Resolved

if TYPE_CHECKING:
    from flopledger.coverage import Coverage

#: Where a record's ledgers lie in it: the beginning of the place of every fact that is read from them.
LEDGERS = "steps/rank="
#: What a record says of itself, and other documents may say of the whole job.
_OF_JOB = ("accelerator_count", "accelerator_seconds", "timed_seconds", "wall_seconds")


def of_ledgers(found: RunFacts, records: Sequence[str]) -> RunFacts:
    """Take a record that holds steps alone for what it is, too: of its own ranks, and of one launch."""
    count, seconds = found.accelerator_count, found.timed_seconds
    if found.recorded is not None or count is None or seconds is None or not records:
        return found
    if not all(fact.locator.startswith(LEDGERS) for one in (count, seconds) for fact in one.facts):
        return found  # a folder of plain logs
    own = Recorded(
        scope="device",
        devices=int(count.number),
        device_seconds=seconds.number * int(count.number),
        files=tuple(records),
        window_seconds=seconds.number,
        is_watched=True,
    )
    is_counted = own.devices > 0 and is_own(count, own) and is_own(seconds, own)
    return replace(found, recorded=own) if is_counted else found


def of_the_job(found: RunFacts, evidence: Evidence, launch: Launch | None) -> RunFacts:
    """Let a job's documents speak where a record speaks of its own host and time alone.

    A record counts the devices of its host: beside a scheduler that gives more, or ranks that counted
    themselves, that is no contradiction.
    """
    seen = found.recorded
    if seen is None:
        return found
    changes: dict[str, object] = {}
    for name in _OF_JOB:
        figure: Resolved | None = getattr(found, name)
        if figure is None or not is_own(figure, seen):
            continue
        larger = [
            fact
            for fact in evidence.named(name)
            if not is_of(fact, seen)
            and isinstance(fact.value, int | float)
            and fact.value > figure.number
        ]
        if larger:
            fact = max(larger, key=lambda one: float(one.value))
            changes[name] = Resolved(
                value=fact.value, unit=fact.unit, facts=(fact,), derivation=fact.place
            )
    ranks = launch.devices if launch is not None and launch.is_certain else None
    if ranks is not None and ranks > seen.devices and "accelerator_count" not in changes:
        assert launch is not None
        place, _, locator = launch.places[0].partition(": ")
        fact = Fact(
            name="world_size", value=ranks, unit=None, file=place, locator=locator, grade=Grade.LOG
        )
        changes["accelerator_count"] = Resolved(
            value=ranks, unit="devices", facts=(fact,), derivation=f"{fact.place}, world size"
        )
    told = tuple(
        one
        for one in found.findings
        if "accelerator_count" not in changes
        or one.code != "device-count-mismatch"
        or not one.message.startswith("accelerator count:")
    )
    return replace(found, **changes, findings=told)  # type: ignore[arg-type]


#: Figures of a record that are those of its own launch.
_OF_LAUNCH = ("timed_seconds", "wall_seconds", "tokens", "samples", "recorded_model_flop")


def qualify(found: RunFacts, coverage: "Coverage | None") -> RunFacts:
    """Make the recorded sums what they are: of the whole, lower bounds, or of nobody knows how much."""
    seen = found.recorded
    if seen is None or coverage is None:
        return found
    changes: dict[str, object] = {}
    launched = seen.is_watched and (coverage.time_short or coverage.devices_short)
    for name in ("accelerator_seconds", "energy_joules", *(_OF_LAUNCH if launched else ())):
        figure: Resolved | None = getattr(found, name)
        if figure is None or not is_own(figure, seen):
            continue
        changes[name] = replace(
            figure,
            is_whole_run=coverage.covers == "whole",
            bound="at least" if coverage.covers == "part" else figure.bound,
        )
    count = found.accelerator_count
    is_ranks = count is not None and any(fact.name == "world_size" for fact in count.facts)
    if coverage.devices_short and count is not None and is_own(count, seen) and not is_ranks:
        changes["accelerator_count"] = replace(count, is_whole_run=False)
    return replace(found, **changes)  # type: ignore[arg-type]


def is_own(figure: Resolved, seen: Recorded) -> bool:
    """Say whether a figure rests on a recording: a record's count and clock are its own."""
    return any(is_of(fact, seen) for fact in figure.facts)


def is_of(fact: Fact, seen: Recorded) -> bool:
    """Say whether a fact comes from the recording itself."""
    return any(fact.file == name or fact.file.startswith(f"{name}/") for name in seen.files)
