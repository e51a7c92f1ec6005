"""When a run crosses each threshold: before training starts, or at the pace of what was seen.

The rules ask for an estimate *before* a large run and for notice once it is known that a threshold
will be met. For a single run whose FLOP grow with its tokens the crossing is a share of the run:

    tokens at the threshold = tokens x (threshold - what other runs already hold) / FLOP of the run
    hours at the threshold  = wall-clock hours x the same share

A record tells when it was made, so the crossing of a run that goes on has a date, too.
"""

import datetime as dt
import math
from dataclasses import dataclass

from flopledger import scope
from flopledger.ledgers import Original, Standing
from flopledger.reconcile import RunAudit
from flopledger.text import number

#: Thresholds further above the run than this factor are left out.
_NEAR = 10.0
#: One that is crossed in the run's first percent needs no sentence of its own.
_WORTH_SAYING = 0.01
#: No date is given beyond this: no run goes on so long.
_LONGEST_YEARS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Crossing:
    """Where one run meets one threshold, at its best figure."""

    regime: str
    run: str
    #: below 1: within the run as stated; above: if it went on; ``None``: what it builds on had crossed it
    share_of_run: float | None
    tokens: float | None  #: processed by then; ``None`` where the run is not counted in tokens
    wall_clock_hours: float | None  #: by then, at the run's mean pace; ``None``: time not known
    date: dt.date | None = None  #: UTC, if the run goes on without a pause; of a record alone


def sentences(found: tuple[Crossing, ...]) -> tuple[str, ...]:
    """Say each crossing once, however many regimes share it."""
    grouped: dict[tuple[float | None, float | None], list[Crossing]] = {}
    for one in found:
        if one.share_of_run is not None and one.share_of_run < _WORTH_SAYING:
            continue
        grouped.setdefault((one.share_of_run, one.tokens), []).append(one)
    return tuple(_sentence(group) for group in grouped.values())


def _sentence(group: list[Crossing]) -> str:
    one = group[0]
    names = ", ".join(other.regime for other in group)
    if one.share_of_run is None:
        return f"{names}: crossed before run {one.run} by what it builds on"
    when = [] if one.tokens is None else [f"{number(one.tokens)} tokens"]
    if one.wall_clock_hours is not None:
        when.append(f"{number(one.wall_clock_hours)} hours at the mean pace")
    after = " or ".join(when) or f"{number(one.share_of_run)} of the run"
    day = "" if one.date is None else f", {one.date}"
    if one.share_of_run <= 1:
        return f"{names}: crossed after {after}{day} ({one.share_of_run:.0%} of run {one.run})"
    day = day and f"{day} if it goes on"
    return f"{names}: not before {after}{day} ({number(one.share_of_run)} times run {one.run})"


def crossings(
    standings: tuple[Standing, ...], runs: list[RunAudit], original: Original | None
) -> tuple[Crossing, ...]:
    """Place each threshold on the last run that its ledger counts; earlier runs come before it."""
    found = []
    for standing in standings:
        counted = [run for run in runs if scope.counts(run.figures, standing.regime.ledger)]
        ledger = standing.regime.ledger
        bests = [
            run.combined.flop.best * run.share(ledger)
            if run.combined is not None and run.combined.flop.best is not None
            else None
            for run in counted
        ]
        if standing.threshold_bound is not None:
            continue  # it may lie elsewhere
        if not counted or any(best is None for best in bests):
            continue
        *before, last = [best for best in bests if best is not None]
        base = _base(standing, original)
        if base is None or not last:
            continue
        share = (standing.threshold_flop - sum(before) - base) / last
        # A record of a run that still goes on is asked for the day, however far away it is.
        farthest = math.inf if counted[-1].figures.recorded_flop is not None else _NEAR
        if share > farthest:
            continue
        found.append(_crossing(standing.regime.id, counted[-1], share if share > 0 else None))
    return tuple(found)


def _base(standing: Standing, original: Original | None) -> float | None:
    """Give what the ledger begins with, ``None`` where that is not known."""
    if original is None or not scope.counts_base(standing.regime.ledger):
        return 0.0
    return original.held.best


def _crossing(regime: str, run: RunAudit, share: float | None) -> Crossing:
    figures = run.figures
    if share is None:
        return Crossing(
            regime=regime, run=figures.name, share_of_run=None, tokens=None, wall_clock_hours=None
        )
    tokens = figures.tokens.quantity.best if figures.tokens is not None else None
    time = figures.wall_seconds or figures.timed_seconds
    seconds = time.quantity.best if time is not None else None
    if seconds is None and figures.device_seconds is not None and figures.device_count is not None:
        devices, together = figures.device_count.quantity.best, figures.device_seconds.quantity.best
        seconds = together / devices if devices and together else None
    return Crossing(
        regime=regime,
        run=figures.name,
        share_of_run=share,
        tokens=None if tokens is None else tokens * share,
        wall_clock_hours=None if seconds is None else seconds / 3600 * share,
        date=None if seconds is None else _date(run, seconds, share),
    )


def _date(run: RunAudit, seconds: float, share: float) -> dt.date | None:
    """Give the day of the crossing: inside the record by its clock, or after it at the mean pace."""
    told = {fact.name: fact.value for fact in run.facts}
    begun, ended = told.get("recorded_from"), told.get("recorded_until")
    if not (isinstance(begun, int | float) and isinstance(ended, int | float)):
        return None
    later = (share - 1) * seconds
    if later > _LONGEST_YEARS * 366 * 86400:
        return None
    moment = begun + share * (ended - begun) if share <= 1 else ended + later
    try:
        return dt.datetime.fromtimestamp(moment, dt.UTC).date()
    except (OverflowError, ValueError, OSError):  # a record's clock may say anything
        return None
