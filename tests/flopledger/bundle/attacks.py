"""Archives that a hostile party may hand in: each a name and bytes that must be refused.

Shared by the tests and by ``benchmarks/bundle_attacks.py``.
"""

import io
import json
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

from flopledger.bundle.archive import Archive, Writer

Files = list[tuple[str, bytes]]


def files_of(bundle: bytes) -> Files:
    """Read a bundle's files in order."""
    archive = Archive.read(io.BytesIO(bundle))
    return [(name, b"".join(archive.chunks(name))) for name in archive.entries]


def canonical(files: Files) -> bytes:
    """Write files as the bundle's own writer does, whatever they say."""
    file = io.BytesIO()
    writer = Writer(file)
    for name, content in files:
        writer.add(name, content)
    writer.finish()
    return file.getvalue()


def zipped(files: Files, change: Callable[[zipfile.ZipInfo], None] = lambda _: None) -> bytes:
    """Write files with the standard library, each entry's header changed by ``change``."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o100644 << 16
            info.create_system = 3
            change(info)
            archive.writestr(info, content)
    return file.getvalue()


def structural(good: bytes) -> Iterator[tuple[str, bytes]]:
    """Give archives that are not the one form of their content."""
    files = files_of(good)
    yield "prepended data", b"#!/bin/sh\n" + good
    yield "appended data", good + b"\0"
    yield "a second archive appended", good + good
    yield "a comment", good[:-2] + struct.pack("<H", 4) + b"hear"
    yield "rewritten by another zip library", zipped(files)
    yield "compressed entries", zipped(files, _deflated)
    yield "another time", zipped(files, _another_time)
    yield "an extra field", zipped(files, _extra)
    yield "an entry comment", zipped(files, _commented)
    yield "a symbolic link", zipped([*files, ("report/link", b"/etc/passwd")], _link)
    yield "an encrypted entry", _flagged(good, 0x0001)
    yield "a data descriptor", _flagged(good, 0x0008)
    yield "cut short", good[:-1]
    yield "empty", b""
    yield "no zip at all", b"PK\3\4" + bytes(100)
    yield "an end record alone", struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0, 0, 0, 0, 0)
    yield "zip64 sizes", _zip64(good)
    yield "sixty thousand entries promised", _end_with(good, count=60_000)
    yield "a directory of four gigabytes promised", _end_with(good, length=0xFFFFFFF0)
    yield "entries that overlap", _overlapping()
    yield "a quoted entry: one content under ten names", _quoted()
    yield "a gap between entries", _gap(good)


def named(good: bytes) -> Iterator[tuple[str, bytes]]:
    """Give archives with names that trick whoever unpacks them."""
    files = files_of(good)
    tricks = {
        "path traversal": "../../etc/cron.d/evil",
        "traversal inside": "report/../../evil",
        "an absolute name": "/etc/passwd",
        "a drive letter": "C:/windows/evil",
        "a backslash": "report\\..\\evil",
        "an empty part": "report//evil",
        "a dot part": "report/./evil",
        "a folder entry": "report/evil/",
        "a control character": "report/\x1b[2Jevil",
        "a right-to-left override": "report/\u202elmth.evil",
        "a device name": "report/NUL.txt",
        "a trailing dot": "report/evil.",
        "a decomposed letter": "report/re\u0301sume\u0301",
        "a very long name": "report/" + "a/" * 400 + "a",
    }
    for what, name in tricks.items():
        yield what, _raw([*files, (name, b"x")])
    yield "the same name twice", _raw([*files, files[0]])
    yield "names that differ in case", _raw([*files, ("readme.TXT", b"x")])
    yield "names that differ in Unicode form", _raw([*files, ("\uff32EADME.txt", b"x")])
    yield "a file that is also a folder", _raw([*files, ("README.txt/inner", b"x")])


def bombs() -> Iterator[tuple[str, bytes]]:
    """Give archives that expand, if somebody expands them."""
    zeros = bytes(64 << 20)
    inner = zipped([("zeros", zeros)], _deflated)
    yield "64 MiB in 64 KB", inner
    nested = inner
    for _ in range(5):
        nested = zipped([(f"{n}.zip", nested) for n in range(4)], _deflated)
    yield "nested five deep", nested
    yield "one deflated kernel under a thousand names", _kernel_bomb()


def sealed_json() -> Iterator[tuple[str, bytes]]:
    """Give JSON that readers disagree on, or that costs more than it says."""
    deep = b"[" * 100_000 + b"]" * 100_000
    yield "nested a hundred thousand deep", deep
    yield "nested objects", b'{"a":' * 10_000 + b"1" + b"}" * 10_000
    yield "NaN", b'{"payload": NaN}'
    yield "Infinity", b'{"payload": Infinity}'
    yield "a number beyond a double", b'{"payload": 1e999}'
    yield "a number of a million digits", b'{"payload": ' + b"9" * 1_000_000 + b"}"
    yield "a key twice", b'{"payload": "a", "payload": "b"}'
    yield "half a surrogate", b'{"payload": "\\ud800"}'
    yield "no UTF-8", b'{"payload": "\xff"}'
    yield "a byte order mark", b"\xef\xbb\xbf{}"
    yield "no object", b"[]"
    yield "a million keys", json.dumps({str(n): n for n in range(1_000_000)}).encode()


def _deflated(info: zipfile.ZipInfo) -> None:
    info.compress_type = zipfile.ZIP_DEFLATED


def _another_time(info: zipfile.ZipInfo) -> None:
    info.date_time = (2026, 1, 1, 0, 0, 0)
    info.flag_bits |= 0x800


def _extra(info: zipfile.ZipInfo) -> None:
    info.extra = struct.pack("<HH", 0xCAFE, 0)


def _commented(info: zipfile.ZipInfo) -> None:
    info.comment = b"trust me"


def _link(info: zipfile.ZipInfo) -> None:
    if info.filename == "report/link":
        info.external_attr = (stat.S_IFLNK | 0o777) << 16


def _flagged(good: bytes, flag: int) -> bytes:
    """Set a general purpose flag in every header."""
    changed = bytearray(good)
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = good.find(signature)
        while at >= 0:
            changed[at + offset] |= flag
            at = good.find(signature, at + 4)
    return bytes(changed)


def _zip64(good: bytes) -> bytes:
    changed = bytearray(good)
    at = good.find(b"PK\1\2")
    changed[at + 20 : at + 28] = b"\xff" * 8
    return bytes(changed)


def _end_with(good: bytes, **fields: int) -> bytes:
    signature, disk, start_disk, _, count, length, start, comment = struct.unpack(
        "<4sHHHHIIH", good[-22:]
    )
    count = fields.get("count", count)
    length = fields.get("length", length)
    packed = (signature, disk, start_disk, count, count, length, start, comment)
    return good[:-22] + struct.pack("<4sHHHHIIH", *packed)


def _gap(good: bytes) -> bytes:
    """Move the directory back by a few bytes and correct its offset."""
    signature, disk, first, here, count, length, start, comment = struct.unpack(
        "<4sHHHHIIH", good[-22:]
    )
    end = struct.pack("<4sHHHHIIH", signature, disk, first, here, count, length, start + 7, comment)
    return good[:start] + b"smuggle" + good[start:-22] + end


def _raw(files: Files) -> bytes:
    """Write entries in the bundle's form without its checks of names."""
    from flopledger.bundle.archive import Entry, _tail

    out, entries = b"", []
    for name, content in files:
        entry = Entry(name=name, size=len(content), crc=zlib.crc32(content), offset=len(out))
        out += entry.local_header() + content
        entries.append(entry)
    return out + _tail(entries, len(out))


def _overlapping() -> bytes:
    from flopledger.bundle.archive import Entry, _tail

    content = bytes(1000)
    entry = Entry(name="a", size=1000, crc=zlib.crc32(content), offset=0)
    body = entry.local_header() + content
    second = Entry(name="b", size=1000, crc=zlib.crc32(content), offset=0)
    return body + _tail([entry, second], len(body))


def _quoted() -> bytes:
    """Let every local header but the last be part of the content before it."""
    from flopledger.bundle.archive import Entry, _tail

    kernel = bytes(1000)
    body, entries = kernel, []
    for number in range(10):
        entry = Entry(name=f"{number}", size=len(body), crc=zlib.crc32(body), offset=0)
        body = entry.local_header() + body
        entries.append(entry)
    from dataclasses import replace

    header = len(entries[0].local_header())
    placed = [
        replace(entry, offset=header * (len(entries) - 1 - n)) for n, entry in enumerate(entries)
    ]
    return body + _tail(placed, len(body))


def _kernel_bomb() -> bytes:
    kernel = zlib.compress(bytes(10 << 20), 9)[2:-4]
    crc = zlib.crc32(bytes(10 << 20))
    header = struct.pack(
        "<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 8, 0, 33, crc, len(kernel), 10 << 20, 1, 0
    )
    body = header + b"a" + kernel
    directory = b"".join(
        struct.pack(
            "<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, 0, 8, 0, 33, crc, len(kernel), 10 << 20,
            len(name), 0, 0, 0, 0, 0, 0,
        ) + name
        for name in (str(n).encode() for n in range(1000))
    )  # fmt: skip
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1000, 1000, len(directory), len(body), 0)
    return body + directory + end
