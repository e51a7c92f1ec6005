"""Decoder-only transformers: dense, grouped-query, latent attention, mixture of experts."""

from flopcount.closed_form.blocks import feed_forward, mixture, norms, self_attention
from flopcount.closed_form.dimensions import Dimensions
from flopcount.closed_form.inputs import Inputs
from flopcount.closed_form.sheet import ClosedForm, Sheet
from flopcount.closed_form.unequal import unequal_layers


def decoder(d: Dimensions, inputs: Inputs) -> ClosedForm:
    """Count a language model whose head reads every position.

    A dense model costs 6 x (weights in products) a token for the weights and
    12 x layers x heads x head_dim x sequence for attention in full.
    """
    batch, sequence = inputs.batch, inputs.need("sequence", d.kind)
    layers, hidden, positions = d.need("layers"), d.need("hidden"), batch * sequence
    sheet = Sheet()
    token_table(sheet, d, positions=positions)
    sheet.table(d.position_rows, hidden)
    sheet.passes = passes = int(d.details.get("passes", 1))
    parts = d.details.get("parts")
    if parts is not None:
        unequal_layers(sheet, parts, batch=batch, sequence=sequence)
    else:
        self_attention(sheet, d, batch=batch, sequence=sequence, layers=layers, mask="causal")
        feed_forward(sheet, d, positions=positions, layers=layers - d.moe_layers)
        mixture(sheet, d, positions=positions, layers=d.moe_layers)
        norms(sheet, d, layers=layers)
    if block := d.details.get("residual_block"):
        _mixed_residuals(sheet, hidden, positions=positions, layers=layers, block=block)
    sheet.vector(int(d.details.get("vectors_per_layer", 0)), times=layers)
    if d.embedding_norm:
        sheet.vector(d.norm_width * hidden)
    if d.final_norm:
        sheet.vector(d.norm_width * hidden)
    output_head(sheet, d, positions=positions)
    if passes > 1:
        _exits(sheet, hidden, positions=positions, passes=passes)
    return sheet.close(tokens=positions, assumptions=d.assumptions)


def _exits(sheet: Sheet, hidden: int, *, positions: int, passes: int) -> None:
    """A gate of one output after each pass weighs its answer; the last has what the others leave."""
    sheet.passes = passes - 1
    sheet.linear("exit_gate", hidden, 1, positions, bias=True)
    sheet.passes = 1
    sheet.product("last_exit_gate", 2 * positions * hidden, gradients=0)


def _mixed_residuals(sheet: Sheet, hidden: int, *, positions: int, layers: int, block: int) -> None:
    """Attention residuals: what enters a half of a layer is mixed from ends of blocks and the sum so far.

    The scores are elementwise; the mixing sums n + 1 rows a position, where n blocks have begun. Before
    the first layer there is nothing to mix; after the last all blocks are mixed once more.
    """
    begun = [-(-layer // block) for layer in range(1, layers + 1)]  # the last: after all layers
    rows = sum(n + 1 for n in begun) + sum(layer // block + 2 for layer in range(layers))
    sheet.product("residuals.mix", 2 * positions * hidden * rows)
    sheet.vector(2 * hidden, times=2 * layers + 1)  # a norm and a row of scores each


def token_table(sheet: Sheet, d: Dimensions, *, positions: int) -> None:
    """The token table (a lookup, no product) and its projection where it is narrower."""
    if d.vocabulary is None:
        return
    width, hidden = d.embedding_width or d.need("hidden"), d.need("hidden")
    sheet.table(d.vocabulary, width)
    for rows, narrow in d.details.get("tables", ()):
        sheet.table(rows, narrow)
        sheet.linear("embedding.widen", narrow, hidden, positions)
    if width != hidden:
        sheet.linear("embedding.up", width, hidden, positions)


def output_head(sheet: Sheet, d: Dimensions, *, positions: int) -> None:
    """The product with the vocabulary, tied or not."""
    if d.vocabulary is None:
        return
    width, hidden = d.embedding_width or d.need("hidden"), d.need("hidden")
    if width != hidden:
        sheet.linear("head.down", hidden, width, positions)
    tied = bool(d.tied_embeddings)
    sheet.linear("head", width, d.vocabulary, positions, tied=tied, bias=d.head_bias)
