"""Which module and phase an op belongs to, told without touching the model's tensors.

Forward: the stack of modules that are running. Backward: autograd numbers its nodes in the order
of their creation, so noting the number at every change of scope is enough to find the scope whose
forward made a node. Recomputation: gradients are enabled inside a running autograd engine.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from flopcount.ledger import Ledger, Local

if TYPE_CHECKING:
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


ROOT = Scope("")
UNMASKED = Attention(1, 1, exact=False)


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
        if self._computes_again():
            return "recompute", self.stack[-1]
        return "backward", self._of_node(torch._C._current_autograd_node())

    @staticmethod
    def _computes_again() -> bool:
        """Whether a forward runs inside the engine: gradients are on, and not to be differentiated.

        A graph that is kept, or a function transform, has gradients on for its own backward.
        """
        return (
            torch.is_grad_enabled()
            and not torch._C._autograd._get_current_graph_task_keep_graph()
            and torch._C._functorch.peek_interpreter_stack() is None
        )

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


def next_number() -> int:
    """The number that autograd gives to the next node of this thread."""
    return int(torch._C._autograd._get_sequence_nr())
