"""Scaled, quantised and structured-sparse products: the same mathematics on narrower numbers.

Scales and zero points are elementwise. A kernel that keeps its weight packed is counted from its
activation ``(…, k)`` and its result ``(…, n)``: ``2 · elements(activation) · n``. The dtype of the
count is the one that enters the matrix unit: the activation's for weight-only quantisation.
"""

from __future__ import annotations

from math import prod
from typing import Any

from flopcount.formulas.conv import products
from flopcount.registry import Call, Cost, call_formula, formula


@call_formula("aten::_scaled_mm", "aten::_scaled_mm_v2", "aten::_scaled_addmm")
def scaled_mm(call: Call) -> int:
    """fp8 product with scales; a byte of packed fp4 holds two elements of ``k``."""
    left = "mat1" if "mat1" in call.arguments else "self"  # in an addmm ``self`` is added
    m, k = call.shape(left)
    packed = 2 if "float4" in str(call.arguments[left].dtype) else 1
    return 2 * m * k * packed * call.shape("mat2")[1]


@call_formula("aten::_cslt_sparse_mm")
def cslt_sparse_mm(call: Call) -> int:
    """2:4 sparse times dense ``(k, n)``: half of ``k`` is multiplied."""
    return prod(call.out_shape()) * call.shape("dense_B")[0]


@call_formula("aten::_sparse_semi_structured_mm", "aten::_sparse_semi_structured_addmm")
def semi_structured(call: Call) -> int:
    """``mat1`` keeps ``k/2`` of ``k`` columns."""
    rows, kept = call.shape("mat1")
    return 2 * rows * kept * call.shape("mat2")[1]


@formula(
    "aten::_weight_int4pack_mm",
    "aten::_weight_int4pack_mm_for_cpu",
    "aten::_weight_int4pack_mm_with_scales_and_zeros",
    "aten::_weight_int8pack_mm",
    "aten::_dyn_quant_matmul_4bit",
    "aten::_mixed_dtypes_linear",
    "bitsandbytes::gemm_4bit",
    "bitsandbytes::gemv_4bit",
    "mkl::_mkl_linear",
    "mkldnn::_linear_pointwise",
    "onednn::linear_dynamic_fp16",
    "onednn::linear_relu_dynamic_fp16",
    "quantized::linear_dynamic_fp16",
    "quantized::linear_relu_dynamic_fp16",
    "quantized::linear_with_input_q_dq_qweight_dq_output_fp32",
    "quantized::linear_with_input_q_dq_qweight_dq_relu_output_fp32",
)
def packed_linear(x: Any, *_: Any, out: Any, **__: Any) -> int:
    """``x (…, k)`` times a packed weight, to ``(…, n)``."""
    return 2 * int(prod(x.shape)) * int(out.shape[-1])


@formula(
    "quantized::linear",
    "quantized::linear_relu",
    "quantized::linear_dynamic",
    "quantized::linear_relu_dynamic",
    "quantized::linear_leaky_relu",
    "quantized::linear_tanh",
    "_quantized::linear",
    "_quantized::linear_dynamic",
    "onednn::qlinear_pointwise",
    "sparse::qlinear",
    "sparse::qlinear_relu",
    "sparse::qlinear_dynamic",
    "sparse::qlinear_relu_dynamic",
)
def packed_int8_linear(x: Any, *_: Any, out: Any, **__: Any) -> Cost:
    """The same in whole numbers: an activation that is not yet quantised becomes so on the way."""
    return Cost(packed_linear(x, out=out), dtype="int8")


@formula("bitsandbytes::int8_linear_matmul", "bitsandbytes::int8_scaled_mm")
def int8_linear(x: Any, weight: Any, *_: Any, out: Any, **__: Any) -> int:  # noqa: ARG001
    """int8 activations ``(…, k)`` times int8 ``weight (n, k)``."""
    return 2 * int(prod(x.shape)) * int(weight.shape[0])


@formula("bitsandbytes::int8_mixed_scaled_mm")
def int8_mixed(x: Any, _ca: Any, weight: Any, *_: Any, out: Any, **__: Any) -> int:  # noqa: ARG001
    """The int8 part and the outlier columns together cover ``k`` once."""
    return 2 * int(prod(x.shape)) * int(weight.shape[0])


@formula("mkldnn::_convolution_pointwise", "mkldnn::_convolution_pointwise_")
def pointwise_convolution(*args: Any, out: Any, **_: Any) -> int:
    """A convolution fused with what follows it; the in-place form has the addend first."""
    tensors = [value for value in args if hasattr(value, "shape")]
    x, weight = tensors[-3:-1] if len(tensors) > 3 else tensors[:2]
    return products(tuple(x.shape), tuple(weight.shape), tuple(out.shape), transposed=False)


@formula(
    *(f"quantized::conv{dim}d{tail}" for dim in (1, 2, 3) for tail in ("", "_relu", "_dynamic"))
)
def packed_convolution(x: Any, packed: Any, *_: Any, out: Any, **__: Any) -> Cost:
    """Convolution with a packed weight, which is unpacked for its shape."""
    weight = packed.unpack()[0]
    flop = products(tuple(x.shape), tuple(weight.shape), tuple(out.shape), transposed=False)
    return Cost(flop, dtype="int8")
