"""How much of a run its recordings saw: what they saw bounds that part, and only the whole the whole.

One node's log of a job on sixteen, or ten minutes of a month, are the recordings that people keep.
Taken for the whole they accuse the honest: the work is always more than a sample allows. So a
recording bounds a run from above only where it is *shown* to cover it, in time and in devices:

- time: the window comes from the run's own log or from a watched command, or the recording is as long
  as the run is said to have been;
- devices: as many were seen as the run is said to have had;
- or both at once: as much device-time was seen as the run is said to have taken.

Where less was seen, the sums are lower bounds. Where nothing tells, they are what was recorded, and
refute nobody: they can only ask.
"""

from dataclasses import dataclass, replace
from typing import Literal

from flopledger.inputs import Input, RunFigures
from flopledger.logs import RunFacts
from flopledger.logs.run_facts import Recorded, Resolved
from flopledger.text import number

#: Seen for less than this is seen in part: clocks and sampling periods differ by some seconds.
WHOLE = 0.98

Covers = Literal["whole", "part", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """What share of a run was recorded, as far as anybody can tell."""

    covers: Covers
    words: str  #: why, for findings and assumptions
    devices_short: bool = False


def judge(run: RunFigures, found: RunFacts) -> Coverage | None:
    """Hold what was recorded against what case and logs say; ``None`` without a recording.

    What the recording itself says of time and devices is no witness for it.
    """
    seen = found.recorded
    if seen is None:
        return None
    total = _amount(run.device_seconds, _other(found.accelerator_seconds, seen))
    count = _devices(run, found, seen)
    length = _length(run, found, seen, total)
    if count is not None and seen.devices < count:
        words = f"{seen.devices:,} of {number(count)} {seen.scope}s were recorded"
        return Coverage(covers="part", words=words, devices_short=True)
    if seen.seconds < WHOLE * (length or 0.0):
        words = f"{number(seen.seconds)} of {number(length)} s were recorded"
        return Coverage(covers="part", words=words)
    if count is not None and length is not None:
        return Coverage(covers="whole", words="the recording is as long and as wide as the run")
    if total is not None and seen.scope == "device":
        enough = seen.device_seconds >= WHOLE * total
        if enough or not seen.is_watched:
            words = (
                f"{number(seen.device_seconds / 3600)} of {number(total / 3600)} device-hours were "
                "recorded"
            )
            return Coverage(covers="whole" if enough else "part", words=words)
    elif seen.is_watched:
        return Coverage(covers="whole", words="the command was watched from its start to its end")
    missing = [
        what
        for what, known in (("how long it took", length), (f"its number of {seen.scope}s", count))
        if known is None
    ]
    words = f"the run's documents do not say {' nor '.join(missing)}"
    return Coverage(covers="unknown", words=words)


def qualify(found: RunFacts, coverage: Coverage | None) -> RunFacts:
    """Make the recorded sums what they are: of the whole, lower bounds, or of nobody knows how much."""
    seen = found.recorded
    if seen is None or coverage is None:
        return found
    changes: dict[str, object] = {}
    for name in ("accelerator_seconds", "energy_joules"):
        figure: Resolved | None = getattr(found, name)
        if figure is None or not _own(figure, seen):
            continue
        changes[name] = replace(
            figure,
            is_whole_run=coverage.covers == "whole",
            bound="at least" if coverage.covers == "part" else figure.bound,
        )
    count = found.accelerator_count
    if coverage.devices_short and count is not None and _own(count, seen):
        changes["accelerator_count"] = replace(count, is_whole_run=False)
    return replace(found, **changes)  # type: ignore[arg-type]


def _own(figure: Resolved, seen: Recorded) -> bool:
    """Say whether a figure rests on a recording: a record's count and clock are its own."""
    return any(
        fact.file == name or fact.file.startswith(f"{name}/")
        for fact in figure.facts
        for name in seen.files
    )


def _other(figure: Resolved | None, seen: Recorded) -> Resolved | None:
    return None if figure is None or _own(figure, seen) else figure


def _amount(stated: Input | None, read_out: Resolved | None) -> float | None:
    """Give the least that other documents say; a log's word goes before the case's."""
    if read_out is not None and read_out.bound != "at most":
        return read_out.number
    return None if stated is None else stated.quantity.interval.low


def _devices(run: RunFigures, found: RunFacts, seen: Recorded) -> float | None:
    if seen.scope == "device":
        return _amount(run.device_count, _other(found.accelerator_count, seen))
    return seen.nodes_of_run if seen.scope == "node" else None


def _length(run: RunFigures, found: RunFacts, seen: Recorded, total: float | None) -> float | None:
    """Give how long the run took (s): by its window, else as stated, else device-time by devices."""
    if seen.window_seconds is not None:
        return seen.window_seconds
    timed = _amount(run.timed_seconds, _other(found.timed_seconds, seen))
    wall = _amount(run.wall_seconds, _other(found.wall_seconds, seen))
    if timed is not None or wall is not None:
        return timed if timed is not None else wall
    count = _amount(run.device_count, _other(found.accelerator_count, seen))
    return total / count if total is not None and count else None
