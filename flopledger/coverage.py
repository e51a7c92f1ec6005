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

That the run was larger than its recording may itself be the lie. Where the evidence shows it (a log's
world size, the record's own launch, a scheduler), it is believed; where the case alone says so, the
audit asks for the document that would show it; and where the recording looks like all there was (one
launch on one host, from idle to idle), the two contradict one another.
"""

from dataclasses import dataclass
from typing import Literal

from flopledger.facts import Finding
from flopledger.inputs import Input, RunFigures
from flopledger.job_width import Launch
from flopledger.logs import RunFacts
from flopledger.logs.run_facts import Recorded, Resolved
from flopledger.methods import priors
from flopledger.recorded_figures import is_own
from flopledger.text import number, share

#: Seen for less than this is seen in part: clocks and sampling periods differ by some seconds.
WHOLE = 0.98

Covers = Literal["whole", "part", "unknown"]

_WIDTH = (
    "the scheduler's record of the job, the launcher's arguments, a log that gives the world size, or "
    "the recordings of the other devices"
)
_TIME = (
    "the run's log or the scheduler's record with start and end, or the recordings of the rest of the "
    "time"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """Why a part may be all there was, and what would show that it is not."""

    code: str  #: coverage-unproven, or the mismatch that the recording's own signs speak for
    words: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """What share of a run was recorded, as far as anybody can tell."""

    covers: Covers
    words: str  #: why, for findings and assumptions
    devices_short: bool = False
    time_short: bool = False
    #: what only the case says of the rest; empty where the evidence shows it
    questions: tuple[Question, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Signs:
    """What the recordings themselves show of their extent."""

    launch: Launch | None = None
    #: all devices idle at the first and at the last sample: a job from its start to its end
    from_idle_to_idle: bool = False
    declared: Literal["whole", "part"] | None = None  #: the case's own word


@dataclass(frozen=True, kw_only=True, slots=True)
class _Extent:
    """One size of the run, and whether its evidence shows it."""

    value: float
    is_shown: bool


def judge(run: RunFigures, found: RunFacts, signs: Signs | None = None) -> Coverage | None:
    """Hold what was recorded against what case and logs say; ``None`` without a recording.

    What the recording itself says of time and devices is no witness for it; how its job was launched
    is one.
    """
    seen, signs = found.recorded, signs or Signs()
    if seen is None:
        return None
    if signs.declared == "whole":
        return Coverage(covers="whole", words="the case says that the recording is of all of it")
    total = _amount(run.device_seconds, _other(found.accelerator_seconds, seen))
    count = _devices(run, found, seen, signs.launch)
    length = _length(run, found, seen, total, count)
    parts: list[str] = []
    questions: list[Question] = []
    devices_short = count is not None and seen.devices < count.value
    if count is not None and devices_short:
        parts.append(f"{seen.devices:,} of {number(count.value)} {seen.scope}s were recorded")
        questions += _ask_width(seen, count, signs)
    time_short = length is not None and seen.seconds < WHOLE * length.value
    if length is not None and time_short:
        parts.append(f"{number(seen.seconds)} of {number(length.value)} s were recorded")
        questions += _ask_time(seen, seen.seconds / length.value, length, signs)
    if parts:
        return Coverage(
            covers="part",
            words=" and ".join(parts),
            devices_short=devices_short,
            time_short=time_short,
            questions=tuple(questions),
        )
    if count is not None and length is not None:
        return Coverage(covers="whole", words="the recording is as long and as wide as the run")
    return _by_amount(seen, total, signs) or _unknown(seen, length, count, signs)


def _by_amount(seen: Recorded, total: _Extent | None, signs: Signs) -> Coverage | None:
    """Judge by device-time, where neither time nor devices are known apart."""
    if total is not None and seen.scope == "device":
        enough = seen.device_seconds >= WHOLE * total.value
        if not enough and seen.is_watched:
            return None
        words = (
            f"{number(seen.device_seconds / 3600)} of {number(total.value / 3600)} device-hours were "
            "recorded"
        )
        if enough:
            return Coverage(covers="whole", words=words)
        asked = _ask_time(seen, seen.device_seconds / total.value, total, signs)
        return Coverage(covers="part", words=words, time_short=True, questions=asked)
    if seen.is_watched:
        return Coverage(covers="whole", words="the command was watched from its start to its end")
    return None


def _unknown(
    seen: Recorded, length: _Extent | None, count: _Extent | None, signs: Signs
) -> Coverage:
    missing = [
        what
        for what, known in (("how long it took", length), (f"its number of {seen.scope}s", count))
        if known is None
    ]
    words = f"the run's documents do not say {' nor '.join(missing)}"
    if signs.declared == "part":
        asked = Question(code="coverage-unproven", words=f"what share it is: {_TIME}, and {_WIDTH}")
        return Coverage(covers="part", words="the case calls it a part", questions=(asked,))
    return Coverage(covers="unknown", words=words)


def _ask_width(seen: Recorded, count: _Extent, signs: Signs) -> tuple[Question, ...]:
    """Ask for what shows that the run had more devices than were recorded."""
    if count.is_shown or seen.devices / count.value >= _billed():
        return ()
    launch = signs.launch
    if launch is not None and launch.devices is not None and signs.declared != "part":
        return (
            Question(
                code="device-count-mismatch",
                words=f"the record is of {launch.devices:,} {seen.scope}s ({launch.words}), where "
                f"{number(count.value)} are stated: the count is overstated, or the record is of one "
                f"launch among several; what would show it: {_WIDTH}",
            ),
        )
    words = (
        f"only the case says that there were {number(count.value)}; what would show it: {_WIDTH}"
    )
    return (Question(code="coverage-unproven", words=words),)


def _ask_time(
    seen: Recorded, recorded: float, extent: _Extent, signs: Signs
) -> tuple[Question, ...]:
    """Ask for what shows that the run took longer than its recording."""
    if extent.is_shown or recorded >= _billed():
        return ()
    how = None
    if signs.launch is not None and signs.launch.is_continued:
        how = None
    elif seen.is_watched:
        how = "the record is of a command that was watched from its start to its end"
    elif signs.from_idle_to_idle:
        how = "the devices were idle when the recording began and when it ended, as around a whole job"
    if how is None or signs.declared == "part":
        words = f"only the case says that the run took more; what would show it: {_TIME}"
        return (Question(code="coverage-unproven", words=words),)
    return (
        Question(
            code="device-time-mismatch",
            words=f"{how}, and the recording holds {share(recorded)} of the stated time: the hours are "
            f"overstated, or this is one launch among several; what would show it: {_TIME}",
        ),
    )


def _billed() -> float:
    """Give the share of billed time that steps may take in an honest run: 1 over the goodput ratio.

    Less of the run than this was not merely waiting, starting or held in reserve.
    """
    high = priors.goodput_ratio().interval.high
    assert high is not None
    return 1 / high


def findings(
    run: RunFigures, found: RunFacts, seen: Coverage | None, *, told: bool
) -> list[Finding]:
    """Say what the recordings cannot bound (unless ``told`` beside a stated figure), and ask."""
    recorded = found.recorded
    if seen is None or recorded is None or seen.covers == "whole":
        return []
    if seen.covers == "unknown":
        message = (
            f"run {run.name}: nothing shows that the telemetry covers the whole run ({seen.words}): "
            "its sums are of what was recorded, and what contradicts them is a question, no refutation"
        )
        return [
            Finding(
                code="coverage-unknown",
                severity="warning",
                message=message,
                evidence=recorded.files,
            )
        ]
    said = []
    if not told:
        message = (
            f"run {run.name}: {seen.words}: what was recorded is a part of the run; its sums are "
            "lower bounds and bound nothing from above"
        )
        said.append(
            Finding(code="coverage-gap", severity="info", message=message, evidence=recorded.files)
        )
    return said + [
        Finding(
            code=one.code,
            severity="warning",
            message=f"run {run.name}: {seen.words}: {one.words}",
            evidence=recorded.files,
        )
        for one in seen.questions
    ]


def _other(figure: Resolved | None, seen: Recorded) -> Resolved | None:
    return None if figure is None or is_own(figure, seen) else figure


def _amount(stated: Input | None, read_out: Resolved | None) -> _Extent | None:
    """Give the least that other documents say; a log's word goes before the case's."""
    if read_out is not None and read_out.bound != "at most":
        return _Extent(value=read_out.number, is_shown=True)
    low = None if stated is None else stated.quantity.interval.low
    return None if low is None else _Extent(value=low, is_shown=False)


def _devices(
    run: RunFigures, found: RunFacts, seen: Recorded, launch: Launch | None
) -> _Extent | None:
    """Give the devices of the run: by its logs, by its launch, or as the case has it."""
    if seen.scope != "device":
        nodes = seen.nodes_of_run if seen.scope == "node" else None
        return None if nodes is None else _Extent(value=nodes, is_shown=True)
    told = _amount(run.device_count, _other(found.accelerator_count, seen))
    if launch is None or (told is not None and told.is_shown):
        return told
    if launch.is_certain and launch.devices is not None:
        return _Extent(value=launch.devices, is_shown=True)
    if not launch.goes_beyond:
        return told
    # The record shows that there was more; how much of it, only as far as it says.
    if told is None:
        return None if launch.devices is None else _Extent(value=launch.devices, is_shown=True)
    enough = launch.devices is None or told.value <= launch.devices / _billed()
    return _Extent(value=max(told.value, launch.devices or 0.0), is_shown=enough)


def _length(
    run: RunFigures,
    found: RunFacts,
    seen: Recorded,
    total: _Extent | None,
    count: _Extent | None,
) -> _Extent | None:
    """Give how long the run took (s): by its window, else as stated, else device-time by devices."""
    logged = _other(found.timed_seconds, seen) or _other(found.wall_seconds, seen)
    window = seen.window_seconds
    if window is not None and not seen.is_watched:
        return _Extent(value=window, is_shown=True)
    if logged is not None and logged.bound != "at most":
        return _Extent(value=logged.number, is_shown=True)
    told = _amount(run.timed_seconds, None) or _amount(run.wall_seconds, None)
    if told is None and total is not None and count is not None and count.value:
        told = _Extent(value=total.value / count.value, is_shown=total.is_shown)
    if window is None:
        return told
    # A watched command is all of its run, unless more was stated than it saw: in time, and in tokens.
    if told is None or told.value * WHOLE <= window or _has_all_tokens(run, found, seen):
        return _Extent(value=window, is_shown=True)
    return told


def _has_all_tokens(run: RunFigures, found: RunFacts, seen: Recorded) -> bool:
    """Say whether the record counted as many tokens as the run is said to have processed."""
    stated = run.tokens.quantity.interval.low if run.tokens is not None else None
    counted = found.tokens
    if stated is None or counted is None or not is_own(counted, seen):
        return False
    return counted.number >= WHOLE * stated
