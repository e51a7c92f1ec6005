"""Counts the ops of a captured call: what autocast would feed, and where data decide what is computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

from flopcount.live.ranks import AmongRanks
from flopcount.live.watch import LiveTimeoutError, LiveWatch
from flopcount.tensors import tensors

if TYPE_CHECKING:
    from flopcount.count import Phase
    from flopcount.ledger import Tally
    from flopcount.registry import Cost
    from flopcount.scopes import Scope

DATA = "depends on data"
"""In a remark: a model asked for a value that another batch may answer otherwise."""
SIZE = "a size that depends on data"
"""The same, where the answer is how many elements there are."""
MOST_ASKED = 10_000
"""So many questions of one trace are answered: a loop that waits for an answer must end."""
FOLLOWS_DATA = "_flopcount_data"
SOURCES = "_flopcount_sources"
"""On real numbers: where the tensors of the model's lie of which they were computed."""
EVERYWHERE = -1
"""In ``Ledger.asked``: values were asked for, and it could not be seen whose."""
SIZED = frozenset(
    {"aten::nonzero", "aten::masked_select", "aten::unique_consecutive", "aten::_unique2"}
)
SHAPED = frozenset(
    f"aten::{name}"
    for name in (
        "empty_like", "full_like", "ones_like", "zeros_like",
        "new_empty", "new_full", "new_ones", "new_zeros",
    )
)  # fmt: skip
"""What these make has a tensor's shape, and nothing of its numbers."""
TOLD = {"aten::_pack_padded_sequence": 1, "aten::_pad_packed_sequence": 1}
"""The second result of these is how long sequences are, and follows this argument alone."""
FAR = {"given": 0.0, "high": 1e30, "low": -1e30}
"""What is answered to a question for a number, beside the truth."""
_ASKING = torch.ops.aten._local_scalar_dense.default
_INDEX = torch.ops.aten.index.Tensor


class LiveCounter(AmongRanks):
    """A counter that speaks for autocast and lets nothing out to other ranks."""

    charges = (
        False  # no figure of a step asks for it, and importing torch's counter may print a line
    )

    def asks(self, tensor: Any) -> None:
        """Note whose values a question is about."""
        super().asks(tensor)
        self._note([tensor])

    def _note(self, read: Iterable[Any]) -> None:
        """Whose values are read: other ones might decide otherwise."""
        watch = self.watch
        assert isinstance(watch, LiveWatch)
        for tensor in read:
            if not watch.on_numbers:
                watch.asked_of |= {EVERYWHERE} if tensor.device.type == "cpu" else set()
            elif not hasattr(tensor, FOLLOWS_DATA):
                watch.asked_of |= getattr(tensor, SOURCES, frozenset())

    def _write(self, func: Any, rule: Any, args: Any, kwargs: Any, out: Any) -> None:
        """Follow what depends on data, as far as real or invented numbers are computed with."""
        super()._write(func, rule, args, kwargs, out)
        watch = self.watch
        assert isinstance(watch, LiveWatch)
        if not watch.on_numbers:
            return
        given = list(tensors((args, kwargs)))
        sources = frozenset().union(*(getattr(tensor, SOURCES, frozenset()) for tensor in given))
        if sources:
            for tensor in tensors(out):
                setattr(tensor, SOURCES, sources)
        if rule.name in SIZED or func is _INDEX:
            self._note(given)
        if rule.name in SHAPED or not any(
            hasattr(tensor, FOLLOWS_DATA) for tensor in tensors((args, kwargs))
        ):
            return
        told = args[TOLD[rule.name]] if rule.name in TOLD else None
        for tensor in tensors(out if told is None or hasattr(told, FOLLOWS_DATA) else out[:1]):
            setattr(tensor, FOLLOWS_DATA, True)
        if any(hasattr(tensor, FOLLOWS_DATA) for tensor in _deciding(func, rule.name, args)):
            self._depends(SIZE)

    def _execute(self, func: Any, args: Any, kwargs: Any) -> Any:
        out = super()._execute(func, args, kwargs)
        watch = self.watch
        assert isinstance(watch, LiveWatch)
        if func is not _ASKING or not (
            self.known.inventing or (watch.on_numbers and hasattr(args[0], FOLLOWS_DATA))
        ):
            return out
        watch.asked += 1
        if watch.asked > MOST_ASKED or watch.deadline.is_over:
            raise LiveTimeoutError("the trace took too long and was given up")
        if type(out) is int:
            # An invented batch is drawn anew for each answer; real numbers are what they are.
            self._depends(f"a value that {DATA}" if self.known.inventing else SIZE)
            return out
        self._depends(f"a value that {DATA}")
        if self.known.answers == "given" or self.known.inventing:
            return out
        return not out if type(out) is bool else FAR[self.known.answers]

    def _depends(self, what: str) -> None:
        where = self.watch.here()[1].path or "the model"
        remark = f"data: {where} asks for {what}"
        if remark not in self.watch.ledger.remarks:
            self.watch.ledger.remarks.append(remark)

    def record(
        self, op: str, dtype: str, phase: Phase, scope: Scope, cost: Cost, charged: int = 0
    ) -> Tally:
        """Add one call to the ledger."""
        assert isinstance(self.watch, LiveWatch)
        return super().record(op, self.watch.fed(dtype, phase, scope), phase, scope, cost, charged)


def _deciding(func: Any, name: str, args: Any) -> Iterator[Any]:
    """Whose numbers decide how many elements a result has."""
    if func is _INDEX:
        return (item for item in args[1] if item is not None and item.dtype == torch.bool)
    if name == "aten::masked_select":
        return tensors(args[1:])
    return tensors(args if name in SIZED else ())


def follow_data(values: Iterable[Any]) -> None:
    """Mark the weights and inputs whose values another step may change."""
    for value in values:
        if value.is_floating_point():
            setattr(value, FOLLOWS_DATA, True)


def follow_sources(doubles: Mapping[int, Any]) -> None:
    """Mark what stands for the model's own tensors, which lie at these places in memory."""
    for place, double in doubles.items():
        setattr(double, SOURCES, frozenset({place}))
