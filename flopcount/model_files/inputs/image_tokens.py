"""An image in a vision-language model: its pixels, and as many placeholder tokens as it makes.

How many tokens an image becomes is the model's own affair (merging, pooling, resampling, tiles). It
is asked: its image tower runs once on meta and the rows of its answer are counted.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from math import prod
from typing import TYPE_CHECKING, Any

from flopcount.errors import FlopcountError
from flopcount.model_files.inputs.text import TOKEN_KEYS, is_dual_tower

if TYPE_CHECKING:
    from flopcount.model_files.inputs.makers import Maker


_OF_TEXT = frozenset(
    {"input_ids", "attention_mask", "position_ids", "token_type_ids", "mm_token_type_ids", "labels"}
)


def takes_image(model: Any, maker: Maker, inputs: Mapping[str, Any]) -> bool:
    """Say whether an image goes between the tokens of this model, asked for or because it must."""
    if "pixel_values" not in maker.accepted or "input_ids" not in inputs or is_dual_tower(model):
        return False
    if "pixel_values" in inputs:
        return model.can_generate() and image_token(model) is not None
    return maker.sizes.image is not None


def image_token(model: Any) -> int | None:
    """Return the id of the token that stands for an image, where the configuration states one."""
    for key in TOKEN_KEYS:
        found = getattr(model.config, key, None)
        if isinstance(found, int) and found >= 0:
            return found
    return None


def add_image(model: Any, maker: Maker, inputs: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Add one image a sample, and let the first tokens be its placeholders.

    Pixels that the caller states stay as they are, and so do token ids whose numbers are stated.

    Raises:
        FlopcountError: the model does not say which token stands for an image, its image tower
            takes none of the layouts that are known, or the sequence is shorter than the image.
    """
    import torch

    token = image_token(model)
    failures: list[str] = []
    if "aspect_ratio_ids" in maker.accepted:
        inputs.update({**_tiles_beside_text(maker), **given})
        return
    stated = {name: value for name, value in given.items() if name not in _OF_TEXT}
    for image in [stated] if "pixel_values" in stated else _layouts(maker):
        if token is None and not hasattr(model, "get_image_features"):
            inputs.update(image)  # the model itself puts the image before the tokens
            return
        try:
            rows = _feature_rows(model, image)
        except FlopcountError as error:
            failures.append(" ".join(str(error).split())[:160])
            continue
        break
    else:
        msg = (
            f"{maker.sizes.source}: the image tower takes the image in none of the known layouts\n"
            f"  {failures[0] if failures else 'no layout fits'}\n"
            "  give --input NAME=SHAPE for each input, or package.module:factory"
        )
        raise FlopcountError(msg)
    inputs.update(image)
    ids = given.get("input_ids")
    if token is None or (ids is not None and not ids.is_meta):
        return
    batch, length = inputs["input_ids"].shape
    each = -(-rows // batch)
    if each >= length:
        msg = (
            f"{maker.sizes.source}: the image alone makes {each} tokens a sample and the sequence "
            f"has {length}\n  give a longer sequence (image and text together) or a smaller image"
        )
        raise FlopcountError(msg)
    ids = torch.full((batch, length), 1 if token != 1 else 2)
    ids[:, :each] = token
    inputs["input_ids"] = ids
    for name in ("mm_token_type_ids", "token_type_ids"):
        if name in maker.accepted:
            inputs[name] = (ids == token).long()
    maker.sizes.notes.append(f"one image a sample: {each} of its {length} tokens")


def _tiles_beside_text(maker: Maker) -> dict[str, Any]:
    """Give the tiles of an image that the text attends to across (Mllama), in no place of the tokens.

    The processor fills up with empty tiles to the most that there can be, and the tower computes them.
    """
    sizes, parts = maker.sizes, ("vision_config",)
    tiles = sizes.number("max_num_tiles", parts=parts)
    side = sizes.pair("image_size", parts=parts)
    if tiles is None or side is None:
        raise sizes.unknown("image", "the side of a tile and the number of tiles")
    sizes.notes.append(
        f"one image a sample: {tiles} tiles of {side[0]} x {side[1]}, whatever the image fills of them"
    )
    return {
        "pixel_values": maker.floats(sizes.batch, 1, tiles, maker.channels(), *side),
        "aspect_ratio_ids": maker.known([[1]] * sizes.batch),
        "aspect_ratio_mask": maker.ones(sizes.batch, 1, tiles),
        # Without it the library takes the text's view of the image for causal.
        "cross_attention_mask": maker.ones(sizes.batch, sizes.tokens(), 1, tiles),
    }


def _layouts(maker: Maker) -> Iterator[dict[str, Any]]:
    """Yield the ways in which image towers of the library take one image a sample."""
    sizes = maker.sizes
    height, width = maker.image_size()
    if "image_grid_thw" in maker.accepted:
        rows = maker.patches()
        yield {"pixel_values": rows, "image_grid_thw": maker.grids()}
        # A convolution may read each patch as a small image.
        squares = rows.reshape(rows.shape[0], -1, *maker.patch())
        yield {"pixel_values": squares, "image_grid_thw": maker.grids()}
        return
    plain = maker.floats(sizes.batch, maker.channels(), height, width)
    if "image_position_ids" in maker.accepted:
        yield {"pixel_values": maker.patches(), "image_position_ids": maker.patch_places()}
    if not getattr(maker.model.config, "image_grid_pinpoints", None):
        yield {"pixel_values": plain}
    if "image_sizes" in maker.accepted:
        of_images = maker.known([[height, width]] * sizes.batch)
        for tiles in _tile_counts(maker, height, width):
            side = maker.sizes.pair("image_size", parts=("vision_config",)) or (height, width)
            stacked = maker.floats(sizes.batch, tiles, maker.channels(), *side)
            yield {"pixel_values": stacked, "image_sizes": of_images}
        yield {"pixel_values": plain, "image_sizes": of_images}
    alone = {"pixel_values": seen(plain[:, None])}
    yield alone


def seen(pixels: Any) -> Any:
    """Pixels that are not all zero: some models drop images of zeros as padding."""
    import torch

    if pixels.numel() > 1 << 24:
        return pixels
    return torch.ones(pixels.shape, dtype=pixels.dtype)


def _tile_counts(maker: Maker, height: int, width: int) -> list[int]:
    """Count the tiles of the best fitting grid and the overview, where the model states grids."""
    grids = getattr(maker.model.config, "image_grid_pinpoints", None)
    side = maker.sizes.pair("image_size", parts=("vision_config",))
    if not grids or side is None:
        return []
    try:
        from transformers.image_processing_utils import select_best_resolution

        high, wide = select_best_resolution((height, width), [tuple(g) for g in grids])
    except (ImportError, TypeError, ValueError):
        return []
    return [1 + (high // side[0]) * (wide // side[1])]


def _feature_rows(model: Any, image: Mapping[str, Any]) -> int:
    """Ask the model's image tower how many rows of features an image makes."""
    import flopcount

    inner = getattr(model, "model", None)
    tower: Any = model if hasattr(model, "get_image_features") else inner
    if not hasattr(tower, "get_image_features"):
        raise FlopcountError("the model has no get_image_features to be asked")
    taken = inspect.signature(tower.get_image_features).parameters
    known = {name: value for name, value in image.items() if name in taken}
    found: list[int] = []

    def look(**inputs: Any) -> Any:
        answer = tower.get_image_features(**inputs)
        answer = getattr(answer, "pooler_output", answer)
        parts = answer if isinstance(answer, list | tuple) else [answer]
        found.append(sum(prod(part.shape[:-1]) for part in parts))
        return parts

    flopcount.count(look, backward=False, **known)
    return found[-1]
