"""Linear attention by chunks: what its reference code multiplies.

A chunk of l positions and a head of d channels have two kinds of products: pairs of positions within the
chunk (2 l l d each), and positions with the state that the chunks hand on (2 l d d each). Positions are
padded to whole chunks. The first state is zero and needs no gradient; nobody reads the last one.
"""

from flopcount.closed_form.dimensions import Dimensions
from flopcount.closed_form.sheet import Sheet

_CHUNK = 64


def chunk_scan(
    sheet: Sheet,
    name: str,
    *,
    rows: int,
    width: int,
    sequence: int,
    pairs: int,
    reads: int,
    writes: int,
) -> None:
    """Enter a scan of ``rows`` heads (batch x heads x layers), so many products of each kind a chunk."""
    chunks = -(-sequence // _CHUNK)
    within, state = 2 * rows * _CHUNK * _CHUNK * width, 2 * rows * _CHUNK * width * width
    sheet.product(f"{name}.within_chunks", pairs * chunks * within)
    sheet.product(f"{name}.read_first_state", reads * state, gradients=1)
    sheet.product(f"{name}.read_state", reads * (chunks - 1) * state)
    sheet.product(f"{name}.write_state", writes * (chunks - 1) * state)
    sheet.product(f"{name}.write_last_state", writes * state, gradients=0)


def delta_rule(sheet: Sheet, d: Dimensions, *, batch: int, sequence: int) -> None:
    """Kimi's delta attention: a gated delta rule whose decay is a number a channel.

    Within a chunk its own matrix meets keys and values, and the scores meet the new values; the state is
    read by keys and by queries, and written once. The scores themselves are elementwise.
    """
    layers, hidden, positions = d.need("layers"), d.need("hidden"), batch * sequence
    heads, width = int(d.details["linear_heads"]), int(d.details["linear_head_dim"])
    kernel, inner = int(d.details["kernel"]), heads * width
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
    heads_in_all = batch * heads * layers
    chunk_scan(
        sheet, "delta", rows=heads_in_all, width=width, sequence=sequence, pairs=3, reads=2, writes=1
    )  # fmt: skip


def lightning(sheet: Sheet, d: Dimensions, *, batch: int, sequence: int) -> None:
    """Lightning attention as Ling has it: a decay a head that nobody trains, and a gate after the scan.

    Every head has keys and values of its own. Within a chunk queries meet keys and the scores values; the
    state is read and written once (``naive_chunk_simple_gla`` of flash-linear-attention).
    """
    layers, hidden, positions = d.need("layers"), d.need("hidden"), batch * sequence
    heads, width = d.need("heads"), d.need("head_dim")
    inner = heads * width
    for name in ("query", "key", "value"):
        sheet.linear(f"lightning.{name}", hidden, inner, positions, times=layers, bias=d.qkv_bias)
    sheet.linear("lightning.gate", hidden, inner, positions, times=layers)
    sheet.linear("lightning.output", inner, hidden, positions, times=layers, bias=d.output_bias)
    sheet.vector(inner + (2 * width if d.qk_norm == "head" else 0), times=layers)
    chunk_scan(
        sheet, "lightning", rows=batch * heads * layers, width=width, sequence=sequence,
        pairs=2, reads=1, writes=1,
    )  # fmt: skip


def rwkv7(sheet: Sheet, d: Dimensions, *, batch: int, sequence: int) -> None:
    """RWKV-7: four square products, low ranks for decay, rate, gate and mixed values, and its scan.

    The first layer mixes no values. Within a chunk the scan multiplies pairs five times, reads the state by
    weighted keys and by queries, and writes it by keys and by corrections (``dplr_chunkwise`` of
    flash-linear-attention).
    """
    layers, hidden, ffn = d.need("layers"), d.need("hidden"), d.need("ffn")
    positions, width = batch * sequence, int(d.details["mixer_head_dim"])
    for name in ("receptance", "key", "value", "output"):
        sheet.linear(f"time_mix.{name}", hidden, hidden, positions, times=layers)
    for name, times, bias in (
        ("decay", layers, True),
        ("rate", layers, True),
        ("mixed_value", layers - 1, True),
        ("gate", layers, False),
    ):
        rank = int(d.details[f"{name}_rank"])
        sheet.linear(f"time_mix.{name}_down", hidden, rank, positions, times=times)
        sheet.linear(f"time_mix.{name}_up", rank, hidden, positions, times=times, bias=bias)
    chunk_scan(
        sheet, "time_mix", rows=batch * (hidden // width) * layers, width=width, sequence=sequence,
        pairs=5, reads=2, writes=2,
    )  # fmt: skip
    sheet.linear("channel_mix.key", hidden, ffn, positions, times=layers)
    sheet.linear("channel_mix.value", ffn, hidden, positions, times=layers)
    # Seven weights that mix neighbours, three of keys and receptances, a norm of groups with its bias.
    sheet.vector(12 * hidden, times=layers)
    sheet.vector(d.norm_width * hidden, times=2 * layers + bool(d.details["norm_first"]))
