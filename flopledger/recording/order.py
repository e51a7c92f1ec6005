"""Clocks of two machines that may disagree about which of two attempts came first.

Attempts are in order of their wall clocks; on one boot the monotonic clock knows better. A training that
goes on after a step and has nothing before it in this record either began elsewhere, or began here, on a
machine whose clock was ahead: then its beginning looks like a training of its own (design/074).
"""

from collections.abc import Sequence
from dataclasses import replace

from flopledger.recording.attempts import MOST_LOOKED_AT, Attempt, Training, executed
from flopledger.recording.totals import RunFinding, RunTotals
from flopledger.recording.work import wider


def otherwise(found: Sequence[Training]) -> list[Training] | None:
    """Return the trainings in the other order that clocks may hide; None where there is none."""
    following = [one for one in found if one.attempts[0].resumed][:MOST_LOOKED_AT]
    if not following:
        return None
    first = [one for one in found if not one.attempts[0].resumed and not one.attempts[0].loaded]
    beginnings = {id(one): one for one in first[:MOST_LOOKED_AT]}
    joined: dict[int, Training | None] = {}
    for late in following:
        early = next((one for one in beginnings.values() if _may_begin(one, late)), None)
        if early is not None:
            del beginnings[id(early)]  # it is the beginning of one
            joined[id(late)] = None
            joined[id(early)] = Training(attempts=[*early.attempts, *_after(early, late)])
    if not joined:
        return None
    return [one for each in found if (one := joined.get(id(each), each)) is not None]


def _may_begin(early: Training, late: Training) -> bool:
    """Whether the one, which is later by its clock, may be the beginning of the other."""
    first, following = early.attempts[0], late.attempts[0]
    if first.start_ns < following.start_ns:
        return False
    if _boots(early) & _boots(late) or _models(early).isdisjoint(_models(late)):
        return False
    processes = (process for attempt in early.attempts for process in attempt.processes.values())
    done = max((end - 1 for process in processes for _, end in executed(process)), default=0)
    return done > following.resumed_after  # else nothing was done again, in whichever order


def _boots(training: Training) -> set[str | None]:
    """Return the boots whose monotonic clocks know the order."""
    found = {p.boot_id for attempt in training.attempts for p in attempt.processes.values()}
    return found - {None}


def _models(training: Training) -> set[str]:
    return set().union(*(attempt.models for attempt in training.attempts))


def _after(early: Training, late: Training) -> list[Attempt]:
    """Lay a training's clocks so that it begins when another one is over."""
    by = max(one.last_ns for one in early.attempts) + 1 - min(one.start_ns for one in late.attempts)
    return [
        replace(
            one,
            start_ns=one.start_ns + by,
            last_ns=one.last_ns + by,
            processes={
                rank: replace(process, wall_ns=process.wall_ns + by)
                for rank, process in one.processes.items()
            },
        )
        for one in late.attempts
    ]


def either(one: RunTotals, two: RunTotals) -> RunTotals:
    """Join the sums of both orders: bounds of what stands, and no figure; what was executed is the same."""
    finding = RunFinding(
        code="order-unclear",
        severity="warning",
        message="a training goes on after a step, and the one that may be its beginning is later by the "
        "clock of another machine. If that clock was ahead, steps were done again; else these are two "
        "trainings. What stands has bounds and no figure: record with clocks that agree",
    )
    return replace(
        one,
        steps=min(one.steps, two.steps),
        steps_at_most=max(one.steps_at_most, two.steps_at_most),
        steps_unwritten=max(one.steps_unwritten, two.steps_unwritten),
        flop_unwritten=max(one.flop_unwritten, two.flop_unwritten),
        tokens=None,
        samples=None,
        model_flop=None,
        model_bounds=wider(one.model_bounds, two.model_bounds),
        hardware_bounds=wider(one.hardware_bounds, two.hardware_bounds),
        findings=(finding, *one.findings),
    )
