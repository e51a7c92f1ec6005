"""Encoder-decoders: each side's weights meet its own tokens, cross-attention meets both."""

import dataclasses

from flopcount.closed_form.blocks import feed_forward, norms, self_attention
from flopcount.closed_form.decoder import output_head
from flopcount.closed_form.dimensions import Dimensions
from flopcount.closed_form.inputs import Inputs
from flopcount.closed_form.sheet import ClosedForm, Sheet

_NO_BINS = (
    "spectrogram frames are halved by two convolutions, as in Whisper; the number of frequency bins is not "
    "given, so the first of the two is left out"
)


def encoder_decoder(d: Dimensions, inputs: Inputs) -> ClosedForm:
    """Count an encoder-decoder on ``sequence`` source and ``decoder_sequence`` target tokens.

    The keys and values of the cross-attention are projected from the source, so they cost source
    tokens although they stand in the decoder. Where the source is a spectrogram (``channels``
    frequency bins), two convolutions halve its frames, and ``sequence`` is the target's.
    """
    batch, hidden = inputs.batch, d.need("hidden")
    sheet = Sheet()
    if d.channels is not None or inputs.audio_frames is not None:
        source = _spectrogram(sheet, d, inputs)
        target = inputs.decoder_sequence or inputs.need("sequence", d.kind)
    else:
        source = inputs.need("sequence", d.kind)
        target = inputs.decoder_sequence or source
    sheet.table(d.need("vocabulary"), hidden)
    for side, layers, length, per_layer in (
        ("encoder", d.need("encoder_layers"), source, 2),
        ("decoder", d.need("decoder_layers"), target, 3),
    ):
        part = _side(d, side)
        self_attention(
            sheet,
            part,
            batch=batch,
            sequence=length,
            layers=layers,
            mask="causal" if side == "decoder" else "none",
            prefix=f"{side}.",
        )
        feed_forward(sheet, part, positions=batch * length, layers=layers, prefix=f"{side}.")
        norms(sheet, d, layers=layers, per_layer=per_layer)
        sheet.table(int(d.details.get(f"{side}_position_rows", 0)), hidden)
        buckets = int(d.details.get("relative_buckets", 0))
        tables = layers if d.details.get("relative_in_each_layer") else 1
        sheet.table(buckets * tables, part.need("heads"))
    cross_attention(sheet, _side(d, "decoder"), batch=batch, source=source, target=target)
    both = int(d.embedding_norm) + int(d.final_norm)
    sheet.vector(d.norm_width * hidden, times=2 * both)
    output_head(sheet, d, positions=batch * target)
    notes = (
        (*d.assumptions, _NO_BINS) if inputs.audio_frames and d.channels is None else d.assumptions
    )
    return sheet.close(tokens=batch * source, assumptions=notes)


def _side(d: Dimensions, side: str) -> Dimensions:
    """The dimensions of one side, where they differ from the other's."""
    heads, ffn = d.details.get(f"{side}_heads"), d.details.get(f"{side}_ffn")
    if heads is None and ffn is None:
        return d
    heads = d.need("heads") if heads is None else int(heads)
    width = d.need("hidden") // heads
    return dataclasses.replace(
        d,
        heads=heads,
        kv_heads=heads,
        head_dim=width,
        v_head_dim=width,
        ffn=d.need("ffn") if ffn is None else int(ffn),
    )


def _spectrogram(sheet: Sheet, d: Dimensions, inputs: Inputs) -> int:
    """Two convolutions of width 3, the second with stride 2 (Whisper); the input is data."""
    frames = inputs.audio_frames or int(d.details.get("audio_frames", 0))
    if not frames:
        frames = inputs.need("audio_frames", d.kind)
    hidden, source = d.need("hidden"), (frames + 1) // 2
    if d.channels is not None:
        sheet.linear(
            "stem.first",
            3 * d.channels,
            hidden,
            inputs.batch * frames,
            bias=True,
            input_gradient=False,
        )
    sheet.linear("stem.second", 3 * hidden, hidden, inputs.batch * source, bias=True)
    return source


def cross_attention(sheet: Sheet, d: Dimensions, *, batch: int, source: int, target: int) -> None:
    """Queries from the target, keys and values from the source."""
    layers, hidden = d.need("decoder_layers"), d.need("hidden")
    width, heads, bias = d.need("heads") * d.need("head_dim"), d.need("heads"), d.qkv_bias
    for name, inputs, outputs, length, has_bias in (
        ("query", hidden, width, target, bias),
        ("key", hidden, width, source, bias and d.key_bias),
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
