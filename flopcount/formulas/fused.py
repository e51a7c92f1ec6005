"""Whole layers in one op: the inference fast paths of multi-head attention and its encoder."""

from __future__ import annotations

from math import prod

from flopcount.formulas.attention import attention
from flopcount.registry import Call, Cost, call_formula


def _self_attention(batch: int, queries: int, keys: int, width: int, heads: int) -> Cost:
    shape = (batch, heads, queries, width // heads)
    other = (batch, heads, keys, width // heads)
    return attention(shape, other, other, causal=False, backward=False)


@call_formula("aten::_native_multi_head_attention", "aten::_triton_multi_head_attention")
def multi_head(call: Call) -> Cost:
    """Three input projections, attention, the output projection; batch first."""
    batch, queries, width = call.shape("query")
    keys, heads = call.shape("key")[1], int(call.arguments["num_head"])
    inner = _self_attention(batch, queries, keys, width, heads)
    projections = 2 * batch * width * width * (2 * queries + 2 * keys)
    return Cost(projections + inner.flop, attention=inner.flop)


@call_formula("aten::_transformer_encoder_layer_fwd")
def encoder_layer(call: Call) -> Cost:
    """Four ``width²`` projections, attention and two feed-forward matrices; maybe nested."""
    source = call.arguments["src"]
    width = int(call.arguments["embed_dim"])
    heads = int(call.arguments["num_heads"])
    matrices = sum(
        prod(call.shape(name))
        for name in ("qkv_weight", "proj_weight", "ffn_weight_1", "ffn_weight_2")
    )
    if getattr(source, "is_nested", False):
        lengths = [int(item.shape[0]) for item in source.unbind()]
    else:
        batch, length, _ = call.shape("src")
        lengths = [length] * batch
    inner = sum(_self_attention(1, size, size, width, heads).flop for size in lengths)
    return Cost(2 * sum(lengths) * matrices + inner, attention=inner)


@call_formula("aten::_triton_scaled_dot_attention")
def triton_attention(call: Call) -> Cost:
    """Plain attention on ``(B, H, S, D)``."""
    return attention(
        call.shape("q"), call.shape("k"), call.shape("v"), causal=False, backward=False
    )
