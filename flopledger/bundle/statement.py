"""The in-toto Statement that is signed: every file with its digest, and what the bundle says.

``manifest.json`` in a bundle is the statement, byte for byte the payload of the signed envelope.
The predicate's JSON Schema is docs/reference/training-compute-audit-1.schema.json.
"""

from typing import Annotated, Any, Literal

import msgspec

from flopledger.bundle import names, strict
from flopledger.bundle.errors import BundleError
from flopledger.digests import is_sha256

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://github.com/flopledger/flopledger/training-compute-audit/v1"
SCHEMA = "flopledger/bundle/1"

README, MANIFEST, SEAL, SIGNERS = "README.txt", "manifest.json", "seal.dsse.json", "signers/"
AUDIT, HTML, FACTS, SUMMARY = (
    "report/audit.json",
    "report/report.html",
    "facts.json",
    "summary.json",
)
CASE, RECORD, MEMBERS, MERGED = "case/", "record/", "members/", "report/merged.json"

Kind = Literal["audit", "record", "merged"]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Common ground: immutable, strangers refused."""


class Tool(Table, frozen=True):
    """What computed the figures."""

    version: str
    data_digests: dict[str, str]  #: SHA-256 of each data table, by name
    environment: dict[str, str]  #: versions of Python and of the libraries that compute


class Options(Table, frozen=True):
    """What must be repeated to recompute."""

    case: str  #: the case file inside the bundle
    seed: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
    regimes: list[str]  #: empty: the default ones
    trace: bool


class Withheld(Table, frozen=True):
    """Something that stays with the provider, and what binds the provider to it."""

    kind: Literal["file", "fact", "key"]
    name: str  #: path in the bundle; "run: fact"; dotted key of the case
    commitment: str  #: HMAC-SHA256 under a secret salt, in hexadecimal
    where: str | None = None  #: of a fact: the place it was read at


class Predicate(Table, frozen=True):
    """What a bundle says beside its files."""

    schema: str
    kind: Kind
    title: str
    tool: Tool
    options: Options | None = None
    verdict: str | None = None
    withheld: list[Withheld] = []
    audience: str | None = None  #: for whom a redacted bundle was made
    notes: list[str] = []
    members: list[str] = []  #: of a merge: the ids of its direct members
    sealed_at: str | None = None  #: as the signer states it (RFC 3339); nobody else vouches for it


class _Subject(Table, frozen=True):
    name: str
    digest: dict[str, str]


class _Statement(Table, frozen=True, rename={"type_": "_type", "predicate_type": "predicateType"}):
    type_: str
    subject: list[_Subject]
    predicate_type: str
    predicate: Predicate


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A statement, read."""

    digests: dict[str, str]  #: SHA-256 of each file, by name, in the archive's order
    predicate: Predicate


def dumps(digests: dict[str, str], predicate: Predicate) -> bytes:
    """Write a statement."""
    return strict.dumps(
        {
            "_type": STATEMENT_TYPE,
            "subject": [
                {"name": name, "digest": {"sha256": digest}} for name, digest in digests.items()
            ],
            "predicateType": PREDICATE_TYPE,
            "predicate": msgspec.to_builtins(predicate),
        }
    )


def loads(data: bytes, *, what: str = MANIFEST) -> Statement:
    """Read a statement, or raise ``BundleError`` with the key that is wrong."""
    raw: Any = strict.loads(data, what=what)
    _check_types(raw, what)
    try:
        found = msgspec.convert(raw, _Statement)
    except msgspec.ValidationError as error:
        raise BundleError(f"{what}: {error}") from None
    if found.predicate.schema != SCHEMA:
        raise BundleError(
            f'{what}: schema {found.predicate.schema!r}; this version reads "{SCHEMA}"'
        )
    digests: dict[str, str] = {}
    for subject in found.subject:
        names.check(subject.name)
        if set(subject.digest) != {"sha256"} or not is_sha256(subject.digest["sha256"]):
            raise BundleError(f"{what}: {subject.name}: expected one SHA-256 digest")
        if subject.name in digests:
            raise BundleError(f"{what}: {subject.name} is listed twice")
        digests[subject.name] = subject.digest["sha256"]
    return Statement(digests=digests, predicate=found.predicate)


def _check_types(raw: Any, what: str) -> None:
    """Tell a bundle of another kind, or of a later version, from a damaged one."""
    types = (raw.get("_type"), raw.get("predicateType")) if isinstance(raw, dict) else (None, None)
    if types != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise BundleError(
            f"{what}: found statement {types[0]!r} with predicate {types[1]!r}, "
            f"expected {STATEMENT_TYPE!r} with {PREDICATE_TYPE!r}"
        )
