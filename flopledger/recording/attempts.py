"""Which processes of a run belong together: trainings, their attempts, and what was done twice.

A run's folder holds one ledger for each process. Processes of one launch are an **attempt**;
attempts that continue one another are a **training**. Two programs in one run (a pre-training, then
an evaluation that fine-tunes; or two side by side) are two trainings, and none does the other's
steps again. How that is told apart is in design/074.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from flopledger.recording.ranges import Ranges
from profilers.steps.record.ledger import (
    MAYBE_BACK,
    WENT_BACK,
    ProcessSteps,
    StepLoaded,
    StepWeights,
)

MOST_NAMED = 8
"""Ranks that are named one by one."""
MOST_LOOKED_AT = 256
"""An attempt goes on with one of the last so many trainings, or is one of its own."""
LATE_NS = 60_000_000_000
"""A rank of one launch may begin this long after the others' last step."""
SAME_NS = 100_000_000
SKEW_NS = 5_000_000_000
"""Two processes may seem to overlap by so much on one host, and on two, whose clocks differ."""
MIDDLE = (WENT_BACK, MAYBE_BACK)
"""Sources of what is said in the middle of a process."""
ORDERLY = ("finished", "exit")
"""Reasons of a seal after which nobody will do the same steps again."""


@dataclass(kw_only=True, slots=True)
class Attempt:
    """One launch: at most one process of each rank."""

    world_size: int
    processes: dict[int, ProcessSteps] = field(default_factory=dict)
    """By rank."""
    start_ns: int
    """Unix nanoseconds of the first process's start."""
    last_ns: int
    """Unix nanoseconds of the last step's end."""

    def add(self, process: ProcessSteps) -> None:
        """Take in a process of this launch."""
        self.processes[process.rank] = process
        self.start_ns = min(self.start_ns, process.wall_ns)
        self.last_ns = max(self.last_ns, last_activity(process))

    @property
    def resumed(self) -> bool:
        """Whether a process of it said that it goes on from an earlier step."""
        return self.resumed_after > 0

    @property
    def resumed_after(self) -> int:
        """The step after which it goes on, as its processes say; 0 where none does."""
        return max(map(goes_on_after, self.processes.values()), default=0)

    @property
    def loaded(self) -> list[StepLoaded]:
        """States with which it goes on, where nothing says after which step."""
        if self.says_where:
            return []
        return list(dict.fromkeys(s for p in self.processes.values() for s in p.loaded))

    @property
    def says_where(self) -> bool:
        """Whether a process of it says after which step it goes on."""
        before = ("removed", *MIDDLE)
        return any(one.source not in before for p in self.processes.values() for one in p.resumes)

    @property
    def begins(self) -> list[StepWeights]:
        """With which weights its processes began."""
        processes = self.processes.values()
        return list(dict.fromkeys(w for p in processes for w in p.weights if w.what == "begin"))

    @property
    def models(self) -> set[str]:
        """The class names of what it called."""
        return {cost.model for p in self.processes.values() for cost in p.costs.values()}

    @property
    def ended_in_order(self) -> bool:
        """Whether every process closed its ledger because it was done."""
        return all((p.sealed or "") in ORDERLY for p in self.processes.values())


@dataclass(kw_only=True, slots=True)
class Training:
    """Attempts that continue one another, in order of their start."""

    attempts: list[Attempt]


def goes_on_after(process: ProcessSteps) -> int:
    """Return the step after which a process goes on, by its own word; 0 without one.

    What comes later than the first word is a process that went back to a checkpoint by itself; but
    several optimizers say in turn where they are.
    """
    resumes = [one for one in process.resumes if one.source not in MIDDLE]
    first = resumes[:1]
    if first and first[0].source == "optimizer-state":
        return max(r.step for r in resumes if r.source == "optimizer-state")
    return first[0].step if first else 0


def last_activity(process: ProcessSteps) -> int:
    """Return Unix nanoseconds at which a process last ended a step or span; else its start."""
    ends = [block.end_us[-1] for block in process.blocks[-1:]]
    ends += [span.end_us for span in process.spans[-1:]]
    return max((process.wall_at(end) for end in ends), default=process.wall_ns)


def recorded_once(
    processes: Iterable[ProcessSteps],
) -> tuple[list[ProcessSteps], list[ProcessSteps]]:
    """Split ledgers into those that count and those that tell the same steps once more.

    A program that calls ``flopledger.record`` below ``flopledger run`` with the same folder has two
    ledgers. The one with more steps counts; of equal ones the program's own, which began later. In
    containers that share a host's name each may have the same process id, but none another's rank or
    namespace of such ids.
    """
    by_process: dict[tuple[object, ...], list[ProcessSteps]] = {}
    for process in processes:
        who = (process.node, process.boot_id, process.pid, process.pid_namespace, process.rank)
        by_process.setdefault(who, []).append(process)
    kept: list[ProcessSteps] = []
    twice: list[ProcessSteps] = []
    for ledgers in by_process.values():
        chosen: list[ProcessSteps] = []
        for one in sorted(ledgers, key=lambda p: (executed(p).size, p.wall_ns), reverse=True):
            (twice if any(_overlap(one, other) for other in chosen) else chosen).append(one)
        kept.extend(chosen)
    return kept, twice


def _overlap(one: ProcessSteps, other: ProcessSteps) -> bool:
    return _overlap_ns(one, other) > 0


def _overlap_ns(one: ProcessSteps, other: ProcessSteps) -> int:
    """Return for how long both were there; less than 0 is the time between them."""
    return min(last_activity(one), last_activity(other)) - max(one.wall_ns, other.wall_ns)


def trainings(processes: Iterable[ProcessSteps]) -> list[Training]:
    """Sort a run's processes into trainings and attempts, by their start."""
    ordered = sorted(processes, key=lambda p: (p.wall_ns, p.rank, p.pid))
    found: list[_Growing] = []
    for attempt in _attempts(ordered):
        latest = islice(reversed(found), MOST_LOOKED_AT)
        newcomer = _Newcomer(attempt)
        earlier = next((one for one in latest if one.takes(newcomer)), None)
        if earlier is None:
            earlier = _Growing()
            found.append(earlier)
        earlier.add(attempt)
    return [Training(attempts=one.attempts) for one in found]


class _Newcomer:
    """What decides where an attempt belongs."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.models = attempt.models
        self.says_so = attempt.resumed or any(one.source == "seen" for one in attempt.loaded)
        self.there = [
            (rank, process.boot_id, process.wall_ns, last_activity(process))
            for rank, process in attempt.processes.items()
        ]


class _Growing:
    """A training while its attempts are found, in order of their start."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self._models: set[str] = set()
        self._ended_in_order = False
        self._until: dict[int, dict[str | None, int]] = {}
        """By rank and boot: until when one of its processes was there."""

    def add(self, attempt: Attempt) -> None:
        """Take in an attempt."""
        self.attempts.append(attempt)
        self._models |= attempt.models
        self._ended_in_order = attempt.ended_in_order
        for rank, process in attempt.processes.items():
            until = self._until.setdefault(rank, {})
            last = last_activity(process)
            until[process.boot_id] = max(last, until.get(process.boot_id, last))

    def takes(self, new: _Newcomer) -> bool:
        """Whether an attempt goes on with it: it says so, or it starts a failed one anew."""
        last = self.attempts[-1]
        if not new.says_so and (self._ended_in_order or new.attempt.start_ns < last.last_ns):
            return False
        if new.models and self._models and self._models.isdisjoint(new.models):
            return False
        return not self._is_there_beside(new)

    def _is_there_beside(self, new: _Newcomer) -> bool:
        """Whether both have a process of one rank at once: none of them goes on with the other."""
        return any(
            min(until, last) - start > (SAME_NS if other == boot else SKEW_NS)
            for rank, boot, start, last in new.there
            for other, until in self._until.get(rank, {}).items()
        )


def _attempts(ordered: Sequence[ProcessSteps]) -> list[Attempt]:
    attempts: list[Attempt] = []
    lacking: list[Attempt] = []
    """Those that a process which begins later may still belong to."""
    for process in ordered:
        lacking = [one for one in lacking if process.wall_ns <= one.last_ns + LATE_NS]
        looked = islice(lacking, MOST_LOOKED_AT)
        home = next((one for one in looked if _belongs(process, one)), None)
        if home is None:
            home = Attempt(
                world_size=process.world_size, start_ns=process.wall_ns, last_ns=process.wall_ns
            )
            attempts.append(home)
            lacking.append(home)
        home.add(process)
        if len(home.processes) == home.world_size:
            lacking.remove(home)
    return attempts


def _belongs(process: ProcessSteps, attempt: Attempt) -> bool:
    return process.world_size == attempt.world_size and process.rank not in attempt.processes


def superseded(training: Training) -> dict[int, Ranges]:
    """Return, for each process (by ``id``), the step numbers that later attempts did again.

    A step counts where it was done last: by the same rank, or, once an attempt was over, by any
    rank of a later one, since a job may come back with fewer ranks.
    """
    by_rank = _of_the_same_rank(training)
    after = _of_any_rank(training)
    answer: dict[int, Ranges] = {}
    for place, attempt in enumerate(training.attempts):
        for process in attempt.processes.values():
            again = after[place].copy()
            again.update(by_rank[id(process)])
            answer[id(process)] = again
    return answer


def _of_the_same_rank(training: Training) -> dict[int, Ranges]:
    """Return, for each process, what later ones of its rank did."""
    later: dict[int, Ranges] = {}
    answer: dict[int, Ranges] = {}
    for attempt in reversed(training.attempts):
        for rank, process in attempt.processes.items():
            done = later.setdefault(rank, Ranges())
            answer[id(process)] = done.copy()
            done.update(executed(process))
    return answer


def _of_any_rank(training: Training) -> list[Ranges]:
    """Return, for each attempt, what all did that began after it was over."""
    number = len(training.attempts)
    begins = sorted(range(number), key=lambda place: training.attempts[place].start_ns)
    answer = [Ranges()] * number
    done = Ranges()
    for place in sorted(
        range(number), key=lambda place: training.attempts[place].last_ns, reverse=True
    ):
        attempt = training.attempts[place]
        while begins and training.attempts[begins[-1]].start_ns >= attempt.last_ns:
            if begins[-1] == place:
                break  # it did nothing, and is not after itself
            for process in training.attempts[begins.pop()].processes.values():
                done.update(executed(process))
        answer[place] = done.copy()
    return answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """Ranks of one attempt that should have left a ledger."""

    count: int
    first: tuple[int, ...]
    """The first of them."""


def missing_ranks(training: Training) -> dict[int, Missing]:
    """Return, for each attempt (by its place) that lacks ranks, how many and which.

    A rank whose earlier process went on while others came back is not missing, and an attempt
    that did no step needs no ledgers.
    """
    missing: dict[int, Missing] = {}
    alive: list[Attempt] = []
    for place, attempt in enumerate(training.attempts):
        alive = [one for one in alive if one.last_ns > attempt.start_ns]
        before, alive = alive, [*alive, attempt]
        if len(attempt.processes) >= attempt.world_size:
            continue
        if not any(process.blocks for process in attempt.processes.values()):
            continue
        there = {
            rank
            for one in (attempt, *before)
            for rank in one.processes
            if rank < attempt.world_size
        }
        if gone := attempt.world_size - len(there):
            first = (rank for rank in range(attempt.world_size) if rank not in there)
            missing[place] = Missing(count=gone, first=tuple(islice(first, MOST_NAMED)))
    return missing


def executed(process: ProcessSteps) -> Ranges:
    """Return the numbers of the steps that a process did."""
    return Ranges.of((block.first, block.first + len(block)) for block in process.blocks)


def left_behind(training: Training) -> int:
    """Return how many steps lie beyond one from which a later attempt went on, and were not done again.

    What was trained last does not build on them.
    """
    every, builds = Ranges(), Ranges()
    until = 0
    for attempt in training.attempts:
        after = attempt.resumed_after
        if after and attempt.start_ns >= until:  # else a rank that came back to others
            builds.cut(after + 1)
        for process in attempt.processes.values():
            done = executed(process)
            every.update(done)
            builds.update(done)
        until = max(until, attempt.last_ns)
    return every.size - builds.size
