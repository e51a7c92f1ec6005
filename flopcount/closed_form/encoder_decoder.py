"""Encoder-decoders: each side's weights meet its own tokens, cross-attention meets both."""

from flopcount.closed_form.blocks import feed_forward, norms, self_attention
from flopcount.closed_form.decoder import output_head, token_table
from flopcount.closed_form.dimensions import Dimensions
from flopcount.closed_form.inputs import Inputs
from flopcount.closed_form.sheet import ClosedForm, Sheet


def encoder_decoder(d: Dimensions, inputs: Inputs) -> ClosedForm:
    """Count an encoder-decoder on ``sequence`` source and ``decoder_sequence`` target tokens.

    The keys and values of the cross-attention are projected from the source, so they cost source
    tokens although they stand in the decoder.
    """
    batch, source = inputs.batch, inputs.need("sequence", d.kind)
    target = inputs.decoder_sequence or source
    sheet = Sheet()
    token_table(sheet, d, positions=batch * (source + target))
    for side, layers, length in (
        ("encoder.", d.need("encoder_layers"), source),
        ("decoder.", d.need("decoder_layers"), target),
    ):
        self_attention(
            sheet,
            d,
            batch=batch,
            sequence=length,
            layers=layers,
            mask="causal" if side == "decoder." else "none",
            prefix=side,
        )
        feed_forward(sheet, d, positions=batch * length, layers=layers, prefix=side)
        sheet.table(d.position_rows, d.need("hidden"))
    cross_attention(sheet, d, batch=batch, source=source, target=target)
    norms(sheet, d, layers=d.need("encoder_layers"), per_layer=2)
    norms(sheet, d, layers=d.need("decoder_layers"), per_layer=3)
    if d.embedding_norm:
        sheet.vector(2 * d.norm_width * d.need("hidden"))
    if d.final_norm:
        sheet.vector(2 * d.norm_width * d.need("hidden"))
    relative = d.details.get("relative_buckets", 0)
    sheet.table(2 * relative, d.need("heads"))
    output_head(sheet, d, positions=batch * target)
    return sheet.close(tokens=batch * source, assumptions=d.assumptions)


def cross_attention(sheet: Sheet, d: Dimensions, *, batch: int, source: int, target: int) -> None:
    """Queries from the target, keys and values from the source."""
    layers, hidden = d.need("decoder_layers"), d.need("hidden")
    width, heads, bias = d.need("heads") * d.need("head_dim"), d.need("heads"), d.qkv_bias
    for name, inputs, outputs, length, has_bias in (
        ("query", hidden, width, target, bias),
        ("key", hidden, width, source, bias and not d.details.get("no_key_bias", False)),
        ("value", hidden, width, source, bias),
        ("output", width, hidden, target, d.output_bias),
    ):
        sheet.linear(
            f"decoder.cross_attention.{name}",
            inputs,
            outputs,
            batch * length,
            times=layers,
            bias=has_bias,
        )
    for part in ("scores", "values"):
        sheet.scores(
            f"decoder.cross_attention.{part}",
            batch=batch,
            heads=heads,
            width=d.need("head_dim"),
            queries=target,
            keys=source,
            times=layers,
        )
