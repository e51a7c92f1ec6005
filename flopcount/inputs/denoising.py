"""What a denoiser of diffusers reads: the noisy latent, the time, and what it is conditioned on.

The library's classes name their inputs alike, and their configurations state every width. What no
configuration states is the order of a latent's axes: most put channels first, the exceptions are
named here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flopcount.errors import FlopcountError
from flopcount.inputs.sizes import InputSizeUnknownError

_FRAMES_FIRST = ("AnyFlow", "CogVideoX", "ConsisID", "UNetSpatioTemporal")
"""(batch, frames, channels, height, width); the others have the channels before the frames."""
_CHANNELS_LAST = ("Kandinsky5", "Kandinsky6")
"""(batch, frames, height, width, channels)."""
_VIDEO = ("3D", "Video", "Motion", "SpatioTemporal", "I2VGen", "AnyFlow")
_PACKED = ("img_ids", "img_shapes", "video_coords")
"""Who reads one of these reads a row of tokens, each four neighbours of the latent."""
_MASKED = ("Kandinsky3", "BriaFibo2", "SanaWM")
"""Classes that do not run without the mask of the text, although they call it optional."""
_CHANNELS = ("in_channels", "in_visual_dim", "in_dim", "io_channels")
_TEXT = (
    "joint_attention_dim",
    "caption_channels",
    "text_embed_dim",
    "text_dim",
    "encoder_hid_dim",
    "cross_attention_input_dim",
    "cap_feat_dim",
    "context_in_dim",
    "text_in_dim",
    "in_text_dim",
    "cond_token_dim",
    "dit_text_dim",
    "condition_dim",
    "encoder_hidden_size",
    "cross_attention_dim",
)
_USUAL = (
    "encoder_hidden_states",
    "timestep",
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


@dataclass(slots=True, kw_only=True)
class Denoiser:
    """A model of diffusers, its complete configuration, and the sizes of one step."""

    source: str
    """What an error calls the model."""
    name: str
    """The class."""
    model: Any
    config: Mapping[str, Any]
    batch: int = 1
    latent: tuple[int, int] | None = None
    """Height and width of the latent; the configuration's sample size where None."""
    text_tokens: int | None = None
    frames: int | None = None
    """Frames of a video's latent; the configuration's where None."""

    def inputs(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keyword arguments of one step, large tensors on meta.

        Args:
            given: inputs that the caller states himself, by name; nobody else makes them.

        Raises:
            InputSizeUnknownError: a size is neither given nor in the configuration.
            FlopcountError: the model reads something of a kind that is not known.
        """
        taken = inspect.signature(self.model.forward).parameters
        needed = [name for name, p in taken.items() if p.default is p.empty]
        foreign = sorted(set(given) - set(taken))
        if foreign:
            msg = f"{self.source}: '{self.name}' takes no input {', '.join(foreign)}"
            raise FlopcountError(f"{msg}\n  it takes {', '.join(taken)}")
        unknown = [name for name in needed if name not in _MAKERS and name not in given]
        if unknown:
            named = ", ".join(f"'{name}'" for name in unknown)
            raise FlopcountError(
                f"{self.source}: '{self.name}' reads {named}\n"
                "  no rule tells the shape; give --input NAME=SHAPE for each, "
                "or package.module:factory that returns the model and its inputs"
            )
        made = dict(given)
        for name in (*needed, *(usual for usual in _USUAL if usual in taken)):
            if name in made:
                continue
            value = _MAKERS[name](self)
            if value is not None or name in needed:
                made[name] = value
        return made

    # -------------------------------------------------------------- sizes
    def number(self, *keys: str) -> int | None:
        """Return the first of these keys that the configuration states as a positive integer."""
        for key in keys:
            value = self.config.get(key)
            value = value[0] if isinstance(value, list | tuple) and value else value
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
        return None

    def need(self, name: str, *keys: str) -> int:
        """Return the first of these keys, or say that the input's size is unknown."""
        found = self.number(*keys)
        if found is None:
            raise self.unknown(name)
        return found

    def unknown(self, name: str) -> InputSizeUnknownError:
        """Return the error that asks for a size."""
        return InputSizeUnknownError(
            f"{self.source}: the input size '{name}' is neither given nor fixed by the "
            f"configuration\n  give --{name.replace('_', '-')}"
        )

    def size(self) -> tuple[int, int]:
        """Return height and width of the latent."""
        stated = self.latent if self.latent is not None else self.config.get("sample_size")
        if isinstance(stated, int):
            stated = (stated, stated)
        if stated is None:
            high, wide = self.number("sample_height"), self.number("sample_width")
            stated = None if high is None or wide is None else (high, wide)
        if stated is None:
            raise self.unknown("latent")
        return int(stated[0]), int(stated[1])

    def frame_number(self) -> int:
        """Return the frames of a video's latent."""
        found = self.frames or self.number("num_frames", "video_length")
        frames, ratio = self.number("sample_frames"), self.number("temporal_compression_ratio")
        if found is None and frames is not None and ratio is not None:
            found = (frames - 1) // ratio + 1
        if found is None:
            raise self.unknown("frames")
        return found

    def texts(self) -> int:
        """Return the conditioning tokens a sample."""
        fixed = ("max_text_seq_length", "max_sequence_length", "text_len", "num_embeddings")
        found = self.text_tokens or self.number(*fixed)
        if found is None:
            raise self.unknown("text_tokens")
        return found

    def is_video(self) -> bool:
        """Say whether the latent has frames."""
        return any(part in self.name for part in _VIDEO)

    def is_packed(self) -> bool:
        """Say whether the latent comes as a row of tokens."""
        return any(name in inspect.signature(self.model.forward).parameters for name in _PACKED)

    # -------------------------------------------------------------- tensors
    def floats(self, *shape: int) -> Any:
        """(batch, ...) of the model's own dtype, on meta."""
        import torch

        dtype = next(self.model.parameters()).dtype
        return torch.zeros(self.batch, *shape, dtype=dtype, device="meta")

    def whole(self, *shape: int) -> Any:
        """(batch, ...) of integers, on meta."""
        import torch

        return torch.zeros(self.batch, *shape, dtype=torch.long, device="meta")

    def ones(self, *shape: int) -> Any:
        """A mask that hides nothing, with its values."""
        import torch

        return torch.ones(self.batch, *shape, dtype=torch.bool)

    def noisy(self) -> Any:
        """The latent in the layout of the class."""
        own = self.number("latent_dim", "audio_acoustic_hidden_dim")
        if own is not None:  # sound in rows of time steps
            return self.floats(self.steps(), own)
        if "proj_embedding" in inspect.signature(self.model.forward).parameters:
            return self.row("embedding_dim")
        channels = self.need("channels", *_CHANNELS)
        if "1D" in self.name or "Audio" in self.name:
            return self.floats(channels, self.steps())
        if self.config.get("visual_cond") or self.name.startswith("Kandinsky6"):
            channels = 2 * channels + 1  # a condition of the same shape and its mask
        high, wide = self.size()
        if self.is_packed():
            frames = self.frame_number() if self.is_video() else 1
            return self.floats(frames * (high // 2) * (wide // 2), channels)
        if not self.is_video():
            return self.floats(channels, high, wide)
        frames = self.frame_number()
        if self.name.startswith(_FRAMES_FIRST):
            return self.floats(frames, channels, high, wide)
        if self.name.startswith(_CHANNELS_LAST):
            return self.floats(frames, high, wide, channels)
        return self.floats(channels, frames, high, wide)

    def steps(self) -> int:
        """Return the time steps of a latent of sound."""
        return self.number("sample_size") or self.size()[0]

    def text(self, *keys: str) -> Any:
        """What the text encoder hands on (batch, tokens, width); None where nothing reads it."""
        width = self.number(*(keys or _TEXT))
        if width is None and self.is_packed() is False:
            width = self.number("hidden_size", "embedding_dim")
        length = self.steps() if self.name == "MiniMaxMusic3Transformer1DModel" else None
        made = None if width is None else self.floats(length or self.texts(), width)
        if made is not None and self.name == "UNetMotionModel":  # the text, once a frame
            return made.repeat_interleave(self.frame_number(), dim=0)
        return made

    def row(self, *keys: str) -> Any:
        """One vector a sample; None where the configuration has no place for it."""
        width = self.number(*keys)
        return None if width is None else self.floats(width)

    def places(self, number: int) -> Any:
        """Positions of tokens (tokens, axes of the rotary embedding)."""
        import torch

        axes = self.config.get("axes_dims_rope") or (0, 0, 0)
        dtype = next(self.model.parameters()).dtype
        return torch.zeros(number, len(axes), dtype=dtype, device="meta")

    def positions(self) -> list[Any]:
        """Positions of frames, rows and columns of patches."""
        import torch

        high, wide = self.size()
        patch = self.config["patch_size"]
        sides = (self.frame_number(), high, wide)
        return [torch.arange(side // step) for side, step in zip(sides, patch, strict=True)]


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
    width = m.number("cross_attention_dim_t5", "text_embed_dim_t5")
    return None if width is None else m.floats(m.number("text_len_t5") or m.texts(), width)


def _every_layer(m: Denoiser) -> Any:
    """The text once for each block, each from another layer of its encoder."""
    blocks = (m.number("num_layers") or 0) + (m.number("num_single_layers") or 0)
    return [m.text("text_encoder_dim") for _ in range(blocks)]


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
    named = m.name.startswith(_MASKED)
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
    return lambda m: m.size()[axis] // 2 if m.is_packed() else None


_MAKERS: dict[str, Callable[[Denoiser], Any]] = {
    "sample": Denoiser.noisy,
    "hidden_states": Denoiser.noisy,
    "image_latents": Denoiser.noisy,
    "input_ids": lambda m: m.whole(*m.size()),
    "timestep": _time,
    "r_timestep": _time,
    "timestep_r": Denoiser.floats,
    "timestep_ratio": Denoiser.floats,
    "fps": Denoiser.whole,
    "class_labels": _class,
    "encoder_hidden_states": Denoiser.text,
    "encoder_hidden_states_2": lambda m: m.text("text_embed_2_dim"),
    "encoder_hidden_states_t5": _text_of_t5,
    "text_bth": Denoiser.text,
    "text_encoder_layers": _every_layer,
    "encoder_attention_mask": _mask,
    "mask": lambda m: m.ones(m.texts()) if m.name.startswith(_MASKED) else None,
    "encoder_mask": lambda m: m.ones(m.texts()),
    "encoder_attention_mask_2": _masked("text_embed_2_dim"),
    "text_embedding_mask": _masked("cross_attention_dim"),
    "text_embedding_mask_t5": lambda m: m.ones(m.number("text_len_t5") or m.texts()),
    "pooled_projections": lambda m: m.row("pooled_projection_dim", "in_text_dim2"),
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
    "img_ids": lambda m: m.places(m.noisy().shape[1]),
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
