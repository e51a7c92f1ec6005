"""Linear algebra, sparse products, distances and Fourier transforms."""

from __future__ import annotations

import torch

from benchmarks.counts.derived.case import Case, t

SPARSE = torch.eye(6).to_sparse()


CASES = [
    # 2·7·9·3
    Case("cdist", lambda: (torch.cdist, (t(7, 3), t(9, 3))), 378, 0),
    Case(
        "chain product",
        lambda: (torch.linalg.multi_dot, ([t(2, 9), t(9, 3), t(3, 4)],)),
        2 * 2 * 9 * 3 + 2 * 2 * 3 * 4,
        0,
    ),
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
]
