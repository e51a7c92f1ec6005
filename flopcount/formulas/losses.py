"""Losses that are fused with the layer before them, a product in one op.

``torch.nn.LinearCrossEntropyLoss`` with options makes the logits ``(N, C)`` of ``input (N, k)`` and
``weight (C, k)`` in pieces and, where its reduction allows that, both gradients on the way: what its
backward would multiply is multiplied in its forward. Counted as the mathematics has it, the logits are
forward and the gradients are backward work.
"""

from __future__ import annotations

from math import prod

from flopcount.registry import Call, Cost, call_formula


def _logits(call: Call) -> int:
    return 2 * prod(call.shape("input")) * call.shape("linear_weight")[0]


@call_formula("torch_nn::_linear_cross_entropy_batch_chunked")
def cross_entropy(call: Call) -> Cost:
    """``2·N·k·C`` for the logits, and as much for each gradient that is asked for."""
    asked = ("compute_input_grad", "compute_linear_weight_grad")
    gradients = sum(bool(call.get(name)) for name in asked)
    return Cost(_logits(call), ahead=gradients * _logits(call))


@call_formula("torch_nn::_linear_cross_entropy_batch_chunked_no_reduction")
def cross_entropy_of_each(call: Call) -> int:
    """The logits alone: its backward runs ops of its own."""
    return _logits(call)
