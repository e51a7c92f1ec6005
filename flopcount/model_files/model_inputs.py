"""The inputs of one training step for whatever a model reads: tokens, pixels, sound, series.

What a model needs is read from its signature, sizes that its configuration fixes (image size,
spectrogram frames) from there; sizes that it leaves free (batch, tokens) come from the caller and
are never made up.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flopcount.errors import FlopcountError
from flopcount.model_files.inputs.image_tokens import add_image, takes_image
from flopcount.model_files.inputs.images import SEEN
from flopcount.model_files.inputs.makers import Maker
from flopcount.model_files.inputs.sizes import InputSizeUnknownError, Sizes
from flopcount.model_files.inputs.sound import HEARD
from flopcount.model_files.inputs.text import is_dual_tower

if TYPE_CHECKING:
    from flopcount.model_files.architectures import Architecture

__all__ = ["InputSizeUnknownError", "inputs_of", "maker_of", "reads_images_too"]

_COMPANIONS = {
    "bbox": "input_ids",
    "image_embeds_position_mask": "pixel_values",
    "past_time_features": "past_values",
    "past_observed_mask": "past_values",
    "future_values": "past_time_features",
    "future_time_features": "past_time_features",
    "actions": "states",
    "rewards": "states",
    "returns_to_go": "states",
    "timesteps": "states",
    "visual_feats": "input_ids",
    "visual_pos": "input_ids",
    "spatial_shapes": "pixel_values",
    "pixel_position_ids": "pixel_values",
    "grid_thw": "pixel_values",
    "target_sizes": "pixel_values",
}
"""Inputs that a signature calls optional and that the model misses beside the other."""


def maker_of(model: Any, source: str, **sizes: Any) -> Maker:
    """Return the maker of a model's inputs at the sizes asked for.

    Args:
        model: a model of the transformers library, on meta.
        source: what an error calls it.
        **sizes: the fields of :class:`~flopcount.model_files.inputs.sizes.Sizes`: ``batch``, ``sequence``
            (the encoder's in an encoder-decoder that reads text, the decoder's where the encoder
            reads something else), ``decoder_sequence`` (``sequence`` unless given), ``image``,
            ``frames`` and ``audio_frames`` (the configuration's unless given).
    """
    return Maker(model, Sizes(source=source, config=model.config, **sizes))


def inputs_of(maker: Maker, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the keyword arguments of one training step, all large tensors on meta.

    Args:
        maker: see :func:`maker_of`.
        given: inputs that the caller states himself, by name; they are made by nobody else.

    Raises:
        InputSizeUnknownError: a size is neither given nor fixed by the configuration.
        FlopcountError: the model's input is of a kind that is not known.
    """
    model = maker.model
    inputs: dict[str, Any] = dict(given or {})
    _refuse_foreign(inputs, maker)
    _refuse_unread(maker)
    for name in _wanted(model, maker, inputs):
        if name not in inputs:
            inputs[name] = maker.make(name)
    if takes_image(model, maker, inputs):
        add_image(model, maker, inputs, given or {})
    missing = [name for name in maker.required if name not in inputs]
    if missing or not inputs:
        raise _unknown_kind(maker.sizes.source, model, missing or [str(model.main_input_name)])
    if "use_cache" in maker.accepted:
        inputs["use_cache"] = False
    return inputs


def _wanted(model: Any, maker: Maker, given: Mapping[str, Any]) -> list[str]:
    """Name what the model needs, the main input first."""
    main = model.main_input_name
    named = [main] if isinstance(main, str) else list(main)
    wanted: list[str] = ["input_ids" if name == "decoder_input_ids" else name for name in named]
    wanted = [name for name in wanted if name in maker.accepted or name in maker.required]
    if not wanted and not maker.required:
        usual = ("input_ids", "pixel_values", "flattened_patches")
        wanted = [str(name) for name in usual if name in maker.accepted][:1]
    wanted += maker.required
    if "pixel_values" in maker.accepted and (is_dual_tower(model) or _reads_one_page(model)):
        wanted.append("pixel_values")
    if is_dual_tower(model):
        towers = ("input_ids", "input_features", "input_values")
        wanted += [name for name in towers if name in maker.accepted]
    if "decoder_input_ids" in maker.accepted and getattr(model.config, "is_encoder_decoder", False):
        wanted.append("decoder_input_ids")
    for name, beside in _COMPANIONS.items():
        if name in maker.accepted and beside in {*wanted, *given}:
            wanted.append(name)
    if {"pixel_values", "hidden_states"} & set(wanted) and "image_grid_thw" in maker.required:
        wanted.append("image_grid_thw")
    if "spatial_shapes" in wanted and "pixel_attention_mask" in maker.accepted:
        wanted.append("pixel_attention_mask")
    if "inputs_embeds" in given:
        wanted = [name for name in wanted if name != "input_ids"]  # a model refuses both
    return [name for name in dict.fromkeys(wanted) if maker.knows(name)]


def _reads_one_page(model: Any) -> bool:
    """A model that mixes text and image patches in one trunk states the image's size itself."""
    stated = vars(model.config)
    return "image_size" in stated and "vocab_size" in stated and not model.can_generate()


def reads_images_too(built: Architecture, inputs: Mapping[str, Any]) -> bool:
    """Say whether the model has an image tower that these inputs leave out."""
    accepted = inspect.signature(built.model.forward).parameters
    return "pixel_values" in accepted and "pixel_values" not in inputs


def _refuse_foreign(given: Mapping[str, Any], maker: Maker) -> None:
    foreign = sorted(set(given) - maker.accepted)
    if foreign:
        msg = (
            f"{maker.sizes.source}: '{type(maker.model).__name__}' takes no input "
            f"{', '.join(foreign)}\n  it takes {', '.join(sorted(maker.accepted))}"
        )
        raise FlopcountError(msg)


def _refuse_unread(maker: Maker) -> None:
    """Refuse a size of something that the model does not read, rather than to pass it over.

    Raises:
        FlopcountError: an image for a model without eyes, and the like.
    """
    sizes, accepted = maker.sizes, maker.accepted | set(maker.required)
    sees = bool(accepted & SEEN) or maker.reads_patches()
    hears = bool(accepted & HEARD) or bool(getattr(maker.model.config, "input_dim", None))
    moves = "pixel_values_videos" in accepted or (sees and maker.frames() is not None)
    for name, value, reads in (
        ("image", sizes.image, sees),
        ("frames", sizes.frames, moves),
        ("audio_frames", sizes.audio_frames, hears),
        ("decoder_sequence", sizes.decoder_sequence, "decoder_input_ids" in accepted),
    ):
        if value is not None and not reads:
            option = name.replace("_", "-")
            msg = (
                f"{sizes.source}: '{type(maker.model).__name__}' reads nothing that --{option} is a "
                f"size of\n  it takes {', '.join(sorted(maker.accepted))[:300]}\n  leave --{option} out"
            )
            raise FlopcountError(msg)


def _unknown_kind(source: str, model: Any, missing: list[str]) -> FlopcountError:
    names = ", ".join(f"'{name}'" for name in missing)
    return FlopcountError(
        f"{source}: '{type(model).__name__}' reads {names}\n"
        "  no rule tells the shape; give --input NAME=SHAPE for each, "
        "or package.module:factory that returns the model and its inputs"
    )
