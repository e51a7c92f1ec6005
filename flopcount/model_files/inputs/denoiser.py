"""A denoiser of diffusers and the sizes of one step: what its configuration says, what is open.

The library's classes name their inputs alike, and their configurations state every width. What no
configuration states is the order of a latent's axes: most put channels first, the exceptions are
named here.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flopcount.model_files.inputs.sizes import InputSizeUnknownError

_FRAMES_FIRST = ("AnyFlow", "CogVideoX", "ConsisID", "UNetSpatioTemporal")
"""(batch, frames, channels, height, width); the others have the channels before the frames."""
_CHANNELS_LAST = ("Kandinsky5", "Kandinsky6")
"""(batch, frames, height, width, channels)."""
_VIDEO = ("3D", "Video", "Motion", "SpatioTemporal", "I2VGen", "AnyFlow")
_PACKED = ("img_ids", "img_shapes", "video_coords")
"""Who reads one of these reads a row of tokens, each of neighbours of the latent; see ``tokens``."""
_ROWS = ("Krea2", "Ideogram4")
"""Classes that read such a row without any of them."""
_IMAGES = ("HiDream",)
"""Classes that take apart a latent with sides themselves, although they could read a row."""
MASKED = ("Kandinsky3", "BriaFibo2", "SanaWM")
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
    "text_hidden_dim",
    "llm_features_dim",
    "in_text_dim",
    "cond_token_dim",
    "dit_text_dim",
    "condition_dim",
    "encoder_hidden_size",
    "cross_attention_dim",
)


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
        found = sum(self.config.get("chunk_partition") or ()) or found
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
        if self.name.startswith(_IMAGES):
            return False
        taken = inspect.signature(self.model.forward).parameters
        return self.name.startswith(_ROWS) or any(name in taken for name in _PACKED)

    def tokens(self) -> tuple[int, int]:
        """Return rows and columns of tokens of a packed latent: four neighbours each.

        LTX's pipelines pack by the patch that the configuration states, which is a single place.
        """
        high, wide = self.size()
        taken = inspect.signature(self.model.forward).parameters
        fold = (self.number("patch_size") or 1) if "video_coords" in taken else 2
        return high // fold, wide // fold

    def is_joint(self) -> bool:
        """Say whether text and image are one row of tokens, told apart by an indicator."""
        return "indicator" in inspect.signature(self.model.forward).parameters

    def joint(self) -> int:
        """Return the tokens of text and image."""
        high, wide = self.size()
        return self.texts() + (high // 2) * (wide // 2)

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
        if self.is_joint():
            return self.floats(self.joint(), channels)
        if self.is_packed():
            frames = self.frame_number() if self.is_video() else 1
            rows, columns = self.tokens()
            return self.floats(frames * rows * columns, channels)
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
        layers = self.number("num_text_layers")
        if layers and width:  # of several layers of its encoder, token by token
            return self.floats(self.texts(), layers, width)
        read = self.config.get("injection_layer_ids")
        if read and width:  # the same, layer by layer, and one beforehand
            return self.floats(1 + len(read), self.texts(), width)
        length = self.joint() if self.is_joint() else None
        length = self.steps() if self.name == "MiniMaxMusic3Transformer1DModel" else length
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
