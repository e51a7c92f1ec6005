"""Vision transformers."""

from flopcount.closed_form.blocks import feed_forward, norms, self_attention
from flopcount.closed_form.dimensions import Dimensions, DimensionsError
from flopcount.closed_form.inputs import Inputs
from flopcount.closed_form.sheet import ClosedForm, Sheet


def vit(d: Dimensions, inputs: Inputs) -> ClosedForm:
    """Count a vision transformer: patches, one class token, a classifier on one position.

    The patch embedding is a product of (patch x patch x channels) with hidden; its input is the
    image, so its backward costs the weight's gradient only.
    """
    batch, patch = inputs.batch, d.need("patch")
    size = inputs.image or d.image
    if size is None:
        inputs.need("image", d.kind)
    assert size is not None
    if size[0] % patch or size[1] % patch:
        raise DimensionsError(
            f"image = {size[0]} x {size[1]} is no multiple of patch = {patch}\n"
            "  state the size that the model was trained on"
        )
    patches = (size[0] // patch) * (size[1] // patch)
    extra = int(d.details.get("extra_tokens", 1))
    layers, hidden, sequence = d.need("layers"), d.need("hidden"), patches + extra
    channels = d.channels if d.channels is not None else 3
    sheet = Sheet()
    sheet.linear(
        "patch_embedding",
        patch * patch * channels,
        hidden,
        batch * patches,
        bias=bool(d.details.get("patch_bias", True)),
        input_gradient=False,
    )
    own = d.image or size
    rows = (own[0] // patch) * (own[1] // patch) + extra
    # Class and distillation tokens, and the position table, are plain parameters or lookups.
    sheet.vector(hidden, times=extra + int(d.details.get("unused_tokens", 0)))
    if d.details.get("positions_looked_up"):
        sheet.table(rows, hidden)
    else:
        sheet.vector(hidden, times=rows)
    if d.embedding_norm:
        sheet.vector(d.norm_width * hidden)
    self_attention(sheet, d, batch=batch, sequence=sequence, layers=layers, mask="none")
    feed_forward(sheet, d, positions=batch * sequence, layers=layers)
    norms(sheet, d, layers=layers)
    sheet.vector(hidden, times=layers * int(d.details.get("vectors_per_layer", 0)))
    if d.final_norm:
        sheet.vector(d.norm_width * hidden)
    if d.pooler:
        pooled = int(d.details.get("pooler_width", hidden))
        sheet.linear("pooler", hidden, pooled, batch, bias=True)
    if d.classes is not None:
        width = hidden * int(d.details.get("classifier_inputs", 1))
        sheet.linear("classifier", width, d.classes, batch, bias=True)
    return sheet.close(tokens=batch * sequence, assumptions=d.assumptions)
