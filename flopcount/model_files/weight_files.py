"""Which files of a folder hold one model: its shards, and not another form or copy of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopcount.model_files.headers import HeaderError

if TYPE_CHECKING:
    from pathlib import Path

_PATTERNS = ("*.safetensors", "*.gguf", "*pytorch_model*.bin", "*.pt", "*.pth")
"""The forms, the safest first."""
_SHARD = re.compile(r"^(.*)-(\d{1,6})-of-(\d{1,6})\.(?:safetensors|bin|gguf)$")
_SLICE = re.compile(r"^consolidated\.(\d{2})\.pth$")
_USUAL = ("model", "pytorch_model", "diffusion_pytorch_model")
_NO_WEIGHTS = ("training_args", "adapter", "optimizer", "scheduler", "rng_state", "scaler")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """The files of one model in a folder."""

    files: tuple[Path, ...] = ()
    missing: tuple[int, ...] = ()
    """Numbers of shards that the others' names promise and that are not there."""
    left: tuple[Path, ...] = ()
    """Further files of weights, of which nobody says that they belong to the same model."""


def shard_of(name: str) -> tuple[int, int] | None:
    """Return which shard of how many a file's name says that it is; None for a file of its own."""
    found = _SHARD.match(name)
    return (int(found[2]), int(found[3])) if found else None


def is_slice(path: Path) -> bool:
    """Whether a file holds slices of matrices whose other slices lie beside it (Llama's first form)."""
    others = path.parent.glob("consolidated.*.pth") if _SLICE.match(path.name) else ()
    return sum(_SLICE.match(other.name) is not None for other in others) > 1


def model_files(folder: Path) -> ModelFiles:
    """Return the files of one model in a folder; one form only, the safest that is there.

    Raises:
        HeaderError: its files hold slices of the same matrices.
    """
    for pattern in _PATTERNS:
        found = sorted(
            file
            for file in folder.glob(pattern)
            if file.is_file() and not file.name.startswith(_NO_WEIGHTS)
        )
        if any(is_slice(file) for file in found):
            msg = (
                f"{folder}: the files {found[0].name} to {found[-1].name} hold slices of the same "
                "matrices\n  how they were cut is not stated: give the config.json, or the model in "
                "one piece"
            )
            raise HeaderError(msg)
        if found:
            return _one_model(found)
    return ModelFiles()


def _one_model(found: list[Path]) -> ModelFiles:
    """The shards of one model where there are any, else the file with the usual name.

    A folder may hold two sets of shards of the same weights, under the library's names and others.
    """
    sets: dict[tuple[str, int], dict[int, Path]] = {}
    for file in found:
        match = _SHARD.match(file.name)
        if match:
            sets.setdefault((match[1], int(match[3])), {})[int(match[2])] = file
    if not sets:
        first = min(found, key=lambda file: (file.stem not in _USUAL, file.name))
        return ModelFiles(files=(first,), left=tuple(file for file in found if file != first))
    (_, number), shards = min(
        sets.items(),
        key=lambda item: (len(item[1]) - item[0][1], item[0][0] not in _USUAL, item[0]),
    )
    # Some count from 0.
    expected = range(number) if 0 in shards else range(1, number + 1)
    return ModelFiles(
        files=tuple(shards[place] for place in sorted(shards)),
        missing=tuple(place for place in expected if place not in shards)[:1000],
    )
