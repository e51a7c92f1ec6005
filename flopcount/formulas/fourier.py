"""Fourier transforms: the field's ``5·N·log2 N`` for a complex transform of ``N`` points.

A transform over several axes is one over their product; the other axes are a batch. A real
transform needs half. For lengths that are no power of two the figure is rounded to a whole number;
it is the customary figure and not the operation count of one library.
"""

from __future__ import annotations

from math import log2, prod

from flopcount.registry import Call, call_formula


def transform(shape: tuple[int, ...], axes: tuple[int, ...], *, real: bool) -> int:
    """FLOP of transforms over ``axes`` of ``shape``."""
    points = prod(shape[axis] for axis in axes)
    if points < 2:
        return 0
    whole = points.bit_length() - 1 if points & (points - 1) == 0 else log2(points)
    return round(5 * prod(shape) * whole) // (2 if real else 1)


@call_formula("aten::_fft_c2c", "prims::fft_c2c")
def complex_transform(call: Call) -> int:
    """Complex to complex."""
    return transform(call.shape("self"), tuple(call.arguments["dim"]), real=False)


@call_formula("aten::_fft_r2c", "prims::fft_r2c")
def real_transform(call: Call) -> int:
    """Real to complex: the input has all points."""
    return transform(call.shape("self"), tuple(call.arguments["dim"]), real=True)


@call_formula("aten::_fft_c2r", "prims::fft_c2r")
def inverse_real_transform(call: Call) -> int:
    """Complex to real: the result has all points."""
    return transform(call.out_shape(), tuple(call.arguments["dim"]), real=True)
