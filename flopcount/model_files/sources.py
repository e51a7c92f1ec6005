"""Which kind of model file is this? One door for all of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flopcount.errors import FlopcountError

if TYPE_CHECKING:
    from flopcount.model_files.counted_model import CountedModel

_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
#: What torch says of a size that no tensor has: beyond 64 bits, or beyond the memory.
_TOO_LARGE = re.compile(r"[Oo]verflow|can't allocate memory|far too large")
_WEIGHTS = {".safetensors", ".gguf", ".bin", ".pt", ".pth", ".ckpt"}


def count_source(
    source: str,
    *,
    batch: int = 1,
    sequence: int | None = None,
    backward: bool = True,
    convention: str = "dense",
    recompute: bool = False,
    remembered: bool = False,
    **sizes: Any,
) -> CountedModel:
    """Count whatever ``source`` names.

    Args:
        source: a config.json or its folder (transformers, diffusers), an ``.onnx`` or ``.pt2``
            file, ``package.module:factory``, or a file of weights (parameters only).
        batch: samples.
        sequence: tokens a sample, where the model reads tokens.
        backward: whether the backward pass is part of the step.
        convention: as in :func:`flopcount.count`.
        recompute: recompute every layer's activations.
        remembered: whether an earlier answer for the same config.json may be given.
        **sizes: further input sizes (``decoder_sequence``, ``image``, ``audio_frames``).

    Raises:
        FlopcountError: nothing of that name, or a file that cannot be used.
    """
    path = Path(source)
    if not path.exists() and not _FACTORY.fullmatch(source):
        msg = (
            f"{source}: no such file, and no package.module:factory\n"
            "  give a config.json or its folder, an .onnx or .pt2 file, weights, or a factory"
        )
        raise FlopcountError(msg)
    step: dict[str, Any] = {
        "batch": batch,
        "sequence": sequence,
        "backward": backward,
        "convention": convention,
        "recompute": recompute,
    }
    try:
        return _of_its_kind(source, path, step, sizes, remembered=remembered)
    except (RuntimeError, TypeError, MemoryError, OverflowError) as error:
        if not isinstance(error, MemoryError) and not _TOO_LARGE.search(str(error)):
            raise
        stated = {"batch": batch, "sequence": sequence, **sizes}
        told = ", ".join(f"{name} {size}" for name, size in stated.items() if size is not None)
        msg = f"{source}: inputs of this size cannot be made ({told[:200]})\n  give smaller sizes"
        raise FlopcountError(msg) from error


def _of_its_kind(
    source: str, path: Path, step: dict[str, Any], sizes: dict[str, Any], *, remembered: bool
) -> CountedModel:
    """Count a configuration, or what says itself what it reads."""
    if path.is_dir() or (path.exists() and path.suffix.lower() == ".json"):
        from flopcount.model_files.counted_model import count_config

        return count_config(path, **step, remembered=remembered, **sizes)
    if sizes:
        msg = (
            f"{source}: the sizes {', '.join(sorted(sizes))} belong to a config.json\n"
            "  a graph file and a factory have their own; give --batch and --sequence only"
        )
        raise FlopcountError(msg)
    return _with_own_inputs(source, path, step)


def _with_own_inputs(source: str, path: Path, step: dict[str, Any]) -> CountedModel:
    """Count a factory, a graph or a file of weights: what says itself what it reads."""
    if not path.exists():
        from flopcount.model_files.factories import count_factory

        return count_factory(source, **step)
    suffix = path.suffix.lower()
    if suffix in _WEIGHTS:
        from flopcount.model_files.weights import count_weights

        return count_weights(path)
    if suffix == ".onnx":
        from flopcount.onnx_files.graph import count_onnx

        return count_onnx(path, **step)
    if suffix == ".pt2":
        from flopcount.graph import count_export

        return count_export(path, **step)
    kind = f"a '{suffix}' file" if suffix else "a file without a suffix"
    msg = (
        f"{source}: {kind} is not known\n"
        "  known: config.json or its folder, .onnx, .pt2, .safetensors, .gguf, .bin, .pt, .pth, "
        ".ckpt, package.module:factory"
    )
    raise FlopcountError(msg)
