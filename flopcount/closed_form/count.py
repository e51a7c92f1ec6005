"""From dimensions and an input size to the FLOP of one training step."""

from flopcount.closed_form.decoder import decoder
from flopcount.closed_form.diffusion import dit, unet
from flopcount.closed_form.dimensions import LARGEST, Dimensions, DimensionsError
from flopcount.closed_form.encoder import encoder
from flopcount.closed_form.encoder_decoder import encoder_decoder
from flopcount.closed_form.inputs import Inputs
from flopcount.closed_form.sheet import ClosedForm
from flopcount.closed_form.state_space import state_space
from flopcount.closed_form.vision import vit

_FORMS = {
    "decoder": decoder,
    "encoder": encoder,
    "encoder-decoder": encoder_decoder,
    "vit": vit,
    "ssm": state_space,
    "dit": dit,
    "unet": unet,
}


def count(
    dimensions: Dimensions,
    *,
    batch: int = 1,
    sequence: int | None = None,
    decoder_sequence: int | None = None,
    image: tuple[int, int] | None = None,
    latent: tuple[int, int] | None = None,
    text_tokens: int | None = None,
    audio_frames: int | None = None,
) -> ClosedForm:
    """Count one training step (forward and backward, every weight trainable) in closed form.

    Attention is counted in full; ``ClosedForm.masked_total`` counts the unmasked pairs only.

    Args:
        dimensions: the model.
        batch: samples in the batch.
        sequence: tokens a sample; the encoder's in an encoder-decoder.
        decoder_sequence: tokens a sample on the decoder's side; ``sequence`` unless given.
        image: pixels, height and width.
        latent: height and width of a diffusion model's latent.
        text_tokens: conditioning tokens of a diffusion model.
        audio_frames: spectrogram frames a sample.

    Raises:
        FlopcountError: an input size that the family needs is missing or impossible, or the
            family has no closed form.
    """
    inputs = Inputs(
        batch=batch,
        sequence=sequence,
        decoder_sequence=decoder_sequence,
        image=image,
        latent=latent,
        text_tokens=text_tokens,
        audio_frames=audio_frames,
    )
    _check(inputs)
    form = _FORMS.get(dimensions.kind)
    if form is None:
        msg = (
            f"architecture: kind = '{dimensions.kind}' has no closed form\n"
            f"  known: {', '.join(_FORMS)}"
        )
        raise DimensionsError(msg)
    return form(dimensions, inputs)


def _check(inputs: Inputs) -> None:
    sizes = {
        "batch": inputs.batch,
        "sequence": inputs.sequence,
        "decoder_sequence": inputs.decoder_sequence,
        "text_tokens": inputs.text_tokens,
        "audio_frames": inputs.audio_frames,
    }
    for name in ("image", "latent"):
        pair = getattr(inputs, name)
        if pair is not None:
            sizes[f"{name} height"], sizes[f"{name} width"] = pair
    for name, size in sizes.items():
        if size is not None and (type(size) is not int or not 1 <= size <= LARGEST):
            raise DimensionsError(_size_message(name, size))


def _size_message(name: str, size: object) -> str:
    shown = repr(size) if not isinstance(size, int) or abs(size) <= LARGEST else "far too large"
    return (
        f"the input size {name} = {shown[:80]}\n  expected a whole number from 1 to {LARGEST:.0e}"
    )
