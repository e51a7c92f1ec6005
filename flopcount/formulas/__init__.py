"""One op family a file: shapes in, FLOP out, the derivation in the docstring."""

from flopcount.formulas import attention, conv, matmul

__all__ = ["attention", "conv", "matmul"]
