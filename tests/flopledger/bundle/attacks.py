"""Archives that a hostile party may hand in: each a name and bytes that must be refused.

Shared by the tests and by ``benchmarks/bundle_attacks.py``.
"""

import base64
import functools
import hashlib
import io
import json
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flopledger.bundle.archive import Archive, Writer

if TYPE_CHECKING:
    from flopledger.bundle.keys import PrivateKey

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
    yield "entries in another order", canonical([files[1], files[0], *files[2:]])
    yield "two directories", _two_directories(good)
    yield "two end records", good + good[-22:]
    yield "a zip64 end record and its locator", _zip64_end(good)
    yield "a data descriptor that lies about the size", _lying_descriptor(good)
    yield "a folder with the mode of a file", zipped([*files, ("report/", b"")])
    yield "a local header with another name", _renamed_locally(good)


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
        "a name with a NUL": "report/evil.html\0.txt",
        "a name of spaces": "report/ ",
        "an alternate data stream": "C:evil",
    }
    for what, name in tricks.items():
        yield what, _raw([*files, (name, b"x")])
    yield "the same name twice", _raw([*files, files[0]])
    yield "names that differ in case", _raw([*files, ("readme.TXT", b"x")])
    yield "names that differ in Unicode form", _raw([*files, ("\uff32EADME.txt", b"x")])
    yield "twins by ligature", _raw([*files, ("case/file", b"x"), ("case/\ufb01le", b"x")])
    yield "twins by a sharp s", _raw([*files, ("case/strasse", b"x"), ("case/stra\u00dfe", b"x")])
    yield "twins by width", _raw([*files, ("case/a", b"x"), ("case/\uff41", b"x")])
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


def _two_directories(good: bytes) -> bytes:
    """Let a second directory follow the first: which of them a reader takes is its own choice."""
    *head, count, length, start, comment = struct.unpack("<4sHHHHIIH", good[-22:])
    directory = good[start : start + length]
    end = struct.pack("<4sHHHHIIH", *head, count, length, start + length, comment)
    return good[: start + length] + directory.replace(b"README", b"README"[::-1]) + end


def _zip64_end(good: bytes) -> bytes:
    """Put zip64 records before the end record, which then points past them by all ones."""
    signature, disk, first, here, count, length, start, comment = struct.unpack(
        "<4sHHHHIIH", good[-22:]
    )
    at = len(good) - 22
    record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, here, count, length, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, at, 1)
    end = struct.pack(
        "<4sHHHHIIH", signature, disk, first, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, comment
    )
    return good[:-22] + record + locator + end


def _lying_descriptor(good: bytes) -> bytes:
    """Say in the first local header that sizes follow the content, and let other sizes follow."""
    files = files_of(good)
    name, content = files[0]
    raw = name.encode()
    header = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0x0808, 0, 0, 33, 0, 0, 0, len(raw), 0)
    descriptor = struct.pack("<4sIII", b"PK\7\10", zlib.crc32(b""), 0, 0)
    body = header + raw + content + descriptor
    rest = _raw(files[1:])
    entry = struct.pack(
        "<4sBBHHHHHIIIHHHHHII", b"PK\1\2", 20, 3, 20, 0x0808, 0, 0, 33, zlib.crc32(content),
        len(content), len(content), len(raw), 0, 0, 0, 0, 0o100644 << 16, 0,
    ) + raw  # fmt: skip
    *head, _, count, length, start, comment = struct.unpack("<4sHHHHIIH", rest[-22:])
    directory = b""
    at = start
    while at < start + length:
        name_length = struct.unpack_from("<H", rest, at + 28)[0]
        one = bytearray(rest[at : at + 46 + name_length])
        offset = struct.unpack_from("<I", one, 42)[0] + len(body)
        struct.pack_into("<I", one, 42, offset)
        directory += bytes(one)
        at += 46 + name_length
    end = struct.pack(
        "<4sHHHHIIH", *head, count + 1, count + 1, len(entry) + len(directory),
        len(body) + start, comment,
    )  # fmt: skip
    return body + rest[:start] + entry + directory + end


def _renamed_locally(good: bytes) -> bytes:
    return good.replace(b"README.txt", b"readme.TXT", 1)


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


def forgeries(
    good: bytes, earlier: bytes, key: "PrivateKey", other: "PrivateKey"
) -> Iterator[tuple[str, bytes]]:
    """Give bundles in their one form whose seal is not what it seems.

    ``good`` is signed by ``key``; ``earlier`` is another bundle signed by it. ``other`` is the
    forger's own key.
    """
    from flopledger.bundle import envelope, statement, strict

    files = dict(files_of(good))
    payload = files[statement.MANIFEST]
    own = f"{statement.SIGNERS}{key.public.id}.pub"
    theirs = f"{statement.SIGNERS}{other.public.id}.pub"
    message = envelope.pae(envelope.PAYLOAD_TYPE.encode(), payload)
    true = key.sign(message)

    def with_seal(*signatures: tuple[str, bytes], **keys: bytes) -> bytes:
        return _resealed(files, payload, signatures, keys)

    def told(change: Callable[[dict[str, Any]], object]) -> bytes:
        """Let the forger with the key itself sign another statement."""
        raw = strict.loads(payload, what="manifest")
        change(raw)
        new = strict.dumps(raw)
        signature = key.sign(envelope.pae(envelope.PAYLOAD_TYPE.encode(), new))
        whole = files | {statement.MANIFEST: new}
        return _resealed(whole, new, ((key.public.id, signature),), {own: key.public.pem})

    id_ = key.public.id
    yield (
        "another key's signature under this key's id",
        with_seal((id_, other.sign(message)), **{own: key.public.pem}),
    )
    yield (
        "another key under this key's id",
        with_seal((id_, other.sign(message)), **{own: other.public.pem}),
    )
    yield (
        "one good signature and a bad one",
        with_seal(
            *sorted(((id_, true), (other.public.id, true))),
            **{own: key.public.pem, theirs: other.public.pem},
        ),
    )
    yield (
        "the payload signed without its type",
        with_seal((id_, key.sign(payload)), **{own: key.public.pem}),
    )
    yield (
        "a signature over another payload type",
        with_seal(
            (id_, key.sign(envelope.pae(b"application/json", payload))), **{own: key.public.pem}
        ),
    )
    yield "a signature made malleable", with_seal((id_, _malleable(true)), **{own: key.public.pem})
    yield "a signature one byte too long", with_seal((id_, true + b"\0"), **{own: key.public.pem})
    yield "an empty signature", with_seal((id_, b""), **{own: key.public.pem})
    yield "a signer whose key is not there", with_seal((id_, true))
    yield (
        "a key that signed nothing",
        with_seal((id_, true), **{own: key.public.pem, theirs: other.public.pem}),
    )
    weak = _weak_key()
    weak_id = hashlib.sha256(_der(weak)).hexdigest()
    yield (
        "a key for which anybody can sign",
        with_seal((weak_id, weak + bytes(32)), **{f"{statement.SIGNERS}{weak_id}.pub": _pem(weak)}),
    )
    for kind, pem in _other_keys().items():
        yield f"a signer's key of kind {kind}", with_seal((id_, true), **{own: pem})
    yield "the bundle as a file of itself", canonical([*files.items(), ("report/inner.zip", good)])
    yield (
        "the seal under a second name",
        canonical([*files.items(), ("members/seal.dsse.json", files[statement.SEAL])]),
    )
    before = dict(files_of(earlier))
    seal = {name: before[name] for name in (statement.SEAL, statement.MANIFEST, own)}
    yield "the seal of an earlier bundle", canonical(list((files | seal).items()))
    yield (
        "the signatures of an earlier bundle",
        _resealed(
            files,
            payload,
            tuple(
                (one.key_id, one.value)
                for one in envelope.loads(before[statement.SEAL], what="s").signatures
            ),
            {own: key.public.pem},
        ),
    )
    yield (
        "another manifest beside the seal",
        canonical(list((files | {statement.MANIFEST: before[statement.MANIFEST]}).items())),
    )
    raw = json.loads(files[statement.SEAL])
    for what, change in (
        ("the payload type of another kind", {"payloadType": "application/json"}),
        ("a payload type in capitals", {"payloadType": envelope.PAYLOAD_TYPE.upper()}),
        ("a key beside those of DSSE", {"unsigned": True}),
    ):
        content = strict.dumps(raw | change)
        yield what, canonical(list((files | {statement.SEAL: content}).items()))
    yield (
        "an older predicate",
        told(lambda one: one.update(predicateType=str(one["predicateType"]).replace("/v1", "/v0"))),
    )
    yield (
        "an older statement",
        told(lambda one: one.update(_type="https://in-toto.io/Statement/v0.1")),
    )
    yield "an older schema", told(lambda one: one["predicate"].update(schema="flopledger/bundle/0"))
    yield "a kind that is none", told(lambda one: one["predicate"].update(kind="trusted"))
    yield "a file by MD5", told(lambda one: one["subject"][0].update(digest={"md5": "0" * 32}))
    yield (
        "a file by two digests",
        told(lambda one: one["subject"][0]["digest"].update(sha1="0" * 40)),
    )
    yield (
        "a subject that is not there",
        told(lambda one: one["subject"].append({"name": "case/x", "digest": {"sha256": "0" * 64}})),
    )
    yield "no subjects", told(lambda one: one.update(subject=[]))
    yield (
        "a subject of another bundle",
        told(lambda one: one["subject"][0].update(digest={"sha256": "0" * 64})),
    )


def _resealed(
    files: dict[str, bytes],
    payload: bytes,
    signatures: "Sequence[tuple[str, bytes]]",
    keys: dict[str, bytes],
) -> bytes:
    from flopledger.bundle import statement, strict

    told = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [
            {"keyid": name, "sig": base64.b64encode(value).decode()} for name, value in signatures
        ],
    }
    kept = {
        name: content for name, content in files.items() if not name.startswith(statement.SIGNERS)
    }
    whole = kept | {statement.SEAL: strict.dumps(told)} | dict(sorted(keys.items()))
    return canonical(list(whole.items()))


def _malleable(signature: bytes) -> bytes:
    """Add the group's order to the second half: the same point, another number."""
    order = 2**252 + 27742317777372353535851937790883648493
    second = int.from_bytes(signature[32:], "little") + order
    return signature[:32] + second.to_bytes(32, "little")


def _weak_key() -> bytes:
    """Give the neutral point: R = A = 0 and S = 0 satisfy S B = R + k A for every message."""
    return b"\1" + bytes(31)


def _der(raw: bytes) -> bytes:
    return bytes.fromhex("302a300506032b6570032100") + raw


def _pem(raw: bytes) -> bytes:
    body = base64.b64encode(_der(raw))
    return b"-----BEGIN PUBLIC KEY-----\n" + body + b"\n-----END PUBLIC KEY-----\n"


@functools.cache
def _other_keys() -> dict[str, bytes]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    pem, spki = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    private = Ed25519PrivateKey.generate().private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    return {
        "RSA": rsa.generate_private_key(65537, 2048).public_key().public_bytes(pem, spki),
        "EC": ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(pem, spki),
        "private and encrypted": private,
        "text": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    }
