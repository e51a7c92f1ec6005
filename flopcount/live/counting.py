"""Counts one call of a model that is training right now, and disturbs nothing.

``flopcount.count`` is asked by somebody who waits for the answer. Here nobody asked: the count
happens between two steps of a run, so it must not fire the user's hooks, draw from any generator of
random numbers, talk to another rank, compute at full size or take long. The call is captured when
it is made (:func:`capture`: shapes, flags and settings, no storage) and counted when it is known
what was differentiated (:func:`count_call`).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from typing import Any

from flopcount.count import MODEL_PHASES
from flopcount.errors import CountError
from flopcount.live.alone import alone
from flopcount.live.capture import LiveCall, tensors_within
from flopcount.live.counter import FAR, SIZE
from flopcount.live.deadline import Deadline
from flopcount.live.passes import DOUBLED, PERHAPS, Chain, Pass, Wanted, doubtful
from flopcount.live.rungs import (
    READS,
    RUNGS,
    WEIGHED,
    Counted,
    Supposed,
    Targets,
    TooLongError,
    climb,
    is_distributed,
)
from flopcount.looked_through import as_gathered

ASKED = "asks a random number"
"""In a remark (flopcount.draws): what is computed depends on a draw."""
WEIGHTS_DECIDE = "the model asks for values of its weights, and other ones cost something else"
THROWN = (
    "frozen weights in one flat parameter with trained ones may get gradients that are thrown away"
)
EXCHANGED = "exchanged"
"""The method of a count that is right in the sum over all ranks, and for none of them."""
AS_SENT = (
    "other ranks send as many rows as their data says; they are taken to be as many as were sent to them, "
    "which is right in the sum over all ranks alone"
)
UNLIKE = "other ranks send as many rows as their data says, and what comes costs unlike much"
DECIDED = ("data:", "random:", WEIGHED)
"""How remarks begin on what was asked that another call may answer otherwise."""
LAST = RUNGS[-1:]
TRIAL_SECONDS = 5.0
"""So much processor time the counts of other answers to questions for data may take, or a few times what the
first one took."""
REDRAWS = 4
"""So often a call is counted again with other draws, where they may decide what is computed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveCount:
    """What one call costs: the whole model's FLOP.

    Attributes:
        forward: Forward pass.
        backward: All backward passes that were asked for, together.
        recompute: What is computed again in them.
        by_dtype: FLOP by phase and dtype; ``by_dtype["forward"]["bf16"]``.
        uncounted: Names of operations that no rule covers.
        bounds: Least and greatest FLOP of all phases together where the figure is not exact.
        reason: Why there are bounds, or what a reader should know.
        world_size: Ranks that work on this call together.
        method: The rung that traced.
        reads: Whether values of the inputs were asked for: other values of the same shapes may
            cost something else.
        asked: Where the model's own tensors lie in memory whose values were asked for.
        decided: Whether data, weights or dice were asked, so that calls that are alike may differ.
        nodes: So many the forward added to autograd's graph (``LiveCall.whole``).

    """

    forward: int
    backward: int
    recompute: int
    by_dtype: Mapping[str, Mapping[str, int]]
    uncounted: tuple[str, ...]
    bounds: tuple[int, int | None] | None
    reason: str | None
    world_size: int
    method: str
    reads: bool = False
    asked: frozenset[int] = frozenset()
    decided: bool = False
    nodes: int = -1


@alone
def count_call(
    call: LiveCall,
    passes: Sequence[Targets] = (),
    wanted: Sequence[Wanted | None] = (),
    *,
    seconds: float = 60.0,
    real: bool = True,
) -> LiveCount:
    """Count a captured call.

    Args:
        call: The call.
        passes: For each backward pass through it, the outputs at which the pass began.
        wanted: For each, what it was asked for; empty where all were asked for everything.
        seconds: Of processor time, after which a trace is given up (``Deadline.after``).
        real: Whether small real numbers may be computed with where nothing else works.

    Raises:
        CountError: when the model raises on every way of tracing it.

    """
    deadline = Deadline.after(seconds)

    def counted(supposed: Supposed, until: Deadline = deadline) -> list[Counted]:
        each = zip(passes or (None,), wanted or repeat(None), strict=False)
        return [climb(call, targets, asked, until, supposed, real=real) for targets, asked in each]

    inputs = [item for item in tensors_within((call.args, call.kwargs)) if item.requires_grad]
    for number, asked in enumerate(wanted):
        reason = doubtful(asked, inputs)
        if reason is not None:
            return _between(call, passes, wanted, number, reason, seconds=seconds, real=real)
    began = time.thread_time()
    try:
        counts = counted(Supposed())
    except TooLongError:
        raise
    except CountError as error:
        if not is_distributed():
            raise
        return _exchanged(call, counted, deadline, error)
    took = time.thread_time() - began
    found = _with_other_answers(_merged(counts), counts, counted, deadline, took)
    found = _with_other_weights(found, counts, counted, deadline, took)
    found = _with_other_numbers(found, counts, counted)
    flags = as_gathered(call.model, call.trainable)
    if flags is None or found.bounds is not None:
        return found
    more = count_call(replace(call, trainable=flags), passes, wanted, seconds=seconds, real=real)
    if _total(more) == _total(found):
        return found
    return replace(found, bounds=(_total(found), _total(more)), reason=THROWN)


def _exchanged(
    call: LiveCall,
    counted: Callable[..., list[Counted]],
    deadline: Deadline,
    error: CountError,
) -> LiveCount:
    """Count a call to which other ranks send as many rows as they say: as many as this one sends.

    No rank's own figure is right, and their sum is: what one sends another gets. That holds if the cost is
    linear in what comes, whichever expert it is for. So it is asked for none, for as many and for twice as
    many, each expert with another part of them in each draw.

    Raises:
        CountError: the one that was raised without, where that was not what it wanted.

    """
    began = time.thread_time()

    def as_sent(supposed: Supposed, until: Deadline = deadline) -> list[Counted]:
        return counted(replace(supposed, received=1), until)

    try:
        counts = as_sent(Supposed(rungs=LAST))
        took = time.thread_time() - began
        none, twice = (_merged(counted(Supposed(received=n, rungs=LAST))) for n in (0, 2))
    except CountError:
        raise error from None
    found = _with_other_answers(_merged(counts), counts, as_sent, deadline, took)
    found = _with_other_weights(found, counts, as_sent, deadline, took, LAST)
    found = _with_other_numbers(found, counts, as_sent)
    if as_gathered(call.model, call.trainable) is not None:
        found = replace(found, bounds=(0, None), reason=THROWN)
    if found.bounds is not None:
        return replace(found, bounds=(0, None))
    if any(
        getattr(none, phase) + getattr(twice, phase) != 2 * getattr(found, phase)
        for phase in ("forward", "backward", "recompute")
    ):
        return replace(found, bounds=(0, None), reason=UNLIKE)
    return replace(found, method=EXCHANGED, bounds=(_total(none), None), reason=AS_SENT)


def _with_other_answers(
    found: LiveCount,
    counts: list[Counted],
    counted: Callable[..., list[Counted]],
    deadline: Deadline,
    took: float,
) -> LiveCount:
    """Ask what the call costs where data that it asked for say otherwise: as much, or bounds.

    Sizes that data decides are drawn three times; a doubtful answer is turned into others.
    """
    asked_for = [r for _, ledger in counts for r in ledger.remarks if r.startswith("data:")]
    invented = found.method == RUNGS[-1]  # a size may hang on what was invented, asked for or not
    if not (asked_for or invented):
        return found
    sized = not asked_for or any(SIZE in remark for remark in asked_for)
    rungs = RUNGS[-1:] if sized else RUNGS
    until = deadline.or_before(Deadline.of_trial(TRIAL_SECONDS, took))
    alike = [
        _is_alike(found, partial(counted, Supposed(answers=each, rungs=rungs), until), sized)
        for each in FAR
    ]
    if all(alike):
        told = None if asked_for else found.reason
        return replace(found, bounds=_bounds(counts, _total(found))[0], reason=told)
    return found if asked_for else replace(found, bounds=(0, None))


def _with_other_weights(
    found: LiveCount,
    counts: list[Counted],
    counted: Callable[..., list[Counted]],
    deadline: Deadline,
    took: float,
    rungs: Sequence[str] = RUNGS[:1],
) -> LiveCount:
    """Ask what the call costs with other weights, where it asked for their values: as much, or bounds."""
    if found.bounds is not None or not any(WEIGHED in ledger.remarks for _, ledger in counts):
        return found
    until = deadline.or_before(Deadline.of_trial(TRIAL_SECONDS, took))
    draws = [partial(counted, Supposed(rungs=rungs, weights=n), until) for n in range(len(FAR))]
    if all(_is_alike(found, each, sized=False) for each in draws):
        return found
    return replace(found, bounds=(0, None), reason=WEIGHTS_DECIDE)


def _with_other_numbers(
    found: LiveCount, counts: list[Counted], counted: Callable[..., list[Counted]]
) -> LiveCount:
    """Ask what the call costs where random numbers fall otherwise: as much, or nobody knows."""
    dice = [r for _, ledger in counts for r in ledger.remarks if r.startswith("random:")]
    if not dice:
        return found
    if not any(ASKED in remark for remark in dice) and all(
        _merged(counted(Supposed(seed=seed))).by_dtype == found.by_dtype for seed in range(REDRAWS)
    ):
        return found  # what was drawn is data, and decides nothing
    reasons = [*([found.reason] if found.reason else ()), dice[0]]
    return replace(found, bounds=(0, None), reason="; ".join(reasons))


def _is_alike(found: LiveCount, counted: Callable[[], list[Counted]], sized: bool) -> bool:
    """Whether a call costs the same if questions for data are answered otherwise.

    A model that raises at another answer checks its numbers and decides nothing by them, unless they are
    sizes. One that computes for too long decides by them.
    """
    try:
        return _merged(counted()).by_dtype == found.by_dtype
    except TooLongError:
        return False
    except CountError:
        return not sized


def _total(found: LiveCount) -> int:
    return found.forward + found.backward + found.recompute


@alone
def count_chain(
    call: LiveCall, passes: Sequence[Pass], *, seconds: float = 60.0, real: bool = True
) -> LiveCount:
    """Count a captured call of whose backward passes some are differentiated by others.

    Where it cannot be said what was differentiated, the upper bound is open.
    """
    deadline = Deadline.after(seconds)

    def counted(*, linear: bool) -> tuple[LiveCount, bool]:
        chain = Chain(passes, linear=linear)
        count = climb(call, None, chain, deadline, Supposed(), real=real)
        return _merged([count]), chain.is_open

    found, is_open = counted(linear=True)
    bent = sum(not one.linear for one in passes)
    if bent:
        other, other_is_open = counted(linear=False)
        if is_open != other_is_open and bent > 1:
            high = None if other_is_open else _total(other)  # some of them may be linear
            return replace(found, bounds=(_total(found), high), reason=PERHAPS)
        if is_open and not other_is_open:
            return other  # so many gradients can be differentiated in this case alone
        same = other.by_dtype == found.by_dtype
        if not (is_open or other_is_open or same):
            ends = sorted(map(_total, (found, other)))
            return replace(found, bounds=(ends[0], ends[1]), reason=PERHAPS)
    if not is_open:
        return found
    low = _total(found) if found.bounds is None else found.bounds[0]
    return replace(found, bounds=(low, None), reason=DOUBLED)


def _between(
    call: LiveCall,
    passes: Sequence[Targets],
    wanted: Sequence[Wanted | None],
    number: int,
    reason: str,
    *,
    seconds: float,
    real: bool,
) -> LiveCount:
    """The least that a call with a doubtful pass cost, and the most: without that pass, and whole."""
    fewer = [*passes[:number], *passes[number + 1 :]]
    rest = [*wanted[:number], *wanted[number + 1 :]]
    least = count_call(call, fewer or (_nowhere,), rest, seconds=seconds, real=real)
    whole = [*wanted[:number], None, *wanted[number + 1 :]]
    most = count_call(call, passes, whole, seconds=seconds, real=real)
    low = least.forward + least.backward + least.recompute
    high: int | None = most.forward + most.backward + most.recompute
    if least.bounds is not None:
        low = least.bounds[0]
    if most.bounds is not None:
        high = most.bounds[1]
    reasons = dict.fromkeys(text for text in (reason, least.reason, most.reason) if text)
    return replace(least, bounds=(low, high), reason="; ".join(reasons))


def _nowhere(_out: Any) -> Sequence[Any]:
    return ()


def _merged(counts: list[Counted]) -> LiveCount:
    """One forward, and the backward of every pass."""
    first = counts[0][0]
    by_dtype: dict[str, dict[str, int]] = {
        phase: defaultdict(int) for phase in (*MODEL_PHASES, "recompute")
    }
    for number, (count, _) in enumerate(counts):
        for entry in count.entries:
            if entry.flop and not (number and entry.phase == "forward"):
                by_dtype[entry.phase][entry.dtype] += entry.flop
    backward = sum(count.backward for count, _ in counts)
    recompute = sum(count.recompute for count, _ in counts)
    total = first.forward + backward + recompute
    bounds, reasons = _bounds(counts, total)
    asked_for = [r for _, ledger in counts for r in ledger.remarks if r.startswith("data:")]
    if asked_for:
        bounds = (0, None)
        reasons.append(asked_for[0].removeprefix("data: "))
    if first.method == "meta-invented":
        reasons.append("control flow that depends on data got random answers")
    return LiveCount(
        forward=first.forward,
        backward=backward,
        recompute=recompute,
        by_dtype={phase: dict(figures) for phase, figures in by_dtype.items()},
        uncounted=tuple(sorted({item.op for count, _ in counts for item in count.uncounted})),
        bounds=bounds,
        reason="; ".join(reasons) or None,
        world_size=first.per_rank.world_size if first.per_rank is not None else 1,
        method=first.method,
        reads=any(READS in ledger.remarks for _, ledger in counts),
        asked=frozenset().union(*(ledger.asked for _, ledger in counts)),
        decided=any(r.startswith(DECIDED) for _, ledger in counts for r in ledger.remarks),
        nodes=counts[0][1].nodes,
    )


def _bounds(counts: list[Counted], total: int) -> tuple[tuple[int, int | None] | None, list[str]]:
    """Least and greatest hardware FLOP, and why they differ."""
    low, high, reasons = total, total, []
    is_open = False
    for number, (count, ledger) in enumerate(counts):
        for item in count.uncounted:
            if number == 0 or item.op not in {o.op for o in counts[0][0].uncounted}:
                reasons.append(f"no rule covers {item.op}")
            is_open |= item.upper_bound is None
            high += item.upper_bound or 0
        guessed = sum(tally.flop for tally in ledger.lines.values() if tally.inexact)
        if guessed:
            low -= guessed
            reasons.append("how many rows reach the experts depends on data")
    if low == high and not is_open:
        return None, reasons
    return (low, None if is_open else high), reasons
