"""Convolutions.

Each output element sums over ``input channels / groups × kernel`` products, so the forward costs
``2 · out elements · (C_in / groups) · kernel``. A transposed convolution is the input gradient of a
plain one, so input and output swap roles: ``2 · in elements · (C_out / groups) · kernel``. The
input gradient and the weight gradient visit the same products once more each: both cost what the
forward costs, whatever ``groups`` is. Products with padding are counted (the field's convention);
kernels may skip them.
"""

from __future__ import annotations

from math import prod

from flopcount.errors import CountError
from flopcount.registry import Call, call_formula

Shape = tuple[int, ...]


def products(x: Shape, weight: Shape, out: Shape, *, transposed: bool) -> int:
    """FLOP of one pass. ``weight[1:]`` is channels per group and kernel in either case."""
    return 2 * prod(x if transposed else out) * prod(weight[1:])


@call_formula("aten::convolution", "aten::_convolution", "aten::convolution_overrideable")
def convolution(call: Call) -> int:
    """The general op that every ``nn.ConvNd`` reaches.

    Raises:
        CountError: the channels do not fit, which the meta kernel of a transposed one overlooks.

    """
    x, weight = call.shape("input"), call.shape("weight")
    transposed = bool(call.arguments["transposed"])
    if transposed and x[1 - len(weight)] != weight[0]:
        raise CountError(
            f"a transposed convolution with a weight of {weight} reads {weight[0]} channels; "
            f"its input has {x[1 - len(weight)]}: give an input of the right shape"
        )
    return products(x, weight, call.out_shape(), transposed=transposed)


@call_formula(
    "aten::cudnn_convolution",
    "aten::miopen_convolution",
    "aten::miopen_depthwise_convolution",
    "aten::mkldnn_convolution",
    "aten::_slow_conv2d_forward",
    "aten::slow_conv3d_forward",
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
def forward_kernel(call: Call) -> int:
    """One backend's forward kernel; none of these is transposed."""
    x = call.get("self", call.get("input"))
    return products(tuple(x.shape), call.shape("weight"), call.out_shape(), transposed=False)


@call_formula(
    "aten::cudnn_convolution_transpose",
    "aten::miopen_convolution_transpose",
    "aten::_mps_convolution_transpose",
    "aten::slow_conv_transpose2d",
    "aten::slow_conv_transpose3d",
)
def transpose_kernel(call: Call) -> int:
    """One backend's transposed kernel."""
    return products(call.shape("self"), call.shape("weight"), call.out_shape(), transposed=True)


@call_formula("aten::convolution_backward", "aten::convolution_backward_overrideable")
def convolution_backward(call: Call) -> int:
    """One forward's worth for each asked gradient of input and weight; a bias only sums."""
    mask = call.arguments["output_mask"]
    once = products(
        call.shape("input"),
        call.shape("weight"),
        call.shape("grad_output"),
        transposed=bool(call.arguments["transposed"]),
    )
    return once * (int(mask[0]) + int(mask[1]))


@call_formula("aten::_slow_conv2d_backward", "aten::mps_convolution_backward")
def kernel_backward(call: Call) -> int:
    """One backend's backward, never transposed."""
    mask = call.get("output_mask", (True, True, True))
    grad = call.shape("grad_output")
    once = products(call.shape("self"), call.shape("weight"), grad, transposed=False)
    return once * (int(mask[0]) + int(mask[1]))


@call_formula("aten::mps_convolution_transpose_backward")
def transpose_backward(call: Call) -> int:
    """One backend's backward of a transposed convolution."""
    mask = call.arguments["output_mask"]
    grad = call.shape("grad_output")
    once = products(call.shape("self"), call.shape("weight"), grad, transposed=True)
    return once * (int(mask[0]) + int(mask[1]))


@call_formula("aten::conv_tbc")
def conv_tbc(call: Call) -> int:
    """Time × batch × channel; the weight is ``(kernel, C_in, C_out)``."""
    kernel, channels, _ = call.shape("weight")
    return 2 * prod(call.out_shape()) * kernel * channels


@call_formula("torchvision::deform_conv2d")
def deform_conv2d(call: Call) -> int:
    """The sampled stencil is resampled elementwise, then multiplied as in a plain convolution."""
    return products(call.shape("input"), call.shape("weight"), call.out_shape(), transposed=False)


@call_formula("torchvision::_deform_conv2d_backward")
def deform_conv2d_backward(call: Call) -> int:
    """Input (with offsets) and weight gradient."""
    grad = call.shape("grad")
    return 2 * products(call.shape("input"), call.shape("weight"), grad, transposed=False)
