"""Ed25519 keys as PEM files: PKCS8 for the private half, SubjectPublicKeyInfo for the public one.

Both are what ``openssl genpkey -algorithm ed25519`` and ``openssl pkey -pubout`` write. A key's id
is the SHA-256 of its SubjectPublicKeyInfo in DER, so it can be recomputed from the public file.
"""

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flopledger.bundle.errors import BundleError
from flopledger.errors import naming

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

PRIVATE_NAME, PUBLIC_NAME = "flopledger.key", "flopledger.pub"
PASSPHRASE_VARIABLE = "FLOPLEDGER_KEY_PASSPHRASE"  # noqa: S105 - the name of a variable
MAX_BYTES = 64 << 10  #: no PEM file of one key is longer
_FIELD = 2**255 - 19
#: y of a point of order 8: doubled it must have y = 0, so d y^4 + 2 y^2 - 1 = 0 on the curve.
_ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
#: y of the eight points whose order divides 8. As a public key such a point verifies signatures that
#: anybody can make over anything, so whoever shows it binds itself to nothing.
_WEAK = frozenset({0, 1, _FIELD - 1, _ORDER_8, _FIELD - _ORDER_8})


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicKey:
    """The half that checks."""

    pem: bytes  #: SubjectPublicKeyInfo, in the one form that the library writes
    id: str  #: SHA-256 of the DER form, in hexadecimal

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Say whether this key's owner signed ``message``."""
        from cryptography.exceptions import InvalidSignature

        key = _parse_public(self.pem, "key")
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, kw_only=True, slots=True)
class PrivateKey:
    """The half that signs. Its bytes never appear in ``repr``."""

    _key: "Ed25519PrivateKey"

    def __repr__(self) -> str:
        return f"PrivateKey({self.public.id[:16]})"

    @property
    def public(self) -> PublicKey:
        """The other half."""
        return _public(self._key.public_key())

    def sign(self, message: bytes) -> bytes:
        """Sign; the same message always gives the same 64 bytes (RFC 8032)."""
        return self._key.sign(message)


def generate_key(folder: Path, *, passphrase: bytes | None = None) -> PublicKey:
    """Write ``flopledger.key`` (mode 600) and ``flopledger.pub`` into ``folder``.

    Existing files are never overwritten: a lost private key cannot be had again.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    secret, public = folder / PRIVATE_NAME, folder / PUBLIC_NAME
    for path in (secret, public):
        if path.is_symlink() or path.exists():
            raise BundleError(
                f"{path}: exists already and is left as it is; give another --out folder"
            )
    key = Ed25519PrivateKey.generate()
    lock: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        if not passphrase:
            raise BundleError("an empty passphrase protects nothing; leave it out or give one")
        lock = serialization.BestAvailableEncryption(passphrase)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    folder.mkdir(parents=True, exist_ok=True)
    made = _public(key.public_key())
    write_new(secret, pem, mode=0o600)
    try:
        write_new(public, made.pem, mode=0o644)
    except BaseException:
        secret.unlink()
        raise
    return made


def load_private(path: Path, *, passphrase: bytes | None = None) -> PrivateKey:
    """Read a private key. Raises ``BundleError`` for other kinds of key or a wrong passphrase.

    Without ``passphrase`` the environment variable ``FLOPLEDGER_KEY_PASSPHRASE`` is tried.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    data = _read(path)
    if b"PUBLIC KEY" in data:
        raise BundleError(f"{path}: a public key; signing takes the private one (flopledger.key)")
    locked = is_locked(data)
    if locked and passphrase is None:
        word = os.environ.get(PASSPHRASE_VARIABLE)
        passphrase = None if word is None else word.encode()
        if passphrase is None:
            raise BundleError(
                f"{path}: protected by a passphrase; set {PASSPHRASE_VARIABLE} or type it in"
            )
    try:
        key = serialization.load_pem_private_key(data, passphrase if locked else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        cause = "wrong passphrase, or " if locked else ""
        raise BundleError(
            f"{path}: {cause}no private key in PEM form; `flopledger keygen` writes one, "
            "`openssl genpkey -algorithm ed25519` too"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BundleError(f"{path}: {_kind(key)}; seals are signed with Ed25519")
    return PrivateKey(_key=key)


def load_public(path: Path) -> PublicKey:
    """Read a public key."""
    data = _read(path)
    if b"PRIVATE KEY" in data:
        raise BundleError(
            f"{path}: a private key; checking takes the public one (flopledger.pub), "
            "and a private key is best kept away from it"
        )
    return parse_public(data, str(path))


def parse_public(data: bytes, where: str) -> PublicKey:
    """Read a public key from PEM text; ``where`` names it in messages."""
    return _public(_parse_public(data, where))


def is_locked(data: bytes) -> bool:
    """Say whether a PEM text needs a passphrase."""
    return b"BEGIN ENCRYPTED PRIVATE KEY" in data or b"Proc-Type: 4,ENCRYPTED" in data


def needs_passphrase(path: Path) -> bool:
    """Say whether the key at ``path`` is locked and no variable opens it."""
    return PASSPHRASE_VARIABLE not in os.environ and is_locked(_read(path))


def write_new(path: Path, data: bytes, *, mode: int) -> None:
    """Create ``path`` with exactly ``mode``, whatever the umask; never follow or replace a file."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError:
        raise BundleError(f"{path}: exists already and is left as it is") from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        with naming(path), os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise BundleError(f"{path}: no such key file; `flopledger keygen` writes a pair")
        if path.stat().st_size > MAX_BYTES:
            raise BundleError(f"{path}: larger than {MAX_BYTES:,} bytes, so not a key in PEM form")
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from None


def _parse_public(data: bytes, where: str) -> "Ed25519PublicKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BundleError(
            f"{where}: no public key in PEM form; `openssl pkey -in KEY -pubout` writes one"
        ) from None
    if not isinstance(key, Ed25519PublicKey):
        raise BundleError(f"{where}: {_kind(key)}; seals are signed with Ed25519")
    height = int.from_bytes(key.public_bytes_raw(), "little") & ((1 << 255) - 1)
    if height in _WEAK or height >= _FIELD:
        raise BundleError(
            f"{where}: a key for which anybody can make signatures, or not in its one form; "
            "`flopledger keygen` writes a sound one"
        )
    return key


def _public(key: "Ed25519PublicKey") -> PublicKey:
    from cryptography.hazmat.primitives import serialization

    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    der = key.public_bytes(serialization.Encoding.DER, spki)
    pem = key.public_bytes(serialization.Encoding.PEM, spki)
    return PublicKey(pem=pem, id=hashlib.sha256(der).hexdigest())


def _kind(key: object) -> str:
    return (
        f"a key of kind {type(key).__name__.removesuffix('PrivateKey').removesuffix('PublicKey')}"
    )
