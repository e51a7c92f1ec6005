"""Processes that stepped no optimizer, beside others that did.

One that computed gradients may have sent them to the rank that steps (a parameter server), or through
frozen layers to the stage before (a pipeline): training. Or it may have ended within its first step, which
trained nothing. One that computed forwards alone may be the first stages of a pipeline, all frozen, whose
forwards are the training's as they would be in one process; or it may answer others. Where it was there at
the same time as one that stepped, nobody can tell, so upper ends hold it. One that was over before (an
attempt that ran out of memory in its first step) or came after sent nothing to anybody.

Forwards without gradients of a model in eval mode are not among these, for they are an evaluation, a teacher
or rollouts: a span of that name has them, as where the same process trains.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from flopledger.recording.attempts import SKEW_NS, last_activity
from flopledger.recording.work import Sum
from profilers.steps.record.ledger import ProcessSteps

if TYPE_CHECKING:
    from flopledger.recording.tallying import Tally

UNFINISHED = "unfinished"
"""The span of calls after the last optimizer step, as the recorder saw them."""
WITH_GRADIENTS = frozenset({"train", "backward"})
"""Modes of calls through which a backward went."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stepless:
    """What such processes did."""

    folders: tuple[str, ...]
    """Names of the ledgers' folders of those that computed gradients beside others that stepped."""
    most: Fraction | None
    """Hardware FLOP at most of all that were beside others that stepped; None where a cost is not known."""
    sent: int | None = 0
    """Of this, the part of those that computed gradients; None where a cost is not known."""
    alone: tuple[str, ...] = ()
    """Folders of those that computed gradients where nobody stepped."""
    answering: tuple[str, ...] = ()
    """Folders of those that computed forwards alone, beside others that stepped."""
    answered: int | None = 0
    """Their hardware FLOP; None where a cost is not known."""

    @property
    def unclear(self) -> bool:
        """Whether some of it may be training."""
        return bool(self.folders or self.answering)


def stepless(tallies: Sequence["Tally"]) -> Stepless:
    """Look for them in one run."""
    idle = [tally for tally in tallies if not tally.process.blocks]
    stepped = [_lifetime(tally.process) for tally in tallies if tally.process.blocks]
    beside = [tally for tally in idle if _is_beside(tally.process, stepped)]
    sent = [tally for tally in beside if _has_gradients(tally.process)]
    answering = [tally for tally in beside if tally not in sent and UNFINISHED in tally.spans]
    alone = [] if stepped else [tally for tally in idle if _has_gradients(tally.process)]
    gradients, forwards = _most(sent), _most(answering)
    return Stepless(
        folders=_names(sent),
        most=None if gradients is None or forwards is None else Fraction(gradients + forwards),
        sent=gradients,
        alone=_names(alone),
        answering=_names(answering),
        answered=forwards,
    )


def _most(tallies: Iterable["Tally"]) -> int | None:
    """Return the hardware FLOP at most of what their last step would have held."""
    work = Sum()
    for tally in tallies:
        work.update(tally.spans[UNFINISHED])
    return work.work().hardware_bounds[1]


def _names(tallies: Iterable["Tally"]) -> tuple[str, ...]:
    return tuple(tally.process.folder.name for tally in tallies)


def _lifetime(process: ProcessSteps) -> tuple[int, int]:
    """Unix nanoseconds of a process's first and last words."""
    return process.wall_ns, last_activity(process)


def _is_beside(process: ProcessSteps, others: Sequence[tuple[int, int]]) -> bool:
    """Whether a process was there while one of the others was; clocks of two hosts may differ."""
    begin, end = _lifetime(process)
    return any(begin <= last + SKEW_NS and first <= end + SKEW_NS for first, last in others)


def _has_gradients(process: ProcessSteps) -> bool:
    return any(
        process.costs[cost].mode in WITH_GRADIENTS
        for span in process.spans
        if span.what == UNFINISHED and span.source == "seen"
        for cost, _ in span.calls
    )
