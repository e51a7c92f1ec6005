"""Convolutions.

Each output element sums over ``input channels / groups × kernel`` products, so the forward costs
``2 · out elements · (C_in / groups) · kernel``. A transposed convolution is the input gradient of a
plain one, so the roles of input and output swap: ``2 · in elements · (C_out / groups) · kernel``.
The input gradient and the weight gradient visit the same products once more each: both cost what
the forward costs, whatever ``groups`` is. Products with padding are counted (the field's
convention); kernels may skip them.
"""

from __future__ import annotations

from math import prod
from typing import Any

from flopcount.registry import formula


def products(x: Any, weight: Any, out: Any, *, transposed: bool) -> int:
    """FLOP of one pass. ``weight.shape[1:]`` is channels-per-group and kernel in either case."""
    visited = x if transposed else out
    return 2 * prod(visited) * prod(weight[1:])


@formula("aten::convolution", "aten::_convolution", "aten::convolution_overrideable")
def convolution(
    x: Any,
    weight: Any,
    _bias: Any,
    _stride: Any,
    _padding: Any,
    _dilation: Any,
    transposed: bool,  # noqa: FBT001
    *_: Any,
    out: Any,
    **__: Any,
) -> int:
    """The general op that every ``nn.ConvNd`` reaches."""
    return products(x.shape, weight.shape, out.shape, transposed=transposed)


@formula(
    "aten::cudnn_convolution",
    "aten::miopen_convolution",
    "aten::miopen_depthwise_convolution",
    "aten::mkldnn_convolution",
    "aten::_slow_conv2d_forward",
    "aten::slow_conv3d",
    "aten::slow_conv3d_forward",
    "aten::thnn_conv2d",
    "aten::conv_depthwise3d",
    "aten::_conv_depthwise2d",
    "aten::slow_conv_dilated2d",
    "aten::slow_conv_dilated3d",
    "aten::_mps_convolution",
    "aten::cudnn_convolution_relu",
    "aten::miopen_convolution_relu",
    "aten::cudnn_convolution_add_relu",
    "aten::miopen_convolution_add_relu",
    "aten::_nnpack_spatial_convolution",
)
def forward_kernel(x: Any, weight: Any, *_: Any, out: Any, **__: Any) -> int:
    """One backend's forward kernel; none of these is transposed."""
    return products(x.shape, weight.shape, out.shape, transposed=False)


@formula(
    "aten::cudnn_convolution_transpose",
    "aten::miopen_convolution_transpose",
    "aten::slow_conv_transpose2d",
    "aten::slow_conv_transpose3d",
)
def transpose_kernel(x: Any, weight: Any, *_: Any, out: Any, **__: Any) -> int:
    """One backend's transposed kernel."""
    return products(x.shape, weight.shape, out.shape, transposed=True)


@formula("aten::convolution_backward", "aten::convolution_backward_overrideable")
def convolution_backward(
    grad: Any, x: Any, weight: Any, *rest: Any, out: Any, **kwargs: Any
) -> int:
    """One forward's worth for each asked gradient of input and weight; a bias only sums."""
    transposed = next(value for value in rest if isinstance(value, bool))
    mask = kwargs.get("output_mask", rest[-1])
    once = products(x.shape, weight.shape, grad.shape, transposed=transposed)
    return once * (int(mask[0]) + int(mask[1]))


@formula("aten::_slow_conv2d_backward")
def slow_conv2d_backward(
    grad: Any, x: Any, weight: Any, *rest: Any, out: Any, **kwargs: Any
) -> int:
    """As ``convolution_backward``, never transposed."""
    mask = kwargs.get("output_mask", rest[-1])
    once = products(x.shape, weight.shape, grad.shape, transposed=False)
    return once * (int(mask[0]) + int(mask[1]))


@formula("aten::conv_tbc")
def conv_tbc(x: Any, weight: Any, *_: Any, out: Any, **__: Any) -> int:
    """Time × batch × channel; the weight is ``(kernel, C_in, C_out)``."""
    return 2 * prod(out.shape) * weight.shape[0] * weight.shape[1]
