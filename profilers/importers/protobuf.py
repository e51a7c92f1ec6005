"""Protocol buffer messages as data: field numbers and raw values, without generated classes.

Only the wire format is read (varint, fixed and length-delimited fields); what a field number means
is the caller's knowledge. Bounded in depth by the caller, who asks for one level at a time.
Source: https://protobuf.dev/programming-guides/encoding/.
"""

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class WireError(ValueError):
    """Bytes that are no protocol buffer message."""


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Walk over a message: (field number, integer or bytes); fixed-width fields as their bytes."""
    place, end = 0, len(data)
    while place < end:
        key, place = _varint(data, place)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise WireError("field number 0")
        value: int | bytes
        if kind == _VARINT:
            value, place = _varint(data, place)
        elif kind in (_BYTES, _FIXED64, _FIXED32):
            if kind == _BYTES:
                size, place = _varint(data, place)
            else:
                size = 8 if kind == _FIXED64 else 4
            if size > end - place:
                raise WireError("a field is longer than its message")
            value, place = data[place : place + size], place + size
        else:
            raise WireError(f"wire type {kind}")
        yield number, value


def messages(data: bytes, wanted: int) -> Iterator[bytes]:
    """Return the occurrences of a length-delimited field."""
    for number, value in fields(data):
        if number == wanted and isinstance(value, bytes):
            yield value


def text(data: bytes, wanted: int) -> str | None:
    """Return the last occurrence of a string field, or None."""
    found = list(messages(data, wanted))
    return found[-1].decode("utf-8", errors="replace") if found else None


def integer(data: bytes, wanted: int) -> int | None:
    """Return the last occurrence of a varint field, or None (absent, or 0 in proto3)."""
    found = None
    for number, value in fields(data):
        if number == wanted and isinstance(value, int):
            found = value
    return found


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise WireError("cut inside a number")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), place
    raise WireError("a number of more than ten bytes")
