"""A recording in another form (gzip, zstd, UTF-16), written once as plain text that is gone after the import.

What it unpacks to is bounded, in bytes and in its ratio, so that a small file cannot fill the disk.
Every importer, the bulk path included, then reads an ordinary file.
"""

import codecs
import os
import shutil
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from profilers.importers.errors import ImportFormatError, LimitError

MAX_UNPACKED = 16 * 1024**3
"""Bytes that a compressed recording may unpack to: about 200 million rows of nvidia-smi."""
MAX_RATIO = 200
"""Times its packed size; logs of figures reach 5 to 60, and only made-up content goes beyond."""
FREE_BELOW = 64 * 1024**2
"""Up to here any ratio is taken: an idle GPU's log is one line over and over."""
_CHUNK = 1024 * 1024
_UTF32 = b"\xff\xfe\0\0"
"""Begins as UTF-16 does."""
_GZIP = 31
"""zlib's window size for a gzip member with its checksum."""


class Unpacked:
    """A temporary file that is removed when nobody refers to it any more, or at exit."""

    def __init__(self) -> None:
        """Create it, empty."""
        handle, name = tempfile.mkstemp(prefix="flopledger-")
        os.close(handle)
        self.path = Path(name)
        self.remove = weakref.finalize(self, self.path.unlink, missing_ok=True)


def unpack(path: Path, head: bytes) -> Unpacked | None:
    """Return a temporary file with the content; None where it is not packed.

    Raises ``LimitError`` beyond the bounds, and ``ImportFormatError`` for an archive that is damaged or
    cut short: it lacks its checksum, so nothing in it is proven.
    """
    pieces = next((read for magic, read in _PACKERS.items() if head.startswith(magic)), None)
    if pieces is None or head.startswith(_UTF32):
        return None
    target = Unpacked()
    try:
        with target.path.open("wb") as stream:
            for data in _bounded(path, pieces(path)):
                stream.write(data)
    except BaseException:
        target.remove()
        raise
    return target


def _bounded(path: Path, pieces: Iterator[bytes]) -> Iterator[bytes]:
    limit = min(max(FREE_BELOW, MAX_RATIO * path.stat().st_size), MAX_UNPACKED)
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free // 2
    total = 0
    for data in pieces:
        total += len(data)
        if total > limit:
            raise LimitError(
                f"unpacks to more than {limit} bytes; unpack it yourself (`gunzip -k`, `unzstd`) and "
                "give what is in it",
                file=str(path),
            )
        if total > free:
            raise LimitError(
                f"unpacks to more than half of what is free in {folder}; name a larger folder in TMPDIR",
                file=str(path),
            )
        yield data


def _gzip_pieces(path: Path) -> Iterator[bytes]:
    member = zlib.decompressobj(_GZIP)
    with path.open("rb") as stream:
        while waiting := stream.read(_CHUNK):
            while waiting:
                if member.eof:  # rotated logs are often several members put together
                    waiting = waiting.lstrip(b"\0")
                    if not waiting:
                        break
                    member = zlib.decompressobj(_GZIP)
                try:
                    data = member.decompress(waiting, _CHUNK)
                except zlib.error as error:
                    raise _damaged(path, "gzip", str(error)) from error
                waiting = member.unused_data if member.eof else member.unconsumed_tail
                yield data
    if not member.eof:
        raise _damaged(path, "gzip", "it ends before its checksum")


def _zstd_pieces(path: Path) -> Iterator[bytes]:
    import pyarrow as pa

    try:
        with pa.OSFile(str(path)) as raw, pa.CompressedInputStream(raw, "zstd") as stream:
            while data := stream.read(_CHUNK):
                yield data
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, "zstd", str(error)[:120]) from error


def _utf16_pieces(path: Path) -> Iterator[bytes]:
    """Write UTF-16 as UTF-8, as PowerShell's ``>`` did not; half a character at the end is left out."""
    decoder = codecs.getincrementaldecoder("utf-16")()
    with path.open("rb") as stream:
        while data := stream.read(_CHUNK):
            try:
                yield decoder.decode(data).encode()
            except UnicodeError as error:
                raise ImportFormatError(
                    f"begins as UTF-16 text and is none ({error}); copy it again", file=str(path)
                ) from error


_PACKERS: dict[bytes, Callable[[Path], Iterator[bytes]]] = {
    b"\x1f\x8b": _gzip_pieces,
    b"\x28\xb5\x2f\xfd": _zstd_pieces,
    b"\xff\xfe": _utf16_pieces,
    b"\xfe\xff": _utf16_pieces,
}
"""How a file begins, and what unpacks it."""


def _damaged(path: Path, kind: str, why: str) -> ImportFormatError:
    return ImportFormatError(
        f"is a damaged {kind} archive ({why}); copy it again, or give what can be unpacked of it",
        file=str(path),
    )
