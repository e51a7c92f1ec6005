"""Products beside the model that no graph shows: between calls, and inside of optimizers' steps.

What is computed without gradients, or is never differentiated, leaves nothing behind that could be read
later. So some steps are watched op by op, by a mode of torch's that changes nothing: only where the
program itself computes, never inside of a call, of a backward or of what the compiler made. A watched op
costs microseconds; how many steps are watched is a matter of how dear that was (``SHARE``).
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch._C import _get_dispatch_stack_at as stacked
from torch._C import _pop_torch_dispatch_stack as _pop
from torch._C import _push_on_torch_dispatch_stack as push
from torch._C._functorch import peek_interpreter_stack
from torch.compiler import is_dynamo_compiling
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from profilers.steps.backward.passes import LOOKING
from profilers.steps.calls.asked import graph_task, modes
from profilers.steps.folding.listener import Found, Price
from profilers.steps.products.mode import Mode, Tally

if TYPE_CHECKING:
    from profilers.steps.calls.here import Here
    from profilers.steps.folding.events import Kind
    from profilers.steps.observer import Observer

FREE = 16
"""So many of the first windows cost what they cost."""
OP_NS = 5_000
"""A watched op takes about so much longer."""
WINDOW_NS = 100_000
"""So much is added for a window itself, in which calls go the longer way (profilers.steps.calls.seam)."""
SHARE = 1000
"""One part in so many of the time may go into that."""
WITHOUT = frozenset(
    {
        "ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "LBFGS", "NAdam", "RAdam",
        "RMSprop", "Rprop", "SGD", "SparseAdam",
    }
)  # fmt: skip
"""torch's own optimizers whose steps multiply no matrices: they are not watched."""
ABLE = hasattr(TorchDispatchMode, "ignore_compile_internals")
"""Whether this torch compiles under a mode as it does without."""


def is_safe() -> bool:
    """Whether torch's stack of modes may be changed for good here.

    Whoever leaves inference mode, a compiled function or a backward puts back which parts of torch are
    switched on, as they were on entering: a mode that was there has to be there then, and no other one.
    """
    if torch.is_inference_mode_enabled() or graph_task() != -1:
        return False
    if peek_interpreter_stack() is not None:
        return False
    compiler = getattr(sys.modules.get("torch._dynamo.eval_frame"), "__file__", None)
    frame: Any = None if compiler is None else sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename == compiler:
            return False
        frame = frame.f_back
    return True


class Watched:
    """Stands for ``profilers.steps.calls.here.Here`` in a window, and tells when a call begins and ends."""

    __slots__ = ("_beside", "inner")

    def __init__(self, inner: Any, beside: Beside) -> None:
        self.inner, self._beside = inner, beside

    @property
    def depth(self) -> int:
        """Whether this thread is inside of an outermost call, or of our own work."""
        return int(self.inner.depth)

    @depth.setter
    def depth(self, value: int) -> None:
        self.inner.depth = value
        try:
            (self._beside.pause if value else self._beside.resume)()
        except Exception as error:  # noqa: BLE001 - never into the program
            self._beside.failed(error)


class Beside:
    """Opens and closes the windows of one observer."""

    def __init__(
        self, observer: Observer, price_of: Callable[[Any], Price | None], *, wanted: bool
    ) -> None:
        """Take whose windows they are, who says what ops cost, and whether steps are watched at all.

        Adapters that are merged are watched in any case.
        """
        self._observer = observer
        self._price_of = price_of
        self._thread = threading.get_ident()
        self._mode: Mode | None = None
        self._pushed = False
        self._back = False
        """It was taken from the stack where it has to lie again when whatever runs there is over."""
        self._resting = 0
        """So many backward passes run, or one of torch's own optimizers is in its step."""
        self._loop = Tally()
        """What the step holds until now."""
        self._spans: list[Tally] = []
        """The same, of spans that are open, and of the step around them."""
        self._aside: Kind | None = None
        """The kind of the last call, where that was an evaluation's."""
        self._undo: Callable[[], None] | None = None
        self._windows = 0
        self._next = 0
        """When (ns) another window may be opened."""
        self._empty: dict[str, int] = {}
        """By optimizer, how many windows held nothing; -1 once one held something."""
        self._first = True
        self._began: str | None = None
        """Whose first window held nothing, and began in the middle of a step."""
        self._allowed = ABLE
        self._wanted = wanted
        self._here: Here | None = None
        self._merging = 0
        """So deep inside of functions that merge adapters."""
        self._alone = False
        """The mode is there for these alone."""
        self._around: Tally | None = None
        """What the step held when they began."""
        self._left: Mode | None = None
        """A mode of a window that is over, which could not be taken from torch's stack."""

    # ------------------------------------------------------------ windows

    def arm(self) -> None:
        """The first window opens with the first call."""
        if self._wanted and self._allowed and not modes():
            here = self._observer.here
            if not isinstance(here, Watched):
                self._here = here
                self._observer.here = Watched(here, self)

    def begins(self) -> None:
        """A step is over: perhaps the next one is watched."""
        if not (self._wanted and self._allowed and LOOKING[0]) or self._mode is not None:
            return
        if self._windows >= FREE and time.monotonic_ns() < self._next:
            return
        if threading.get_ident() != self._thread or self._observer.here.depth or self._left:
            return
        if modes() or not is_safe():
            return
        self.arm()
        self._open()
        # Not in the first window: there the compiler may take an optimizer's step with all of its hooks.
        # Nor beside other threads: one may be about to go through them.
        if not self._observer.threads.several:
            self._undo = register_optimizer_step_pre_hook(self._starts).remove
        self.resume()

    def _open(self) -> None:
        self._windows += 1
        self._mode = Mode(self._price_of)
        self._loop, self._resting = Tally(), 0
        self._spans.clear()

    def ends(self, optimizer: str) -> Found | None:
        """An optimizer has stepped: what was there since the step before, if that was watched."""
        first, self._first = self._first, False
        mode = self._mode
        if mode is None:
            self._close()  # the first window, if no call opened it
            return None
        if threading.get_ident() != self._thread:
            mode.idle = True  # cannot be taken from another thread's stack
            return None
        left = mode.left()
        self._sort()
        self._loop.add(left)
        products, other = self._loop.told()
        within, other_within = mode.within.told()
        self._next = time.monotonic_ns() + (WINDOW_NS + mode.ops * OP_NS) * SHARE
        self._close()
        if mode.idle:
            return None
        held = bool(products or other or within or other_within)
        empty = self._empty.get(optimizer, 0)
        if not held and empty >= 0:
            self._empty[optimizer] = empty + 1
            self._began = optimizer if first else None
            return None
        self._empty[optimizer] = -1
        if held and empty == 1 and self._began == optimizer:
            empty = 0  # that was the first step, of which the beginning was not watched
        return Found(
            optimizer, products, within, other, other_within, empty=max(0, empty), partial=first
        )

    def failed(self, error: Exception) -> None:
        """Something of ours did not work: what this window held is not known."""
        if self._mode is not None:
            self._mode.idle = True
        self._observer.trouble("what was computed beside the model", error)

    def drop(self) -> None:
        """Watch nothing any more."""
        self._allowed = False
        self._close()

    def _close(self) -> None:
        if self._pushed and not self._taken():
            self._left = self._mode
        if self._undo is not None:
            self._undo()
        if self._here is not None and self._left is None:
            self._observer.here, self._here = self._here, None
        self._mode = self._undo = None
        self._pushed = self._back = False

    # ------------------------------------------------------------ where the program itself computes

    def pause(self) -> None:
        """A call begins, or work of ours, or a backward; ``resume`` follows in any case."""
        if threading.get_ident() != self._thread:
            return
        if self._left is not None and self._taken():
            self._left = None
            self._close()
        mode = self._mode
        if mode is None:
            if self._first and self._here is not None and self._allowed:
                self._open()
            return
        if self._pushed:
            if modes() == 1 and stacked(0) is mode:
                _pop(None)
                self._pushed, self._back = False, not is_safe()
            else:
                mode.idle = True  # others are on top
            mode.settle()
            self._sort()
        if mode.idle and not self._back:
            self._close()

    def resume(self) -> None:
        """It is over."""
        mode = self._mode
        if mode is None or self._pushed or self._resting or threading.get_ident() != self._thread:
            return
        if modes() or not (self._back or (is_safe() and not mode.idle)):
            mode.idle = True
            return
        push(mode)
        self._pushed, self._back = True, False

    def _taken(self) -> bool:
        """Take our mode from the stack for good, if that is safe."""
        mode = self._mode or self._left
        if modes() != 1 or stacked(0) is not mode or not is_safe():
            return False
        _pop(None)
        self._pushed = False
        return True

    def backward(self, *, runs: bool) -> None:
        """A backward begins, or is over."""
        if self._mode is None or threading.get_ident() != self._thread:
            return
        if runs:
            self._resting += 1
            self.pause()
        elif self._resting:
            self._resting -= 1
            self.resume()

    def _starts(self, optimizer: Any, _args: Any, _kwargs: Any) -> None:
        """An optimizer is about to step."""
        if is_dynamo_compiling() or not self._pushed or threading.get_ident() != self._thread:
            return
        kind = type(optimizer)
        if kind.__module__.startswith("torch.optim.") and kind.__name__ in WITHOUT and is_safe():
            self._resting += 1  # until the window ends with the step
            self.pause()

    # ------------------------------------------------------------ whose it is

    def _sort(self) -> None:
        """A stretch is over: what came after a call of an evaluation belongs to that."""
        mode = self._mode
        assert mode is not None
        sums, mode.sums = mode.sums, Tally()
        events: Any = reversed(self._observer.log[-4:])
        last = next((event[0] for event in events if len(event) == 4 and event[0].place), None)
        if last is not None:
            self._aside = last if last.aside and self._is_trained(last) else None
        if self._aside is None or self._spans:
            self._loop.add(sums)
        else:
            self._tell(sums, self._aside)

    def _is_trained(self, kind: Kind) -> bool:
        """Whether an optimizer trains the model; calls of others belong to the step."""
        known = self._observer.optimizers
        return known.trains(kind) or not (known.any_trained or not known.expected([kind]))

    def _tell(self, sums: Tally, aside: Kind | None) -> None:
        products, other = sums.told()
        if products or other:
            self._observer.elsewhere.beside(Found("", products, (), other), aside)

    def merges(self) -> None:
        """Something begins that is watched each time, and in no other step (``adapters``)."""
        try:
            self._merges()
        except Exception as error:  # noqa: BLE001 - never into the program
            self.failed(error)

    def merged(self) -> None:
        """It is over."""
        try:
            self._merged()
        except Exception as error:  # noqa: BLE001 - never into the program
            self.failed(error)

    def _merges(self) -> None:
        if threading.get_ident() != self._thread or is_dynamo_compiling():
            return
        self._merging += 1
        if self._merging > 1 or self._observer.inside() or not self._observer.watching:
            return
        self._alone = self._mode is None
        if self._alone and self._allowed and self._left is None and not modes() and is_safe():
            self._mode = Mode(self._price_of)
            push(self._mode)
            self._pushed = True
        if self._mode is None or not self._pushed:
            self._observer.elsewhere.unseen(
                "adapters that were merged where they could not be watched"
            )
            return
        self._mode.settle()
        self._sort()
        self._around, self._loop = self._loop, Tally()

    def _merged(self) -> None:
        if threading.get_ident() != self._thread or is_dynamo_compiling() or not self._merging:
            return
        self._merging -= 1
        if self._merging or self._around is None:
            return
        mode, around, self._around = self._mode, self._around, None
        if mode is not None:
            self._loop.add(mode.left())
            self._loop.add(mode.sums)
            mode.sums = Tally()
            self._tell(self._loop, None)
            if self._alone:
                if not self._taken():
                    self._left = mode
                self._mode, self._pushed = None, False
        self._loop = around

    def begins_span(self) -> None:
        """What comes belongs to a span."""
        if self._mode is not None:
            self._mode.settle()
            self._sort()
            self._spans.append(self._loop)
            self._loop = Tally()

    def ends_span(self) -> None:
        """It is over."""
        if self._mode is not None and self._spans:
            self._mode.settle()
            self._sort()
            self._tell(self._loop, None)
            self._loop = self._spans.pop()
