"""Evidence that is packed (gzip, xz, bzip2) or written in UTF-16 or UTF-32, as a PowerShell redirection does.

Both are turned into plain UTF-8 bytes while they are read, within a bound: a small file may unpack to
more than any log.
"""

import codecs
import io
import re
import zlib
from typing import BinaryIO, Protocol

from flopledger.logs import limits
from flopledger.logs.evidence import EvidenceError

_MARKS = {b"\x1f\x8b\x08": "gzip", b"\xfd7zXZ\x00": "xz", b"BZh": "bzip2"}
#: What the name of a packed file ends with, besides the name of what is in it.
SUFFIXES = (".gz", ".xz", ".bz2")
#: By mark: the encoding, and where the zeros of its letters stand, as first place and distance. Four bytes to
#: a letter first: the mark of UTF-32 begins as that of UTF-16 does.
_WIDE = {
    codecs.BOM_UTF32_LE: ("utf-32-le", ((2, 4), (3, 4))),
    codecs.BOM_UTF32_BE: ("utf-32-be", ((0, 4), (1, 4))),
    codecs.BOM_UTF16_LE: ("utf-16-le", ((1, 2),)),
    codecs.BOM_UTF16_BE: ("utf-16-be", ((0, 2),)),
}
_ZEROS, _ZEROS_ALONE = (
    0.6,
    0.9,
)  #: the share of such places that are 0, where a mark stands and where none does
#: Without a mark it might be any binary file: then there is nothing but plain letters.
_LETTERS = re.compile(rb"[\t\r\n -~]{8,}")
_PIECE = 1 << 16


def is_packed(magic: bytes) -> bool:
    """Say whether the first bytes are those of a packed file."""
    return magic.startswith(tuple(_MARKS))


class _Packed(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


def _opened(file: BinaryIO, kind: str) -> _Packed:
    """Open a packed file; the rarer formats are imported when one is met."""
    if kind == "gzip":
        import gzip

        return gzip.GzipFile(fileobj=file)
    if kind == "xz":
        return _Xz(file)
    import bz2

    return bz2.BZ2File(file)


class _Xz:
    """An xz file: it names the memory that unpacking it takes, so that is bounded."""

    def __init__(self, file: BinaryIO) -> None:
        import lzma

        self._file = file
        self._unpack = lzma.LZMADecompressor(memlimit=limits.UNPACKING_MEMORY_BYTES)

    def read(self, size: int, /) -> bytes:
        while not self._unpack.eof:
            piece = self._file.read(_PIECE) if self._unpack.needs_input else b""
            if self._unpack.needs_input and not piece:
                raise EOFError("it ends before its end mark")
            if found := self._unpack.decompress(piece, size):
                return found
        return b""

    def close(self) -> None:
        """Nothing is held besides the file, which its owner closes."""


def _damage() -> tuple[type[Exception], ...]:
    import lzma

    return (EOFError, OSError, zlib.error, lzma.LZMAError)


def wide_encoding(magic: bytes) -> str | None:
    """Tell UTF-16 and UTF-32, with their marks or without, by the zeros that stand beside each letter."""
    for mark, (name, zeros) in _WIDE.items():
        places = [magic[at::width] for at, width in zeros]
        share = min(one.count(0) / len(one) if one else 0.0 for one in places)
        if magic.startswith(mark):
            if share > _ZEROS:
                return name
        elif share > _ZEROS_ALONE and _LETTERS.fullmatch(magic.replace(b"\0", b"")):
            return name
    return None


def unpacked(file: BinaryIO, name: str) -> io.BufferedReader:
    """Give the plain bytes of a packed file."""
    return io.BufferedReader(_Unpacked(file, name), _PIECE)


def narrowed(file: BinaryIO, encoding: str) -> io.BufferedReader:
    """Give a file of UTF-16 or UTF-32 as UTF-8 bytes."""
    return io.BufferedReader(_Narrowed(file, encoding), _PIECE)


class _Unpacked(io.RawIOBase):
    def __init__(self, file: BinaryIO, name: str) -> None:
        magic = file.read(max(map(len, _MARKS)))
        file.seek(0)
        self._kind = next(kind for mark, kind in _MARKS.items() if magic.startswith(mark))
        self._raw, self._file = file, _opened(file, self._kind)
        self._name, self._count = name, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        try:
            piece = self._file.read(len(buffer))
        except _damage() as error:
            raise EvidenceError(
                f"{self._name}: the {self._kind} file is damaged ({error})"
            ) from None
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
