"""The header of a GGUF file: metadata, then the tensors' names, shapes and types.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, either byte
order. Shapes are logical, so quantised blocks count their weights, not their bytes.
"""

import struct
from pathlib import Path
from typing import Any, BinaryIO

from flopcount.model_files.headers.tensor import (
    MOST_TENSORS,
    HeaderError,
    StoredTensor,
    checked_shape,
)

LARGEST_HEADER = 2**28
"""Bytes; a vocabulary of half a million tokens takes some ten million."""
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q",
            12: "d"}  # fmt: skip
_STRING, _ARRAY = 8, 9
TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4),
    27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
}  # fmt: skip
"""The number of a type in the file -> its name, weights in a block and bytes of one."""
_ALIGNMENT = "general.alignment"


def read(path: Path) -> tuple[list[StoredTensor], dict[str, Any]]:
    """List the tensors, and the metadata whose values are single numbers or short texts.

    Raises:
        HeaderError: no GGUF file, an unknown version, or a header that is cut off.
    """
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise HeaderError(f"{path}: does not start with 'GGUF'")
        return _Reader(file, path).header()


class _Reader:
    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.file, self.path, self.left, self.order = file, path, LARGEST_HEADER, "<"

    def header(self) -> tuple[list[StoredTensor], dict[str, Any]]:
        version = self.number("I")
        if version >> 16:  # written on a machine of the other byte order
            self.order = ">"
            version = int.from_bytes(version.to_bytes(4, "little"), "big")
        if version not in (2, 3):
            raise HeaderError(f"{self.path}: GGUF version {version}; known: 2 and 3")
        tensors, pairs = self.number("Q"), self.number("Q")
        if tensors > MOST_TENSORS or pairs > MOST_TENSORS:
            raise HeaderError(f"{self.path}: claims {tensors:,} tensors and {pairs:,} settings")
        metadata: dict[str, Any] = {}
        for _ in range(pairs):
            name = self.text()
            value = self.value(self.number("I"))
            if value is not None:
                metadata[name] = value
        found = [self.tensor() for _ in range(tensors)]
        self.fits([place for _, place in found], metadata.get(_ALIGNMENT))
        return [tensor for tensor, _ in found], metadata

    def fits(self, places: list[tuple[str, int, int]], alignment: object) -> None:
        """Check that the file is as long as the tensors that it claims, none upon another.

        Raises:
            HeaderError: it is cut off, or the header is corrupt.
        """
        step = alignment if isinstance(alignment, int) and alignment > 0 else 32
        begin = -(-self.file.tell() // step) * step
        data = max(self.path.stat().st_size - begin, 0)
        at = 0
        for name, offset, size in sorted(places, key=lambda place: place[1:]):
            if offset < at or offset + size > data:
                raise HeaderError(
                    f"{self.path}: '{name[:80]}' lies at {offset:,} and takes {size:,} bytes; the "
                    f"tensor before it ends at {at:,}, the file holds {data:,}: cut off, or corrupt"
                )
            at = offset + size

    def tensor(self) -> tuple[StoredTensor, tuple[str, int, int]]:
        name = self.text()
        sides = self.number("I")
        if sides > 8:
            raise HeaderError(f"{self.path}: '{name[:80]}' has {sides} dimensions")
        shape = checked_shape([self.number("Q") for _ in range(sides)], name, str(self.path))
        kind = self.number("I")
        offset = self.number("Q")
        dtype, block, size = TYPES.get(kind, (f"type {kind}", 1, 0))
        tensor = StoredTensor(name=name, dtype=dtype, shape=shape)
        return tensor, (name, offset, -(-tensor.numbers // block) * size)

    def value(self, kind: int, depth: int = 0) -> Any:
        """Read one value; arrays are skipped and answer None."""
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY and depth < 4:
            inner, length = self.number("I"), self.number("Q")
            if inner in _SCALARS:
                self.take(length * struct.calcsize(_SCALARS[inner]))
            else:
                if length > MOST_TENSORS * 8:
                    raise HeaderError(f"{self.path}: an array of {length:,} values")
                for _ in range(length):
                    self.value(inner, depth + 1)
            return None
        raise HeaderError(f"{self.path}: a setting of unknown type {kind}")

    def text(self) -> str:
        return self.take(self.number("Q")).decode("utf-8", "replace")

    def number(self, code: str) -> Any:
        return struct.unpack(self.order + code, self.take(struct.calcsize(code)))[0]

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise HeaderError(
                f"{self.path}: the header is longer than {LARGEST_HEADER:,} bytes, or corrupt"
            )
        self.left -= size
        data = self.file.read(size)
        if len(data) != size:
            raise HeaderError(f"{self.path}: the header is cut off")
        return data
