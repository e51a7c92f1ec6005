"""One maker for each kind of input, found by the name that the library's models give it.

Shapes stand in the comments as (batch, ...). Tensors are on meta; small ones whose numbers steer
the model (grids of patches, masks, image sizes) are real, on the CPU.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flopcount.errors import FlopcountError

if TYPE_CHECKING:
    from flopcount.inputs.sizes import Sizes

VISION = ("vision_config", "image_encoder_config", "backbone_config", "vit_config")
AUDIO = ("audio_config", "encoder_config", "audio_encoder_config", "speech_config")
_CHANNELS = ("num_channels", "in_channels", "in_chans", "num_image_channels")
_IMAGE = ("image_size", "img_size", "input_size", "crop_size", "max_img_size")
_BINS = (
    "feature_projection_input_dim",
    "input_dim",
    "num_mel_bins",
    "input_feat_size",
    "input_feat_per_channel",
    "model_in_dim",
    "n_mels",
    "mel_dim",
    "feature_size",
    "num_features",
)
TOKEN_KEYS = ("image_token_id", "image_token_index", "media_placeholder_token_id")
_MERGES = ("spatial_merge_size", "merge_size", "pooling_kernel_size")
_FRAMES = ("num_frames", "frames_per_clip")


class Maker:
    """Makes the inputs of one model, each by its name."""

    def __init__(self, model: Any, sizes: Sizes) -> None:
        self.model = model
        self.sizes = sizes
        first = next(model.parameters(), None)
        named = inspect.signature(model.forward).parameters
        if first is None or list(named) == ["input"]:
            # The signature of a module that has no forward pass of its own.
            raise FlopcountError(
                f"{sizes.source}: '{type(model).__name__}' has no forward pass of its own\n"
                "  give the configuration of one of its parts, or package.module:factory"
            )
        self.dtype = first.dtype
        takes = {n: p for n, p in named.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        self.accepted = set(takes)
        self.required = [n for n, p in takes.items() if p.default is p.empty]
        self._done: dict[str, Any] = {}

    def knows(self, name: str) -> bool:
        """Say whether there is a maker for an input of that name."""
        return name in MAKERS

    def make(self, name: str) -> Any:
        """Return the input of that name.

        Raises:
            InputSizeUnknownError: its size is neither given nor fixed by the configuration.
        """
        if name not in self._done:
            self._done[name] = MAKERS[name](self)
        return self._done[name]

    # -------------------------------------------------------------- plain tensors
    def floats(self, *shape: int) -> Any:
        """A tensor of the model's own dtype, on meta."""
        import torch

        return torch.zeros(*shape, dtype=self.dtype, device="meta")

    def whole(self, *shape: int) -> Any:
        """A tensor of integers, on meta."""
        import torch

        return torch.zeros(*shape, dtype=torch.long, device="meta")

    def ones(self, *shape: int, boolean: bool = False) -> Any:
        """A mask that hides nothing, with its values."""
        import torch

        return torch.ones(*shape, dtype=torch.bool if boolean else torch.long)

    def known(self, rows: list[list[int]] | list[int]) -> Any:
        """Integers that steer the model, with their values."""
        import torch

        return torch.tensor(rows)

    # -------------------------------------------------------------- text
    def text(self) -> Any:
        """Token ids (batch, tokens), with the codebooks where the layers read several at once."""
        config, batch = self.model.config, self.sizes.batch
        books = vars(config).get("num_codebooks")
        family = str(getattr(config, "model_type", ""))
        if isinstance(books, int) and family.startswith("musicgen"):
            return self.whole(batch * books, self.text_length())
        if isinstance(books, int) and family == "kyutai_speech_to_text":  # and the text itself
            return self.whole(batch, self.text_length(), books + 1)
        if family == "dia_decoder":
            return self.whole(batch, self.text_length(), config.num_channels)
        return self.whole(batch, self.text_length())

    def text_only(self) -> Any:
        """Token ids of a model whose one input may be anything: text if it has a vocabulary."""
        if not getattr(self.model.config, "vocab_size", None):
            raise self.sizes.unknown("inputs", "what the model reads")
        return self.text()

    def text_length(self) -> int:
        """Return the tokens a sample; the tower's own length where it was trained padded to it."""
        fixed = self.sizes.number("max_position_embeddings", parts=("text_config",))
        if not is_dual_tower(self.model) or fixed is None or fixed > 256:
            return self.sizes.tokens()
        length = self.sizes.sequence
        if length is None or length > fixed:
            self.sizes.notes.append(f"the text tower reads {fixed} tokens a sample, its own length")
            return fixed
        return length

    def decoder_text(self) -> Any:
        """Token ids of the decoder (batch, tokens), one row a codebook where there are several."""
        length = self.sizes.decoder_sequence
        length = self.sizes.tokens() if length is None else length
        books = self.sizes.number("num_codebooks", "num_channels", parts=("decoder_config",))
        if books is not None and getattr(self.model.config, "model_type", "") == "dia":
            return self.whole(self.sizes.batch, length, books)
        return self.whole(self.sizes.batch, length)

    def text_mask(self) -> Any:
        """Mask over the tokens, or over the frames where the main input has frames."""
        found = self._done.get("input_features", self._done.get("input_values"))
        if found is not None:
            return self.ones(self.sizes.batch, found.shape[-1])
        return self.ones(self.sizes.batch, self.text_length())

    def image_places(self) -> Any:
        """Which tokens are an image's: as many as the model has queries for one."""
        queries = self.sizes.number("latent_query_num")
        length = self.text_length()
        if queries is None or queries >= length:
            raise self.sizes.unknown("sequence", f"more than the {queries} tokens of an image")
        return self.known([[1] * queries + [0] * (length - queries)] * self.sizes.batch)

    def boxes(self) -> Any:
        """Boxes of the tokens on the page (batch, tokens, 4)."""
        return self.whole(self.sizes.batch, self.sizes.tokens(), 4)

    # -------------------------------------------------------------- images and videos
    def image_size(self) -> tuple[int, int]:
        """Return height and width: the caller's, else the configuration's."""
        size = self.sizes.image or self._pyramid() or self.sizes.pair(*_IMAGE, parts=VISION)
        if size is None:
            raise self.sizes.unknown("image", "the training image's height and width")
        if "prompt_pixel_values" in self.accepted:  # the prompt is the other half of the picture
            return size[0] // 2, size[1]
        return size

    def _pyramid(self) -> tuple[int, int] | None:
        """Return the side of an image whose smallest copy fills one patch of a pyramid."""
        ratios: Any = getattr(self.model.config, "scaled_images_ratios", None)
        patch = self.sizes.number("patch_size")
        if patch is None or not isinstance(ratios, list | tuple) or not ratios:
            return None
        if not all(_is_share(ratio) for ratio in ratios):
            return None
        side = round(patch / min(ratios))
        return side, side

    def channels(self) -> int:
        """Return the image's channels: the configuration's, else three colours."""
        return self.sizes.number(*_CHANNELS, parts=VISION) or 3

    def frames(self) -> int | None:
        """Return the frames of a video model's input; None where images are read."""
        own = [self.model.config, *(getattr(self.model.config, part, None) for part in VISION)]
        fixed = [getattr(config, name, None) for config in own for name in _FRAMES]
        found = next((n for n in fixed if isinstance(n, int)), None)
        return found if found is None else (self.sizes.frames or found)

    def pixels(self) -> Any:
        """(batch, channels, height, width), or patches, frames or pairs where the model takes those."""
        b = self.sizes.batch
        if self.reads_patches():
            return self.patches()
        frames = self.frames()
        if frames is not None:  # the frames come before the channels
            return self.floats(b, frames, self.channels(), *self.image_size())
        return self.floats(b, self.channels(), *self.image_size())

    def video(self) -> Any:
        """(batch, frames, channels, height, width)."""
        frames = self.frames() or self.sizes.frames
        if frames is None:
            raise self.sizes.unknown("frames", "the frames of a video")
        return self.floats(self.sizes.batch, frames, self.channels(), *self.image_size())

    def reads_patches(self) -> bool:
        """Say whether the model reads rows of flattened patches instead of images."""
        steering = {"grid_thw", "image_grid_thw", "spatial_shapes", "pixel_position_ids"}
        return bool(steering & self.accepted)

    def patch(self) -> tuple[int, int]:
        """Return height and width of a patch."""
        found = self.sizes.pair("patch_size", parts=VISION)
        if found is None:
            raise self.sizes.unknown(
                "image", "patches, whose size the configuration does not state"
            )
        return found

    def grid(self) -> tuple[int, int]:
        """Return rows and columns of patches of the image, whole ones after merging."""
        high, wide = self.patch()
        number = self.sizes.number("num_patches", parts=VISION)
        if self.sizes.image is None and number is not None and "spatial_shapes" in self.accepted:
            side = int(number**0.5)
            return side, number // side
        merge = self.sizes.number(*_MERGES, parts=VISION) or 1
        height, width = self.image_size()
        rows = max(height // high // merge, 1) * merge
        return rows, max(width // wide // merge, 1) * merge

    def patches(self) -> Any:
        """Rows of flattened patches: of all samples in one where a grid comes with them."""
        rows, columns = self.grid()
        high, wide = self.patch()
        width = self.channels() * high * wide
        if {"grid_thw", "image_grid_thw"} & self.accepted:
            width *= self.sizes.number("temporal_patch_size", "patch_temporal", parts=VISION) or 1
            return self.floats(self.sizes.batch * rows * columns, width)
        return self.floats(self.sizes.batch, rows * columns, width)

    def embedded(self) -> Any:
        """What another part of a model hands on: patches, frames of sound, or embedded tokens."""
        if self.reads_patches():
            return self.patches()
        b, config = self.sizes.batch, vars(self.model.config)
        if isinstance(config.get("input_dim"), int):
            return self.floats(b, self.sound_frames(), config["input_dim"])
        width = config.get("hidden_size")
        if not isinstance(width, int):
            raise self.sizes.unknown("hidden_states", "the width of what is handed on")
        return self.floats(b, self.sizes.tokens(), width)

    def grids(self) -> Any:
        """Frames, rows and columns of patches, a line for each image: (batch, 3)."""
        return self.known([[1, *self.grid()]] * self.sizes.batch)

    def shapes(self) -> Any:
        """Rows and columns of patches: (batch, 2)."""
        return self.known([[*self.grid()]] * self.sizes.batch)

    def patch_places(self) -> Any:
        """Column and row of each patch: (batch, patches, 2)."""
        rows, columns = self.grid()
        places = [[x, y] for y in range(rows) for x in range(columns)]
        return self.known(places)[None].repeat(self.sizes.batch, 1, 1)

    def pixel_mask(self) -> Any:
        """Mask over patches or over pixels; hides nothing."""
        if self.reads_patches():
            rows, columns = self.grid()
            return self.ones(self.sizes.batch, rows * columns)
        return self.ones(self.sizes.batch, *self.image_size())

    def merges(self) -> Any:
        """How many patches are merged along a side, a number for each image."""
        merge = self.sizes.number(*_MERGES, parts=VISION) or 1
        return self.known([merge] * self.sizes.batch)

    def flat_patches(self) -> Any:
        """Patches with their row and column in front (batch, patches, 2 + pixels)."""
        number = self.sizes.number("seq_len", "max_num_patches", parts=VISION)
        stated = self.sizes.number("patch_embed_hidden_size", parts=VISION)
        if stated is not None and number is not None and self.sizes.image is None:
            return self.floats(self.sizes.batch, number, 2 + stated)
        high, wide = self.patch()
        if self.sizes.image is not None or number is None:
            rows, columns = self.grid()
            number = rows * columns
        return self.floats(self.sizes.batch, number, 2 + self.channels() * high * wide)

    def masked_patches(self) -> Any:
        """Which patches a pre-training hides: none is said by the configuration."""
        raise self.sizes.unknown("bool_masked_pos", "the patches that pre-training hides")

    # -------------------------------------------------------------- sound
    def spectrogram(self) -> Any:
        """(batch, bins, frames)."""
        bins = self.sizes.number(*_BINS, parts=AUDIO)
        if bins is None:
            raise self.sizes.unknown("input_features", "the bins of a spectrogram")
        bins *= self.sizes.number("num_stacked_frames", parts=AUDIO) or 1
        return self.floats(self.sizes.batch, bins, self.sound_frames())

    def sound_frames(self) -> int:
        """Return the frames of a spectrogram: the caller's, else the configuration's."""
        frames = self.sizes.audio_frames
        positions = self.sizes.number("max_source_positions", parts=AUDIO)
        own = vars(self.model.config)
        halved = "encoder_layers" in own or "num_mel_bins" in own
        if frames is None and positions is not None and halved:
            # The convolutions before the encoder halve the frames (Whisper).
            frames = 2 * positions
        each = self.sizes.number("audio_length_per_tok")
        tokens = self.sizes.sequence if self.sizes.audio_frames is None else None
        if each is not None and tokens is not None:  # one token for so many frames
            return each * tokens
        if frames is None:
            raise self.sizes.unknown("audio_frames", "the spectrogram frames a sample")
        return frames

    def sound_mask(self) -> Any:
        """Mask over a spectrogram's frames; hides nothing."""
        return self.ones(self.sizes.batch, self.sound_frames())

    def samples(self) -> Any:
        """Audio samples (batch, samples), or a spectrogram where the configuration fixes one."""
        config = self.model.config
        bins, frames = (getattr(config, n, None) for n in ("num_mel_bins", "max_length"))
        if isinstance(bins, int) and isinstance(frames, int):  # a transformer on spectrograms
            return self.floats(self.sizes.batch, frames, bins)
        if self.sizes.sequence is None:
            raise self.sizes.unknown("sequence", "the audio samples a sample")
        return self.floats(self.sizes.batch, self.sizes.sequence)

    # -------------------------------------------------------------- series and states
    def history(self) -> int:
        """Return the past time steps a sample: the context and the lags that reach behind it."""
        context = self.sizes.sequence or self.sizes.number("context_length")
        if context is None:
            raise self.sizes.unknown("sequence", "the time steps a sample")
        lags = getattr(self.model.config, "lags_sequence", None)
        return context + (max(lags) if isinstance(lags, list | tuple) and lags else 0)

    def future(self) -> int:
        """Return the time steps that are to be predicted."""
        found = self.sizes.number("prediction_length")
        if found is None:
            raise self.sizes.unknown("prediction_length", "the time steps to be predicted")
        return found

    def series(self, steps: int) -> Any:
        """Values (batch, steps), with channels behind where the model has several."""
        channels = self.sizes.number("num_input_channels")
        width = self.sizes.number("input_size")
        if channels is not None:
            return self.floats(self.sizes.batch, steps, channels)
        if width is not None and width > 1:
            return self.floats(self.sizes.batch, steps, width)
        return self.floats(self.sizes.batch, steps)

    def features(self, steps: int) -> Any:
        """Features of the time steps (batch, steps, features)."""
        number = getattr(self.model.config, "num_time_features", 0)
        return self.floats(self.sizes.batch, steps, number)

    def observed(self, steps: int) -> Any:
        """Which values were observed: all of them."""
        import torch

        return torch.ones(self.series(steps).shape, dtype=torch.bool)

    def states(self, key: str) -> Any:
        """What an agent saw or did (batch, steps, width)."""
        width = self.sizes.number(key)
        if width is None:
            raise self.sizes.unknown(key, "the width of an agent's states or actions")
        return self.floats(self.sizes.batch, self.sizes.tokens(), width)

    def stated(self, key: str) -> int:
        """Return a size that the configuration states under its own name.

        Raises:
            InputSizeUnknownError: it does not.
        """
        found = self.sizes.number(key)
        if found is None:
            raise self.sizes.unknown(key, "which the configuration states for such a model")
        return found

    def task(self) -> Any:
        """Token ids of the words that name a task, padded to their fixed length."""
        return self.whole(self.sizes.batch, self.stated("task_seq_len"))

    def visual_features(self) -> Any:
        """Features of regions that another model found (batch, regions, width): how many is open."""
        raise self.sizes.unknown("visual_feats", "the regions an image and their width")


def is_dual_tower(model: Any) -> bool:
    """Contrastive pairs (CLIP, CLAP) read both, other models of two towers run on text alone."""
    config = model.config
    towers = ("vision_config", "audio_config", "video_config")
    both = any(getattr(config, part, None) is not None for part in towers)
    if any(isinstance(getattr(config, key, None), int) for key in TOKEN_KEYS):
        return False  # an image stands between the words instead
    return both and hasattr(config, "text_config") and not model.can_generate()


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and 0.001 <= value <= 1


def _one(m: Maker) -> Any:
    return m.floats(m.sizes.batch, m.sizes.tokens(), 1)


MAKERS: dict[str, Callable[[Maker], Any]] = {
    "input_ids": Maker.text,
    "qformer_input_ids": Maker.text,
    "decoder_input_ids": Maker.decoder_text,
    "attention_mask": Maker.text_mask,
    "image_attention_mask": lambda m: m.ones(m.sizes.batch, m.text_length(), 1),
    "bbox": Maker.boxes,
    "pixel_values": Maker.pixels,
    "prompt_pixel_values": Maker.pixels,
    "prompt_masks": Maker.pixels,
    "pixel_values_videos": Maker.video,
    "image": Maker.pixels,
    "pixel_mask": Maker.pixel_mask,
    "pixel_attention_mask": Maker.pixel_mask,
    "hidden_states": Maker.embedded,
    "inputs_embeds": Maker.embedded,
    "grid_thw": Maker.grids,
    "image_grid_thw": Maker.grids,
    "spatial_shapes": Maker.shapes,
    "target_sizes": Maker.shapes,
    "pixel_position_ids": Maker.patch_places,
    "merge_sizes": Maker.merges,
    "flattened_patches": Maker.flat_patches,
    "bool_masked_pos": Maker.masked_patches,
    "input_features": Maker.spectrogram,
    "spectrogram": Maker.spectrogram,
    "audio_mel": lambda m: m.spectrogram().transpose(1, 2),
    "audio_mel_mask": lambda m: ~m.ones(m.sizes.batch, m.sound_frames(), boolean=True),
    "inputs": Maker.text_only,
    "input_features_mask": Maker.sound_mask,
    "input_values": Maker.samples,
    "past_values": lambda m: m.series(m.history()),
    "past_values_padding": lambda m: m.whole(m.sizes.batch, m.history()),
    "past_observed_mask": lambda m: m.observed(m.history()),
    "past_time_features": lambda m: m.features(m.history()),
    "future_values": lambda m: m.series(m.future()),
    "future_time_features": lambda m: m.features(m.future()),
    "freq": lambda m: m.whole(m.sizes.batch, 1),
    "states": lambda m: m.states("state_dim"),
    "image_embeds_position_mask": Maker.image_places,
    "is_longer": lambda m: m.whole(m.sizes.batch, 1),
    "mm_token_type_ids": lambda m: m.known([[0] * m.text_length()] * m.sizes.batch),
    "token_type_ids": lambda m: m.known([[0] * m.text_length()] * m.sizes.batch),
    "audio_input_ids": Maker.text,
    "actions": lambda m: m.states("act_dim"),
    "rewards": _one,
    "returns_to_go": _one,
    "timesteps": Maker.text,
    "task_inputs": Maker.task,
    "state": lambda m: m.floats(m.sizes.batch, m.stated("max_state_dim")),
    "visual_feats": Maker.visual_features,
    "visual_pos": Maker.visual_features,
}
