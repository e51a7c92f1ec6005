"""Ways of tracing a captured call, from the cheapest to the last, and without disturbing a run.

The model's tensors are exchanged for doubles and it is called as it was called; hooks of the program do
not fire, no generator of random numbers advances, no other rank is talked to (:mod:`flopcount.live`).
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch._C._autograd import _get_sequence_nr as sequence
from torch.utils import _pytree as pytree

from flopcount.count import FlopCount
from flopcount.doubles import CpuDoubles, Doubles, FakeDoubles, MetaDoubles
from flopcount.draws import noticing_python_draws
from flopcount.errors import CountError, FlopcountError
from flopcount.exchange import doubled, is_size
from flopcount.known_values import KnownValues
from flopcount.layer_numbers import SharingRefusedError
from flopcount.live.beside import kept_beside
from flopcount.live.capture import LiveCall, tensors_within, without_storage
from flopcount.live.counter import FAR, follow_data, follow_sources
from flopcount.live.hooks import passing_over_refusals
from flopcount.live.model import as_it_was
from flopcount.live.passes import Chain, Wanted, run_pass
from flopcount.live.signals import arrived, let_through
from flopcount.live.watch import (
    LiveTimeoutError,
    LiveWatch,
    OptimizerInsideError,
    ThreadInsideError,
)
from flopcount.live.watching import watching
from flopcount.parallel import gathered_since, unwrap
from flopcount.shared_layers import Sharing
from flopcount.summary import summarise
from flopcount.trace import Step, StepError, _neutral_torch, unseen

if TYPE_CHECKING:
    from flopcount.ledger import Ledger
    from flopcount.live.deadline import Deadline

Counted = tuple[FlopCount, "Ledger"]
"""What a trace found, and the whole of what it saw."""
Targets = Callable[[Any], Sequence[Any]]
"""From a model's output to the tensors at which one backward pass began."""

READS = "values of inputs were asked for"
"""A remark."""
WEIGHED = "values of weights were asked for"
"""Likewise: after another step they are others."""
RUNGS = ("meta", "fake", "cpu", "meta-invented")
"""Ways of tracing, in the order in which they are tried."""
MOST_CPU_FLOP = 10**10
"""A model that only runs on real numbers may compute so much, about a tenth of a second."""


class TooLongError(CountError):
    """The last way of tracing was given up: it computed for too long, and not the model raised."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Supposed:
    """What a trace takes for granted where only the run itself knows."""

    seed: int | None = None
    """Of the generators of random numbers; None leaves them as they are."""
    answers: str = "given"
    """Where the model asks for values of data: a key of ``FAR``, or what a trace gives by itself."""
    weights: int | None = None
    """Which draw its weights are of, where it asks for their values; None: their own."""
    received: int | None = None
    """How many times as many rows as it sends come from other ranks; None: nobody may ask."""
    rungs: Sequence[str] = RUNGS
    """The ways of tracing that may be tried."""


def climb(
    call: LiveCall,
    targets: Targets | None,
    wanted: Wanted | Chain | None,
    deadline: Deadline,
    supposed: Supposed,
    *,
    real: bool,
) -> Counted:
    """The first way of tracing that works."""
    failures: list[str] = []
    too_long = False
    for rung in supposed.rungs:
        if rung == "cpu" and not (real and (_is_ragged(call) or not is_distributed())):
            continue
        try:
            with _undisturbed(supposed.seed), _no_threads():
                ledger = _on(rung, call, targets, wanted, deadline, supposed)
        except (StepError, FlopcountError, MemoryError) as failure:
            if isinstance(
                getattr(failure, "error", None), OptimizerInsideError | ThreadInsideError
            ):
                raise CountError(f"{_said(failure)}; what it does cannot be run again") from None
            failures.append(f"{rung}: {_said(failure)}")
            error = getattr(failure, "error", failure)
            too_long = isinstance(error, LiveTimeoutError) or deadline.is_over
            if too_long:
                break
            continue
        return summarise(ledger, method=rung, notes=tuple(failures)), ledger
    raise (TooLongError if too_long else CountError)(
        f"the model raised on every way of tracing it; {'; '.join(failures)}; "
        "check that it runs on these inputs by itself, or state its cost"
    )


def _on(
    rung: str,
    call: LiveCall,
    targets: Targets | None,
    wanted: Wanted | Chain | None,
    deadline: Deadline,
    supposed: Supposed,
) -> Ledger:
    def traced(doubles: Doubles, *, share: bool = False, most_flop: int | None = None) -> Ledger:
        known = doubles.known
        known.answers, known.weights = supposed.answers, supposed.weights
        known.received = supposed.received
        doubles.over = gathered_since(call.model.parameters(), call.spread)
        with kept_beside(call.model):
            # In a context of its own: what a forward sets in context variables stays there.
            trace = partial(_trace, share=share, most_flop=most_flop)
            return copy_context().run(trace, call, targets, wanted, deadline, doubles)

    if rung == "fake":
        return traced(FakeDoubles(KnownValues()))
    if rung == "cpu":
        return traced(CpuDoubles(KnownValues(), most_bytes=1 << 28), most_flop=MOST_CPU_FLOP)
    if rung == "meta-invented":
        draw = list(FAR).index(supposed.answers)
        return traced(MetaDoubles(KnownValues(inventing=True, draw=draw)))
    # Equal layers are not equal to a pass that was asked for one of them.
    if (
        wanted is None
        and not call.whole
        and not any(key.startswith("output_") and value for key, value in call.kwargs.items())
    ):
        try:
            return traced(MetaDoubles(KnownValues()), share=True)
        except (SharingRefusedError, StepError):
            pass  # the unshared trace decides
    return traced(MetaDoubles(KnownValues()))


def _trace(
    call: LiveCall,
    targets: Targets | None,
    wanted: Wanted | Chain | None,
    deadline: Deadline,
    doubles: Doubles,
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
            if isinstance(doubles, CpuDoubles):
                follow_sources({_place(value): made for value, made in doubles.made()})
            as_it_was(call, model)
            # A cache among the inputs is written to by each trace: each gets its own.
            given = without_storage((call.args, call.kwargs))
            inputs, named = _converted(given, doubles)
            if isinstance(doubles, CpuDoubles):
                watch.on_numbers = True
                follow_data([*model.parameters(), *tensors_within((inputs, named))])
            watch.has_shards = doubles.has_shards
            watch.among_ranks = is_distributed()
            watch.on_fakes = isinstance(doubles, FakeDoubles)
            if share and not doubles.has_shards:
                sharing = Sharing(model, watch, doubles.known)
            stack.enter_context(watching(watch, doubles.known))
            stack.enter_context(passing_over_refusals())
            with let_through():
                first = sequence()
                out = model(*inputs, **named)
                watch.ledger.nodes = sequence() - first
                through = [item for item in tensors_within((inputs, named)) if item.requires_grad]
                if isinstance(wanted, Chain):
                    wanted.run(out, model, through)
                elif targets is not None:
                    began = [target for target in targets(out) if target.requires_grad]
                    run_pass(began, wanted, model, through)
    except (FlopcountError, SharingRefusedError):
        raise
    except BaseException as error:
        if arrived():
            raise
        # Whatever the model's own code raises, SystemExit too, is a failure of this way of tracing.
        raise StepError(error, watch.failed_at or "") from error
    if sharing is not None:
        sharing.settle()
    watch.ledger.local = watch.local if watch.has_shards else None
    own = {_place(item) for item in tensors_within(given)}
    read = set(map(_place, doubles.known.read))
    if isinstance(doubles, CpuDoubles) or read & own:
        watch.ledger.remarks.append(READS)
    trained = {_place(each.data) for each in call.model.parameters() if each.requires_grad}
    if read & trained:
        watch.ledger.remarks.append(WEIGHED)
    watch.ledger.asked |= read - own - trained
    watch.ledger.asked |= watch.asked_of
    return watch.ledger


def _converted(given: Any, doubles: Doubles) -> Any:
    """A call's inputs on doubles, also those deep inside of objects, as in a cache of keys and values."""

    def other(leaf: Any) -> Any:
        return leaf if isinstance(leaf, torch.Tensor) else doubles.other(leaf)

    return pytree.tree_map(other, without_storage(given, doubles), is_leaf=is_size)


def _place(tensor: Any) -> int:
    """Where a tensor's numbers lie; 0 of one that has no such place, as sparse ones."""
    dense = type(tensor) is torch.Tensor and tensor.layout is torch.strided
    return int(tensor.untyped_storage().data_ptr()) if dense else 0


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


@contextmanager
def _no_threads() -> Iterator[None]:
    """Have this thread start no other: what that does, on the run's own weights, would happen twice."""
    original, here = threading.Thread.start, threading.get_ident()

    def start(self: threading.Thread) -> None:
        if threading.get_ident() == here:
            raise ThreadInsideError(f"the model starts a thread ({self.name})")
        original(self)

    threading.Thread.start = start  # type: ignore[method-assign]
    try:
        yield
    finally:
        if threading.Thread.start is start:
            threading.Thread.start = original  # type: ignore[method-assign]


def is_distributed() -> bool:
    """Whether other ranks exist, with whom a computation on real numbers might talk."""
    distributed = torch.distributed
    return bool(distributed.is_available() and distributed.is_initialized())


def _is_ragged(call: LiveCall) -> bool:
    """Whether its inputs have lengths that only real numbers can tell."""
    given = tensors_within((call.args, call.kwargs))
    return any(item.layout is torch.jagged for item in given)


def _said(failure: BaseException) -> str:
    error = getattr(failure, "error", failure)
    where = getattr(failure, "where", "")
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}{f' in {where}' if where else ''}: {text}"
