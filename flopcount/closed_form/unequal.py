"""Decoders whose layers differ: some without attention, some with more heads, some linear."""

from dataclasses import dataclass
from typing import Literal

from flopcount.closed_form.blocks import feed_forward, mixture, norms, self_attention
from flopcount.closed_form.dimensions import Dimensions
from flopcount.closed_form.scans import delta_rule, lightning
from flopcount.closed_form.sheet import Sheet


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """Equal layers of a decoder whose layers differ."""

    dimensions: Dimensions
    """Those of such a layer; ``layers`` is their number, ``dense_layers`` all or none of it."""
    attention: Literal["own", "borrowed", "delta", "lightning", "matrix", "none"] = "own"
    """As the dimensions say, with an earlier layer's keys and values, a gated delta rule, lightning
    attention, one square matrix in its place, or nothing."""
    ffn: Literal["own", "matrix", "none"] = "own"
    gate: int = 0
    """Outputs of a gate on what attention answers; 0: there is none."""
    beside: bool = False
    """Stands beside a half of other layers, reads what that reads, and has no norm of its own."""
    expert_hidden: int | None = None
    """Width between two projections in which routed experts work; None: ``hidden``."""


def unequal_layers(sheet: Sheet, parts: tuple[Layers, ...], *, batch: int, sequence: int) -> None:
    """Enter each group of layers; terms of one name are added up when the sheet is closed."""
    positions = batch * sequence
    for part in parts:
        d = part.dimensions
        layers, hidden = d.need("layers"), d.need("hidden")
        if part.attention in ("own", "borrowed"):
            self_attention(
                sheet, d, batch=batch, sequence=sequence, layers=layers, mask="causal",
                borrowed=part.attention == "borrowed",
            )  # fmt: skip
        elif part.attention == "delta":
            delta_rule(sheet, d, batch=batch, sequence=sequence)
        elif part.attention == "lightning":
            lightning(sheet, d, batch=batch, sequence=sequence)
        elif part.attention == "matrix":
            sheet.linear("attention.matrix", hidden, hidden, positions, times=layers)
        if part.gate:
            sheet.linear("attention.gate", hidden, part.gate, positions, times=layers)
        if part.ffn == "own":
            feed_forward(sheet, d, positions=positions, layers=layers - d.moe_layers)
            _mixture(sheet, part, positions=positions)
        elif part.ffn == "matrix":
            sheet.linear("ffn.matrix", hidden, hidden, positions, times=layers)
        halves = 0 if part.beside else (part.attention != "none") + (part.ffn != "none")
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
