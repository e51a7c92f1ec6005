"""The header of a safetensors file: eight bytes of length, then JSON.

Format: https://huggingface.co/docs/safetensors. Each entry is
``{"dtype": "BF16", "shape": [..], "data_offsets": [begin, end]}``; ``__metadata__`` is free text.
Everything the header says is checked against the file's size, so that a corrupt header cannot
claim tensors that are not there.
"""

import json
import struct
from math import prod
from pathlib import Path

from flopcount.model_files.headers.tensor import (
    MOST_TENSORS,
    HeaderError,
    StoredTensor,
    checked_shape,
)

LARGEST_HEADER = 100_000_000
"""Bytes; the format's own limit."""
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4, "I16": 16, "U16": 16, "F16": 16,
    "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip


def read(path: Path) -> list[StoredTensor]:
    """List the tensors of one file.

    Raises:
        HeaderError: the header is cut off, too long, not JSON, or contradicts the file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if len(start) < 8:
            raise HeaderError(f"{path}: {size} bytes, shorter than the length of a header (8)")
        (length,) = struct.unpack("<Q", start)
        if length > min(LARGEST_HEADER, size - 8):
            raise HeaderError(
                f"{path}: the header claims {length:,} bytes, the file has {size:,}\n"
                "  cut off, or no safetensors file"
            )
        raw = file.read(length)
    try:
        header = json.loads(raw, object_pairs_hook=_each_name_once)
    except (ValueError, RecursionError) as error:
        raise HeaderError(f"{path}: the header is no JSON: {str(error)[:100]}") from None
    if not isinstance(header, dict) or len(header) > MOST_TENSORS:
        raise HeaderError(f"{path}: the header is no list of tensors")
    data = size - 8 - length
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    tensors = [_tensor(name, entry, data, path) for name, entry in entries.items()]
    # The format has neither overlaps nor holes: what is said twice would be counted twice.
    at = 0
    for begin, end, name in sorted((*e["data_offsets"], name) for name, e in entries.items()):
        if begin != at:
            raise HeaderError(
                f"{path}: '{name[:80]}' begins at {begin:,}, the tensor before it ends at {at:,}"
            )
        at = end
    if entries and at != data:
        raise HeaderError(
            f"{path}: the tensors end at {at:,}, the file holds {data:,} bytes of them"
        )
    return tensors


def _each_name_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        msg = "a name stands twice"
        raise ValueError(msg)
    return found


def _tensor(name: str, entry: object, data: int, path: Path) -> StoredTensor:
    if not isinstance(entry, dict):
        raise HeaderError(f"{path}: the entry '{name[:80]}' is no tensor")
    dtype, offsets = entry.get("dtype"), entry.get("data_offsets")
    shape = checked_shape(entry.get("shape"), name, str(path))
    if not isinstance(dtype, str) or dtype not in BITS:
        raise HeaderError(f"{path}: '{name[:80]}' has the unknown dtype {str(dtype)[:30]!r}")
    if (
        not isinstance(offsets, list)
        or len(offsets) != 2
        or not all(type(offset) is int for offset in offsets)
        or not 0 <= offsets[0] <= offsets[1] <= data
    ):
        raise HeaderError(
            f"{path}: '{name[:80]}' lies at {str(offsets)[:60]}, the file holds {data:,} bytes"
        )
    if (offsets[1] - offsets[0]) * 8 != prod(shape) * BITS[dtype]:
        raise HeaderError(
            f"{path}: '{name[:80]}' of shape {list(shape)} and dtype {dtype} does not fit its "
            f"{offsets[1] - offsets[0]:,} bytes"
        )
    return StoredTensor(name=name, dtype=dtype, shape=shape)
