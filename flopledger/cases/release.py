"""The rules of a case's ``[release]``: words that other documents take over as they stand."""

import re
from urllib.parse import urlsplit

from flopledger.cases.spec import ReleaseSpec
from flopledger.digests import is_sha256
from flopledger.errors import CaseError

MAX_TEXT = 2000  #: characters of one answer; the EU's form recommends at most 300 words
MAX_ITEMS = 100
#: Where a model can be fetched from. ``javascript:`` and ``data:`` are no places.
SCHEMES = ("https", "http", "ftp", "git", "git+https", "git+ssh", "s3", "gs", "oci", "ipfs",
           "magnet", "urn")  # fmt: skip
#: One word of an SPDX licence expression (annex "SPDX license expressions" of SPDX 3.0.1).
_WORD = re.compile(r"(DocumentRef-[A-Za-z0-9.-]+:)?[A-Za-z0-9][A-Za-z0-9.-]*\+?")
_TOKEN = re.compile(r"\(|\)|[^\s()]+")
_REFERENCE = re.compile(r"(?<![\w.:-])LicenseRef-[A-Za-z0-9.-]+")


def check(where: str, release: ReleaseSpec) -> None:
    """Raise ``CaseError`` for an answer that a reader of the documents could not use."""
    for key in release.__struct_fields__:
        value = getattr(release, key)
        if isinstance(value, str):
            _check_text(f"{where}.{key}", value)
        elif isinstance(value, list):
            if len(value) > MAX_ITEMS:
                raise CaseError(f"{where}.{key}: {len(value)} entries; at most {MAX_ITEMS}")
            for index, one in enumerate(value):
                _check_text(f"{where}.{key}[{index}]", one)
    for key in ("download_location", "license_location"):
        value = getattr(release, key)
        if value is not None:
            _check_address(f"{where}.{key}", value)
    if release.sha256 is not None and not is_sha256(release.sha256):
        raise CaseError(f"{where}.sha256: found {release.sha256[:80]!r}; expected 64 digits 0-9a-f")
    if release.license is not None and not is_expression(release.license):
        raise CaseError(
            f"{where}.license: found {release.license[:80]!r}; expected an SPDX expression such as "
            '"Apache-2.0" or "MIT OR Apache-2.0", and LicenseRef-NAME for a licence of its own'
        )


def is_expression(text: str) -> bool:
    """Say whether ``text`` is an SPDX licence expression by its grammar (ids are not looked up)."""
    tokens = _TOKEN.findall(text)
    end = _compound(tokens, 0, 0)
    return end is not None and end == len(tokens)


def references(expression: str) -> tuple[str, ...]:
    """List the licences of an expression that are not on SPDX's list."""
    return tuple(dict.fromkeys(_REFERENCE.findall(expression)))


def _compound(tokens: list[str], at: int, depth: int) -> int | None:
    """Read operands joined by AND and OR; give where they end, ``None`` where they are none."""
    after = _operand(tokens, at, depth)
    while after is not None and after < len(tokens) and tokens[after] in {"AND", "OR"}:
        after = _operand(tokens, after + 1, depth)
    return after


def _operand(tokens: list[str], at: int, depth: int) -> int | None:
    if at >= len(tokens) or depth > 20:
        return None
    if tokens[at] == "(":
        after = _compound(tokens, at + 1, depth + 1)
        closed = after is not None and after < len(tokens) and tokens[after] == ")"
        return after + 1 if closed and after is not None else None
    if tokens[at] in {"AND", "OR", "WITH"} or not _WORD.fullmatch(tokens[at]):
        return None
    if at + 1 < len(tokens) and tokens[at + 1] == "WITH":
        given = at + 2 < len(tokens) and _WORD.fullmatch(tokens[at + 2])
        return at + 3 if given else None
    return at + 1


def _check_text(where: str, value: str) -> None:
    if not value.strip():
        raise CaseError(f"{where}: empty; leave out what is not known")
    if len(value) > MAX_TEXT:
        raise CaseError(f"{where}: {len(value)} characters; at most {MAX_TEXT}")
    if not value.replace("\n", " ").isprintable():
        raise CaseError(f"{where}: found characters that cannot be printed")


def _check_address(where: str, value: str) -> None:
    try:
        parts = urlsplit(value)
    except ValueError:
        parts = urlsplit("")
    usable = value.isascii() and not re.search(r"[\s<>\"{}|\\^`]", value)
    if parts.scheme not in SCHEMES or not usable or len(value) < len(parts.scheme) + 4:
        raise CaseError(
            f"{where}: found {value[:80]!r}; expected an address that begins with one of "
            f"{', '.join(SCHEMES)}, without spaces"
        )
