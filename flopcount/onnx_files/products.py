"""FLOP of the ONNX operators that multiply: shapes in, FLOP out.

A multiply-add is 2 FLOP. A formula answers None where a shape is missing; the walk then names the
operator as not counted. Operators: https://onnx.ai/onnx/operators/ and the contrib operators of
ONNX Runtime (MultiHeadAttention, FusedMatMul and the like).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

_DTYPES = {1: "fp32", 10: "fp16", 11: "fp64", 16: "bf16", 3: "int8", 2: "uint8", 17: "fp8",
           18: "fp8", 19: "fp8", 20: "fp8", 6: "int32", 7: "int64", 22: "int4", 21: "uint4",
           23: "fp4"}  # fmt: skip
_FLOATS = {1, 10, 11, 16, 17, 18, 19, 20, 23}


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor in the graph."""

    shape: tuple[int, ...] | None = None
    """None where it is unknown."""
    element: int = 0
    """ONNX element type."""
    needs_gradient: bool = False
    constant: bool = False
    """Computed from stored numbers only."""

    @property
    def numbers(self) -> int:
        """Elements; 0 where the shape is unknown."""
        return 0 if self.shape is None else prod(self.shape)

    @property
    def is_float(self) -> bool:
        """Whether it can be trained."""
        return self.element in _FLOATS

    @property
    def is_weight(self) -> bool:
        """A stored tensor of numbers that training would change."""
        return self.constant and (self.is_float or self.element == 0) and self.numbers > 1

    @property
    def dtype(self) -> str:
        """Short name, e.g. ``fp32``."""
        return _DTYPES.get(self.element, "unknown")


Formula = Callable[[list[Any], list[Any], dict[str, Any]], int | None]


@dataclass(frozen=True, slots=True)
class Product:
    """A formula and how many of the first operands are multiplied (and may need a gradient)."""

    formula: Formula
    multiplied: int = 2
    backward: Callable[[list[Any], int], int] | None = None
    """Gradients' FLOP where operands do not share the forward's cost evenly."""
    holds_weight: bool = False
    """Whether the node keeps its trained weight in an attribute, not among its operands."""

    def gradients(self, operands: list[Any], forward: int) -> int:
        """One forward's worth for each multiplied operand that needs a gradient."""
        if self.backward is not None:
            return self.backward(operands, forward)
        wanted = sum(
            operand is not None and (operand.needs_gradient or operand.is_weight)
            for operand in operands[: self.multiplied]
        )
        return int(min(wanted + self.holds_weight, 2) * forward)

    def __call__(self, operands: list[Any], outputs: list[Any], attributes: Any) -> int | None:
        """Return the forward FLOP, None where a shape is missing or does not fit."""
        try:
            return self.formula(operands, outputs, attributes)
        except (AttributeError, IndexError, TypeError, ValueError, ZeroDivisionError, KeyError):
            # A missing operand or shape: None has no shape, a short tuple no such axis, and an
            # equation more letters than an operand axes.
            return None


def matmul(operands: list[Any], outputs: list[Any], _attributes: Any) -> int:
    """``(.., m, k) @ (.., k, n)``: 2 k for each number of the result."""
    return 2 * int(prod(outputs[0].shape)) * int(operands[0].shape[-1])


def fused_matmul(operands: list[Any], outputs: list[Any], attributes: dict[str, Any]) -> int:
    """As ``matmul`` with operands that may be transposed."""
    axis = -2 if attributes.get("transA") else -1
    return 2 * int(prod(outputs[0].shape)) * int(operands[0].shape[axis])


def gemm(operands: list[Any], outputs: list[Any], attributes: dict[str, Any]) -> int:
    """``alpha A B + beta C``."""
    axis = 0 if attributes.get("transA") else 1
    return 2 * int(prod(outputs[0].shape)) * int(operands[0].shape[axis])


def conv(operands: list[Any], outputs: list[Any], _attributes: Any) -> int:
    """Weight ``(out, in / groups, kernel..)``: each result meets one filter."""
    return 2 * int(prod(outputs[0].shape)) * int(prod(operands[1].shape[1:]))


def conv_integer(operands: list[Any], outputs: list[Any], _attributes: Any) -> int:
    """As ``conv``; the quantised form has its scales between data and weight."""
    weight = operands[3] if len(operands) >= 6 else operands[1]
    return 2 * int(prod(outputs[0].shape)) * int(prod(weight.shape[1:]))


def conv_transpose(operands: list[Any], _outputs: list[Any], _attributes: Any) -> int:
    """Weight ``(in, out / groups, kernel..)``: each input meets one filter."""
    return 2 * int(prod(operands[0].shape)) * int(prod(operands[1].shape[1:]))


def quantised_matmul(operands: list[Any], outputs: list[Any], _attributes: Any) -> int:
    """``QLinearMatMul``: a, its scale and zero point, then b."""
    return 2 * int(prod(outputs[0].shape)) * int(operands[0].shape[-1])


def einsum(operands: list[Any], _outputs: list[Any], attributes: dict[str, Any]) -> int | None:
    """Two operands: one multiply-add for each combination of the letters."""
    equation = attributes["equation"]
    text = equation.decode() if isinstance(equation, bytes) else str(equation)
    left = text.replace(" ", "").split("->")[0].split(",")
    if len(left) != 2 or len(operands) != 2 or "." in text:
        return None
    sizes: dict[str, int] = {}
    for letters, operand in zip(left, operands, strict=True):
        for letter, size in zip(letters, operand.shape, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    return 2 * int(prod(sizes.values()))


def recurrent(gates: int) -> Formula:
    """``X (time, batch, in)``, ``W (directions, gates h, in)``, ``R (directions, gates h, h)``."""

    def formula(operands: list[Any], _outputs: list[Any], _attributes: Any) -> int | None:
        steps, batch, inputs = operands[0].shape
        directions, rows, hidden = operands[2].shape
        if rows != gates * hidden:
            return None
        return 2 * int(steps * batch * directions * rows * (inputs + hidden))

    return formula


def attention(past_at: int) -> Formula:
    """Scores and values of every query-key pair; three- or four-dimensional operands.

    ``past_at``: the operand that holds the keys of earlier positions, where there is one.
    """

    def formula(operands: list[Any], _outputs: list[Any], attributes: dict[str, Any]) -> int | None:
        query, key, value = (operand.shape for operand in operands[:3])
        past = operands[past_at] if len(operands) > past_at else None
        keys = key[-2] + (0 if past is None else past.shape[-2])
        if len(query) == 4:
            batch, heads, queries, width = query
            return 2 * int(batch * heads * queries * keys * (width + value[-1]))
        heads = attributes.get("q_num_heads") or attributes.get("num_heads")
        kv_heads = attributes.get("kv_num_heads") or heads
        if heads is None or len(key) != 3:
            return None
        batch, queries, _ = query
        per_pair = query[-1] + value[-1] // kv_heads * heads
        return 2 * int(batch * queries * keys * per_pair)

    return formula


def recurrent_backward(operands: list[Any], forward: int) -> int:
    """The state's product has two gradients, the input's a second one if the input needs it.

    The first step's state is given, not computed: it needs a gradient only if what gave it does.
    """
    if not any(operand is not None and operand.is_weight for operand in operands[1:3]):
        return 0
    inputs, hidden = operands[0].shape[-1], operands[2].shape[-1]
    of_state = forward // (inputs + hidden) * hidden
    of_input = forward - of_state
    given = operands[5] if len(operands) > 5 else None
    first = 0 if given is not None and given.needs_gradient else of_state // operands[0].shape[0]
    return int(2 * of_state - first + of_input * (2 if operands[0].needs_gradient else 1))


SAME_SHAPE = frozenset({"Scaler", "Normalizer", "Imputer", "Binarizer", "Erfc"})
"""Operators outside the standard with the shape of their input, which onnx does not infer."""


def weights_inside(node: Any) -> int:
    """Numbers that a linear model of scikit-learn keeps in attributes, its intercepts included."""
    product = PRODUCTS.get(node.op_type)
    if product is None or not product.holds_weight:
        return 0
    return sum(len(a.floats) for a in node.attribute if a.name in ("coefficients", "intercepts"))


def linear_model(operands: list[Any], _outputs: list[Any], attributes: dict[str, Any]) -> int:
    """scikit-learn's linear models keep their weights in an attribute."""
    return 2 * int(operands[0].shape[0]) * len(attributes["coefficients"])


def support_vectors(operands: list[Any], _outputs: list[Any], attributes: dict[str, Any]) -> int:
    """Products with every support vector, then with the coefficients."""
    numbers = len(attributes.get("support_vectors") or ()) + len(attributes["coefficients"])
    return 2 * int(operands[0].shape[0]) * numbers


DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "ai.onnx.contrib", "com.microsoft"})
"""Whose operators these tables speak of; a name of another's may mean anything."""
ATTENTIONS = frozenset({"Attention", "MultiHeadAttention", "GroupQueryAttention"})
PRODUCTS: dict[str, Product] = {
    "MatMul": Product(matmul),
    "MatMulInteger": Product(matmul),
    "FusedMatMul": Product(fused_matmul),
    "QLinearMatMul": Product(quantised_matmul),
    "Gemm": Product(gemm),
    "FusedGemm": Product(gemm),
    "Conv": Product(conv),
    "FusedConv": Product(conv),
    "ConvInteger": Product(conv_integer),
    "QLinearConv": Product(conv_integer),
    "ConvTranspose": Product(conv_transpose),
    "Einsum": Product(einsum),
    "LSTM": Product(recurrent(4), backward=recurrent_backward),
    "GRU": Product(recurrent(3), backward=recurrent_backward),
    "RNN": Product(recurrent(1), backward=recurrent_backward),
    "Attention": Product(attention(4), multiplied=3),
    "MultiHeadAttention": Product(attention(6), multiplied=3),
    "GroupQueryAttention": Product(attention(3), multiplied=3),
    "LinearClassifier": Product(linear_model, multiplied=1, holds_weight=True),
    "LinearRegressor": Product(linear_model, multiplied=1, holds_weight=True),
    "SVMClassifier": Product(support_vectors, multiplied=1),
    "SVMRegressor": Product(support_vectors, multiplied=1),
}
_ELEMENTWISE = """
    Abs Acos Acosh Add And Asin Asinh Atan Atanh BatchNormalization BitwiseAnd BitwiseNot
    BitwiseOr BitwiseXor Cast CastLike Ceil Celu Clip Cos Cosh CumSum DequantizeLinear Div
    Dropout DynamicQuantizeLinear Elu Equal Erf Erfc Exp FastGelu Floor Gelu BiasGelu
    GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid
    HardSwish InstanceNormalization IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual
    Log LogSoftmax LpNormalization LRN Max MaxPool AveragePool Mean MeanVarianceNormalization
    Min Mish Mod Mul Neg Not Or PRelu Pow QuantizeLinear QuickGelu RMSNormalization RandomNormal
    RandomNormalLike RandomUniform RandomUniformLike Reciprocal ReduceL1 ReduceL2 ReduceLogSum
    ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu
    Resize RotaryEmbedding Round Selu Shrink Sigmoid Sign SimplifiedLayerNormalization Sin Sinh
    SkipLayerNormalization Softmax Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu
    Upsample Where Xor Normalizer Scaler Binarizer Hardmax
"""
_MOVES = """
    ArgMax ArgMin Bernoulli Compress Concat ConstantOfShape DepthToSpace Expand EyeLike Flatten
    Gather GatherElements GatherND Identity Multinomial NonMaxSuppression NonZero OneHot Pad Range
    Reshape ReverseSequence ScatterElements ScatterND Shape Size Slice SpaceToDepth Split Squeeze
    Tile TopK Transpose Trilu Unique Unsqueeze ZipMap ArrayFeatureExtractor Imputer
    EmbedLayerNormalization LabelEncoder SequenceConstruct SequenceAt SequenceEmpty
    SequenceInsert SequenceLength SplitToSequence ConcatFromSequence Optional OneHotEncoder
    FeatureVectorizer CategoryMapper TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor
"""
ELEMENTWISE = frozenset(_ELEMENTWISE.split())
"""Work on single elements; listed apart, never in the total."""
MOVES = frozenset(_MOVES.split())
"""Operators that move, select or compare numbers and multiply none."""
