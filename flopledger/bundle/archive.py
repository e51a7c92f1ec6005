"""The zip that a bundle is: one byte sequence for one set of files, and nothing else is accepted.

Zip allows the same content in endless disguises (two names for one entry, data before, between and
after the entries, local headers that contradict the directory, compression that expands a
thousandfold), and readers disagree on them. A bundle has one form:

- entries are stored, not compressed, one after the other from byte 0, in the order of the directory;
- every header field is fixed but name, size, CRC-32 and offset: version 2.0 made on Unix, UTF-8
  flag, 1980-01-01 00:00:00, mode 0644, no extra field, no comment, one disk, no zip64;
- names follow ``flopledger.bundle.names``; the order is the writer's and is sealed.

So ``Archive.open`` computes every header from the directory's four facts and compares bytes. What
differs is not repaired but refused. Nothing is ever inflated: an archive takes as much room as it
says.
"""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from flopledger.bundle import names
from flopledger.bundle.errors import BundleError

MAX_FILES = 10_000
MAX_BYTES = (1 << 32) - 1  #: beyond, zip needs zip64; larger evidence is withheld by digest
CHUNK = 1 << 20

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_ENTRY = struct.Struct("<4sBBHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_UTF8 = 0x0800
_DATE_1980 = (1 << 5) | 1  # 1980-01-01: year 0, month 1, day 1
_MODE = 0o100644 << 16  # a regular file, rw-r--r--
_ORDINARY = 20  # "version 2.0": plain entries
_UNIX = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One stored file, as the directory of the archive gives it."""

    name: str
    size: int  #: bytes
    crc: int  #: CRC-32 of the content
    offset: int  #: of its local header

    @property
    def start(self) -> int:
        """Where its content begins."""
        return self.offset + _LOCAL.size + len(self.name.encode("utf-8"))

    def local_header(self) -> bytes:
        """Give the header that must stand before the content."""
        name = self.name.encode("utf-8")
        sizes = (self.crc, self.size, self.size, len(name), 0)
        return _LOCAL.pack(b"PK\3\4", _ORDINARY, _UTF8, 0, 0, _DATE_1980, *sizes) + name

    def directory_header(self) -> bytes:
        """Give the entry's line of the directory."""
        name = self.name.encode("utf-8")
        versions = (_ORDINARY, _UNIX, _ORDINARY, _UTF8, 0, 0, _DATE_1980)
        sizes = (self.crc, self.size, self.size, len(name))
        rest = (0, 0, 0, 0, _MODE, self.offset)
        return _ENTRY.pack(b"PK\1\2", *versions, *sizes, *rest) + name


def _tail(entries: list[Entry], start: int) -> bytes:
    """Give the directory and the end record, which follow the last content at ``start``."""
    directory = b"".join(entry.directory_header() for entry in entries)
    count = len(entries)
    end = _END.pack(b"PK\5\6", 0, 0, count, count, len(directory), start, 0)
    return directory + end


class Source(Protocol):
    """Something to copy from."""

    def read(self, size: int = -1, /) -> bytes:
        """Give up to ``size`` bytes; none at the end."""


class Pieces:
    """Pieces of content behind the face of a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, _size: int = -1, /) -> bytes:
        """Give the next piece, whatever size is asked for."""
        return next(self._pieces, b"")


class Writer:
    """Writes an archive entry by entry. Sizes and checksums are of the bytes actually written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._at = 0
        self._entries: list[Entry] = []

    def add(self, name: str, content: Source | bytes) -> int:
        """Append one file, read to its end in pieces; return its size."""
        names.check(name)
        source: Source = io.BytesIO(content) if isinstance(content, bytes) else content
        draft = Entry(name=name, size=0, crc=0, offset=self._at)
        self._write(draft.local_header())
        size, crc = 0, 0
        while piece := source.read(CHUNK):
            crc = zlib.crc32(piece, crc)
            size += len(piece)
            self._write(piece)
        entry = Entry(name=name, size=size, crc=crc, offset=draft.offset)
        self._file.seek(entry.offset)
        self._file.write(entry.local_header())
        self._file.seek(self._at)
        self._entries.append(entry)
        return size

    def finish(self) -> None:
        """Write the directory. Raises ``BundleError`` where names collide or limits are passed."""
        if len(self._entries) > MAX_FILES:
            raise BundleError(f"{len(self._entries):,} files; a bundle holds at most {MAX_FILES:,}")
        names.check_distinct(entry.name for entry in self._entries)
        self._write(_tail(self._entries, self._at))

    def _write(self, data: bytes) -> None:
        self._at += len(data)
        if self._at > MAX_BYTES:
            raise BundleError(
                f"more than {MAX_BYTES:,} bytes; withhold large files by digest (see --redact)"
            )
        self._file.write(data)


class Archive:
    """The reading end: refuses every archive that the writer would not have written.

    Content is compared with its CRC-32 while it is read; digests are the caller's business.
    """

    def __init__(self, file: BinaryIO, entries: list[Entry]) -> None:
        """Use ``Archive.open``."""
        self._file = file
        self.entries = {entry.name: entry for entry in entries}

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open and check the whole layout. Raises ``BundleError`` naming what is out of form."""
        if path.exists() and not path.is_file():
            raise BundleError(f"{path}: not a regular file; give a bundle (.zip)")
        try:
            # Should a pipe take its place meanwhile, opening must not wait for a writer.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise BundleError(f"{path}: cannot be opened: {error.strerror}") from None
        file = os.fdopen(descriptor, "rb")
        try:
            return cls.read(file)
        except BaseException:
            file.close()
            raise

    @classmethod
    def read(cls, file: BinaryIO) -> Self:
        """Check the layout of an open file."""
        size = file.seek(0, os.SEEK_END)
        if size > MAX_BYTES:
            raise BundleError(f"{size:,} bytes; a bundle has at most {MAX_BYTES:,}")
        entries, start, tail = _directory(file, size)
        names.check_distinct(entry.name for entry in entries)
        at = 0
        for entry in entries:
            if entry.offset != at:
                raise BundleError(
                    f"{entry.name}: begins at byte {entry.offset}, expected {at}: entries overlap, "
                    "are out of order, or foreign bytes stand between them"
                )
            header = entry.local_header()
            file.seek(at)
            if file.read(len(header)) != header:
                raise BundleError(f"{entry.name}: its local header contradicts the directory")
            at = entry.start + entry.size
        if at != start:
            raise BundleError(f"{start - at:,} foreign bytes before the directory")
        if tail != _tail(entries, start):
            raise BundleError("the directory of the archive is not in its canonical form")
        return cls(file, entries)

    def chunks(self, name: str) -> Iterator[bytes]:
        """Give the content piece by piece; raises ``BundleError`` at a wrong CRC-32."""
        entry = self.entries[name]
        self._file.seek(entry.start)
        left, crc = entry.size, 0
        while left:
            piece = self._file.read(min(CHUNK, left))
            if not piece:
                raise BundleError(f"{name}: the archive ends inside of it")
            left -= len(piece)
            crc = zlib.crc32(piece, crc)
            yield piece
        if crc != entry.crc:
            raise BundleError(f"{name}: CRC-32 {crc:08x}, the archive says {entry.crc:08x}")

    def content(self, name: str, *, limit: int) -> bytes:
        """Give a whole small file; ``BundleError`` where it is missing or longer than ``limit``."""
        entry = self.entries.get(name)
        if entry is None:
            raise BundleError(f"{name}: not in this archive; is it a flopledger bundle?")
        if entry.size > limit:
            raise BundleError(f"{name}: {entry.size:,} bytes; at most {limit:,} are read")
        return b"".join(self.chunks(name))

    def reader(self, name: str) -> "Pieces":
        """Give the content as something to read from, for copying."""
        return Pieces(self.chunks(name))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _directory(file: BinaryIO, size: int) -> tuple[list[Entry], int, bytes]:
    """Read the directory: entries, where it starts, and its bytes up to the end of the file."""
    if size < _END.size:
        raise BundleError("too short to be a bundle")
    file.seek(size - _END.size)
    end = _END.unpack(file.read(_END.size))
    signature, count, length, start = end[0], end[4], end[5], end[6]
    if signature != b"PK\5\6":
        raise BundleError(
            "not a bundle: no zip, cut short, a comment or foreign bytes at its end, or zip64"
        )
    if count > MAX_FILES:
        raise BundleError(f"{count:,} files; a bundle holds at most {MAX_FILES:,}")
    if start + length + _END.size != size:
        raise BundleError("the zip's end record contradicts its length: bytes were added or lost")
    if length > count * (_ENTRY.size + names.MAX_LENGTH):
        raise BundleError("the zip's directory is longer than its entries can be")
    file.seek(start)
    tail = file.read(length + _END.size)
    entries, at = [], 0
    for _ in range(count):
        if at + _ENTRY.size > length:
            raise BundleError("the zip's directory ends inside an entry")
        fields = _ENTRY.unpack_from(tail, at)
        crc, stored, name_length, offset = fields[8], fields[10], fields[11], fields[17]
        name = _name(tail[at + _ENTRY.size : at + _ENTRY.size + name_length])
        entries.append(Entry(name=name, size=stored, crc=crc, offset=offset))
        at += _ENTRY.size + name_length
    return entries, start, tail


def _name(raw: bytes) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BundleError(f"file name {raw[:80]!r}: not UTF-8") from None
    names.check(name)
    return name
