"""Rules for a denoiser's inputs: by name, how each follows from the configuration."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from flopcount.model_files.inputs.denoiser import MASKED, Denoiser


def _class(m: Denoiser) -> Any:
    return m.whole() if m.number("num_embeds_ada_norm", "num_class_embeds") else None


def _beside(m: Denoiser) -> Any:
    """Conditions that travel in a dictionary: sizes and a pooled text."""
    if m.config.get("addition_embed_type") == "text_time":
        steps = m.need("added_cond_kwargs", "addition_time_embed_dim")
        pooled = m.need("added_cond_kwargs", "projection_class_embeddings_input_dim") - 6 * steps
        return {"text_embeds": m.floats(pooled), "time_ids": m.floats(6)}
    if not m.name.startswith("PixArt"):
        return None
    if m.config.get("sample_size") != 128:
        return {"resolution": None, "aspect_ratio": None}
    return {"resolution": m.floats(2), "aspect_ratio": m.floats(1)}


def _text_of_t5(m: Denoiser) -> Any:
    widths = m.config.get("caption_channels")
    width = m.number("cross_attention_dim_t5", "text_embed_dim_t5")
    if width is None and isinstance(widths, list | tuple):  # of several texts, the last
        width = int(widths[-1])
    return None if width is None else m.floats(m.number("text_len_t5") or m.texts(), width)


def _every_layer(m: Denoiser) -> Any:
    """The text once for each block, each from another layer of its encoder."""
    blocks = (m.number("num_layers") or 0) + (m.number("num_single_layers") or 0)
    return [m.text("text_encoder_dim") for _ in range(blocks)]


def _chosen_layers(m: Denoiser) -> Any:
    """The text from every layer of its encoder up to the last that is read."""
    read = m.config.get("llama_layers")
    return [m.text() for _ in range(1 + max(read))] if read else None


def _axes(m: Denoiser) -> Any:
    """Places of text and image tokens: frame, row, column; one table for all samples or each his."""
    places = m.whole(m.joint(), 3)
    return places if m.is_joint() else places[0]


def _encodings(m: Denoiser) -> Any:
    """What encoders hand on, each with its mask."""
    return [(m.floats(m.texts(), m.need("text", "d_model")), m.floats(m.texts()))]


_WAN_STRIDE = 4
"""Frames of a film that become one of its latent, the first one aside."""


def _pose(m: Denoiser) -> Any:
    return m.floats(m.need("channels", "latent_channels"), m.frame_number() - 1, *m.size())


def _face(m: Denoiser) -> Any:
    side = m.need("face", "motion_encoder_size")
    return m.floats(3, _WAN_STRIDE * (m.frame_number() - 1), side, side)


def _time(m: Denoiser) -> Any:
    """The time of the noise: one a sample, or one a frame where frames are noisy apart."""
    if m.name.startswith("AnyFlow"):
        return m.whole(m.frame_number())
    if m.name.startswith("SanaWM"):
        return m.whole(1, m.frame_number())
    # It hands the type of this number on to its layers.
    return m.floats() if m.name == "HunyuanDiT2DModel" else m.whole()


def _control(m: Denoiser) -> Any:
    channels = m.number("vace_in_channels")
    return None if channels is None else m.floats(channels, m.frame_number(), *m.size())


def _patches(m: Denoiser) -> tuple[int, ...]:
    step = m.need("patch", "patch_size")
    return ((m.size()[0] // step) * (m.size()[1] // step),)


def _mask(m: Denoiser) -> Any:
    named = m.name.startswith(MASKED)
    taken = inspect.signature(m.model.forward).parameters["encoder_attention_mask"]
    return m.ones(m.texts()) if named or taken.default is taken.empty else None


def _text_places(m: Denoiser) -> Any:
    import torch

    return torch.arange(m.texts())


def _guided(m: Denoiser) -> Any:
    return m.floats() if m.config.get("guidance_embeds") else None


def _packed_only(make: Callable[[Denoiser], Any]) -> Callable[[Denoiser], Any]:
    return lambda m: make(m) if m.is_packed() else None


def _masked(*keys: str) -> Callable[[Denoiser], Any]:
    return lambda m: m.ones(m.texts()) if m.number(*keys) else None


def _times(m: Denoiser) -> Any:
    steps = m.need("added_time_ids", "addition_time_embed_dim")
    return m.floats(m.need("added_time_ids", "projection_class_embeddings_input_dim") // steps)


def _side(axis: int) -> Callable[[Denoiser], Any]:
    return lambda m: m.tokens()[axis] if m.is_packed() else None


RULES: dict[str, Callable[[Denoiser], Any]] = {
    "sample": Denoiser.noisy,
    "hidden_states": Denoiser.noisy,
    "image_latents": Denoiser.noisy,
    "input_ids": lambda m: m.whole(*m.size()),
    "timestep": _time,
    "timesteps": Denoiser.whole,
    "r_timestep": _time,
    "timestep_r": Denoiser.floats,
    "timestep_ratio": Denoiser.floats,
    "fps": Denoiser.whole,
    "class_labels": _class,
    "encoder_hidden_states": Denoiser.text,
    "encoder_hidden_states_2": lambda m: m.text("text_embed_2_dim"),
    "encoder_hidden_states_t5": _text_of_t5,
    "text_bth": Denoiser.text,
    "encoder_hidden_states_llama3": _chosen_layers,
    "encodings_and_masks": _encodings,
    "decoder_input_tokens": lambda m: m.floats(
        m.need("steps", "targets_length"), m.need("channels", "input_dims")
    ),
    "decoder_noise_time": Denoiser.floats,
    "inputs_embeds": lambda m: m.floats(
        m.need("codebooks", "num_codebooks"), m.need("width", "hidden_size")
    ),
    "chunk_partition": lambda m: list(m.config["chunk_partition"]),
    "position_ids": _axes,
    "segment_ids": lambda m: m.whole(m.joint()),
    "indicator": lambda m: m.whole(m.joint()),
    "pose_hidden_states": _pose,
    "face_pixel_values": _face,
    "text_encoder_layers": _every_layer,
    "encoder_attention_mask": _mask,
    "mask": lambda m: m.ones(m.texts()) if m.name.startswith(MASKED) else None,
    "encoder_mask": lambda m: m.ones(m.texts()),
    "encoder_attention_mask_2": _masked("text_embed_2_dim"),
    "text_embedding_mask": _masked("cross_attention_dim"),
    "text_embedding_mask_t5": lambda m: m.ones(m.number("text_len_t5") or m.texts()),
    "pooled_projections": lambda m: m.row("pooled_projection_dim", "in_text_dim2"),
    "pooled_embeds": lambda m: m.row("text_emb_dim"),
    "pooled_text_emb": lambda m: m.row("cond_embed_dim"),
    "clip_text_pooled": lambda m: m.floats(1, m.need("text", "clip_text_pooled_in_channels")),
    "proj_embedding": lambda m: m.row("embedding_proj_dim", "embedding_dim"),
    "global_hidden_states": lambda m: (
        m.row("global_cond_dim")
        if m.number("global_cond_dim")
        else (m.floats(1, m.need("text", "global_states_input_dim")))
    ),
    "context_latents": lambda m: m.floats(
        m.steps(),
        m.need("channels", "in_channels") - m.need("channels", "audio_acoustic_hidden_dim"),
    ),
    "control_hidden_states": _control,
    "x": lambda m: [m.floats(m.need("channels", "in_channels"), 1, *m.size())[0]] * m.batch,
    "t": Denoiser.floats,
    "cap_feats": lambda m: [m.text()[0]] * m.batch,
    "text_lens": lambda m: m.ones().long() * m.texts(),
    "prior_token_id": lambda m: m.whole(*_patches(m)),
    "prior_token_drop": lambda m: ~m.ones(*_patches(m)),
    "image_embeddings": lambda m: m.row("cross_attention_dim") if "I2V" in m.name else None,
    "micro_conds": lambda m: m.floats(
        m.need("micro_conds", "micro_cond_embed_dim")
        // m.need("micro_conds", "micro_cond_encode_dim")
    ),
    "image_meta_size": lambda m: (
        m.floats(6) if m.config.get("use_style_cond_and_image_meta_size") else None
    ),
    "style": lambda m: m.whole() if m.config.get("use_style_cond_and_image_meta_size") else None,
    "added_cond_kwargs": _beside,
    "added_time_ids": _times,
    "guidance": _guided,
    "img_ids": lambda m: m.places(m.noisy().shape[1]) if m.is_packed() else None,
    "txt_ids": lambda m: m.places(m.texts()),
    "img_shapes": lambda m: [(1, m.size()[0] // 2, m.size()[1] // 2)] * m.batch,
    "num_frames": _packed_only(Denoiser.frame_number),
    "height": _side(0),
    "width": _side(1),
    "original_size": lambda m: m.floats(2),
    "target_size": lambda m: m.floats(2),
    "crop_coords": lambda m: m.floats(2),
    "visual_rope_pos": Denoiser.positions,
    "text_rope_pos": _text_places,
    "padding_mask": lambda m: (
        m.ones(1, *m.size())[:1].float() if m.config.get("concat_padding_mask") else None
    ),
}
