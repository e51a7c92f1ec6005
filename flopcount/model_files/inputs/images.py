"""Makers of images and videos: pixels, rows of flattened patches, and the grids that steer them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flopcount.model_files.inputs.plain import Plain

VISION = ("vision_config", "image_encoder_config", "backbone_config", "vit_config")
_CHANNELS = ("num_channels", "in_channels", "in_chans", "num_image_channels")
_IMAGE = ("image_size", "img_size", "input_size", "crop_size", "max_img_size")
_MERGES = ("spatial_merge_size", "merge_size", "pooling_kernel_size")
_FRAMES = ("num_frames", "frames_per_clip")


class Images(Plain):
    """What a model sees; shapes stand as (batch, ...)."""

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
        down, across = self.sizes.pair(*_MERGES, "merge_kernel_size", parts=VISION) or (1, 1)
        height, width = self.image_size()
        rows = max(height // high // down, 1) * down
        return rows, max(width // wide // across, 1) * across

    def patches(self) -> Any:
        """Rows of flattened patches: of all samples in one where a grid comes with them."""
        rows, columns = self.grid()
        high, wide = self.patch()
        width = self.channels() * high * wide
        if {"grid_thw", "image_grid_thw"} & self.accepted:
            width *= self.sizes.number("temporal_patch_size", "patch_temporal", parts=VISION) or 1
            return self.floats(self.sizes.batch * rows * columns, width)
        return self.floats(self.sizes.batch, rows * columns, width)

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

    def visual_features(self) -> Any:
        """Features of regions that another model found (batch, regions, width): how many is open."""
        raise self.sizes.unknown("visual_feats", "the regions an image and their width")


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and 0.001 <= value <= 1


IMAGES: dict[str, Callable[[Images], Any]] = {
    "pixel_values": Images.pixels,
    "prompt_pixel_values": Images.pixels,
    "prompt_masks": Images.pixels,
    "image": Images.pixels,
    "pixel_values_videos": Images.video,
    "pixel_mask": Images.pixel_mask,
    "pixel_attention_mask": Images.pixel_mask,
    "grid_thw": Images.grids,
    "image_grid_thw": Images.grids,
    "spatial_shapes": Images.shapes,
    "target_sizes": Images.shapes,
    "pixel_position_ids": Images.patch_places,
    "merge_sizes": Images.merges,
    "flattened_patches": Images.flat_patches,
    "bool_masked_pos": Images.masked_patches,
    "visual_feats": Images.visual_features,
    "visual_pos": Images.visual_features,
}
SEEN = frozenset(IMAGES) - {"visual_feats", "visual_pos", "merge_sizes", "target_sizes"}
"""Inputs whose size follows from an image's."""
