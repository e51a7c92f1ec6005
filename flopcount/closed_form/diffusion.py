"""Denoisers of diffusion models: the DiT and the U-Net of Stable Diffusion."""

from flopcount.closed_form.blocks import feed_forward, self_attention
from flopcount.closed_form.dimensions import Dimensions, DimensionsError
from flopcount.closed_form.inputs import Inputs
from flopcount.closed_form.sheet import ClosedForm, Sheet
from flopcount.closed_form.unet_walk import UNetWalk

_SINES = 256
"""Width of the sinusoids from which a DiT embeds its time step."""


def dit(d: Dimensions, inputs: Inputs) -> ClosedForm:
    """Count a DiT: patches of the latent, conditioning by adaptive norms, no text.

    Each block has six shifts and scales from the condition (a product on one row a sample). In the
    library each block embeds the time step itself, and the first one once more for the output; a
    case file's table is read as the paper has it, with one embedding for all.
    """
    batch, patch, hidden = inputs.batch, d.need("patch"), d.need("hidden")
    size = inputs.latent or d.image
    if size is None:
        size = inputs.need_pair("latent", d.kind)
    if size[0] % patch or size[1] % patch:
        raise DimensionsError(f"latent = {size[0]} x {size[1]} is no multiple of patch = {patch}")
    sequence = (size[0] // patch) * (size[1] // patch)
    layers, channels = d.need("layers"), d.channels or 4
    results = int(d.details.get("out_channels", 2 * channels))
    sheet = Sheet()
    sheet.linear(
        "patch_embedding",
        patch * patch * channels,
        hidden,
        batch * sequence,
        bias=True,
        input_gradient=False,
    )
    stored = layers if d.details.get("embedder_in_each_block") else 1
    runs = stored + 1 if stored > 1 else 1
    sheet.linear("time.first", _SINES, hidden, batch, times=runs, stored=stored, active=stored,
                 bias=True, input_gradient=False)  # fmt: skip
    sheet.linear("time.second", hidden, hidden, batch, times=runs, stored=stored, active=stored,
                 bias=True)  # fmt: skip
    for _ in range(stored if d.classes is not None else 0):
        sheet.table((d.classes or 0) + 1, hidden)
    sheet.linear("modulation", hidden, 6 * hidden, batch, times=layers, bias=True)
    self_attention(sheet, d, batch=batch, sequence=sequence, layers=layers, mask="none")
    feed_forward(sheet, d, positions=batch * sequence, layers=layers)
    sheet.linear("output.modulation", hidden, 2 * hidden, batch, bias=True)
    sheet.linear("output", hidden, patch * patch * results, batch * sequence, bias=True)
    return sheet.close(tokens=batch * sequence, assumptions=d.assumptions)


def unet(d: Dimensions, inputs: Inputs) -> ClosedForm:
    """Count the U-Net of Stable Diffusion from its levels; see :class:`UNetWalk`."""
    if "levels" not in d.details:
        msg = (
            "architecture: a U-Net cannot be counted from these keys: its levels differ\n"
            "  give the model's config.json instead"
        )
        raise DimensionsError(msg)
    size = inputs.latent or d.image
    if size is None:
        size = inputs.need_pair("latent", d.kind)
    text = inputs.text_tokens or inputs.sequence or inputs.need("text_tokens", d.kind)
    sheet = Sheet()
    UNetWalk(sheet, d.details, batch=inputs.batch, text=text).run(size)
    return sheet.close(tokens=inputs.batch * size[0] * size[1], assumptions=d.assumptions)
