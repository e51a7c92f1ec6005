"""One process, counted: steps that stand and that were done again, what they cost, how long they took."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeVar

from flopledger.recording.attempts import Training, superseded
from flopledger.recording.ranges import Ranges
from flopledger.recording.work import Sum, share_of
from profilers.steps.record.ledger import ProcessSteps, StepBlock

_T = TypeVar("_T")


@dataclass(kw_only=True, slots=True)
class Units:
    """Tokens, or samples, of the steps that stand."""

    total: Fraction = field(default_factory=Fraction)
    known: Ranges = field(default_factory=Ranges)
    """Numbers of the steps of which it is known how many they took."""


@dataclass(kw_only=True, slots=True)
class Tally:
    """One process, counted."""

    process: ProcessSteps
    training: int
    """The training's place among those of the run."""
    attempt: int
    """The attempt's place in its training."""
    counted: Sum = field(default_factory=Sum)
    """Work of the steps that stand."""
    redone: Sum = field(default_factory=Sum)
    """Work of the steps that were done again."""
    spans: dict[str, Sum] = field(default_factory=dict)
    """Work of evaluations, checkpoints and other spans, by name."""
    again: Ranges = field(default_factory=Ranges)
    """Numbers of its steps that were done again."""
    steps: int = 0
    redone_steps: int = 0
    step_us: int = 0
    redone_us: int = 0
    in_steps: list[tuple[int, int]] = field(default_factory=list)
    """Microseconds in which it was in a step, or waited for one that was done again."""
    tokens: Units = field(default_factory=Units)
    samples: Units = field(default_factory=Units)


def tallied(number: int, training: Training) -> list[list[Tally]]:
    """Count each process of a training, attempt by attempt."""
    again = superseded(training)
    return [
        [
            _count(Tally(process=process, training=number, attempt=place), again[id(process)])
            for _, process in sorted(attempt.processes.items())
        ]
        for place, attempt in enumerate(training.attempts)
    ]


def _count(tally: Tally, covered: Ranges) -> Tally:
    """Walk backwards: a step that stands later already, in this process or after it, is redone."""
    process = tally.process
    standing: Counter[int] = Counter()
    redone: Counter[int] = Counter()
    for block in reversed(process.blocks):
        for first, length, calls in _placed(block.first, block.calls):
            twice = covered.within(first, first + length)
            for cost, times in calls:
                standing[cost] += times * (length - twice)
                redone[cost] += times * twice
        shares = list(_shares(process, block))
        _count_units(tally.tokens, _placed(block.first, block.tokens), covered, shares)
        _count_units(tally.samples, _placed(block.first, block.samples), covered, shares)
        _count_time(tally, block, covered)
        covered.add(block.first, block.first + len(block))
    for cost, calls_made in standing.items():
        tally.counted.add(process.costs[cost], calls_made)
    for cost, calls_made in redone.items():
        tally.redone.add(process.costs[cost], calls_made)
    for span in process.spans:
        work = tally.spans.setdefault(span.what, Sum())
        for cost, times in span.calls:
            work.add(process.costs[cost], times)
    return tally


def _placed(first: int, runs: Sequence[tuple[int, _T]]) -> Iterable[tuple[int, int, _T]]:
    """Yield a column's runs with the number of each one's first step."""
    for length, value in runs:
        yield first, length, value
        first += length


def _count_units(
    units: Units,
    placed: Iterable[tuple[int, int, int | None]],
    covered: Ranges,
    shares: Sequence[tuple[int, int, Fraction]],
) -> None:
    """Count tokens or samples of the steps that stand; ranks that share calls share those."""
    for first, length, value in placed:
        if value is None:
            continue
        for low, high in covered.gaps(first, first + length):
            units.known.add(low, high)
            units.total += value * sum(many * share for many, share in _cut(shares, low, high))


def _shares(process: ProcessSteps, block: StepBlock) -> Iterable[tuple[int, int, Fraction]]:
    """Yield stretches of steps with this rank's share in their most expensive call."""
    for first, length, calls in _placed(block.first, block.calls):
        yield first, length, share_of(process.costs, calls)


def _cut(
    shares: Sequence[tuple[int, int, Fraction]], first: int, end: int
) -> Iterable[tuple[int, Fraction]]:
    """Yield how many steps of ``[first, end)`` have which share."""
    for at, length, share in shares:
        many = min(end, at + length) - max(first, at)
        if many > 0:
            yield many, share


def _count_time(tally: Tally, block: StepBlock, covered: Ranges) -> None:
    tally.steps += len(block)
    twice = covered.within(block.first, block.first + len(block))
    tally.redone_steps += twice
    rows = zip(block.end_us, block.duration_us, block.wait_us, strict=True)
    for number, (end, duration, wait) in enumerate(rows, start=block.first):
        if twice and number in covered:
            tally.again.add(number, number + 1)
            tally.redone_us += duration + wait
            tally.in_steps.append((end - duration - wait, end))
        else:
            tally.step_us += duration
            tally.in_steps.append((end - duration, end))
