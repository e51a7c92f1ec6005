"""Which models were called with which shapes, and when did an optimizer step?

Nothing is counted here. Calls are noted by :mod:`profilers.steps.calls.seam` as they happen, optimizers
through torch's global hooks, and about once a second :mod:`profilers.steps.folding.steps` makes steps of
the notes. What runs on each call and each step is kept to microseconds and never raises into the
program. Few modules of this pillar import torch: pyproject.toml names them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import ref

import torch
from torch import compiler as _compiler
from torch._C import _current_graph_task_id as graph_task
from torch._C._autograd import _get_sequence_nr as sequence
from torch.compiler import is_dynamo_compiling
from torch.optim.optimizer import register_optimizer_step_post_hook

from profilers.steps.backward import engine
from profilers.steps.backward.hooks import hook_node
from profilers.steps.backward.observed import LOOKS, Backwards
from profilers.steps.backward.passes import LOOKING
from profilers.steps.calls.here import Here, Inside
from profilers.steps.calls.kinds import signer
from profilers.steps.calls.signature import MOST_OUTPUTS
from profilers.steps.deciders.doubts import Doubts
from profilers.steps.folding.events import Call, Kind, Variant, is_news
from profilers.steps.folding.listener import AlikeSeen, AsideSeen, Found, Listener, StepSeen, now_us
from profilers.steps.folding.steps import Folding
from profilers.steps.models.living import living
from profilers.steps.models.modules import MAKING, Modules
from profilers.steps.optimizers.known import Optimizers, is_joined, steps_before, within_its_own
from profilers.steps.products import outside
from profilers.steps.products.adapters import Adapters
from profilers.steps.products.beside import Beside, Watched
from profilers.steps.products.elsewhere import Elsewhere
from profilers.steps.products.mode import STEP
from profilers.steps.settled.compiled import HOT, BestPulse
from profilers.steps.settled.ways import Ways
from profilers.steps.standing.handlers import MARK, SHIELD, is_the_programs
from profilers.steps.standing.threads import Threads
from profilers.steps.standing.uncompiled import uncompiled
from profilers.steps.standing.wrapped import wrapped

if TYPE_CHECKING:
    from profilers.steps.folding.open import Open

__all__ = [
    "MOST_OUTPUTS",
    "AlikeSeen",
    "AsideSeen",
    "Found",
    "Kind",
    "Listener",
    "Observer",
    "StepSeen",
    "Variant",
    "now_us",
    "output_tensors",
]

FOLD_NS = 1_000_000_000
"""So often the notes are made into steps."""
SEARCH_NS = 10_000_000_000
"""So often, at most, modules are looked for because a step had no call."""
REFRESH_NS = 10_000_000_000
"""So often the list of a model's parameters is read again."""


_NONE: tuple[Callable[[], Any], str] = (lambda: None), ""
"""No optimizer, and its name."""


class _Compiled:
    """Whether an optimizer stepped inside of compiled code, which sets this and nothing else."""

    def __init__(self) -> None:
        self.stepped = False


class Observer(BestPulse):
    """Watches one process for one recording."""

    __slots__ = (
        "__weakref__", "_doubts", "_folding", "_refresh", "_search", "_told", "_undo", "adapters",
        "beside", "calls", "compiled", "elsewhere", "here", "listener", "lock", "looks", "modules",
        "optimizers", "spans", "threads", "ways",
    )  # fmt: skip

    def __init__(
        self, listener: Listener, *, automatic: bool = True, watch_products: bool = False
    ) -> None:
        """Take who is told, whether optimizers end steps by themselves, and whether ops are watched."""
        spans = outside.Spans()
        super().__init__(
            looking=LOOKING,
            keep=spans.fresh.append,
            sequence=sequence,
            clock=time.monotonic_ns,
            thread=threading.get_ident(),
        )
        self.listener = listener
        self.automatic = automatic
        self.here: Here | Watched = Here()
        self.spans, self.calls = spans.fresh, spans.ascending
        """What calls that were seen added to the graph (profilers.steps.products.outside)."""
        self.elsewhere = Elsewhere(self)
        self.beside = Beside(self, listener.price_of, wanted=watch_products)
        self.adapters = Adapters(self.beside.merges, self.beside.merged)
        self.ways = Ways(self, hook_node, self.elsewhere.unseen, self.elsewhere.bypassed)
        self.compiled = _Compiled()
        self.modules = Modules(self)
        self.optimizers = Optimizers(self.modules.known)
        self._folding = Folding(
            listener,
            is_trained=self.optimizers.trains,
            differentiated=self.optimizers.differentiated,
            any_trained=lambda: self.optimizers.any_trained,
            ends_by_word=lambda kinds: not (automatic and self.optimizers.expected(kinds)),
        )
        self._doubts = Doubts(self, self._folding.doubt)
        self.lock = threading.RLock()
        self.threads = Threads(self)
        self.looks = LOOKS
        """So many steps more are looked at."""
        self._search = 0
        self._refresh = 0
        self._undo: list[Callable[[], None]] = []
        self._told: set[str] = set()

    # ------------------------------------------------------------ beginning and end

    def start(self, models: tuple[Any, ...] = ()) -> None:
        """Begin to watch."""
        now = time.monotonic_ns()
        self._folding.ended = now
        self._refresh = now + REFRESH_NS
        for model in models:
            self.modules.arm(model)
        objects = living(frozen=True)
        self.modules.sweep(objects)
        self.optimizers.look(torch.optim.Optimizer, objects)
        del objects
        self._undo = [
            register_optimizer_step_post_hook(self._stepped).remove,
            engine.watch(torch, Backwards(self), self, self.ways, HOT.engine),
            *self.modules.watch(),
            *(wrapped(torch.optim.Optimizer, name, self._made) for name in MAKING),
        ]
        self.watching = True
        LOOKING[0], self.looks = True, LOOKS
        self.beside.arm()
        self.adapters.look()

    def stop(self) -> None:
        """End: close what is open, and leave torch and the modules as they were."""
        self.beside.drop()
        self.adapters.stop()
        if not self.watching:
            return
        try:
            if self.compiled.stepped:
                self.stepped_in_graph()
            self.due = 0
            self.fold(whole=True)
            with self.lock, Inside(self):
                self._folding.finish(time.monotonic_ns())
        except Exception as error:  # noqa: BLE001 - never into the program
            self.trouble("stop", error)
        self.watching = False
        for undo in reversed(self._undo):
            undo()
        self._undo = []
        self.modules.disarm_all()

    def inside(self) -> bool:
        """Whether this thread is inside of an outermost call, or of our own work."""
        return bool(self.here.depth) or (self.settled and threading.get_ident() == self.thread)

    def forked(self) -> None:
        """In a forked child: see nothing any more."""
        self.watching = False
        self.beside.drop()

    # ------------------------------------------------------------ optimizers

    def _stepped(self, optimizer: Any, _args: Any, _kwargs: Any) -> None:
        """Global optimizer hook: a step is over unless another optimizer follows at once."""
        if is_dynamo_compiling() or _compiler._is_compiling_flag:
            self.compiled.stepped = True  # becomes part of the graph: nothing else may
            return
        if self.stepped(optimizer):
            return
        try:
            if self._ends_with(optimizer):
                self.catch_up()
            self.beside.begins()
        except Exception as error:  # noqa: BLE001 - never into the program
            self.trouble("an optimizer's step", error)

    def _ends_with(self, optimizer: Any) -> bool:
        """Note the end of a step; answers whether the notes are due to be made into steps."""
        before, name = self.last or _NONE
        same = before() is optimizer
        trained = any(len(event) == 4 and event[0].watched for event in self.log[self.looked :])
        if not trained and (is_joined() or self.optimizers.is_readied(optimizer)):
            self.beside.ends("")
            return False  # of other ranks, or so that there is a state: nothing was trained here
        if not same:
            known = self.optimizers.known(optimizer)
            if known is None and self.optimizers.is_readied(optimizer):
                self.beside.ends("")
                return False
            layered = self.optimizers.is_layered(optimizer)
            if layered and within_its_own(optimizer, STEP):
                return False  # of its base class: one step, told of twice
            name = known or self._new_optimizer(optimizer)
            self.last = None if layered else (ref(optimizer), name)
            self.threads.steps_here()
        found = self.beside.ends(name)
        if found is not None:
            self.elsewhere.beside(found)
        log = self.log
        at = time.monotonic_ns()
        log.append((name, at))
        # At once, for a thread beside the program may take them (``fold_beside``).
        since, self.looked = log[self.looked :], len(log)
        self.known.clear()
        due = self.fresh or self.wary or at > self.due or (self.boundary and same)
        self.boundary = True
        self.derived = False
        if LOOKING[0]:
            self.looks = LOOKS if self.fresh else self.looks - 1
            LOOKING[0] = self.looks > 0
        if self.waiting:
            self.ways.stepped(self.serial)
        return due or any(map(is_news, since))

    def _made(self, optimizer: Any, *_: Any) -> None:
        """An optimizer was made or unpickled."""
        self.optimizers.made(optimizer)
        self.last = None  # what is known of the one that stepped last may no longer hold

    def missed(self, error: Exception) -> None:
        """A call could not be noted: whatever else the step shows, its upper end is open."""
        self.elsewhere.unseen("a call that the recorder failed on")
        self.trouble("a call", error)

    def stepped_in_graph(self) -> None:
        """A compiled optimizer stepped since the last call."""
        self.compiled.stepped = False
        self.beside.drop()  # it would not say when a window ends
        if not self.automatic:
            return
        with self.lock:
            kinds = self._folding.called_kinds()
            kinds |= {event[0] for event in self.log if len(event) == 4}
        for optimizer in self.optimizers.learn_unseen(kinds):
            self._resumed(optimizer)
        self.log.append(("compiled", time.monotonic_ns()))
        self.boundary = True
        self.catch_up()

    def catch_up(self) -> None:
        """Replay now, and have new kinds counted while the model is what it was when called."""
        self.overdue = graph_task() != -1
        if self.overdue:
            return
        with self.lock, Inside(self):
            self.fold()
            if self.fresh:
                self.adapters.look()
            self.fresh = False
            for variant in self._folding.open_variants():
                if variant.data is None and self.threads.is_elsewhere(variant.kind):
                    self.fresh = True
                elif variant.data is None:
                    self.listener.settle(variant)
            self.wary = self._folding.wary

    def _new_optimizer(self, optimizer: Any) -> str:
        name = self.optimizers.learn(optimizer)
        self._resumed(optimizer)
        return name

    def _resumed(self, optimizer: Any) -> None:
        """Tell how often an optimizer that is new here had stepped before."""
        before = steps_before(optimizer) - self.optimizers.was_readied(optimizer)
        if before > 0:
            self.listener.resumed(before)

    # ------------------------------------------------------------ replay

    def fold(self, *, counting: bool = True, whole: bool = False, beside: bool = False) -> None:
        """Make steps of what was noted.

        Args:
            counting: Whether counting is allowed; where it is not, what is over is written at once.
            whole: Whether to take a call that still runs, too.
            beside: Whether this is another thread than the program's.

        """
        with self.lock, self.listener.undisturbed(), Inside(self):
            log = self.log
            self._doubts.look(counting=counting, beside=beside)
            number = len(log)
            if number and not whole:
                last = log[number - 1]
                if len(last) == 4 and not last[0].watched and not last[1]:
                    number -= 1  # it still runs; it may raise
            events = log[:number]
            del log[:number]
            self.looked = 0
            self.known.clear()
            try:
                self._folding.replay(events)
                if counting:
                    self._upkeep()
                begun = bool(log) or not self._folding.step.empty
                self.listener.folded(counting=counting, begun=begun)
            except Exception as error:  # noqa: BLE001 - never into the program
                self.trouble("what was seen", error)

    def fold_beside(self) -> None:
        """Make steps of what was noted, in another thread than the program's, where nothing is counted.

        The program's own thread looks at what was taken at its next step: its costs may be unknown.
        """
        with self.lock:
            if self.log:
                self.due = 0
            with suppress(RuntimeError):  # the program just gives a model other parts
                self.fold(counting=False, beside=True)

    def exchange(self, call: Call, kind: Kind) -> Call:
        """Take a call that is over for one of another kind than it looked."""
        other: Call = (kind, *call[1:])
        log = self.log
        with self.lock:
            for place in reversed(range(len(log))):
                if log[place] is call:
                    log[place] = other
                    return other
            if not self._folding.exchange(call, other):
                self.elsewhere.unseen("a call that was not what it looked like")
        return other

    def open_calls(self) -> list[tuple[Call, int]]:
        """Calls to which gradients may still come, and how far what came was told.

        Those that were noted last may have been taken out of the log by a thread beside the program, or by
        a word of the program's in the middle of a step.
        """
        with self.lock:
            noted = ((event, 0) for event in self.log if len(event) == 4)
            return [*self._folding.open_calls(), *noted]

    def _upkeep(self) -> None:
        now = time.monotonic_ns()
        self.due = now + FOLD_NS
        LOOKING[0], self.looks = True, LOOKS
        if self._folding.unseen and now >= self._search:
            self._folding.unseen = False
            self._search = now + SEARCH_NS
            self.modules.sweep(living())  # some module must have been called
        if now > self._refresh:
            self._refresh = now + REFRESH_NS
            self.epoch += 1

    @property
    def is_open(self) -> bool:
        """Whether the last step is open although its optimizer has stepped: another may belong to it."""
        return bool(self._folding.stepped_at)

    def end_step(self) -> None:
        """Nothing that comes belongs to the last step: the program goes on from another one."""
        self.fold(counting=False)
        with self.lock, self.listener.undisturbed(), Inside(self):
            if self._folding.stepped_at:
                self._folding.close(self._folding.stepped_at)

    def say(self, tokens: int | None, samples: int | None, number: int | None) -> None:
        """The program says what a step processed."""
        self.log.append((None, (tokens, samples, number), time.monotonic_ns()))
        if self.fresh or not self.optimizers.any_stepped or len(self.log) > 1024:
            self.fold()

    def begin_span(self, what: str) -> Open:
        """Calls from now on belong to a span."""
        with SHIELD:
            self.beside.begins_span()
        self.fold()
        with self.lock:
            return self._folding.begin_span(what, time.monotonic_ns())

    def end_span(self, open_: Open) -> None:
        """The span is over."""
        with SHIELD:
            self.beside.ends_span()
        self.fold()
        with self.lock, self.listener.undisturbed(), Inside(self):
            self._folding.end_span(open_, time.monotonic_ns())

    # ------------------------------------------------------------ trouble

    def trouble(self, where: str, error: BaseException) -> None:
        """Something of ours failed: say it once. What a handler of a signal raised goes on to the program."""
        if hasattr(error, MARK):
            raise error  # it waited until we were done
        text = f"{where}: {type(error).__name__}"
        if text not in self._told and len(self._told) < 100:
            self._told.add(text)
            with suppress(Exception):  # there is nobody left to tell
                self.listener.trouble(where, error)
        if is_the_programs(error):
            raise error


def output_tensors(out: Any) -> list[Any]:
    """Every tensor of an output in the order of ``Passes``."""
    return signer.outputs(out)


uncompiled(Observer.fold, Observer.catch_up, Observer.stop, inside=True)
