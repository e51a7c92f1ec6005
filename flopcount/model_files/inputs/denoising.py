"""What a denoiser of diffusers reads: the noisy latent, the time, and what it is conditioned on.

What its signature requires is made by the rules of :mod:`.denoising_rules`; of what it calls
optional, the things that training gives.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flopcount.errors import FlopcountError
from flopcount.model_files.inputs.denoising_rules import RULES

if TYPE_CHECKING:
    from flopcount.model_files.inputs.denoiser import Denoiser

_USUAL = (
    "encoder_hidden_states",
    "timestep",
    "timesteps",
    "pooled_embeds",
    "encoder_hidden_states_llama3",
    "pose_hidden_states",
    "face_pixel_values",
    "pooled_projections",
    "class_labels",
    "img_ids",
    "txt_ids",
    "img_shapes",
    "guidance",
    "num_frames",
    "height",
    "width",
    "added_cond_kwargs",
    "encoder_hidden_states_2",
    "encoder_attention_mask_2",
    "encoder_hidden_states_t5",
    "text_embedding_mask",
    "text_embedding_mask_t5",
    "image_meta_size",
    "style",
    "padding_mask",
    "image_embeddings",
    "global_hidden_states",
    "text_encoder_layers",
    "control_hidden_states",
    "encoder_attention_mask",
    "mask",
)
"""Inputs that signatures call optional and training gives wherever the configuration has a place."""


def denoiser_inputs(denoiser: Denoiser, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of one step, large tensors on meta.

    Args:
        denoiser: the model and its sizes.
        given: inputs that the caller states himself, by name; nobody else makes them.

    Raises:
        InputSizeUnknownError: a size is neither given nor in the configuration.
        FlopcountError: the model reads something of a kind that is not known.
    """
    if _does_nothing(denoiser.model.forward):
        raise FlopcountError(
            f"{denoiser.source}: '{denoiser.name}' has no forward pass of its own\n"
            "  it holds parts of another model; count the model that they are put into"
        )
    taken = inspect.signature(denoiser.model.forward).parameters
    needed = [name for name, p in taken.items() if p.default is p.empty]
    foreign = sorted(set(given) - set(taken))
    if foreign:
        msg = f"{denoiser.source}: '{denoiser.name}' takes no input {', '.join(foreign)}"
        raise FlopcountError(f"{msg}\n  it takes {', '.join(taken)}")
    unknown = [name for name in needed if name not in RULES and name not in given]
    if unknown:
        named = ", ".join(f"'{name}'" for name in unknown)
        raise FlopcountError(
            f"{denoiser.source}: '{denoiser.name}' reads {named}\n"
            "  no rule tells the shape; give --input NAME=SHAPE for each, "
            "or package.module:factory that returns the model and its inputs"
        )
    made = dict(given)
    for name in (*needed, *(usual for usual in _USUAL if usual in taken)):
        if name in made:
            continue
        value = RULES[name](denoiser)
        if value is not None or name in needed:
            made[name] = value
    return made


def _does_nothing(forward: Any) -> bool:
    """Say whether a forward pass calls nothing and answers nothing."""
    code = getattr(forward, "__code__", None)
    return code is not None and not code.co_names and set(code.co_consts) <= {None, forward.__doc__}
