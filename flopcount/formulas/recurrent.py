"""Fused recurrent kernels.

Every row (one time step of one sequence) meets every weight matrix of its layer and direction once:
``2 · rows · elements(weight matrices)``. Biases and gates are elementwise. The backward multiplies
once for the weight gradients, once for the gradient of the layer's input, and once for the gradient
of the previous hidden state, which the first step needs only if the initial state needs one.
"""

from __future__ import annotations

from math import prod
from typing import Any

from flopcount.registry import Call, call_formula


def _rows(call: Call) -> tuple[int, int]:
    """All rows, and those of the first step."""
    shape = call.shape("input")
    sizes = call.get("batch_sizes") or []
    if sizes:
        return sum(int(size) for size in sizes), int(sizes[0])
    batch_axis = 0 if call.get("batch_first", False) else 1
    return prod(shape[:-1]), shape[batch_axis]


def _matrices(weights: Any) -> list[int]:
    """Elements of each weight matrix; biases have one axis."""
    return [prod(weight.shape) for weight in weights if len(weight.shape) == 2]


@call_formula("aten::mkldnn_rnn_layer")
def mkldnn_layer(call: Call) -> int:
    """One layer in one direction: ``weight0`` on the input, ``weight1`` on the hidden state."""
    rows, _ = _rows(call)
    return 2 * rows * (prod(call.shape("weight0")) + prod(call.shape("weight1")))


@call_formula("aten::mkldnn_rnn_layer_backward")
def mkldnn_layer_backward(call: Call) -> int:
    """``needs`` follows the forward: input, four weights, initial hidden and cell state."""
    rows, first = _rows(call)
    needs = call.needs or (True,) * 7
    by_input, by_hidden = prod(call.shape("weight1")), prod(call.shape("weight2"))
    weights = rows * (by_input * int(needs[1]) + by_hidden * int(needs[2]))
    hidden = (rows if needs[5] else rows - first) * by_hidden
    return 2 * (weights + hidden + (rows * by_input if needs[0] else 0))


@call_formula("aten::_cudnn_rnn", "aten::miopen_rnn")
def whole_network(call: Call) -> int:
    """All layers and directions in one call."""
    rows, _ = _rows(call)
    return 2 * rows * sum(_matrices(call.arguments["weight"]))


@call_formula("aten::_cudnn_rnn_backward", "aten::miopen_rnn_backward")
def whole_network_backward(call: Call) -> int:
    """``output_mask``: input, initial hidden state, initial cell state, weights."""
    rows, first = _rows(call)
    mask = call.arguments["output_mask"]
    stride = int(call.arguments["weight_stride0"])
    weights = list(call.arguments["weight"])
    directions = 2 if call.get("bidirectional", False) else 1
    total = 0
    for start in range(0, len(weights), stride):
        into, hidden, *projection = _matrices(weights[start : start + stride])
        first_layer = start < stride * directions
        products = rows * (into + hidden + sum(projection)) if mask[3] else 0
        products += rows * into if mask[0] or not first_layer else 0
        products += (rows if mask[1] else rows - first) * hidden + rows * sum(projection)
        total += 2 * products
    return total


@call_formula("aten::quantized_lstm", "aten::quantized_gru")
def quantized(call: Call) -> int:
    """As many products as unquantised: the packed weights are opaque, sizes and gates tell them.

    A layer has ``gates · h`` rows on its input and as many on its hidden state of width ``h``; the
    next one reads what all directions wrote. An LSTM has four gates, and a cell state among its
    three results; a GRU has three.
    """
    data = call.get("input") if "input" in call.arguments else call.get("data")
    directions = 2 if call.get("bidirectional", False) else 1
    gates = 4 if len(call.out) == 3 else 3
    *rows, width = data.shape
    layers, hidden = int(call.arguments["num_layers"]), call.out_shape()[-1] // directions
    inputs = int(width) + (layers - 1) * directions * hidden
    return 2 * int(prod(rows)) * directions * gates * hidden * (inputs + layers * hidden)
