"""Bounded readers of three binary framings: protocol buffers, TFRecord and LevelDB logs.

Nothing is instantiated: fields come out as numbers and bytes, and a damaged end is reported rather
than guessed.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader

#: Wire types.
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
#: A record above this is damage or an attack; images in event files stay below.
RECORD_BYTES = 64 << 20
_FIELDS = 100_000


class WireError(Exception):
    """Bytes that do not follow the framing."""


def fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Give ``(number, wire type, value)`` of a message: integers for varints, bytes otherwise."""
    position = 0
    for _ in range(_FIELDS):
        if position >= len(data):
            return
        key, position = _varint(data, position)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, position = _varint(data, position)
            yield number, kind, value
            continue
        if kind == LENGTH:
            length, position = _varint(data, position)
        elif kind in (FIXED64, FIXED32):
            length = 8 if kind == FIXED64 else 4
        else:
            raise WireError(f"wire type {kind}")
        if position + length > len(data):
            raise WireError("a field runs over the end")
        yield number, kind, data[position : position + length]
        position += length
    raise WireError("too many fields")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise WireError("a number runs over the end")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise WireError("a number of more than 64 bits")


def double(value: int | bytes) -> float:
    """Read eight bytes as a double."""
    if not isinstance(value, bytes) or len(value) != 8:
        raise WireError("not a double")
    return float(struct.unpack("<d", value)[0])


def single(value: int | bytes) -> float:
    """Read four bytes as a float."""
    if not isinstance(value, bytes) or len(value) != 4:
        raise WireError("not a float")
    return float(struct.unpack("<f", value)[0])


def signed(value: int) -> int:
    """Read a varint as a signed 64-bit number."""
    return value - (1 << 64) if value >= 1 << 63 else value


@dataclass
class Tail:
    """How a file of records ended."""

    torn_at: int | None = None  #: offset of a record that is cut off or fails its checksum


def tfrecords(file: BufferedReader, tail: Tail) -> Iterator[bytes]:
    """Give the records of a TFRecord file until its end or its first damaged record."""
    offset = 0
    while header := file.read(12):
        if len(header) < 12 or _masked(header[:8]) != struct.unpack("<I", header[8:])[0]:
            tail.torn_at = offset
            return
        (length,) = struct.unpack("<Q", header[:8])
        if length > RECORD_BYTES:
            tail.torn_at = offset
            return
        body = file.read(length + 4)
        if len(body) < length + 4 or _masked(body[:-4]) != struct.unpack("<I", body[-4:])[0]:
            tail.torn_at = offset
            return
        yield body[:-4]
        offset += 16 + length


_TABLE: list[int] = []


def crc32c(data: bytes) -> int:
    """Give the Castagnoli checksum (polynomial 0x1EDC6F41, reflected)."""
    if not _TABLE:
        for index in range(256):
            value = index
            for _ in range(8):
                value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
            _TABLE.append(value)
    table, checksum = _TABLE, 0xFFFFFFFF
    for byte in data:
        checksum = table[(checksum ^ byte) & 0xFF] ^ checksum >> 8
    return checksum ^ 0xFFFFFFFF


def _masked(data: bytes) -> int:
    checksum = crc32c(data)
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


_BLOCK = 32 * 1024
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def leveldb_records(file: BufferedReader, tail: Tail, header_bytes: int = 7) -> Iterator[bytes]:
    """Give the records of a LevelDB log that follows a file header, as W&B writes it.

    Blocks are 32 KiB and counted from the start of the file, header included. A record's header is
    checksum (4), length (2) and type (1); the checksum is CRC-32 over type and data.
    """
    position = len(file.read(header_bytes))
    parts: list[bytes] = []
    total = 0
    while True:
        left = _BLOCK - position % _BLOCK
        if left < 7:
            position += len(file.read(left))
            continue
        header = file.read(7)
        if not header:
            tail.torn_at = position if parts else None
            return
        if len(header) < 7:
            tail.torn_at = position
            return
        checksum, length, kind = struct.unpack("<IHB", header)
        data = file.read(length)
        if len(data) < length or zlib.crc32(bytes([kind]) + data) != checksum:
            tail.torn_at = position
            return
        position += 7 + length
        total = total + length if kind in (_MIDDLE, _LAST) else length
        if kind not in (_FULL, _FIRST, _MIDDLE, _LAST) or total > RECORD_BYTES:
            tail.torn_at = position
            return
        if kind in (_FULL, _FIRST):
            parts = []
        parts.append(data)
        if kind in (_FULL, _LAST):
            yield b"".join(parts)
            parts = []
