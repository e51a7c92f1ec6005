"""Run records that are one run's: nodes that share no disk, and attempts, record into folders of their own.

Two folders belong together where each lacks ranks that the other has, of a job of the same size, at the
same time, with the same models and the same steps. A rank that two of them have is of two jobs, and then
nobody can tell whose the others are: such folders are read each for itself.

So belong two of which one goes on from a step that the other had passed: apart, the steps between would
count twice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flopledger.facts import Finding
from flopledger.logs import run_records
from flopledger.logs.evidence import EvidenceFile

if TYPE_CHECKING:
    from flopledger.recording.attempts import Attempt, Training
    from profilers.steps.record.ledger import ProcessSteps

#: More records than these are no nodes of one job that lie in folders of their own by chance.
_MOST_RECORDS = 4096
_MOST_LOOKS = 5_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """One attempt in one record that lacks ranks."""

    record: int
    attempt: "Attempt"
    first_step: int
    last_step: int


def together(folders: Sequence[EvidenceFile]) -> list[tuple[EvidenceFile, ...]]:
    """Group the records that are to be read as one; those that stand alone are in no group."""
    records = [one for one in folders if (one.path / "steps").is_dir()]
    if not 2 <= len(records) <= _MOST_RECORDS:
        return []
    held = [_trainings(one.path) for one in records]
    parts = [part for number, several in enumerate(held) for part in _parts(number, several)]
    launches = [launch for launch in _launches(parts) if len({p.record for p in launch}) > 1]
    doubtful = {
        part.record for launch in launches if not _has_each_rank_once(launch) for part in launch
    }
    home = _Sets(len(records))
    for launch in launches:
        sure = [part.record for part in launch if part.record not in doubtful]
        for record in sure[1:]:
            home.join(sure[0], record)
    for late, early in _continuing(held, home):
        home.join(late, early)
    found = [[records[number] for number in group] for group in home.groups() if len(group) > 1]
    # Of an altered record nothing is taken, neither alone nor among others.
    sound = [tuple(one for one in group if not run_records.is_altered(one.path)) for group in found]
    return [group for group in sound if len(group) > 1]


class _Sets:
    """Numbers that belong together."""

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def top(self, number: int) -> int:
        """Return the number that stands for all that belong together with this one."""
        while self._above[number] != number:
            self._above[number] = self._above[self._above[number]]
            number = self._above[number]
        return number

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.top(one), self.top(other)))
        self._above[high] = low

    def groups(self) -> list[list[int]]:
        found: dict[int, list[int]] = {}
        for number in range(len(self._above)):
            found.setdefault(self.top(number), []).append(number)
        return list(found.values())


def _launches(parts: list[_Part]) -> list[list[_Part]]:
    """Put parts of one launch together, whichever records they lie in."""
    parts.sort(key=lambda part: (part.attempt.world_size, part.attempt.start_ns))
    home, left = _Sets(len(parts)), _MOST_LOOKS
    for place, part in enumerate(parts):
        for later in range(place + 1, len(parts)):
            left -= 1
            if not left:
                return []  # no job has so many; whoever wrote this did not mean to be read
            if not _may_be(part, parts[later]):
                break
            if part.record != parts[later].record and _is_one(part, parts[later]):
                home.join(place, later)
    return [[parts[number] for number in group] for group in home.groups()]


def _may_be(part: _Part, later: _Part) -> bool:
    """Whether this part, or one that begins even later, can be of the same launch."""
    from flopledger.recording.attempts import LATE_NS

    one, other = part.attempt, later.attempt
    return one.world_size == other.world_size and other.start_ns <= one.last_ns + LATE_NS


def _has_each_rank_once(launch: Sequence[_Part]) -> bool:
    ranks = [rank for part in launch for rank in part.attempt.processes]
    return len(ranks) == len(set(ranks))


def joined(group: Sequence[EvidenceFile]) -> Finding:
    """Say which records were read as one."""
    names = tuple(one.name for one in group)
    return Finding(
        code="records-joined",
        severity="info",
        message=f"{', '.join(names)}: each lacks ranks that another one has, of one job at one time, or goes "
        "on from a step that another one had passed; their steps were added up as those of one run",
        evidence=names,
    )


def _continuing(held: Sequence[Sequence["Training"]], home: "_Sets") -> Iterator[tuple[int, int]]:
    """Give each record that goes on from a step which another one had passed, with that one.

    Only where all that it may go on with belong together, so that nobody need choose.
    """
    begins = sorted(
        (one.attempts[0].start_ns, number, place)
        for number, several in enumerate(held)
        for place, one in enumerate(several)
    )
    looked = 0
    for at, (_, number, place) in enumerate(begins):
        late = held[number][place]
        if not late.attempts[0].resumed:
            continue
        found: dict[int, int] = {}
        for other, which in ((n, w) for _, n, w in begins[:at] if n != number):
            looked += 1
            if looked > _MOST_LOOKS:
                return
            if _goes_on(held[other][which], late):
                found.setdefault(home.top(other), other)
        if len(found) == 1:
            yield number, next(iter(found.values()))


def _goes_on(early: "Training", late: "Training") -> bool:
    """Whether one training goes on with another one, from a step that it had passed."""
    from flopledger.recording.attempts import executed, trainings

    first = late.attempts[0]
    ends = (end for process in _processes(early) for _, end in executed(process))
    if max(ends, default=0) - 1 <= first.resumed_after:
        return False  # nothing was done again: apart they add up to the same
    return len(trainings([*_processes(early), *_processes(late)])) == 1


def _processes(training: "Training") -> list["ProcessSteps"]:
    return [process for attempt in training.attempts for process in attempt.processes.values()]


def _trainings(folder: Path) -> list["Training"]:
    """Return the trainings of a record."""
    from flopledger.recording.attempts import recorded_once, trainings
    from profilers.errors import ProfilersError
    from profilers.steps.record.ledger import read_steps

    try:
        kept, _ = recorded_once(read_steps(folder))
    except (ProfilersError, OSError):
        return []  # whoever reads it says why
    return trainings(kept)


def _parts(number: int, held: Sequence["Training"]) -> list[_Part]:
    """Return the attempts of a record that lack ranks."""
    from flopledger.recording.attempts import executed, missing_ranks

    found = []
    for training in held:
        for place in missing_ranks(training):
            attempt = training.attempts[place]
            steps = [pair for process in attempt.processes.values() for pair in executed(process)]
            low, high = min(first for first, _ in steps), max(end for _, end in steps)
            found.append(_Part(record=number, attempt=attempt, first_step=low, last_step=high))
    return found


def _is_one(one: _Part, other: _Part) -> bool:
    """Whether two parts of two records are of one launch of one job."""
    from flopledger.recording.attempts import LATE_NS

    a, b = one.attempt, other.attempt
    return (
        a.start_ns <= b.last_ns + LATE_NS
        and b.start_ns <= a.last_ns + LATE_NS
        and one.first_step < other.last_step
        and other.first_step < one.last_step
        and _meshes(a) == _meshes(b)
        and (bool(a.models & b.models) or bool(_meshes(a)))
    )


def _meshes(attempt: "Attempt") -> set[tuple[tuple[str, int], ...]]:
    """Return the meshes over which models are spread: parts of a pipeline may have classes of their own."""
    return {tuple(sorted(p.mesh.items())) for p in attempt.processes.values() if p.mesh}
