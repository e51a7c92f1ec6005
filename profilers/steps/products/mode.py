"""The mode of torch's dispatcher by which a window sees products (:mod:`profilers.steps.products.beside`)."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import is_grad_enabled
from torch._C._functorch import peek_interpreter_stack
from torch.utils._python_dispatch import TorchDispatchMode

from profilers.steps.backward.passes import OURS
from profilers.steps.calls.asked import graph_task
from profilers.steps.products.outside import DONE
from profilers.steps.standing.handlers import is_the_programs
from profilers.steps.standing.uncompiled import uncompiled

if TYPE_CHECKING:
    from profilers.steps.folding.listener import Price, Sums

MOST_OPS = 20_000
"""A window with more is given up: an evaluation, or the making of another model."""
MOST_FRAMES = 64


class Tally:
    """What one stretch of a window held."""

    def __init__(self) -> None:
        self.products: Counter[str] = Counter()
        self.other: set[str] = set()

    def add(self, other: Tally) -> None:
        """Add another one."""
        self.products.update(other.products)
        self.other |= other.other

    def told(self) -> tuple[Sums, tuple[str, ...]]:
        """As values."""
        return tuple(sorted(self.products.items())), tuple(sorted(self.other))


class Mode(TorchDispatchMode):  # type: ignore[misc]
    """Hands each op on, and asks what it costs."""

    supports_higher_order_operators = True

    def __init__(self, price_of: Callable[[Any], Price | None]) -> None:
        super().__init__()
        self._price_of = price_of
        self._prices: dict[Any, Price | None] = {}
        self.ops = 0
        self.idle = False
        """Nothing is noted any more."""
        self.sums = Tally()
        self.within = Tally()
        """Of optimizers' own steps."""
        self._made: tuple[Any, str, int] | None = None
        """A product that may be differentiated, whose node of the graph is made when the op is over."""
        self._nodes: list[tuple[Any, str, int]] = []

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Have torch compile as if there were no mode."""
        return True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # ``uncompiled`` does, and imports no compiler

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not self.idle:
            try:
                self._note(func, args, kwargs or {}, out)
            except Exception as error:
                self.sums.other.add(f"{func}, which could not be priced")
                if is_the_programs(error):
                    raise
        return out

    def _note(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        self.ops += 1
        self.idle = self.ops > MOST_OPS
        if self._made is not None:
            self.settle()
        try:
            price = self._prices[func]
        except KeyError:
            price = self._prices[func] = self._price_of(func)
        if price is None or OURS.depth or graph_task() != -1:
            return
        given = [each for each in (*args, *kwargs.values()) if isinstance(each, torch.Tensor)]
        if any(each.is_meta or type(each).__name__ == "FakeTensor" for each in given):
            return
        inside = _in_optimizer()
        sums = self.within if inside else self.sums
        found = price(args, kwargs, out) if all(map(_is_plain, given)) else None
        if found is None or peek_interpreter_stack() is not None:
            sums.other.add(str(func))
            return
        dtype, flop = found
        if not inside and is_grad_enabled() and any(each.requires_grad for each in given):
            self._made = (out if isinstance(out, torch.Tensor) else out[0]), dtype, flop
        else:
            sums.products[dtype] += flop

    def settle(self) -> None:
        """The last product's node is there now: whether something comes of it, the graph will show."""
        if self._made is None:
            return
        (out, dtype, flop), self._made = self._made, None
        if out.grad_fn is None:
            self.sums.products[dtype] += flop
        else:
            self._nodes.append((out.grad_fn, dtype, flop))

    def left(self) -> Tally:
        """What no walk through the graph has counted until now; none counts it again."""
        self.settle()
        sums = Tally()
        for node, dtype, flop in self._nodes:
            if DONE not in node.metadata:
                node.metadata[DONE] = True
                sums.products[dtype] += flop
        self._nodes.clear()
        return sums


uncompiled(Mode.__torch_dispatch__, inside=True)

_NO_DISPATCH = torch._C._disabled_torch_dispatch_impl
STEP = next(
    (
        each
        for each in torch.optim.Optimizer.profile_hook_step.__code__.co_consts
        if getattr(each, "co_name", "") == "wrapper"
    ),
    None,
)
"""What torch puts around the step of each optimizer; None where another version does otherwise."""


def _is_plain(tensor: Any) -> bool:
    """Whether no class of its own runs its ops."""
    return type(tensor).__torch_dispatch__ is _NO_DISPATCH


def _in_optimizer() -> bool:
    """Whether an optimizer is in its step."""
    frame: Any = sys._getframe(1)
    for _ in range(MOST_FRAMES):
        if frame is None:
            break
        if frame.f_code is STEP:
            return True
        frame = frame.f_back
    return False
