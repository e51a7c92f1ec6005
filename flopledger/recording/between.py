"""What a run comes to where nobody can say after which step an attempt of it goes on.

All that was executed is known; which of it was done again is not. The earlier an attempt goes on, the
more steps of those before were done again, so that the sum taken as early as can be has the most of
them, and the sum taken as late as can be the fewest.
"""

from collections.abc import Sequence
from dataclasses import replace

from flopledger.recording.continuing import Unsure
from flopledger.recording.remarks import MOST
from flopledger.recording.totals import RunFinding, RunTotals
from flopledger.recording.work import Bounds, wider


def between(early: RunTotals, late: RunTotals, unsure: Sequence[Unsure]) -> RunTotals:
    """Join the two sums: no figure of what stands, but its bounds; what was executed is as it was."""
    return replace(
        early,
        steps=min(early.steps, late.steps),
        steps_at_most=max(early.steps, late.steps),
        steps_unwritten=max(early.steps_unwritten, late.steps_unwritten),
        flop_unwritten=max(early.flop_unwritten, late.flop_unwritten),
        tokens=None,
        samples=None,
        model_flop=None,
        model_bounds=_model(early, late),
        hardware_bounds=wider(early.hardware_bounds, late.hardware_bounds),
        findings=(*_told(unsure), *late.findings),
    )


def _model(early: RunTotals, late: RunTotals) -> Bounds:
    """Bound what stands: everything, less the steps that were done again, dear ones or cheap ones.

    Which ones these were changes with the place, and their number falls the later it is.
    """
    low, high = early.model_bounds[0], late.model_bounds[1]
    for training in range(early.trainings):
        ranks = [rank for rank in early.ranks if rank.training == training]
        dearest = max(rank.dearest_step for rank in ranks)
        again = sum(rank.redone_steps for rank in ranks)
        low += sum(rank.redone.model_bounds[0] for rank in ranks) - again * dearest
        ranks = [rank for rank in late.ranks if rank.training == training]
        cheapest = min(rank.cheapest_step for rank in ranks)
        for rank in ranks:
            more = rank.redone.model_bounds[1]
            high = None if high is None or more is None else high + more
        if high is not None:
            high -= sum(rank.redone_steps for rank in ranks) * cheapest
    return max(0, min(low, early.model_bounds[0], late.model_bounds[0])), high


def _told(unsure: Sequence[Unsure]) -> list[RunFinding]:
    return [
        RunFinding(
            code="resume-step-unknown",
            severity="warning",
            message=f"an attempt goes on with {one.with_what}: after step {one.low} at the earliest and "
            f"{one.high} at the latest. Which steps were done again is not known, so what stands has "
            "bounds and no figure; say run.resume(step) where the checkpoint is loaded",
        )
        for one in list(dict.fromkeys(unsure))[:MOST]
    ]
