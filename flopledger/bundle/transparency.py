"""A second signature through Sigstore: an identity instead of a key, in a file beside the bundle.

What is signed is ``manifest.json``, byte for byte the payload of the DSSE envelope, as an artifact: of
the manifest only its digest leaves this machine. The signature carries a time and another random key
each time it is made, so it lies outside the zip (``F.zip.sigstore.json``), whose bytes stay the same.

Signing needs the network and writes identity, time and digest into a log that everybody can read and
nobody can erase; it happens only when asked for. Checking needs neither, with the trust root that the
``sigstore`` package brings or one that the caller gives.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flopledger.bundle import strict
from flopledger.bundle.errors import BundleError

if TYPE_CHECKING:
    from sigstore.models import ClientTrustConfig, TrustedRoot
    from sigstore.oidc import IdentityToken

SUFFIX = ".sigstore.json"
TOKEN_VARIABLE = "SIGSTORE_IDENTITY_TOKEN"  # noqa: S105 - the name of a variable, not its value
#: A DSSE attestation of another tool holds the manifest in base64; ours is a few thousand bytes.
MAX_BYTES = 24 << 20
_CONFIG = "application/vnd.dev.sigstore.clienttrustconfig"
WARNING = (
    "--sigstore contacts Sigstore's services and publishes your identity (an e-mail address or a "
    "workload's name), the time and the manifest's digest in a public log for ever"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """Who should have signed, by whose word, and where that is written."""

    identity: str  #: e-mail address, or URI of a workload, exactly
    issuer: str  #: the OpenID issuer that vouched for it: "https://accounts.google.com"
    attestation: Path | None = None  #: the file beside the bundle unless given
    trust: Path | None = None  #: a trusted root or trust configuration; sigstore's own unless given


@dataclass(frozen=True, kw_only=True, slots=True)
class Witness:
    """A Sigstore signature that holds."""

    identity: str
    issuer: str
    log_index: int | None  #: entry in the transparency log
    integrated_time: int | None  #: seconds since 1970, by the log's signature; ``None``: not stated

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain values."""
        return {
            "identity": self.identity,
            "issuer": self.issuer,
            "log_index": self.log_index,
            "integrated_time": self.integrated_time,
        }


def beside(bundle: Path) -> Path:
    """Give the file that holds the Sigstore signature of ``bundle``."""
    return bundle.with_name(bundle.name + SUFFIX)


def require() -> None:
    """Raise ``BundleError`` with the line that installs sigstore, where it is missing."""
    try:
        import sigstore.sign
        import sigstore.verify  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "sigstore":
            raise
        raise BundleError(
            "sigstore is not installed; install it with: pip install 'flopledger[sigstore]'"
        ) from None


def sign(bundle: Path, *, trust: Path | None = None) -> Path:
    """Sign the manifest of ``bundle`` through Sigstore, and write the signature beside it.

    The identity is that of ``SIGSTORE_IDENTITY_TOKEN``, of the CI job, or of whoever logs in in the
    browser. ``trust`` is a client trust configuration: of a private instance, nothing is public. Raises
    ``BundleError`` where the bundle does not verify, and where a service refuses.
    """
    from flopledger.bundle.archive import Archive
    from flopledger.bundle.verification import read_seal, verify

    require()
    from sigstore.models import ClientTrustConfig
    from sigstore.sign import SigningContext

    found = verify(bundle)
    if found.statement is None:
        first = found.problems[0]
        raise BundleError(f"{bundle}: is not signed: {first.file}: {first.message}")
    with Archive.open(bundle) as archive:
        payload = read_seal(archive).payload
    with _told("signing through Sigstore, which needs its services on the network"):
        config = ClientTrustConfig.production() if trust is None else _config(trust)
        context = SigningContext.from_trust_config(config)
        with context.signer(_token(config)) as signer:
            made = signer.sign_artifact(payload)
    from flopledger.bundle.writing import replacing

    out = beside(bundle)
    with replacing(out) as file:
        file.write((made.to_json() + "\n").encode())
    return out


def check(bundle: Path, payload: bytes, expected: Expected) -> Witness:
    """Check the Sigstore signature over ``payload``, the manifest of ``bundle``; no network.

    Raises ``BundleError`` for a signature that does not hold, or is somebody else's.
    """
    require()
    from sigstore.models import Bundle
    from sigstore.verify import Verifier
    from sigstore.verify.policy import Identity

    path = beside(bundle) if expected.attestation is None else expected.attestation
    data = _read(path, MAX_BYTES)
    raw = strict.loads(data, what=path.name, max_bytes=MAX_BYTES)
    with _told(path.name):
        verifier = Verifier(trusted_root=_root(expected.trust))
        attested = Bundle.from_json(data)
        policy = Identity(identity=expected.identity, issuer=expected.issuer)
        if "dsseEnvelope" in raw:
            _, signed = verifier.verify_dsse(attested, policy)
            if signed != payload:
                raise BundleError(f"{path.name}: a signature over another manifest")
        else:
            verifier.verify_artifact(payload, attested, policy)
        entry = raw["verificationMaterial"]["tlogEntries"][0]
        vouched = "inclusionPromise" in entry and "integratedTime" in entry
        return Witness(
            identity=expected.identity,
            issuer=expected.issuer,
            log_index=int(entry["logIndex"]) if "logIndex" in entry else None,
            integrated_time=int(entry["integratedTime"]) if vouched else None,
        )


def _token(config: "ClientTrustConfig") -> "IdentityToken":
    """Get an identity: from the environment, from the CI job, or in the browser."""
    from sigstore.oidc import IdentityToken, Issuer, detect_credential

    given = os.environ.get(TOKEN_VARIABLE) or detect_credential()
    if given is not None:
        return IdentityToken(given)
    if not sys.stdin.isatty():
        raise BundleError(
            f"no identity to sign with: set {TOKEN_VARIABLE}, or sign on a terminal (a browser opens)"
        )
    return Issuer(config.signing_config.get_oidc_url()).identity_token()


def _root(trust: Path | None) -> "TrustedRoot":
    from sigstore.models import ClientTrustConfig, TrustedRoot

    if trust is None:
        with _quiet():  # says on stderr that it stays offline, which is what was asked
            return ClientTrustConfig.production(offline=True).trusted_root
    if _CONFIG in str(_trust_type(trust)):
        return _config(trust).trusted_root
    return TrustedRoot.from_file(str(trust))


def _config(trust: Path) -> "ClientTrustConfig":
    from sigstore.models import ClientTrustConfig

    if _CONFIG not in str(_trust_type(trust)):
        raise BundleError(f"{trust}: no client trust configuration, which signing needs")
    return ClientTrustConfig.from_json(_read(trust, strict.MAX_BYTES).decode("utf-8"))


def _trust_type(trust: Path) -> Any:
    raw = strict.loads(_read(trust, strict.MAX_BYTES), what=str(trust))
    return raw.get("mediaType") if isinstance(raw, dict) else None


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > limit:
        raise BundleError(f"{path}: larger than {limit:,} bytes")
    return data


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into one sentence: files and services are strangers."""
    try:
        yield
    except BundleError:
        raise
    except Exception as error:  # noqa: BLE001 - a stranger's file may break any layer below
        words = " ".join(str(error).split())[:300] or type(error).__name__
        raise BundleError(f"{what}: {words}") from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("sigstore")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def describe(path: Path) -> str | None:
    """Say that a signature lies beside ``path``, for a caller who named nobody."""
    other = beside(path)
    if not other.is_file():
        return None
    return (
        f"{other.name} lies beside it and was not looked at: say who should have signed with "
        "--sigstore-identity and --sigstore-issuer"
    )
