"""The append log of LevelDB's framing, as ``.wandb`` files use it; survives a torn tail.

32 KiB blocks; each record piece has CRC (4 bytes), length (2) and type (1): 1 whole, 2 first,
3 middle, 4 last. Weights & Biases puts 7 bytes before the first block (``:W&B``, 0xBEE1, version)
and uses the IEEE CRC-32 over type and data; LevelDB's own checksum is another one.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

BLOCK = 32 * 1024
_HEADER = struct.Struct("<IHB")
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
MAX_RECORD = 256 * 1024**2


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """Where the log stops being readable."""

    offset: int
    lost_bytes: int
    reason: str


def records(data: bytes, start: int) -> Iterator[bytes | Damage]:
    """Walk over the whole records; the last item may be the damage that ended the walk.

    ``start`` is the length of the file's own header; blocks are counted from the file's beginning.
    """
    place = start
    pieces: list[bytes] = []
    good = start
    while place < len(data):
        left = BLOCK - place % BLOCK
        if left < _HEADER.size:
            if any(data[place : place + left]):
                yield _damage(data, good, "bytes where a block should end in zeros")
                return
            place += left
            continue
        if place + _HEADER.size > len(data):
            break
        crc, length, kind = _HEADER.unpack_from(data, place)
        body = data[place + _HEADER.size : place + _HEADER.size + length]
        if len(body) < length:
            break
        if length > left - _HEADER.size or not _WHOLE <= kind <= _LAST:
            yield _damage(data, good, f"no record header (type {kind}, length {length})")
            return
        if zlib.crc32(body, zlib.crc32(bytes([kind]))) != crc:
            yield _damage(data, good, "the checksum does not match")
            return
        if (kind in (_WHOLE, _FIRST)) == bool(pieces):
            yield _damage(data, good, "the pieces of a record are out of order")
            return
        pieces.append(body)
        place += _HEADER.size + length
        if kind in (_WHOLE, _LAST):
            record = b"".join(pieces)
            pieces = []
            good = place
            yield record
        elif sum(map(len, pieces)) > MAX_RECORD:
            yield _damage(data, good, "a record of more than 256 MiB")
            return
    if good < len(data) and any(data[good:]):
        yield _damage(data, good, "the last record is cut short")


def _damage(data: bytes, good: int, reason: str) -> Damage:
    return Damage(offset=good, lost_bytes=len(data) - good, reason=reason)
