"""Attempts whose optimizer keeps no number of steps, or is new: after which step do they go on?

Such a process numbers its steps from 1. Where a state, or weights, that an earlier process saved look
like those that were loaded, and no others do, that is where it goes on. Where several do, it is one of
them; where none does, it is anywhere from the beginning to the last step that was done (design/121).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain

from flopledger.recording.attempts import Attempt, Training, executed, goes_on_after, trainings
from profilers.steps.optimizers.weights import UNREAD
from profilers.steps.record.ledger import (
    MAYBE_BACK,
    ProcessSteps,
    StepBlock,
    StepLoaded,
    StepResume,
    StepSaved,
)

_Who = tuple[str, str | None, int]
"""Node, boot and process id."""


_Look = tuple[str, str | None]
"""A layout and a digest of values."""


EARLIER = "earlier states of some of its optimizers, given to them in its middle"


@dataclass(frozen=True, kw_only=True, slots=True)
class Unsure:
    """An attempt that goes on after one of several steps."""

    with_what: str
    """``a saved SGD that does not say how often it had stepped``, or loaded weights."""
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
            unsure.append(Unsure(with_what=_with_what(attempt), low=low, high=high))
        after = high if latest else low
        attempts.append(_shifted(attempt, after) if after else attempt)
        before.add(attempts[-1])
    return Training(attempts=attempts), unsure


def _with_what(attempt: Attempt) -> str:
    if attempt.loaded:
        return f"a saved {attempt.loaded[0].optimizer} that does not say how often it had stepped"
    return "weights that were loaded, and an optimizer that is new"


class _Before:
    """What earlier attempts did and saved."""

    def __init__(self) -> None:
        self._done = 0
        self._saved: dict[tuple[str, str], list[StepSaved]] = {}
        """By optimizer and layout."""
        self._ends: dict[_Who, list[StepSaved]] = {}
        """What a recording left behind, by its process."""
        self._weights: dict[_Look, set[int]] = {}
        """After which steps trained parameters looked so."""
        self._files: dict[str, set[int]] = {}
        """After which steps attempts went on with which files, where nobody could look at more."""

    def add(self, attempt: Attempt) -> None:
        """Take in an attempt whose steps have their numbers."""
        for process in attempt.processes.values():
            self._done = max([self._done, *(end - 1 for _, end in executed(process))])
            for one in process.saved:
                if one.source == "end":
                    self._ends.setdefault(_who(process), []).append(one)
                else:
                    self._saved.setdefault((one.optimizer, one.layout), []).append(one)
            for look in process.weights:
                step = attempt.resumed_after if look.what == "begin" else look.step
                if look.values is not None:
                    self._weights.setdefault((look.layout, look.values), set()).add(step)
                if look.loaded is not None:
                    self._files.setdefault(look.loaded, set()).add(step)

    def place(self, attempt: Attempt) -> tuple[int, int]:
        """Return the first and the last step after which an attempt may go on."""
        if attempt.says_where or not self._done:
            return 0, 0
        by_weights = self._by_weights(attempt)
        by_states = self._by_states(attempt) if attempt.loaded else None
        if by_states is None:  # an optimizer that is new tells nothing
            places = {0} if by_weights is None else by_weights
        elif by_weights:
            places = (by_states & by_weights) or by_states or by_weights
        else:
            places = by_states
        return (min(places), max(places)) if places else (0, self._done)

    def _by_states(self, attempt: Attempt) -> set[int]:
        """Return the steps after which the states were saved; none where nobody knows of any."""
        loaded = attempt.loaded
        own = [
            one
            for process in attempt.processes.values()
            for one in self._ends.get(_who(process), ())
        ]
        if all(state.source == "stateless" for state in loaded):
            names = {state.optimizer for state in loaded}
            several = (many for (name, _), many in self._saved.items() if name in names)
            return {0, *(one.step for one in chain(*several, own) if one.optimizer in names)}
        found = [
            {
                one.step
                for one in chain(self._saved.get((state.optimizer, state.layout), ()), own)
                if _alike(one, state)
            }
            | ({0} if state.source == "own" else set())
            for state in loaded
        ]
        # One that nobody saw saved: a kill came before it was written. Another tells all the same.
        known = [places for places in found if places]
        return set.intersection(*known) if known else set()

    def _by_weights(self, attempt: Attempt) -> set[int] | None:
        """Return the steps after which the weights were those; none where they may be any step's.

        None where they were never seen before, and nobody was seen to load any: those of a beginning,
        or loaded before the recording was there.
        """
        begins = attempt.begins
        matches = (self._weights.get((w.layout, w.values)) for w in begins if w.values is not None)
        if known := [places for places in matches if places]:
            return set.intersection(*known)
        loaded = {one.loaded for one in begins if one.loaded is not None}
        if not loaded:
            return None
        if any(one.values is not None for one in begins) or UNREAD in loaded:
            return set()
        # On a device: the file with which an earlier attempt began is the one for this one's beginning.
        return set.union(*(self._files.get(file, set()) for file in loaded))


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
        weights=tuple(replace(one, step=one.step + after) for one in process.weights),
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


def gone_back(training: Training) -> tuple[Training, list[Unsure]]:
    """Take it that processes which perhaps went back to a checkpoint did, as far as they may have."""
    unsure: list[Unsure] = []
    attempts = []
    for attempt in training.attempts:
        processes = {}
        for rank, process in attempt.processes.items():
            processes[rank] = process
            for one in process.resumes:
                if one.source == MAYBE_BACK and one.at is not None and one.step < one.at - 1:
                    unsure.append(Unsure(with_what=EARLIER, low=one.step, high=one.at - 1))
                    processes[rank] = _back(processes[rank], one.step, one.at)
        attempts.append(replace(attempt, processes=processes))
    return (Training(attempts=attempts), unsure) if unsure else (training, unsure)


def _back(process: ProcessSteps, step: int, at: int) -> ProcessSteps:
    """Give the steps from one on the numbers behind another one."""
    by = at - 1 - step
    blocks: list[StepBlock] = []
    for block in process.blocks:
        whole = [block]
        if block.first < at < block.first + len(block):
            whole = list(block.halves(at - block.first))
        blocks += [replace(one, first=one.first - by) if one.first >= at else one for one in whole]
    return replace(process, blocks=tuple(blocks))


def ends(found: Iterable[Training]) -> tuple[list[Training], list[Training], list[Unsure]]:
    """Return the trainings as early and as late as they may go on, and what is not sure."""
    first, last, unsure = [], [], []
    for training in found:
        back, gone = gone_back(training)
        early, doubts = numbered(back, latest=False)
        doubts = [*gone, *doubts]
        first.append(early)
        last.append(numbered(training, latest=True)[0] if doubts else early)
        unsure += doubts
    return first, last, unsure
