"""Jobs of a scheduler other than Slurm, as an account of devices held.

Each reader gives the starts of the jobs that ended; what they come to is the same for all of them. What was
given is not what was used.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from flopledger.logs.notes import Notes


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """One start of a job that ended, or that still ran when the account was printed."""

    job: str
    seconds: float | None  #: that the devices were held; ``None`` where it is not written
    gpus: int | None  #: ``None`` where the record names none
    status: str
    place: str
    failed: bool = False
    is_over: bool = True
    earlier: int = 0  #: starts of the same job before this one, whose time is not in it


def note(starts: Sequence[Start], notes: Notes, *, lacking: str) -> None:
    """Write down what the starts held; ``lacking`` says what a record without GPUs does not name."""
    held = [one for one in starts if one.seconds and one.gpus]
    places = ", ".join(one.place for one in held[:5])
    is_part = any(not one.is_over or one.earlier for one in starts)
    if held:
        total = sum((one.seconds or 0) * (one.gpus or 0) for one in held)
        name = "accelerator_seconds_at_least" if is_part else "accelerator_seconds"
        notes.fact(name, float(total), places, unit="s")
        counts = {one.gpus for one in held}
        if len(counts) == 1:
            notes.fact("accelerator_count", counts.pop(), places)
    lasted = [one.seconds for one in starts if one.seconds]
    if len({one.job for one in starts}) == 1 and len(lasted) == len(starts):
        name = "seen_seconds" if is_part else "wall_seconds"
        notes.fact(name, float(sum(lasted)), places or starts[0].place)
    notes.fact("status", starts[-1].status, starts[-1].place)
    _note_findings(starts, notes, lacking)


def _note_findings(starts: Sequence[Start], notes: Notes, lacking: str) -> None:
    bare = [one for one in starts if one.seconds and one.gpus is None]
    if bare:
        notes.finding(
            "device-count-missing",
            "warning",
            f"{len(bare)} records name no {lacking}: not asked for as a resource here, or none were held",
            *(one.place for one in bare[:5]),
        )
    failed = [one for one in starts if one.failed]
    if failed:
        notes.finding(
            "aborted-run",
            "info",
            f"{len(failed)} of {len(starts)} starts failed or were run again; their devices were held all "
            "the same",
            *(one.place for one in failed[:5]),
        )
    running = [one for one in starts if not one.is_over]
    if running:
        notes.finding(
            "coverage-gap",
            "warning",
            f"{len(running)} of {len(starts)} jobs had not ended when the page was printed: the time so far "
            "is a lower bound",
            *(one.place for one in running[:5]),
        )
    again = [one for one in starts if one.earlier]
    if again:
        notes.finding(
            "coverage-gap",
            "warning",
            f"{len(again)} of {len(starts)} jobs had been started before, and only the last start is shown: "
            "the time is a lower bound",
            *(one.place for one in again[:5]),
        )
    if len(starts) > 1:
        notes.finding(
            "several-jobs",
            "info",
            f"{len(starts)} jobs or starts of jobs are listed; their GPU-seconds were added up",
            *(one.place for one in starts[:5]),
        )
