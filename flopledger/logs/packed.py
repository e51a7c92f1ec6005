"""Evidence that is packed (gzip) or written in UTF-16, as a PowerShell redirection does.

Both are turned into plain UTF-8 bytes while they are read, within a bound: a small file may unpack to
more than any log.
"""

import codecs
import gzip
import io
import zlib
from typing import BinaryIO

from flopledger.logs import limits
from flopledger.logs.evidence import EvidenceError

_GZIP = b"\x1f\x8b\x08"
_WIDE = {codecs.BOM_UTF16_LE: ("utf-16-le", 1), codecs.BOM_UTF16_BE: ("utf-16-be", 0)}
_PIECE = 1 << 16


def is_packed(magic: bytes) -> bool:
    """Say whether the first bytes are those of a gzip file."""
    return magic.startswith(_GZIP)


def wide_encoding(magic: bytes) -> str | None:
    """Tell UTF-16 from text that happens to begin like it: every other byte of it is 0."""
    name, odd = _WIDE.get(magic[:2], ("", 0))
    half = magic[2 + odd : 64 : 2]
    return name if name and half and half.count(0) > 0.6 * len(half) else None


def unpacked(file: BinaryIO, name: str) -> io.BufferedReader:
    """Give the plain bytes of a gzip file."""
    return io.BufferedReader(_Unpacked(file, name), _PIECE)


def narrowed(file: BinaryIO, encoding: str) -> io.BufferedReader:
    """Give a UTF-16 file as UTF-8 bytes."""
    return io.BufferedReader(_Narrowed(file, encoding), _PIECE)


class _Unpacked(io.RawIOBase):
    def __init__(self, file: BinaryIO, name: str) -> None:
        self._raw, self._file = file, gzip.GzipFile(fileobj=file)
        self._name, self._count = name, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        try:
            piece = self._file.read(len(buffer))
        except (EOFError, OSError, zlib.error) as error:
            raise EvidenceError(f"{self._name}: the gzip file is damaged ({error})") from None
        self._count += len(piece)
        if self._count > limits.UNPACKED_BYTES:
            raise EvidenceError(
                f"{self._name}: unpacks to more than {limits.UNPACKED_BYTES:,} bytes; hand in an "
                "extract, and say so"
            )
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._file.close()
        self._raw.close()
        super().close()


class _Narrowed(io.RawIOBase):
    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file, self._rest = file, b""
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        while not self._rest:
            piece = self._file.read(_PIECE)
            self._rest = self._decoder.decode(piece, final=not piece).encode("utf-8")
            if not piece:
                break
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
