"""Decoders whose layers differ: some without attention, some with more heads, some linear."""

from dataclasses import dataclass
from typing import Literal

from flopcount.closed_form.blocks import feed_forward, mixture, norms, self_attention
from flopcount.closed_form.dimensions import Dimensions
from flopcount.closed_form.sheet import Sheet


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """Equal layers of a decoder whose layers differ."""

    dimensions: Dimensions
    """Those of such a layer; ``layers`` is their number, ``dense_layers`` all or none of it."""
    attention: Literal["own", "delta", "matrix", "none"] = "own"
    """As the dimensions say, a gated delta rule, one square matrix in its place, or nothing."""
    ffn: Literal["own", "matrix", "none"] = "own"
    gate: int = 0
    """Outputs of a gate on what attention answers; 0: there is none."""
    expert_hidden: int | None = None
    """Width between two projections in which routed experts work; None: ``hidden``."""


def unequal_layers(sheet: Sheet, parts: tuple[Layers, ...], *, batch: int, sequence: int) -> None:
    """Enter each group of layers; terms of one name are added up when the sheet is closed."""
    positions = batch * sequence
    for part in parts:
        d = part.dimensions
        layers, hidden = d.need("layers"), d.need("hidden")
        if part.attention == "own":
            self_attention(sheet, d, batch=batch, sequence=sequence, layers=layers, mask="causal")
        elif part.attention == "delta":
            delta_rule(sheet, d, batch=batch, sequence=sequence)
        elif part.attention == "matrix":
            sheet.linear("attention.matrix", hidden, hidden, positions, times=layers)
        if part.gate:
            sheet.linear("attention.gate", hidden, part.gate, positions, times=layers)
        if part.ffn == "own":
            feed_forward(sheet, d, positions=positions, layers=layers - d.moe_layers)
            _mixture(sheet, part, positions=positions)
        elif part.ffn == "matrix":
            sheet.linear("ffn.matrix", hidden, hidden, positions, times=layers)
        halves = (part.attention != "none") + (part.ffn != "none")
        norms(sheet, d, layers=layers, per_layer=halves)


def _mixture(sheet: Sheet, part: Layers, *, positions: int) -> None:
    d, narrow = part.dimensions, part.expert_hidden
    layers = d.moe_layers
    sheet.vector(int(d.details.get("router_vector", 0)), times=layers)
    mixture(sheet, d, positions=positions, layers=layers, expert_hidden=narrow)
    if narrow is not None and layers:
        hidden = d.need("hidden")
        sheet.linear("experts.narrow", hidden, narrow, positions, times=layers)
        sheet.linear("experts.widen", narrow, hidden, positions, times=layers)
        if d.details.get("narrow_norm"):
            sheet.vector(narrow, times=layers)


def delta_rule(sheet: Sheet, d: Dimensions, *, batch: int, sequence: int) -> None:
    """Kimi's delta attention: a gated delta rule whose decay is a number a channel.

    As its reference multiplies in c chunks of l positions, for a head of d channels: the chunk's own
    matrix with keys and with values (2 l l d each), the state read twice (2 l d d each), the scores with
    the new values (2 l l d), the state written (2 l d d). The scores themselves are elementwise. The
    first state is zero and needs no gradient; nobody reads the last one.
    """
    layers, hidden, positions = d.need("layers"), d.need("hidden"), batch * sequence
    heads, width = int(d.details["linear_heads"]), int(d.details["linear_head_dim"])
    kernel, length = int(d.details["kernel"]), 64
    inner = heads * width
    for name in ("query", "key", "value"):
        sheet.linear(f"delta.{name}", hidden, inner, positions, times=layers)
        rows = batch * (sequence + kernel - 1)
        sheet.linear("delta.convolution", kernel, inner, rows, times=layers)
    sheet.linear("delta.forget_down", hidden, width, positions, times=layers)
    sheet.linear("delta.forget_up", width, inner, positions, times=layers)
    sheet.linear("delta.strength", hidden, heads, positions, times=layers)
    if not d.details.get("full_rank_gate"):
        sheet.linear("delta.gate_down", hidden, width, positions, times=layers)
        sheet.linear("delta.gate_up", width, inner, positions, times=layers)
    sheet.linear("delta.output", inner, hidden, positions, times=layers)
    # The forget gate's bias, its rate, the norm after the scan.
    sheet.vector(inner + int(d.details.get("rates", heads)) + width, times=layers)
    chunks = -(-sequence // length)
    each = batch * heads * layers
    pairs, state = 2 * each * length * length * width, 2 * each * length * width * width
    sheet.product("delta.within_chunks", 3 * chunks * pairs)
    sheet.product("delta.read_first_state", 2 * state, gradients=1)
    sheet.product("delta.read_state", 2 * (chunks - 1) * state)
    sheet.product("delta.write_state", (chunks - 1) * state)
    sheet.product("delta.write_last_state", state, gradients=0)
