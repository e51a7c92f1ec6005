"""TFRecord framing and the numbers inside protocol buffers.

Fields themselves are walked by ``profilers.importers.protobuf``. A damaged end is reported rather
than guessed.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader

from profilers.importers.protobuf import WireError

#: A record above this is damage or an attack; images in event files stay below.
RECORD_BYTES = 64 << 20


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
