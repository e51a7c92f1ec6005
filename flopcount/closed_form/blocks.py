"""Attention and feed-forward: the layers that all transformer families share."""

from flopcount.closed_form.dimensions import Dimensions
from flopcount.closed_form.sheet import Mask, Sheet


def self_attention(
    sheet: Sheet,
    d: Dimensions,
    *,
    batch: int,
    sequence: int,
    layers: int,
    mask: Mask,
    prefix: str = "",
    borrowed: bool = False,
) -> None:
    """Projections and scores of ``layers`` self-attention layers.

    Multi-head, multi-query and grouped-query attention project hidden -> heads x head_dim for the
    queries and hidden -> kv_heads x (head_dim, v_head_dim) for keys and values; the scores cost
    2 x heads x head_dim a pair whatever the number of key-value heads is. ``borrowed`` keys and values
    are those of an earlier layer, and cost nothing here.
    """
    positions = batch * sequence
    if d.kv_lora_rank is not None:
        _latent_projections(sheet, d, positions=positions, layers=layers, prefix=prefix)
    else:
        parts = ("query",) if borrowed else ("query", "key", "value")
        _projections(sheet, d, parts, positions=positions, layers=layers, prefix=prefix)
    heads, width = d.need("heads"), d.need("head_dim")
    # A case file's window is a decoder's; an encoder's says how many places it sees on each side.
    windows = mask == "causal" or (d.kind == "encoder" and d.full_attention_layers is not None)
    sliding = min(d.sliding_layers, layers) if windows else 0
    for label, times, window in (
        ("", layers - sliding, None),
        ("sliding_", sliding, d.sliding_window),
    ):
        for part, size in (("scores", width), ("values", d.need("v_head_dim"))):
            sheet.scores(
                f"{prefix}attention.{label}{part}",
                batch=batch,
                heads=heads,
                width=size,
                queries=sequence,
                keys=sequence,
                times=times,
                mask=mask,
                window=window,
                block=int(d.details.get("mask_block", 1)),
            )
    if d.attention_sinks:
        sheet.vector(heads, times=layers)


def _projections(
    sheet: Sheet,
    d: Dimensions,
    parts: tuple[str, ...],
    *,
    positions: int,
    layers: int,
    prefix: str,
) -> None:
    hidden, heads, kv_heads = d.need("hidden"), d.need("heads"), d.need("kv_heads")
    width, v_width = d.need("head_dim"), d.need("v_head_dim")
    rank = hidden if d.q_lora_rank is None else d.q_lora_rank
    if d.q_lora_rank is not None:  # queries by two factors, a norm between them
        sheet.linear(f"{prefix}attention.query_down", hidden, rank, positions, times=layers)
        sheet.vector(rank, times=layers)
    for name, inputs, outputs, bias in (
        ("query", rank, heads * width, d.qkv_bias),
        ("key", hidden, kv_heads * width, d.qkv_bias and d.key_bias),
        ("value", hidden, kv_heads * v_width, d.qkv_bias),
    ):
        if name in parts:
            sheet.linear(
                f"{prefix}attention.{name}", inputs, outputs, positions, times=layers, bias=bias
            )
    sheet.linear(
        f"{prefix}attention.output",
        heads * v_width,
        hidden,
        positions,
        times=layers,
        bias=d.output_bias,
    )
    if d.qk_norm == "head":
        sheet.vector(2 * width, times=layers)
    elif d.qk_norm == "width":
        sheet.vector((heads + kv_heads) * width, times=layers)


def _latent_projections(
    sheet: Sheet, d: Dimensions, *, positions: int, layers: int, prefix: str
) -> None:
    """Multi-head latent attention: low-rank queries, one latent for all keys and values."""
    hidden, heads = d.need("hidden"), d.need("heads")
    nope, rope, value = d.need("qk_nope_head_dim"), d.need("qk_rope_head_dim"), d.need("v_head_dim")
    rank = d.need("kv_lora_rank")
    if d.q_lora_rank is None:
        matrices = [("query", hidden, heads * (nope + rope), False)]
    else:
        matrices = [
            ("query_down", hidden, d.q_lora_rank, d.qkv_bias),
            ("query_up", d.q_lora_rank, heads * (nope + rope), False),
        ]
        sheet.vector(d.q_lora_rank, times=layers)
    matrices += [
        ("latent_down", hidden, rank + rope, d.qkv_bias),
        ("latent_up", rank, heads * (nope + value), False),
        ("output", heads * value, hidden, d.output_bias),
    ]
    sheet.vector(rank, times=layers)
    for name, inputs, outputs, bias in matrices:
        sheet.linear(
            f"{prefix}attention.{name}", inputs, outputs, positions, times=layers, bias=bias
        )


def feed_forward(
    sheet: Sheet,
    d: Dimensions,
    *,
    positions: int,
    layers: int,
    ffn: int | None = None,
    prefix: str = "",
    name: str = "ffn",
) -> None:
    """Two matrices, or three when gated, in each of ``layers`` layers."""
    hidden, inner = d.need("hidden"), d.need("ffn") if ffn is None else ffn
    if d.ffn_matrices == 3:
        sheet.linear(
            f"{prefix}{name}.gate", hidden, inner, positions, times=layers, bias=d.ffn_bias
        )
    sheet.linear(f"{prefix}{name}.up", hidden, inner, positions, times=layers, bias=d.ffn_bias)
    sheet.linear(f"{prefix}{name}.down", inner, hidden, positions, times=layers, bias=d.ffn_bias)


def mixture(
    sheet: Sheet, d: Dimensions, *, positions: int, layers: int, expert_hidden: int | None = None
) -> None:
    """Router, routed experts and shared experts of ``layers`` layers, no token dropped.

    Routed experts may work in a width of their own, ``expert_hidden``.

    Each token passes ``experts_per_token`` experts, so the routed products have
    positions x experts_per_token rows in all, however the router spreads them. Where it may also choose
    experts without weights, that is the most there can be.
    """
    if layers == 0 or d.experts is None:
        return
    hidden, inner, chosen = d.need("hidden"), d.need("expert_ffn"), d.need("experts_per_token")
    empty = int(d.details.get("empty_experts", 0))
    outputs = d.experts + empty
    sheet.linear("router", hidden, outputs, positions, times=layers, bias=d.router_bias)
    wide = hidden if expert_hidden is None else expert_hidden
    matrices = [("up", wide, inner), ("down", inner, wide)]
    if d.ffn_matrices == 3:
        matrices.insert(0, ("gate", wide, inner))
    for name, inputs, outputs in matrices:
        sheet.linear(
            f"experts.{name}",
            inputs,
            outputs,
            positions * chosen,
            times=layers,
            stored=layers * d.experts,
            active=layers * chosen,
            bias=d.expert_bias,
            fewest=positions * max(0, chosen - empty),
        )
    shared = d.shared_expert_ffn
    if shared is None:
        shared = d.shared_experts * inner
    if shared:
        feed_forward(
            sheet, d, positions=positions, layers=layers, ffn=shared, name="shared_experts"
        )
    if d.shared_expert_gate:
        sheet.linear("shared_experts.switch", hidden, 1, positions, times=layers)


def norms(sheet: Sheet, d: Dimensions, *, layers: int, per_layer: int | None = None) -> None:
    """The layers' norms; they cost no matrix product."""
    each = d.norms_per_layer if per_layer is None else per_layer
    sheet.vector(each * d.norm_width * d.need("hidden"), times=layers)
