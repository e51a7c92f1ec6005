"""Expert products, integer products, recomputation and branches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from benchmarks.counts.derived.case import Case, t


class Routed(nn.Module):
    """A mixture with routing by data: row ``i`` goes to expert ``i % 4`` by its features."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(8, 8, bias=False) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Send each row to the expert of its greatest feature."""
        chosen = x[:, :4].argmax(-1)
        out = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            rows = (chosen == number).nonzero()[:, 0]
            if rows.numel():
                out = out.index_add(0, rows, expert(x[rows]))
        return out


def routed() -> tuple[Any, tuple[Any, ...]]:
    """Ten rows, each with one expert."""
    x = torch.zeros(10, 8)
    x[torch.arange(10), torch.arange(10) % 4] = 1.0
    return Routed(), (x,)


def grouped(a: Any, b: Any) -> Any:
    """Six rows in three groups."""
    return torch._grouped_mm(a, b, offs=torch.tensor([2, 2, 6], dtype=torch.int32))


def wrapped(module: nn.Module, *, reentrant: bool) -> Callable[..., Any]:
    """The module under activation checkpointing."""
    return lambda x: checkpoint(module, x, use_reentrant=reentrant)


CASES = [
    # rows inside groups only: 2·6·4·5; B twice
    Case(
        "grouped product",
        lambda: (
            grouped,
            (t(6, 4, grad=True, dtype=torch.bfloat16), t(3, 4, 5, grad=True, dtype=torch.bfloat16)),
        ),
        240,
        480,
    ),
    # ten rows, each through one 8×8 expert: 10·128; weights only
    Case("mixture routed by data", routed, 1280, 1280),
    # int8 product 2·32·16·8
    Case(
        "int8 product",
        lambda: (torch._int_mm, (t(32, 16, dtype=torch.int8), t(16, 8, dtype=torch.int8))),
        8192,
        0,
    ),
    # two layers of 2·4·8·8 = 512; the last one's output is not needed again
    Case(
        "checkpoint",
        lambda: (
            wrapped(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8)), reentrant=False),
            (t(4, 8, grad=True),),
        ),
        1024,
        2048,
        512,
    ),
    Case(
        "checkpoint, re-entrant",
        lambda: (
            wrapped(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8)), reentrant=True),
            (t(4, 8, grad=True),),
        ),
        1024,
        2048,
        1024,
    ),
    # the chosen branch: two products of 2·4³
    Case(
        "branch",
        lambda: (
            lambda x: torch.cond(x.sum() > 0, lambda y: y @ y @ y, lambda y: y @ y, (x,)),
            (torch.ones(4, 4),),
        ),
        256,
        0,
    ),
]
