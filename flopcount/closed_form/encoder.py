"""Encoders with a masked-language-model head, a classifier, or none."""

from flopcount.closed_form.blocks import feed_forward, mixture, norms, self_attention
from flopcount.closed_form.dimensions import Dimensions
from flopcount.closed_form.inputs import Inputs
from flopcount.closed_form.sheet import ClosedForm, Sheet


def encoder(d: Dimensions, inputs: Inputs) -> ClosedForm:
    """Count an encoder: full attention in both directions, the head on the masked positions.

    The masked-language-model head is a square layer and the product with the vocabulary; it reads
    ``mlm_positions`` positions a sample, or all of them where that is not stated.
    """
    batch, sequence = inputs.batch, inputs.need("sequence", d.kind)
    layers, hidden, positions = d.need("layers"), d.need("hidden"), batch * sequence
    sheet = Sheet()
    table_width = d.embedding_width or hidden
    sheet.table(d.vocabulary or 0, table_width)
    sheet.table(d.position_rows + d.token_types, table_width)
    if d.embedding_norm:
        sheet.vector(d.norm_width * table_width)
    if table_width != hidden or d.details.get("always_widened"):
        sheet.linear("embedding.up", table_width, hidden, positions, bias=True)
    sheet.shared = bool(d.details.get("shared_layers"))
    self_attention(sheet, d, batch=batch, sequence=sequence, layers=layers, mask="none")
    feed_forward(sheet, d, positions=positions, layers=layers - d.moe_layers)
    mixture(sheet, d, positions=positions, layers=d.moe_layers)
    norms(sheet, d, layers=layers)
    sheet.shared = False
    sheet.vector(-d.norm_width * hidden, times=int(d.details.get("norms_left_out", 0)))
    if d.final_norm:
        sheet.vector(d.norm_width * hidden)
    if d.pooler:
        sheet.linear("pooler", hidden, hidden, batch, bias=True)
    if d.details.get("classifier_transform"):
        sheet.linear("classifier.transform", hidden, hidden, batch, bias=True)
    if d.classes is not None:
        per_token = bool(d.details.get("classify_tokens"))
        sheet.linear("classifier", hidden, d.classes, positions if per_token else batch, bias=True)
    if d.vocabulary is not None and d.head_transform is not None:
        masked = sequence if d.mlm_positions is None else min(d.mlm_positions, sequence)
        _mlm_head(sheet, d, positions=batch * masked)
    return sheet.close(tokens=positions, assumptions=d.assumptions)


def _mlm_head(sheet: Sheet, d: Dimensions, *, positions: int) -> None:
    hidden, width = d.need("hidden"), d.embedding_width or d.need("hidden")
    if d.head_transform:
        sheet.linear(
            "head.transform",
            hidden,
            width,
            positions,
            bias=bool(d.details.get("transform_bias", True)),
        )
        sheet.vector(d.norm_width * width)
    sheet.linear(
        "head",
        width,
        d.need("vocabulary"),
        positions,
        tied=bool(d.tied_embeddings),
        bias=d.head_bias,
    )
    if d.details.get("second_head_bias"):
        sheet.vector(d.need("vocabulary"))
