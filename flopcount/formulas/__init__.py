"""One op family a file: shapes in, FLOP out, the derivation in the docstring."""

from flopcount.formulas import (
    attention,
    conv,
    fourier,
    fused,
    grouped,
    linalg,
    losses,
    matmul,
    packed_attention,
    quantized,
    recurrent,
)

__all__ = [
    "attention",
    "conv",
    "fourier",
    "fused",
    "grouped",
    "linalg",
    "losses",
    "matmul",
    "packed_attention",
    "quantized",
    "recurrent",
]
