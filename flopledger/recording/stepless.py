"""Processes that computed gradients and stepped no optimizer, beside others that did.

Such a one may have sent them to the rank that steps (a parameter server): training. Or it may have ended
within its first step, which trained nothing. Nobody can tell, so upper ends hold it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from flopledger.recording.work import Sum
from profilers.step_ledger import ProcessSteps

if TYPE_CHECKING:
    from flopledger.recording.adding import Tally

UNFINISHED = "unfinished"
"""The span of calls after the last optimizer step, as the recorder saw them."""
WITH_GRADIENTS = frozenset({"train", "backward"})
"""Modes of calls through which a backward went."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stepless:
    """What such processes did."""

    folders: tuple[str, ...]
    """Names of their ledgers' folders."""
    most: Fraction | None
    """Hardware FLOP at most, those of calls without gradients included; None where a cost is not known."""


def stepless(tallies: Sequence["Tally"]) -> Stepless:
    """Look for them in one run."""
    folders: list[str] = []
    work = Sum()
    if any(tally.process.blocks for tally in tallies):
        for tally in tallies:
            if not tally.process.blocks and _has_gradients(tally.process):
                folders.append(tally.process.folder.name)
                work.update(tally.spans[UNFINISHED])
    high = work.work().hardware_bounds[1]
    return Stepless(folders=tuple(folders), most=None if high is None else Fraction(high))


def _has_gradients(process: ProcessSteps) -> bool:
    return any(
        process.costs[cost].mode in WITH_GRADIENTS
        for span in process.spans
        if span.what == UNFINISHED and span.source == "seen"
        for cost, _ in span.calls
    )
