"""Salts of what is withheld: kept in the provider's private reveal file, shown item by item later.

Every salt is derived from one secret of 32 random bytes, so sealing again gives the same
commitments. Whoever hands a reveal file on removes ``secret`` and the items that stay withheld: each
remaining item carries its own salt, which says nothing about the others.
"""

import hashlib
import hmac
import re
import secrets as randomness
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import msgspec

from flopledger.bundle import keys, strict
from flopledger.bundle.archive import CHUNK
from flopledger.bundle.errors import BundleError
from flopledger.bundle.statement import Withheld

if TYPE_CHECKING:
    from flopledger.bundle.verification import Verification

SCHEMA = "flopledger/reveal/1"
_MATCHES = "matches"
_SECRET = re.compile("[0-9a-f]{64}")
Kind = Literal["file", "fact", "key"]


class Item(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One withheld thing and the salt that opens its commitment."""

    kind: Kind
    name: str
    salt: str  #: 32 bytes in hexadecimal
    value: Any = None  #: of a fact or key; a file is looked up beside the reveal file


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schema: str
    secret: str | None = None
    items: list[Item] = []


class Secrets:
    """The reveal file while a bundle is made."""

    def __init__(self, path: Path, secret: bytes, items: dict[tuple[str, str], Item]) -> None:
        """Use ``Secrets.open``."""
        self._path = path
        self._secret = secret
        self._items = items

    @classmethod
    def open(cls, path: Path) -> "Secrets":
        """Read the reveal file, whose secret is used again, or begin a new one."""
        if not path.exists():
            if not path.parent.is_dir():
                raise BundleError(f"{path}: no such folder {path.parent}; create it first")
            return cls(path, randomness.token_bytes(32), {})
        found = _read(path)
        if found.secret is None or not _SECRET.fullmatch(found.secret):
            raise BundleError(f"{path}: holds no secret to seal with; give a new --reveal file")
        items: dict[tuple[str, str], Item] = {(item.kind, item.name): item for item in found.items}
        return cls(path, bytes.fromhex(found.secret), items)

    def commit_file(self, name: str, file: BinaryIO) -> Withheld:
        """Commit to a file's content."""
        salt = self._salt("file", name)
        digest = _keyed(salt, file)
        self._items["file", name] = Item(kind="file", name=name, salt=salt.hex())
        return Withheld(kind="file", name=name, commitment=digest)

    def commit_value(
        self, kind: Kind, name: str, value: Any, *, where: str | None = None
    ) -> Withheld:
        """Commit to a figure or a word."""
        salt = self._salt(kind, name)
        self._items[kind, name] = Item(kind=kind, name=name, salt=salt.hex(), value=value)
        return Withheld(kind=kind, name=name, commitment=_of_value(salt, value), where=where)

    def save(self) -> None:
        """Write the reveal file, mode 600, whole or not at all."""
        content = strict.dumps(
            {
                "schema": SCHEMA,
                "secret": self._secret.hex(),
                "items": [msgspec.to_builtins(self._items[key]) for key in sorted(self._items)],
            }
        )
        draft = self._path.with_name(f".{self._path.name}.{randomness.token_hex(4)}")
        keys.write_new(draft, content, mode=0o600)
        draft.replace(self._path)

    def _salt(self, kind: str, name: str) -> bytes:
        return hmac.new(self._secret, f"{kind}\0{name}".encode(), hashlib.sha256).digest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """One revealed thing and whether it is what was committed to."""

    kind: str
    name: str
    outcome: str  #: "matches", "DIFFERS", "not in this bundle", "no such file at hand"
    ok: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Revealed:
    """Everything that a reveal file shows."""

    items: tuple[Shown, ...]

    @property
    def ok(self) -> bool:
        """Whether everything that could be checked is what was committed to."""
        return all(item.ok for item in self.items)

    def to_dict(self) -> list[dict[str, Any]]:
        """Give it as plain values."""
        return [
            {"kind": one.kind, "name": one.name, "outcome": one.outcome, "ok": one.ok}
            for one in self.items
        ]


def check(found: "Verification", reveal: Path, source: Path) -> Revealed:
    """Compare what ``reveal`` shows (files are looked up in ``source``) with the commitments."""
    if found.statement is None:
        raise BundleError(
            f"{found.path}: its seal does not hold, so nothing can be compared with it"
        )
    told = {(one.kind, one.name): one.commitment for one in found.statement.predicate.withheld}
    return Revealed(
        items=tuple(
            _shown(item, told.get((item.kind, item.name)), source) for item in _read(reveal).items
        )
    )


def recompute(found: "Verification", shown: Revealed, source: Path) -> "Verification":
    """Repeat the audit with the revealed files that match, and give ``found`` with the outcome."""
    from flopledger.bundle.archive import Archive
    from flopledger.bundle.recompute import recompute as repeat

    if found.statement is None:
        return found
    files = {
        one.name: source / one.name.partition("/")[2]
        for one in shown.items
        if one.kind == "file" and one.outcome == _MATCHES
    }
    with Archive.open(found.path) as archive:
        return replace(found, recomputed=repeat(archive, found.statement, files))


def _shown(item: Item, commitment: str | None, source: Path) -> Shown:
    def shown(outcome: str, *, ok: bool) -> Shown:
        return Shown(kind=item.kind, name=item.name, outcome=outcome, ok=ok)

    if commitment is None:
        return shown("not in this bundle", ok=True)
    try:
        salt = bytes.fromhex(item.salt)
    except ValueError:
        raise BundleError(f"reveal file: {item.name}: the salt is not hexadecimal") from None
    if len(salt) != 32:
        raise BundleError(f"reveal file: {item.name}: a salt has 32 bytes")
    if item.kind != "file":
        same = hmac.compare_digest(_of_value(salt, item.value), commitment)
        return shown(_MATCHES if same else "DIFFERS", ok=same)
    path = source / item.name.partition("/")[2]
    if not path.is_file() or not path.resolve().is_relative_to(source.resolve()):
        return shown("no such file at hand", ok=True)
    with path.open("rb") as file:
        same = hmac.compare_digest(_keyed(salt, file), commitment)
    return shown(_MATCHES if same else "DIFFERS", ok=same)


def _of_value(salt: bytes, value: Any) -> str:
    return hmac.new(salt, strict.line(value), hashlib.sha256).hexdigest()


def _keyed(salt: bytes, file: BinaryIO) -> str:
    digest = hmac.new(salt, digestmod=hashlib.sha256)
    while piece := file.read(CHUNK):
        digest.update(piece)
    return digest.hexdigest()


def _read(path: Path) -> _File:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        found = msgspec.convert(strict.loads(data, what=str(path)), _File)
    except msgspec.ValidationError as error:
        raise BundleError(f"{path}: {error}") from None
    if found.schema != SCHEMA:
        raise BundleError(f'{path}: schema {found.schema!r}; this tool reads "{SCHEMA}"')
    return found
