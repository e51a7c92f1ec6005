"""What multiplies nothing."""

from __future__ import annotations

import torch.nn.functional as f
from torch import nn

from benchmarks.counts.derived.case import Case, ids, t

CASES = [
    # lookups, norms, softmax, pooling and losses multiply nothing
    Case("embedding", lambda: (nn.Embedding(10, 4), (ids(2, 3),)), 0, 0),
    Case("embedding bag", lambda: (nn.EmbeddingBag(10, 4), (ids(2, 3),)), 0, 0),
    Case("layer norm", lambda: (nn.LayerNorm(8), (t(3, 8, grad=True),)), 0, 0),
    Case("batch norm", lambda: (nn.BatchNorm2d(3), (t(2, 3, 4, 4),)), 0, 0),
    Case("pooling", lambda: (nn.MaxPool2d(2), (t(2, 3, 4, 4, grad=True),)), 0, 0),
    Case("cross-entropy", lambda: (f.cross_entropy, (t(6, 10, grad=True), ids(6))), 0, 0),
]
