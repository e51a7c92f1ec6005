"""Attempts that loaded an optimizer which keeps no number of steps: after which step do they go on?

Such a process numbers its steps from 1. Where a state that an earlier process saved looks like the
one that was loaded, and no other does, that is where it goes on. Where several do, it is one of them;
where none does, it is anywhere from the beginning to the last step that was done (design/121).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain

from flopledger.recording.attempts import Attempt, Training, executed, goes_on_after, trainings
from profilers.step_ledger import ProcessSteps, StepLoaded, StepResume, StepSaved

_Who = tuple[str, str | None, int]
"""Node, boot and process id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unsure:
    """An attempt that goes on after one of several steps."""

    optimizer: str
    low: int
    high: int


def numbered(training: Training, *, latest: bool) -> tuple[Training, list[Unsure]]:
    """Give the steps of a training their numbers; where several are possible, the first or the last.

    Returns the training and the attempts of which it is not sure.
    """
    attempts: list[Attempt] = []
    unsure: list[Unsure] = []
    before = _Before()
    for attempt in training.attempts:
        low, high = before.place(attempt)
        if low < high:
            unsure.append(Unsure(optimizer=attempt.loaded[0].optimizer, low=low, high=high))
        after = high if latest else low
        attempts.append(_shifted(attempt, after) if after else attempt)
        before.add(attempts[-1])
    return Training(attempts=attempts), unsure


class _Before:
    """What earlier attempts did and saved."""

    def __init__(self) -> None:
        self._done = 0
        self._saved: dict[tuple[str, str], list[StepSaved]] = {}
        """By optimizer and layout."""
        self._ends: dict[_Who, list[StepSaved]] = {}
        """What a recording left behind, by its process."""

    def add(self, attempt: Attempt) -> None:
        """Take in an attempt whose steps have their numbers."""
        for process in attempt.processes.values():
            self._done = max([self._done, *(end - 1 for _, end in executed(process))])
            for one in process.saved:
                if one.source == "end":
                    self._ends.setdefault(_who(process), []).append(one)
                else:
                    self._saved.setdefault((one.optimizer, one.layout), []).append(one)

    def place(self, attempt: Attempt) -> tuple[int, int]:
        """Return the first and the last step after which an attempt may go on."""
        loaded = attempt.loaded
        if not loaded or not self._done:
            return 0, 0
        own = [
            one
            for process in attempt.processes.values()
            for one in self._ends.get(_who(process), ())
        ]
        if all(state.source == "stateless" for state in loaded):
            names = {state.optimizer for state in loaded}
            several = (many for (name, _), many in self._saved.items() if name in names)
            places = {one.step for one in chain(*several, own) if one.optimizer in names}
            return 0, max(places, default=0)
        found = [
            {
                one.step
                for one in chain(self._saved.get((state.optimizer, state.layout), ()), own)
                if _alike(one, state)
            }
            for state in loaded
        ]
        places = set.intersection(*found)
        return (min(places), max(places)) if places else (0, self._done)


def _alike(saved: StepSaved, loaded: StepLoaded) -> bool:
    """Whether the one may be the other: what is not known of either cannot differ."""
    if (saved.optimizer, saved.layout) != (loaded.optimizer, loaded.layout):
        return False
    return saved.values == loaded.values or None in (saved.values, loaded.values)


def _who(process: ProcessSteps) -> _Who:
    return process.node, process.boot_id, process.pid


def _shifted(attempt: Attempt, after: int) -> Attempt:
    return replace(
        attempt,
        processes={rank: _after(process, after) for rank, process in attempt.processes.items()},
    )


def _after(process: ProcessSteps, after: int) -> ProcessSteps:
    """Give a process's steps greater numbers."""
    return replace(
        process,
        blocks=tuple(replace(block, first=block.first + after) for block in process.blocks),
        saved=tuple(replace(one, step=one.step + after) for one in process.saved),
        resumes=(StepResume(step=after, source="saved-state"), *process.resumes),
    )


def goes_on(
    process: ProcessSteps, others: Iterable[ProcessSteps]
) -> tuple[int | None, list[ProcessSteps]]:
    """Return the step after which a process goes on, and the earlier ones that it goes on with.

    The step is None where nobody can tell.
    """
    for training in trainings([*others, process]):
        early, unsure = numbered(training, latest=False)
        for place, attempt in enumerate(training.attempts):
            if any(one is process for one in attempt.processes.values()):
                before = [p for one in early.attempts[:place] for p in one.processes.values()]
                return None if unsure else early.attempts[place].resumed_after, before
    return goes_on_after(process), []


def ends(found: Iterable[Training]) -> tuple[list[Training], list[Training], list[Unsure]]:
    """Return the trainings as early and as late as they may go on, and what is not sure."""
    first, last, unsure = [], [], []
    for training in found:
        early, doubts = numbered(training, latest=False)
        first.append(early)
        last.append(numbered(training, latest=True)[0] if doubts else early)
        unsure += doubts
    return first, last, unsure
