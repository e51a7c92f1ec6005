"""Counts one call of a model that is training right now, and disturbs nothing.

``flopcount.count`` is asked by somebody who waits for the answer. Here nobody asked: the count
happens between two steps of a run, so it must not fire the user's hooks, draw from any generator of
random numbers, talk to another rank, compute at full size or take long. The call is captured when
it is made (:func:`capture`: shapes, flags and settings, no storage) and counted when it is known
what was differentiated (:func:`count_call`).
"""

from __future__ import annotations

import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any

import torch

from flopcount.count import MODEL_PHASES, FlopCount
from flopcount.doubles import CpuDoubles, Doubles, FakeDoubles, MetaDoubles
from flopcount.draws import noticing_python_draws
from flopcount.errors import CountError, FlopcountError
from flopcount.exchange import convert_inputs, doubled
from flopcount.known_values import KnownValues
from flopcount.layer_numbers import SharingRefusedError
from flopcount.live_capture import LiveCall, tensors_within, without_storage
from flopcount.live_model import as_it_was
from flopcount.live_passes import DOUBLED, PERHAPS, Chain, Pass, Wanted, doubtful, run_pass
from flopcount.live_watch import FAR, SIZE, LiveWatch, OptimizerInsideError, follow_data, watching
from flopcount.parallel import unwrap
from flopcount.shared_layers import Sharing
from flopcount.summary import summarise
from flopcount.trace import Step, StepError, _neutral_torch, unseen

if TYPE_CHECKING:
    from flopcount.ledger import Ledger

Counted = tuple[FlopCount, "Ledger"]
Targets = Callable[[Any], Sequence[Any]]
"""From a model's output to the tensors at which one backward pass began."""

READS = "values of inputs were asked for"
"""A remark."""
ASKED = "asks a random number"
"""In a remark (flopcount.draws): what is computed depends on a draw."""
RUNGS = ("meta", "fake", "cpu", "meta-invented")
"""Ways of tracing, in the order in which they are tried."""
REDRAWS = 4
"""So often a call is counted again with other draws, where they may decide what is computed."""
MOST_CPU_FLOP = 10**10
"""A model that only runs on real numbers may compute so much, about a tenth of a second."""


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
        seconds: After so long a trace is given up.
        real: Whether small real numbers may be computed with where nothing else works.

    Raises:
        CountError: when the model raises on every way of tracing it.

    """
    deadline = time.monotonic() + seconds

    def counted(
        seed: int | None = None, answers: str = "given", rungs: Sequence[str] = RUNGS
    ) -> list[Counted]:
        each = zip(passes or (None,), wanted or repeat(None), strict=False)
        return [
            _climb(
                call, targets, deadline, asked, real=real, seed=seed, answers=answers, rungs=rungs
            )
            for targets, asked in each
        ]

    inputs = [item for item in tensors_within((call.args, call.kwargs)) if item.requires_grad]
    for number, asked in enumerate(wanted):
        reason = doubtful(asked, inputs)
        if reason is not None:
            return _between(call, passes, wanted, number, reason, seconds=seconds, real=real)
    counts = counted()
    found = _merged(counts)
    asked_for = [r for _, ledger in counts for r in ledger.remarks if r.startswith("data:")]
    if asked_for:
        # Sizes that data decides are drawn three times; a doubtful answer is turned into others.
        sized = any(SIZE in remark for remark in asked_for)
        rungs = RUNGS[-1:] if sized else RUNGS
        others = [_otherwise(partial(counted, answers=each, rungs=rungs)) for each in FAR]
        if all(
            other.by_dtype == found.by_dtype if other is not None else not sized for other in others
        ):
            found = replace(found, bounds=_bounds(counts, _total(found))[0], reason=None)
    dice = [r for _, ledger in counts for r in ledger.remarks if r.startswith("random:")]
    if not dice:
        return found
    if not any(ASKED in remark for remark in dice) and all(
        _merged(counted(seed)).by_dtype == found.by_dtype for seed in range(REDRAWS)
    ):
        return found  # what was drawn is data, and decides nothing
    reasons = [*([found.reason] if found.reason else ()), dice[0]]
    return replace(found, bounds=(0, None), reason="; ".join(reasons))


def _otherwise(counted: Callable[[], list[Counted]]) -> LiveCount | None:
    """What a call costs if questions for data are answered otherwise; None where it raises then.

    A model that raises at another answer checks its numbers and decides nothing by them.
    """
    try:
        return _merged(counted())
    except CountError:
        return None


def _total(found: LiveCount) -> int:
    return found.forward + found.backward + found.recompute


def count_chain(
    call: LiveCall, passes: Sequence[Pass], *, seconds: float = 60.0, real: bool = True
) -> LiveCount:
    """Count a captured call of whose backward passes one is differentiated by another.

    Where it cannot be said what was differentiated, the upper bound is open.
    """
    deadline = time.monotonic() + seconds

    def counted(*, linear: bool) -> tuple[LiveCount, bool]:
        chain = Chain(passes, linear=linear)
        return _merged([_climb(call, None, deadline, chain, real=real, seed=None)]), chain.is_open

    found, is_open = counted(linear=True)
    if not all(one.linear for one in passes):
        other, other_is_open = counted(linear=False)
        if is_open and not other_is_open:
            return other  # so many gradients can be differentiated in this case alone
        same = other.by_dtype == found.by_dtype
        if not (is_open or other_is_open or same):
            ends = sorted(one.forward + one.backward + one.recompute for one in (found, other))
            return replace(found, bounds=(ends[0], ends[1]), reason=PERHAPS)
    if not is_open:
        return found
    low = found.forward + found.backward + found.recompute
    if found.bounds is not None:
        low = found.bounds[0]
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


def _climb(
    call: LiveCall,
    targets: Targets | None,
    deadline: float,
    wanted: Wanted | Chain | None,
    *,
    real: bool,
    seed: int | None,
    answers: str = "given",
    rungs: Sequence[str] = RUNGS,
) -> Counted:
    """The first way of tracing that works."""
    failures: list[str] = []
    for rung in rungs:
        if rung == "cpu" and (not real or _is_distributed()):
            continue
        try:
            with _undisturbed(seed):
                ledger = _on(rung, call, targets, deadline, wanted, answers)
        except (StepError, FlopcountError, MemoryError) as failure:
            if isinstance(getattr(failure, "error", None), OptimizerInsideError):
                raise CountError(f"{_said(failure)}; what it does cannot be run again") from None
            failures.append(f"{rung}: {_said(failure)}")
            if time.monotonic() > deadline:
                break
            continue
        return summarise(ledger, method=rung, notes=tuple(failures)), ledger
    raise CountError(
        f"the model raised on every way of tracing it; {'; '.join(failures)}; "
        "check that it runs on these inputs by itself, or state its cost"
    )


def _on(
    rung: str,
    call: LiveCall,
    targets: Targets | None,
    deadline: float,
    wanted: Wanted | Chain | None,
    answers: str,
) -> Ledger:
    def traced(doubles: Doubles, *, share: bool = False, most_flop: int | None = None) -> Ledger:
        doubles.known.answers = answers
        return _trace(call, targets, doubles, deadline, wanted, share=share, most_flop=most_flop)

    if rung == "fake":
        return traced(FakeDoubles(KnownValues()))
    if rung == "cpu":
        return traced(CpuDoubles(KnownValues(), most_bytes=1 << 28), most_flop=MOST_CPU_FLOP)
    if rung == "meta-invented":
        return traced(MetaDoubles(KnownValues(inventing=True, draw=list(FAR).index(answers))))
    # Equal layers are not equal to a pass that was asked for one of them.
    if wanted is None and not any(
        key.startswith("output_") and value for key, value in call.kwargs.items()
    ):
        try:
            return traced(MetaDoubles(KnownValues()), share=True)
        except (SharingRefusedError, StepError):
            pass  # the unshared trace decides
    return traced(MetaDoubles(KnownValues()))


def _trace(
    call: LiveCall,
    targets: Targets | None,
    doubles: Doubles,
    deadline: float,
    wanted: Wanted | Chain | None,
    *,
    share: bool = False,
    most_flop: int | None = None,
) -> Ledger:
    """Run the call on doubles, as it was made."""
    model = unwrap(call.model)
    watch = LiveWatch(model, call, deadline, most_flop)
    sharing: Sharing | None = None
    try:
        with ExitStack() as stack:
            step = Step(
                model=model, args=(), kwargs={}, backward=call.gradients, loss=None, optimizer=None
            )
            stack.enter_context(_neutral_torch(step))
            stack.enter_context(noticing_python_draws(watch.ledger.remarks))
            stack.enter_context(doubles)
            stack.enter_context(doubled([model], doubles))
            as_it_was(call, model)
            # A cache among the inputs is written to by each trace: each gets its own.
            given = without_storage((call.args, call.kwargs))
            inputs, named = convert_inputs(given, doubles)
            if isinstance(doubles, CpuDoubles):
                watch.on_numbers = True
                follow_data([*model.parameters(), *tensors_within((inputs, named))])
            watch.has_shards = doubles.has_shards
            watch.on_fakes = isinstance(doubles, FakeDoubles)
            if share and not doubles.has_shards:
                sharing = Sharing(model, watch)
            stack.enter_context(watching(watch, doubles.known))
            out = model(*inputs, **named)
            through = [item for item in tensors_within((inputs, named)) if item.requires_grad]
            if isinstance(wanted, Chain):
                wanted.run(out, model, through)
            elif targets is not None:
                began = [target for target in targets(out) if target.requires_grad]
                run_pass(began, wanted, model, through)
    except (FlopcountError, SharingRefusedError):
        raise
    except Exception as error:
        raise StepError(error, watch.failed_at or "") from error
    if sharing is not None:
        sharing.settle()
    watch.ledger.local = watch.local if watch.has_shards else None
    own = {_place(item) for item in tensors_within(given)}
    if isinstance(doubles, CpuDoubles) or any(_place(item) in own for item in doubles.known.read):
        watch.ledger.remarks.append(READS)
    return watch.ledger


def _place(tensor: Any) -> int:
    """Where a tensor's numbers lie."""
    return int(tensor.untyped_storage().data_ptr()) if type(tensor) is torch.Tensor else 0


@contextmanager
def _undisturbed(seed: int | None) -> Iterator[None]:
    """Keep the generators that are not torch's own; torch's is kept by the trace itself."""
    state = random.getstate()
    numpy = sys.modules.get("numpy")
    legacy = numpy.random.get_state() if numpy is not None else None
    autocast = {kind: torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda")}
    try:
        if seed is not None:
            random.seed(seed)
            if numpy is not None:
                numpy.random.seed(seed)
        for kind, enabled in autocast.items():
            if enabled:
                torch.set_autocast_enabled(kind, enabled=False)
        with unseen():
            yield
    finally:
        for kind, enabled in autocast.items():
            if enabled:
                torch.set_autocast_enabled(kind, enabled=True)
        random.setstate(state)
        if numpy is not None:
            numpy.random.set_state(legacy)


def _is_distributed() -> bool:
    """Whether other ranks exist, with whom a computation on real numbers might talk."""
    distributed = torch.distributed
    return bool(distributed.is_available() and distributed.is_initialized())


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


def _said(failure: BaseException) -> str:
    error = getattr(failure, "error", failure)
    where = getattr(failure, "where", "")
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}{f' in {where}' if where else ''}: {text}"
