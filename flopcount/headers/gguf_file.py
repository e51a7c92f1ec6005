"""The header of a GGUF file: metadata, then the tensors' names, shapes and types.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, either byte
order. Shapes are logical, so quantised blocks count their weights, not their bytes.
"""

import struct
from pathlib import Path
from typing import Any, BinaryIO

from flopcount.headers.tensor import MOST_TENSORS, HeaderError, StoredTensor, checked_shape

LARGEST_HEADER = 2**28
"""Bytes; a vocabulary of half a million tokens takes some ten million."""
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q",
            12: "d"}  # fmt: skip
_STRING, _ARRAY = 8, 9
TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1",
    10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS",
    17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S",
    23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 30: "BF16",
    34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}  # fmt: skip


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
        return [self.tensor() for _ in range(tensors)], metadata

    def tensor(self) -> StoredTensor:
        name = self.text()
        sides = self.number("I")
        if sides > 8:
            raise HeaderError(f"{self.path}: '{name[:80]}' has {sides} dimensions")
        shape = checked_shape([self.number("Q") for _ in range(sides)], name, str(self.path))
        kind = self.number("I")
        self.number("Q")  # where the data lie
        return StoredTensor(name=name, dtype=TYPES.get(kind, f"type {kind}"), shape=shape)

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
