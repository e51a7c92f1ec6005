"""Cases whose exact FLOP follow from arithmetic on paper, written beside each.

``F`` is the forward, ``B`` the backward. A product of ``m×k`` by ``k×n`` is ``2·m·k·n``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as f
from torch import nn
from torch.utils.checkpoint import checkpoint


@dataclass(frozen=True)
class Case:
    """One step and its exact cost.

    Attributes:
        name: Shown in the table.
        make: Answers the model or function and its inputs.
        forward: FLOP by the derivation in the comment above the case.
        backward: The same.
        recompute: The same.
        options: Further keywords of ``flopcount.count``.

    """

    name: str
    make: Callable[[], tuple[Any, tuple[Any, ...]]]
    forward: int
    backward: int
    recompute: int = 0
    options: dict[str, Any] = field(default_factory=dict)


def t(*shape: int, grad: bool = False, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """A tensor of zeros."""
    return torch.zeros(*shape, dtype=dtype, requires_grad=grad)


def ids(*shape: int) -> torch.Tensor:
    """Token ids."""
    return torch.zeros(*shape, dtype=torch.long)


def frozen(module: nn.Module) -> nn.Module:
    """The module without trainable parameters."""
    return module.requires_grad_(requires_grad=False)


def attend(q: Any, k: Any, v: Any, **options: Any) -> Any:
    """Attention through the public function."""
    return f.scaled_dot_product_attention(q, k, v, **options)


def by_hand(q: Any, k: Any, v: Any) -> Any:
    """Attention written out."""
    return torch.softmax(q @ k.transpose(-1, -2), -1) @ v


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


def wrapped(module: nn.Module, *, reentrant: bool) -> Callable[..., Any]:
    """The module under activation checkpointing."""
    return lambda x: checkpoint(module, x, use_reentrant=reentrant)


def encoder_layer(*, train: bool) -> nn.Module:
    """Width 16, 4 heads, feed-forward 32."""
    layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
    return layer.train(train)


SPARSE = torch.eye(6).to_sparse()
LSTM_F = 2 * 15 * (4 * 8 * 6 + 4 * 8 * 8)

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
    # 2·7·9·3
    Case("cdist", lambda: (torch.cdist, (t(7, 3), t(9, 3))), 378, 0),
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
    Case(
        "chain product",
        lambda: (torch.linalg.multi_dot, ([t(2, 9), t(9, 3), t(3, 4)],)),
        2 * 2 * 9 * 3 + 2 * 2 * 3 * 4,
        0,
    ),
    # every entry of 2×5×8×8 sums 3·3·3 products: 2·640·27
    Case(
        "conv2d",
        lambda: (nn.Conv2d(3, 5, 3, padding=1), (t(2, 3, 8, 8, grad=True),)),
        34560,
        69120,
    ),
    Case(
        "conv2d, first layer",
        lambda: (nn.Conv2d(3, 5, 3, padding=1), (t(2, 3, 8, 8),)),
        34560,
        34560,
    ),
    Case(
        "conv2d, same padding",
        lambda: (nn.Conv2d(3, 5, 3, padding="same"), (t(2, 3, 8, 8),)),
        34560,
        34560,
    ),
    # stride 2: 4×4 places
    Case("conv2d, stride", lambda: (nn.Conv2d(3, 5, 3, 2, 1), (t(2, 3, 8, 8),)), 8640, 8640),
    # depthwise: 2·(2·64·8·8)·9, and no factor of groups in the backward
    Case(
        "conv2d, depthwise",
        lambda: (nn.Conv2d(64, 64, 3, padding=1, groups=64), (t(2, 64, 8, 8, grad=True),)),
        147456,
        294912,
    ),
    # groups of 4: 2·(1·8·8·8)·(8/4)·9
    Case(
        "conv2d, grouped",
        lambda: (nn.Conv2d(8, 8, 3, padding=1, groups=4), (t(1, 8, 8, 8, grad=True),)),
        2 * 512 * 2 * 9,
        4 * 512 * 2 * 9,
    ),
    # 2·(2·5·10)·3·3
    Case("conv1d", lambda: (nn.Conv1d(3, 5, 3, padding=1), (t(2, 3, 10),)), 1800, 1800),
    Case("conv1d, unbatched", lambda: (nn.Conv1d(3, 5, 3, padding=1), (t(3, 10),)), 900, 900),
    # causal depthwise as in state-space models: 2·(2·6·12)·4, cut to 10 afterwards
    Case(
        "conv1d, causal depthwise",
        lambda: (nn.Conv1d(6, 6, 4, padding=3, groups=6), (t(2, 6, 10, grad=True),)),
        2 * 2 * 6 * 13 * 4,
        4 * 2 * 6 * 13 * 4,
    ),
    # 2·(1·2·4·4·4)·3·27
    Case("conv3d", lambda: (nn.Conv3d(3, 2, 3, padding=1), (t(1, 3, 4, 4, 4),)), 20736, 20736),
    # transposed: every input entry meets C_out·kernel: 2·(1·3·4·4)·5·2·2
    Case(
        "transposed conv2d",
        lambda: (nn.ConvTranspose2d(3, 5, 2, 2), (t(1, 3, 4, 4, grad=True),)),
        1920,
        3840,
    ),
    Case(
        "transposed conv1d, grouped",
        lambda: (nn.ConvTranspose1d(4, 4, 3, groups=2), (t(1, 4, 5),)),
        2 * 20 * 2 * 3,
        2 * 20 * 2 * 3,
    ),
    # unfold and product: 2·(16 places)·(3·9)·5
    Case(
        "unfold and product",
        lambda: (lambda x, w: w @ f.unfold(x, 3), (t(1, 3, 6, 6), t(5, 27))),
        4320,
        0,
    ),
    # scores and values 2·(2·2·6·6·4) each
    Case(
        "attention",
        lambda: (attend, tuple(t(2, 2, 6, 4, grad=True) for _ in range(3))),
        4 * 576,
        8 * 576,
    ),
    Case(
        "attention, causal counts in full",
        lambda: (
            lambda q, k, v: attend(q, k, v, is_causal=True),
            tuple(t(2, 2, 6, 4, grad=True) for _ in range(3)),
        ),
        4 * 576,
        8 * 576,
    ),
    # grouped queries: 8 query heads, 2 key heads; pairs by query heads
    Case(
        "attention, grouped queries",
        lambda: (
            lambda q, k, v: attend(q, k, v, enable_gqa=True),
            (t(1, 8, 6, 4, grad=True), t(1, 2, 6, 4, grad=True), t(1, 2, 6, 4, grad=True)),
        ),
        4 * 8 * 36 * 4,
        8 * 8 * 36 * 4,
    ),
    # 6 queries on 9 keys, values of width 3: 2·(6·9·4) + 2·(6·9·3)
    Case(
        "attention, cross",
        lambda: (
            attend,
            (t(1, 1, 6, 4, grad=True), t(1, 1, 9, 4, grad=True), t(1, 1, 9, 3, grad=True)),
        ),
        756,
        1512,
    ),
    # only the queries need a gradient: dP = dO·Vᵀ and dQ = dS·K
    Case(
        "attention by hand",
        lambda: (by_hand, tuple(t(2, 2, 6, 4, grad=True) for _ in range(3))),
        4 * 576,
        8 * 576,
    ),
    # projections 4·2·(2·6)·16², attention 4·(2·4·6·6·4)
    Case(
        "multi-head attention",
        lambda: (
            lambda m, x: m(x, x, x)[0],
            (nn.MultiheadAttention(16, 4, batch_first=True), t(2, 6, 16, grad=True)),
        ),
        8 * 12 * 256 + 4 * 1152,
        16 * 12 * 256 + 8 * 1152,
    ),
    # projections 8·12·16², feed-forward 4·12·16·32, attention 4·1152
    Case(
        "encoder layer, training",
        lambda: (encoder_layer(train=True), (t(2, 6, 16, grad=True),)),
        24576 + 24576 + 4608,
        2 * (24576 + 24576 + 4608),
    ),
    Case(
        "encoder layer, inference fast path",
        lambda: (frozen(encoder_layer(train=False)), (t(2, 6, 16),)),
        24576 + 24576 + 4608,
        0,
        options={"backward": False},
    ),
    # 5 steps × 3 sequences, input 6, hidden 8; B: weights, then hidden for 4 of 5 steps
    Case(
        "LSTM",
        lambda: (nn.LSTM(6, 8), (t(5, 3, 6),)),
        LSTM_F,
        LSTM_F + 2 * 12 * 4 * 8 * 8,
    ),
    Case(
        "LSTM, input gradient",
        lambda: (nn.LSTM(6, 8), (t(5, 3, 6, grad=True),)),
        LSTM_F,
        LSTM_F + 2 * 12 * 4 * 8 * 8 + 2 * 15 * 4 * 8 * 6,
    ),
    # three gates
    Case("GRU, forward", lambda: (frozen(nn.GRU(6, 8)), (t(5, 3, 6),)), 2 * 15 * 3 * 8 * 14, 0),
    Case("RNN, forward", lambda: (frozen(nn.RNN(6, 8)), (t(5, 3, 6),)), 2 * 15 * 8 * 14, 0),
    Case("LSTM cell", lambda: (frozen(nn.LSTMCell(6, 8)), (t(3, 6),)), 2 * 3 * 4 * 8 * 14, 0),
    # 8 transforms of 16 points: 5·16·4 each
    Case("complex Fourier", lambda: (torch.fft.fft, (t(8, 16, dtype=torch.complex64),)), 2560, 0),
    Case("real Fourier", lambda: (torch.fft.rfft, (t(8, 16),)), 1280, 0),
    # 64 points together: 5·64·6/2
    Case("real Fourier, two axes", lambda: (torch.fft.rfft2, (t(8, 8),)), 960, 0),
    # 6 stored entries by 3 columns
    Case("sparse times dense", lambda: (torch.sparse.mm, (SPARSE, t(6, 3, grad=True))), 36, 36),
    # 8³/3 rounded down
    Case("Cholesky", lambda: (torch.linalg.cholesky, (torch.eye(8),)), 170, 0),
    # 2·8³
    Case("inverse", lambda: (torch.linalg.inv, (torch.eye(8),)), 1024, 0),
    # 8²·3
    Case(
        "triangular solve",
        lambda: (
            lambda a, b: torch.linalg.solve_triangular(a, b, upper=True),
            (torch.eye(8), t(8, 3)),
        ),
        192,
        0,
    ),
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
    # lookups, norms, softmax, pooling and losses multiply nothing
    Case("embedding", lambda: (nn.Embedding(10, 4), (ids(2, 3),)), 0, 0),
    Case("embedding bag", lambda: (nn.EmbeddingBag(10, 4), (ids(2, 3),)), 0, 0),
    Case("layer norm", lambda: (nn.LayerNorm(8), (t(3, 8, grad=True),)), 0, 0),
    Case("batch norm", lambda: (nn.BatchNorm2d(3), (t(2, 3, 4, 4),)), 0, 0),
    Case("pooling", lambda: (nn.MaxPool2d(2), (t(2, 3, 4, 4, grad=True),)), 0, 0),
    Case("cross-entropy", lambda: (f.cross_entropy, (t(6, 10, grad=True), ids(6))), 0, 0),
]
