"""From a list of files to a sealed archive, whole or not at all."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from flopledger import __version__, whole_files
from flopledger.bundle import envelope, names, statement, strict
from flopledger.bundle.archive import CHUNK, Writer
from flopledger.bundle.envelope import Signature
from flopledger.bundle.errors import BundleError
from flopledger.bundle.keys import PrivateKey, PublicKey
from flopledger.bundle.statement import Predicate, Tool

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

Content = Path | bytes
_DRAWING = ("jinja2", "plotly")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sealed:
    """A bundle that was written."""

    path: Path
    id: str  #: SHA-256 of the signed statement: names the content, whoever signed it
    sha256: str  #: of the whole file
    files: int
    size: int  #: bytes
    signers: tuple[str, ...]  #: key ids; empty for an unsigned merge
    withheld: int = 0
    verdict: str | None = None
    notes: tuple[str, ...] = field(default=())
    attestation: Path | None = None  #: the Sigstore signature beside it


def readme() -> bytes:
    """Give the page that stands first in every bundle: what it is and how to check it by hand."""
    return (files("flopledger.bundle") / "data" / "README.txt").read_bytes()


def tool(data_digests: Mapping[str, str], environment: Mapping[str, str]) -> Tool:
    """Name what computed and drew this bundle: ``environment`` and the libraries that draw."""
    environment = dict(environment)
    for name in _DRAWING:
        try:
            environment[name] = version(name)
        except PackageNotFoundError:
            continue
    return Tool(version=__version__, data_digests=dict(data_digests), environment=environment)


def write(
    out: Path,
    contents: Mapping[str, Content],
    predicate: Predicate,
    keys: Sequence[PrivateKey],
    *,
    check: Callable[[Mapping[str, str]], None] = lambda _: None,
) -> Sealed:
    """Write the bundle ``out``; ``check`` sees the digests of what was written and may refuse."""
    whole: dict[str, Content] = {statement.README: readme(), **contents}
    for name in whole:
        names.check(name)
        if name in {statement.MANIFEST, statement.SEAL} or name.startswith(statement.SIGNERS):
            raise BundleError(f"{name}: a name that the seal needs for itself")
    order = sorted(whole, key=lambda name: name.encode("utf-8"))
    with replacing(out) as file:
        writer = Writer(file)
        digests = {name: _add(writer, name, whole[name]) for name in order}
        check(digests)
        payload = statement.dumps(digests, predicate)
        signed = add_seal(writer, payload, keys)
        size, digest = measure(file)
    return Sealed(
        path=out,
        id=hashlib.sha256(payload).hexdigest(),
        sha256=digest,
        files=len(order),
        size=size,
        signers=signed,
        withheld=len(predicate.withheld),
        verdict=predicate.verdict,
        notes=tuple(predicate.notes),
    )


def measure(file: BinaryIO) -> tuple[int, str]:
    """Give size and SHA-256 of a file that was just written."""
    file.flush()
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(CHUNK):
        digest.update(piece)
    return size, digest.hexdigest()


def add_seal(
    writer: Writer,
    payload: bytes,
    keys: Sequence[PrivateKey],
    earlier: Sequence[tuple[Signature, PublicKey]] = (),
) -> tuple[str, ...]:
    """Append manifest, envelope and public keys, and end the archive; return the key ids."""
    sealed = envelope.sign(payload, keys, [signature for signature, _ in earlier])
    public = {key.public.id: key.public for key in keys} | {key.id: key for _, key in earlier}
    writer.add(statement.MANIFEST, payload)
    writer.add(statement.SEAL, sealed.dumps())
    for name in sorted(public):
        writer.add(f"{statement.SIGNERS}{name}.pub", public[name].pem)
    writer.finish()
    return tuple(sorted(public))


def replacing(out: Path) -> "AbstractContextManager[BinaryIO]":
    """Open a draft beside ``out`` that takes its place at the end, or vanishes at an error."""
    if out.is_dir():
        raise BundleError(f"{out}: a folder; give the name of a file, such as evidence.zip")
    return whole_files.replacing(out, BundleError)


class _Hashing:
    """Reads a file and digests what it reads, so that the digest is of the bytes handed on."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        piece = self._file.read(size)
        self.digest.update(piece)
        return piece


def _add(writer: Writer, name: str, content: Content) -> str:
    if isinstance(content, bytes):
        if name.endswith(".json") and len(content) > strict.MAX_BYTES:
            raise BundleError(
                f"{name}: {len(content):,} bytes; a bundle's own documents have at most "
                f"{strict.MAX_BYTES:,}: seal in several parts and merge"
            )
        writer.add(name, content)
        return hashlib.sha256(content).hexdigest()
    try:
        with content.open("rb") as file:
            source = _Hashing(file)
            writer.add(name, source)
    except OSError as error:
        raise BundleError(f"{content}: cannot be read: {error.strerror}") from None
    return source.digest.hexdigest()
