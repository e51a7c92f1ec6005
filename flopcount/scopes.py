"""Which module and phase an op belongs to, told without touching the model's tensors.

Forward: the stack of modules that are running. Backward: autograd numbers its nodes in the order
of their creation, so noting the number at every change of scope is enough to find the scope whose
forward made a node. Recomputation: gradients are enabled inside a running autograd engine.
"""

from __future__ import annotations

import sys
import threading
from bisect import bisect_right
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.utils.checkpoint

from flopcount.ledger import Ledger, Local

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from flopcount.count import Phase


@dataclass(frozen=True, slots=True)
class Attention:
    """The attention call around an op.

    Attributes:
        allowed: Query-key pairs that the mask allows, out of ``pairs``.
        pairs: All pairs over which ``allowed`` was counted.
        dtype: Short dtype name of the queries: the reference kernel computes in single precision
            what every fused kernel computes in the queries' own.
        exact: False where the mask's values are unknown and every pair counts as allowed.

    """

    allowed: int
    pairs: int
    dtype: str | None = None
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Scope:
    """Where an op belongs: the module's path, and the attention call around it if any."""

    path: str
    attention: Attention | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One running backward.

    Attributes:
        differentiable: Its own operations are recorded, because it will be differentiated.
        depth: Modules that were running when it began.
        again: It belongs to a forward that checkpointing computes again.

    """

    differentiable: bool = False
    depth: int = 0
    again: bool = False


ROOT = Scope("")
UNMASKED = Attention(1, 1, exact=False)
CHECKPOINT = torch.utils.checkpoint.__file__
AUTOGRAD = torch.autograd.__file__


class Watch:
    """The state of one trace: scopes, phases and the ledger."""

    def __init__(self, model: Any, most_flop: int | None = None) -> None:
        self.most_flop = most_flop
        self.spent = 0
        self.failed_at: str | None = None
        self.ledger = Ledger()
        self.local = Local()
        self.has_shards = False
        self.optimizing = False
        self.on_fakes = False
        self.paths: dict[int, str] = {}
        if isinstance(model, torch.nn.Module):
            for path, module in model.named_modules():
                self.paths.setdefault(id(module), path.replace("_orig_mod.", ""))
        self.stack: list[Scope] = [ROOT]
        self.muted = 0
        self.engines: list[Engine] = []
        self.attention_nodes: dict[int, Attention] = {}
        self._numbers: list[int] = []
        self._scopes: list[Scope] = []
        self._last = ROOT

    def push(self, scope: Scope) -> None:
        """Enter a scope: later ops and later autograd nodes belong to it."""
        self.stack.append(scope)
        self._note(scope)

    def pop(self) -> None:
        """Leave the innermost scope."""
        self.stack.pop()
        self._note(self.stack[-1])

    def _note(self, scope: Scope) -> None:
        self._numbers.append(next_number())
        self._scopes.append(scope)

    def here(self) -> tuple[Phase, Scope]:
        """Phase and scope of the op that is running now."""
        if self.optimizing:
            return "optimizer", ROOT
        if torch._C._current_graph_task_id() == -1:
            return "forward", self.stack[-1]
        if self._computes_again(sys._getframe()):
            return "recompute", self.stack[-1]
        return "backward", self._of_node(torch._C._current_autograd_node())

    def _computes_again(self, frame: FrameType) -> bool:
        """Whether a forward runs inside the engine.

        A checkpoint among the callers tells it: gradients are off inside the forward of a function
        with a backward of its own. So do gradients that are on, unless the backward is to be
        differentiated itself (a penalty on gradients); then only a module that runs tells it.
        """
        if not self.engines:
            # Nobody tells of engines: a graph that is kept, or a transform, has gradients on too.
            kept = torch._C._autograd._get_current_graph_task_keep_graph()
            transformed = torch._C._functorch.peek_interpreter_stack() is not None
            return bool(torch.is_grad_enabled()) and not kept and not transformed
        engine = self.engines[-1]
        if engine.again or _checkpoint_calls(frame):
            return True
        if engine.differentiable:
            return len(self.stack) > engine.depth
        return bool(torch.is_grad_enabled())

    def run_engine(self, run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run autograd's engine and note what its backward is for.

        ``args`` are those of the engine: results, their gradients, whether the graph is kept,
        whether the backward is differentiable, and more.
        """
        inside = torch._C._current_graph_task_id() != -1
        engine = Engine(
            differentiable=bool(args[3]) if len(args) > 3 else False,
            depth=len(self.stack),
            # A gradient that a checkpointed forward asks for is asked for a second time.
            again=inside and self._computes_again(sys._getframe(1)),
        )
        self.engines.append(engine)
        try:
            return run(*args, **kwargs)
        finally:
            self.engines.pop()

    def _of_node(self, node: Any) -> Scope:
        """The scope whose forward made a node; sums of gradients follow the node before them."""
        number = node._sequence_nr() if node is not None else -1
        # Leaves carry the greatest number there is; they belong to no forward op.
        if number < 0 or number > next_number() + (1 << 32):
            return self._last
        index = bisect_right(self._numbers, number) - 1
        scope = self._scopes[index] if index >= 0 else ROOT
        if number in self.attention_nodes:
            scope = replace(scope, attention=self.attention_nodes[number])
        self._last = scope
        return scope

    def enter_module(self, module: Any, _args: Any) -> None:
        """Global forward pre-hook."""
        path = self.paths.get(id(module))
        self.push(Scope(path) if path is not None else self.stack[-1])

    def leave_module(self, _module: Any, _args: Any, _out: Any) -> None:
        """Global forward hook, called even when the forward raised."""
        if self.failed_at is None and sys.exc_info()[1] is not None:
            self.failed_at = self.stack[-1].path
        if len(self.stack) > 1:
            self.pop()


def _checkpoint_calls(frame: FrameType | None) -> bool:
    """Whether a checkpoint repeats its forward, between a frame and the engine that calls it.

    A checkpoint also starts an engine of its own for what it has repeated; that is no repetition.
    """
    called = ""
    while frame is not None and frame.f_code is not Watch.run_engine.__code__:
        name = frame.f_code.co_filename
        if name == CHECKPOINT and called != AUTOGRAD:
            return True
        called = name
        frame = frame.f_back
    return False


def next_number() -> int:
    """The number that autograd gives to the next node of this thread."""
    return int(torch._C._autograd._get_sequence_nr())


@contextmanager
def seeing_engines(watch: Watch, within: AbstractContextManager[Any]) -> Iterator[None]:
    """Tell the watch of each run of autograd's engine, for as long as the trace lasts.

    Whether a backward is differentiable is known only to the one Python call through which torch
    starts its engine; it is taken back at the end. ``within`` is entered around each run.
    """
    run = getattr(torch.autograd, "_engine_run_backward", None)
    if run is None:  # another version of torch: gradients of gradients then show as recomputed
        yield
        return

    thread = threading.get_ident()

    def told(*args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != thread:  # another thread of the program goes on meanwhile
            return run(*args, **kwargs)
        with within:
            return watch.run_engine(run, *args, **kwargs)

    torch.autograd._engine_run_backward = told
    try:
        yield
    finally:
        torch.autograd._engine_run_backward = run
