"""Matrix products in every form they are written in."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.counts.derived.case import Case, frozen, ids, t


def lora() -> tuple[Any, tuple[Any, ...]]:
    """A frozen 16×16 layer with a trained rank-2 path beside it."""

    class Adapted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base = frozen(nn.Linear(16, 16))
            self.down, self.up = nn.Linear(16, 2, bias=False), nn.Linear(2, 16, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.base(x) + self.up(self.down(x))

    return Adapted(), (t(3, 16, grad=True),)


def trunk() -> tuple[Any, tuple[Any, ...]]:
    """A frozen trunk under a trained head."""
    return nn.Sequential(frozen(nn.Linear(8, 8)), nn.ReLU(), nn.Linear(8, 2)), (t(5, 8),)


def tied() -> tuple[Any, tuple[Any, ...]]:
    """A lookup table that is also the head."""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Embedding(10, 4), nn.Linear(4, 10, bias=False)
            self.head.weight = self.table.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.table(x))

    return Tied(), (ids(2, 3),)


CASES = [
    # F 2·3·4·5 = 120; B weight gradient only
    Case("linear, first layer", lambda: (nn.Linear(4, 5), (t(3, 4),)), 120, 120),
    # B weight and input gradient
    Case("linear, inner", lambda: (nn.Linear(4, 5), (t(3, 4, grad=True),)), 120, 240),
    # B input gradient only
    Case("linear, frozen", lambda: (frozen(nn.Linear(4, 5)), (t(3, 4, grad=True),)), 120, 120),
    Case("linear, nothing trained", lambda: (frozen(nn.Linear(4, 5)), (t(3, 4),)), 120, 0),
    # rows of all leading axes: 2·(2·3·7)·4·5
    Case("linear, four axes", lambda: (nn.Linear(4, 5), (t(2, 3, 7, 4),)), 1680, 1680),
    # base F 2·3·16·16 = 1536, B input gradient; the small ones 2·3·16·2 = 192 each, B two each
    Case("LoRA", lora, 1536 + 2 * 192, 1536 + 4 * 192),
    # trunk F 2·5·8·8 = 640, no gradient; head F 2·5·8·2 = 160, B weight only
    Case("frozen trunk", trunk, 800, 160),
    # head 2·6·4·10 = 480, B 2·480
    Case("tied embedding", tied, 480, 960),
    # 2·3·4·5, both gradients
    Case("mm", lambda: (torch.mm, (t(3, 4, grad=True), t(4, 5, grad=True))), 120, 240),
    Case("matmul, one gradient", lambda: (torch.matmul, (t(3, 4, grad=True), t(4, 5))), 120, 120),
    # 7 products of 2·3·4·5
    Case("bmm", lambda: (torch.bmm, (t(7, 3, 4, grad=True), t(7, 4, 5, grad=True))), 840, 1680),
    Case("addmm", lambda: (torch.addmm, (t(5), t(3, 4, grad=True), t(4, 5))), 120, 120),
    Case("baddbmm", lambda: (torch.baddbmm, (t(7, 3, 5), t(7, 3, 4), t(7, 4, 5))), 840, 0),
    Case("addbmm", lambda: (torch.addbmm, (t(3, 5), t(7, 3, 4), t(7, 4, 5))), 840, 0),
    # 2·3·4; gradients: outer product addr-like is elementwise for mv's matrix, mv for the vector
    Case("mv", lambda: (torch.mv, (t(3, 4), t(4))), 24, 0),
    Case("addmv", lambda: (torch.addmv, (t(3), t(3, 4), t(4))), 24, 0),
    Case("dot", lambda: (torch.dot, (t(9), t(9))), 18, 0),
    Case("addr", lambda: (torch.addr, (t(3, 4), t(3), t(4))), 24, 0),
    # bilinear 7 rows, 3×4 to 5: 2·7·5·3·4
    Case("bilinear", lambda: (frozen(nn.Bilinear(3, 4, 5)), (t(7, 3), t(7, 4))), 840, 0),
    # contraction over j of bij,bjk: 2·2·3·4·5
    Case(
        "einsum, batched product",
        lambda: (lambda a, b: torch.einsum("bij,bjk->bik", a, b), (t(2, 3, 4), t(2, 4, 5))),
        240,
        0,
    ),
    # nothing is contracted
    Case(
        "einsum, elementwise",
        lambda: (lambda a, b: torch.einsum("ij,ij->ij", a, b), (t(3, 4), t(3, 4))),
        0,
        0,
    ),
]
