"""Adds up step ledgers: what each process tallied, then attempts, then the run."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from flopledger.recording.attempts import (
    Training,
    executed,
    goes_on_after,
    last_activity,
    missing_ranks,
    recorded_once,
    trainings,
)
from flopledger.recording.between import between
from flopledger.recording.continuing import ends
from flopledger.recording.cut_off import missing
from flopledger.recording.exchanged import closed
from flopledger.recording.order import either, otherwise
from flopledger.recording.ranges import Ranges
from flopledger.recording.remarks import remarks
from flopledger.recording.stepless import stepless
from flopledger.recording.tallying import Tally, Units, tallied
from flopledger.recording.totals import AttemptTotals, RankTotals, RunTotals
from flopledger.recording.work import Sum, model_flop_of
from profilers.steps.record.ledger import ProcessSteps, StepDevice, Unread


@dataclass(frozen=True, kw_only=True, slots=True)
class _Beside:
    """What is no ledger that counts, or says how to take one."""

    kept: Sequence[ProcessSteps]
    twice: Sequence[ProcessSteps]
    unread: Sequence[Unread]
    whole: frozenset[str]


def totals(
    processes: Iterable[ProcessSteps],
    unread: Sequence[Unread] = (),
    whole: frozenset[str] = frozenset(),
) -> RunTotals:
    """Add up the ledgers of one run.

    Args:
        processes: Those that can be read.
        unread: Those of which nothing is known.
        whole: Names of the folders of processes that run and have just written everything.

    """
    kept, twice = recorded_once(processes)
    kept = closed(kept)
    found = trainings(kept)
    beside = _Beside(kept=kept, twice=twice, unread=unread, whole=whole)
    answer = _placed_sum(found, beside)
    other = otherwise(found)
    return answer if other is None else either(answer, _placed_sum(other, beside))


def _placed_sum(found: list[Training], beside: _Beside) -> RunTotals:
    """Add up trainings whose attempts may go on after one of several steps."""
    first, last, unsure = ends(found)
    if not unsure:
        return _sum_up(first, beside)
    early, late = (_sum_up(found, beside) for found in (first, last))
    return between(early, late, unsure)


def _sum_up(found: list[Training], beside: _Beside) -> RunTotals:
    groups = [tallied(number, training) for number, training in enumerate(found)]
    tallies = [tally for group in groups for attempt in group for tally in attempt]
    counted, redone = Sum(), Sum()
    for tally in tallies:
        counted.update(tally.counted)
        redone.update(tally.redone)
    steps = [_union(executed(t.process) for a in group for t in a) for group in groups]
    whole = _is_whole(found, beside)
    stand = sum(ranges.size for ranges in steps)
    if not (whole and stand):  # no step is not a training of 0 FLOP
        counted.open_end()
    gone = missing(found, beside.whole)  # in upper ends alone: their processes took them with them
    counted.perhaps(gone.shown + gone.standing)
    idle = stepless(tallies)
    if idle.most is None:
        counted.open_end()
    else:
        counted.perhaps(idle.most)
    redone.perhaps(gone.again)
    both = Sum()
    both.update(counted)
    both.update(redone)
    one, again, all_ = counted.work(), redone.work(), both.work()
    known = whole and stand > 0 and one.unknown_calls == 0 and not idle.unclear
    attempts = tuple(_attempt(tally) for group in groups for tally in group if tally)
    return RunTotals(
        steps=stand,
        steps_at_most=stand,
        steps_unwritten=gone.standing_steps,
        flop_unwritten=round(gone.standing),
        redone_steps=sum(attempt.redone_steps for attempt in attempts),
        tokens=_sum(groups, steps, lambda tally: tally.tokens) if stand else None,
        samples=_sum(groups, steps, lambda tally: tally.samples) if stand else None,
        model_flop=one.model if known else None,
        hardware_flop=all_.hardware if known and again.unknown_calls == 0 else None,
        model_bounds=one.model_bounds,
        hardware_bounds=all_.hardware_bounds,
        phases={
            "forward": one.forward,
            "backward": one.backward,
            "recompute": one.recompute,
            "redone": again.hardware,
        },
        span_flop=_span_flop(tallies),
        by_dtype=one.by_dtype,
        hardware_by_dtype=_merged(all_.by_dtype, all_.recompute_by_dtype),
        attempts=attempts,
        ranks=tuple(_rank(tally) for tally in tallies),
        trainings=len(found),
        windows=_windows(tallies),
        pause_seconds=sum(_pauses(training) for training in found),
        devices=_devices(tally.process for tally in tallies),
        device_seconds=_device_seconds(tallies),
        on_processor=sum(
            bool(tally.process.blocks)
            and {device.type for device in tally.process.devices} == {"cpu"}
            for tally in tallies
        ),
        findings=remarks(
            found, tallies, attempts, beside.twice, beside.unread, gone.shown_steps, idle
        ),
    )


def _model_flop(process: ProcessSteps) -> Iterable[Fraction]:
    """Yield what steps cost, of neighbours that are equal once; what is unknown is left out."""
    for block in process.blocks:
        for _, calls in block.calls:
            yield model_flop_of(process.costs, calls)


def _is_whole(found: list[Training], beside: _Beside) -> bool:
    """Whether each rank left all its steps, but for those that a kill took with it."""
    given_up = any(process.refused is not None for process in beside.kept) or any(
        note.code == "steps-lost" for process in beside.kept for note in process.notes
    )
    return not (beside.unread or given_up or any(missing_ranks(training) for training in found))


def _span_flop(tallies: Iterable[Tally]) -> dict[str, int]:
    """Add up the hardware FLOP of evaluations, checkpoints and other spans, by name."""
    spans: dict[str, Sum] = {}
    for tally in tallies:
        for what, work in tally.spans.items():
            spans.setdefault(what, Sum()).update(work)
    return {what: work.work().hardware for what, work in sorted(spans.items())}


def _sum(
    groups: Sequence[list[list[Tally]]], steps: list[Ranges], units_of: Callable[[Tally], Units]
) -> int | None:
    """Add up tokens or samples; None where the steps of a training are not all covered."""
    total = Fraction(0)
    for group, done in zip(groups, steps, strict=True):
        units = [units_of(tally) for attempt in group for tally in attempt]
        if _union(one.known for one in units).size < done.size:
            return None
        total += sum((one.total for one in units), Fraction(0))
    return round(total)


def _union(many: Iterable[Ranges]) -> Ranges:
    whole = Ranges()
    for one in many:
        whole.update(one)
    return whole


def _merged(*tables: Mapping[str, int]) -> dict[str, int]:
    merged: Counter[str] = Counter()
    for table in tables:
        merged.update(table)
    return dict(sorted(merged.items()))


def _windows(tallies: Sequence[Tally]) -> tuple[tuple[int, int], ...]:
    windows = Ranges()
    for tally in tallies:
        windows.add(tally.process.wall_ns, last_activity(tally.process))
    return tuple(windows)


def _attempt(tallies: list[Tally]) -> AttemptTotals:
    processes = [tally.process for tally in tallies]
    done = _union(executed(process) for process in processes)
    ends = list(done)
    resumes = [step for process in processes if (step := goes_on_after(process)) > 0]
    counted, redone = Sum(), Sum()
    for tally in tallies:
        counted.update(tally.counted)
        redone.update(tally.redone)
    return AttemptTotals(
        training=tallies[0].training,
        attempt=tallies[0].attempt,
        world_size=max(process.world_size for process in processes),
        ranks=tuple(sorted(process.rank for process in processes)),
        start_ns=min(process.wall_ns for process in processes),
        last_ns=max(last_activity(process) for process in processes),
        first_step=ends[0][0] if ends else None,
        last_step=ends[-1][1] - 1 if ends else None,
        resumed_after=max(resumes, default=None),
        steps=done.size,
        redone_steps=_union(tally.again for tally in tallies).size,
        model_flop=counted.work().model,
        redone_flop=redone.work().hardware,
        sealed=all(process.sealed is not None for process in processes),
    )


def _rank(tally: Tally) -> RankTotals:
    process = tally.process
    start, last = process.wall_ns, last_activity(process)
    between: Counter[str] = Counter()
    in_steps = Ranges.of(tally.in_steps if process.spans else ())
    for span in process.spans:
        inside = in_steps.within(span.start_us, span.end_us)
        between[span.what] += span.end_us - span.start_us - inside
    told = tally.step_us + tally.redone_us + between.total()
    # Spans of one process may overlap, and a ledger may say anything: never below nothing.
    rest = max(0, (last - start) // 1000 - told)
    each = list(_model_flop(process))
    own = min(rest, _own_us(process))
    return RankTotals(
        rank=process.rank,
        world_size=process.world_size,
        node=process.node,
        pid=process.pid,
        folder=process.folder.name,
        training=tally.training,
        attempt=tally.attempt,
        start_ns=start,
        last_ns=last,
        steps=tally.steps,
        redone_steps=tally.redone_steps,
        counted=tally.counted.work(),
        redone=tally.redone.work(),
        dearest_step=ceil(max(each, default=Fraction(0))),
        cheapest_step=floor(min(each, default=Fraction(0))),
        spans={what: work.work() for what, work in tally.spans.items()},
        step_seconds=tally.step_us / 1e6,
        redone_seconds=tally.redone_us / 1e6,
        span_seconds={what: us / 1e6 for what, us in between.items()},
        recorder_seconds=own / 1e6,
        wait_seconds=(rest - own) / 1e6,
        sealed=process.sealed,
    )


def _own_us(process: ProcessSteps) -> int:
    """Return microseconds that the recorder took between steps: what lies there and is no waiting.

    Where a number was left out, steps may be missing, and nothing can be said of the time.
    """
    before, following, own = process.monotonic_ns // 1000, None, 0
    for block in process.blocks:
        rows = zip(block.end_us, block.duration_us, block.wait_us, strict=True)
        for number, (end, duration, wait) in enumerate(rows, start=block.first):
            # A step that was only said has no length, and what lies before it is the program's.
            if duration > 0 and number == (following or number):
                own += max(0, end - duration - wait - before)
            before, following = end, number + 1
    return own


def _pauses(training: Training) -> float:
    """Return seconds between the attempts of one training in which none of them was alive."""
    alive = Ranges()
    for attempt in training.attempts:
        alive.add(attempt.start_ns, attempt.last_ns)
    spans = list(alive)
    return (spans[-1][1] - spans[0][0] - alive.size) / 1e9 if spans else 0.0


def _device_seconds(tallies: "Sequence[Tally]") -> float:
    """Return for how long devices were held: one that several processes share counts once.

    A process that named none held one; what computed on the processor held none.
    """
    held: dict[tuple[str, str], Ranges] = {}
    for tally in tallies:
        own = [device for device in tally.process.devices if device.type != "cpu"]
        if tally.process.devices and not own:
            continue
        start, last = tally.process.wall_ns, last_activity(tally.process)
        for device in own or (None,):
            shared = None if device is None else device.uuid
            key = ("", shared) if shared else (str(tally.process.folder), str(device))
            held.setdefault(key, Ranges()).add(start, max(start, last))
    return sum(ranges.size for ranges in held.values()) / 1e9


def _nameless(process: ProcessSteps, device: StepDevice) -> str:
    """Tell a device of which nobody said the UUID from others of its node."""
    which = "" if device.index is None else f", {device.index}"
    return f"rank {process.local_rank}{which}"


def _devices(processes: Iterable[ProcessSteps]) -> tuple[StepDevice, ...]:
    seen = {
        (process.node, device.uuid or _nameless(process, device), device.type): device
        for process in processes
        for device in process.devices
    }
    return tuple(seen.values())
