"""Attention, through the public function, written out, and inside modules."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as f
from torch import nn

from benchmarks.counts.derived.case import Case, frozen, t


def attend(q: Any, k: Any, v: Any, **options: Any) -> Any:
    """Attention through the public function."""
    return f.scaled_dot_product_attention(q, k, v, **options)


def by_hand(q: Any, k: Any, v: Any) -> Any:
    """Attention written out."""
    return torch.softmax(q @ k.transpose(-1, -2), -1) @ v


def encoder_layer(*, train: bool) -> nn.Module:
    """Width 16, 4 heads, feed-forward 32."""
    layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
    return layer.train(train)


CASES = [
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
]
