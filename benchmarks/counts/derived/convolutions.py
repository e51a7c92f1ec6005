"""Convolutions: places of the result times entries of one kernel."""

from __future__ import annotations

import torch.nn.functional as f
from torch import nn

from benchmarks.counts.derived.case import Case, t

CASES = [
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
]
