"""The rung for models that must be run and are too costly to be run at full size.

The step is traced on real CPU tensors at smaller batch and sequence lengths, and each line of the
ledger is extended to the asked size by its own exact polynomial; an independent probe must be
predicted to the last FLOP, or the rung fails.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch.utils import _pytree as pytree

from flopcount.doubles import CpuDoubles
from flopcount.errors import NotPolynomialError
from flopcount.known_values import KnownValues
from flopcount.ledger import Ledger, LineKey, Tally, UnknownTally, ZeroTally
from flopcount.scaling import Piece, fit_grid
from flopcount.trace import Step, StepError, trace

BATCHES = (1, 2)
LENGTHS = (8, 16, 24)
CHECK = (3, 40)
FIELDS = (
    "calls", "flop", "attention", "masked", "rescored", "torch", "rows", "padded", "inexact",
    "slack", "rows_low",
)  # fmt: skip


def scaled(step: Step) -> Ledger:
    """The ledger of a step, extended from smaller steps.

    Raises:
        StepError: when the inputs have no batch and length, or the probes are no polynomial.

    """
    try:
        batch, length = _sizes(step)
        probes = {
            (b, s): _probe(step, batch, length, b, s)
            for b, s in [*((b, s) for b in BATCHES for s in LENGTHS), CHECK]
        }
        return _extend(probes, batch, length)
    except NotPolynomialError as error:
        raise StepError(error, "") from error


def _sizes(step: Step) -> tuple[int, int]:
    """Batch and length: the first two axes of the first whole-number matrix among the inputs."""
    for leaf in pytree.tree_leaves((step.args, step.kwargs)):
        if isinstance(leaf, torch.Tensor) and leaf.dim() == 2 and not leaf.is_floating_point():
            return int(leaf.shape[0]), int(leaf.shape[1])
    raise NotPolynomialError(
        "no matrix of token ids among the inputs tells batch and sequence length apart"
    )


def _probe(step: Step, batch: int, length: int, b: int, s: int) -> Ledger:
    def shrink(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor):
            return leaf
        shape = list(leaf.shape)
        if shape and shape[0] == batch:
            shape[0] = b
        shape = [s if axis and size == length else size for axis, size in enumerate(shape)]
        if leaf.device.type == "cpu" and type(leaf) is torch.Tensor:
            fitting = tuple(slice(0, size) for size in shape)
            if list(leaf[fitting].shape) == shape:
                return leaf[fitting]
        return torch.empty(shape, dtype=leaf.dtype, device="meta")

    args, kwargs = pytree.tree_map(shrink, (step.args, step.kwargs))
    smaller = replace(step, args=args, kwargs=kwargs)
    return trace(smaller, CpuDoubles(KnownValues()))


def _extend(probes: dict[tuple[int, int], Ledger], batch: int, length: int) -> Ledger:
    result = Ledger()
    lines: set[LineKey] = {key for ledger in probes.values() for key in ledger.lines}
    for key in lines:
        values = {size: ledger.lines.get(key, Tally()) for size, ledger in probes.items()}
        tally = Tally()
        for name in FIELDS:
            column = {size: int(getattr(item, name)) for size, item in values.items()}
            setattr(tally, name, _at(column, batch, length))
        result.lines[key] = tally
    for zero_key in {key for ledger in probes.values() for key in ledger.zero}:
        zeros = {s: ledger.zero.get(zero_key, ZeroTally()) for s, ledger in probes.items()}
        result.zero[zero_key] = ZeroTally(
            max(item.calls for item in zeros.values()),
            _at({size: item.elementwise for size, item in zeros.items()}, batch, length),
        )
    for unknown_key in {key for ledger in probes.values() for key in ledger.unknown}:
        tallies = [ledger.unknown.get(unknown_key, UnknownTally()) for ledger in probes.values()]
        last = tallies[-1]
        result.unknown[unknown_key] = UnknownTally(last.calls, last.upper_bound, last.shapes)
    return result


def _at(column: dict[tuple[int, int], int], batch: int, length: int) -> int:
    piece: Piece = fit_grid(column, BATCHES, LENGTHS)
    if piece.value(*CHECK) != column[CHECK]:
        raise NotPolynomialError(
            f"a part of the count is no polynomial of batch and length: at {CHECK} found "
            f"{column[CHECK]}, predicted {piece.value(*CHECK)}"
        )
    return piece.value(batch, length)
