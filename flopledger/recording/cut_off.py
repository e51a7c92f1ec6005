"""What a killed process took with it: steps that its ledger lacks.

Other ranks and checkpoints show some of them. What it did after its last line beside those nobody saw; but
it wrote about once a second, so they are no more than fit into the time between.
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from math import ceil
from operator import add

from flopledger.recording.attempts import Attempt, Training, executed, superseded
from flopledger.recording.ranges import Ranges
from profilers.steps.record.ledger import ProcessSteps

WRITES_US = 2_000_000
"""A process writes once a second, and the write may take its time."""
MOST_STEPS = 1 << 20
LAST_BLOCKS = 16
"""Of a ledger, in which the fastest step is looked for."""
MOST_OTHERS = 64
"""Of other processes, so many are looked at for it."""
FEW_STEPS = 8
"""Fewer steps than these, of all ranks and attempts, are slower than those that follow: what they waited for
(data, the recorder's counting) is left out."""


@dataclass(kw_only=True, slots=True)
class Cut:
    """What one process did, or may have done, after its ledger's last step."""

    shown: Ranges
    """Numbers of steps that other ranks did, too, or that are in the checkpoint from which the next attempt
    goes on, and that no later attempt did again."""
    standing: Ranges = field(default_factory=Ranges)
    """Numbers of further ones that it may have done and that would stand."""
    again: int = 0
    """So many more that it may have done, and that a later attempt did again or left behind."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """What all processes of a run together may lack, in steps and in FLOP of the dearest step."""

    shown_steps: int
    shown: Fraction
    standing_steps: int
    """Numbers of steps that no ledger has, those that are shown included."""
    standing: Fraction
    again: Fraction


def missing(found: Sequence[Training], whole: Container[str] = ()) -> Missing:
    """Add up what killed processes took with them; arguments as of ``cut_off``, for all trainings."""
    shown_steps = steps = 0
    shown = standing = again = Fraction(0)
    for training in found:
        cuts = cut_off(training, whole)
        every, done = Ranges(), Ranges()
        for attempt in training.attempts if cuts else ():
            processes = attempt.processes.values()
            for process in processes:
                done.update(executed(process))
            mine = [cuts[id(process)] for process in processes if id(process) in cuts]
            greatest = _greatest(processes) if mine else Fraction(0)
            for cut in mine:
                every.update(cut.shown)
                every.update(cut.standing)
                shown_steps += cut.shown.size
                shown += cut.shown.size * greatest
                standing += cut.standing.size * greatest
                again += cut.again * greatest
        steps += _gaps(every, done).size
    return Missing(
        shown_steps=shown_steps, shown=shown, standing_steps=steps, standing=standing, again=again
    )


def _greatest(processes: Iterable[ProcessSteps]) -> Fraction:
    """Return the hardware FLOP of the dearest step that a rank did; what is unknown is left out."""
    steps = (
        sum(
            (times * (process.costs[cost].hardware_flop or Fraction(0)) for cost, times in calls),
            Fraction(0),
        )
        for process in processes
        for block in process.blocks
        for _, calls in block.calls
    )
    return max(steps, default=Fraction(0))


def cut_off(training: Training, whole: Container[str] = ()) -> dict[int, Cut]:
    """Return, by ``id``, what processes may have done that left their ledgers open.

    Args:
        training: The attempts of one.
        whole: Names of the folders of processes that have just written everything: they run.

    """
    again = superseded(training)
    others = _Fastest()
    found: dict[int, Cut] = {}
    if any(p.sealed is None for attempt in training.attempts for p in attempt.processes.values()):
        several = (p for one in reversed(training.attempts) for p in one.processes.values())
        for process in islice(several, MOST_OTHERS):
            others.add(process)
    for place, attempt in enumerate(training.attempts):
        following = training.attempts[place + 1 : place + 2]
        done = _done(attempt, following)
        for process in attempt.processes.values():
            if process.sealed is not None:
                continue
            end = max((end for _, end in executed(process)), default=0)
            after = Ranges.of((max(low, end), high) for low, high in done)
            shown = _gaps(after, again[id(process)])
            cut = found[id(process)] = Cut(shown=shown)
            if process.folder.name in whole or process.refused is not None:
                continue
            tail = Ranges.of(after.gaps(end, end + _most(process, others)))
            if following:
                cut.again = tail.size
                continue
            seen = [each for each in attempt.processes.values() if each.sealed is not None]
            if seen:  # no rank is ahead of those that ended in order
                tail.cut(max((high for each in seen for _, high in executed(each)), default=0))
            cut.standing = _gaps(tail, again[id(process)])
    return found


def _done(attempt: Attempt, following: list[Attempt]) -> Ranges:
    """Steps that some rank of an attempt did, or the checkpoint holds from which the next one goes on."""
    done = Ranges()
    for process in attempt.processes.values():
        done.update(executed(process))
    last = max((end for _, end in done), default=attempt.resumed_after + 1)
    for one in following:
        done.add(last, max(last, one.resumed_after + 1))
    return done


def _gaps(of: Ranges, without: Ranges) -> Ranges:
    return Ranges.of(gap for low, high in of for gap in without.gaps(low, high))


class _Fastest:
    """The fastest step of several processes (us), and how many were looked at."""

    def __init__(self) -> None:
        self.steps = 0
        self.alone: int | None = None
        """The step alone."""
        self.whole: int | None = None
        """With what it waited for."""

    def add(self, process: ProcessSteps) -> None:
        """Look at the last steps of a process."""
        for block in process.blocks[-LAST_BLOCKS:]:
            self.steps += len(block)
            whole = map(add, block.duration_us, block.wait_us)
            self.alone = _least(self.alone, block.duration_us)
            self.whole = _least(self.whole, whole)


def _least(known: int | None, several: Iterable[int]) -> int | None:
    least = min((each for each in several if each > 0), default=known)
    return least if known is None or least is None else min(known, least)


def _most(process: ProcessSteps, others: _Fastest) -> int:
    """How many steps a process may have done since its last line: all as fast as the fastest one.

    One that was killed early shows slow steps alone; other ranks and attempts did the same ones.
    """
    own = _Fastest()
    own.add(process)
    if max(own.steps, others.steps) < FEW_STEPS:
        fastest = _least(own.alone, () if others.alone is None else (others.alone,))
    else:
        fastest = _least(own.whole, () if others.whole is None else (others.whole,))
    return min(MOST_STEPS, ceil(WRITES_US / fastest)) if fastest else 0
