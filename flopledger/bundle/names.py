"""Names of files inside a bundle: safe to unpack on every system, and never two for one file."""

import unicodedata
from collections.abc import Iterable

from flopledger.bundle.errors import BundleError

MAX_LENGTH = 512  #: bytes of a whole path
MAX_PART = 240  #: bytes between two slashes; file systems end at 255
#: Names that Windows keeps for devices, whatever follows the first dot.
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))]
)


def check(name: str) -> None:
    """Raise ``BundleError`` unless ``name`` is a plain relative path that unpacks inside its folder."""
    fault = _fault(name)
    if fault is not None:
        raise BundleError(f"file name {name[:200]!r}: {fault}; rename the file")


def check_distinct(names: Iterable[str]) -> None:
    """Raise ``BundleError`` where two names are one file, or file and folder, on some system."""
    seen: dict[str, str] = {}
    for name in names:
        folded = fold(name)
        if folded in seen:
            raise BundleError(
                f"file names {seen[folded]!r} and {name!r} are the same file on systems that "
                "ignore case or normalise Unicode; rename one"
            )
        seen[folded] = name
    for folded, name in seen.items():
        parts = folded.split("/")
        for end in range(1, len(parts)):
            folder = "/".join(parts[:end])
            if folder in seen:
                raise BundleError(f"{seen[folder]!r} is a file and, for {name!r}, a folder")


def fold(name: str) -> str:
    """Give what a name becomes where case and Unicode forms do not count."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _fault(name: str) -> str | None:
    if not name:
        return "empty"
    if not name.isprintable():
        return "holds characters that cannot be printed"
    if "\\" in name or ":" in name.split("/", maxsplit=1)[0][:2]:
        return "holds a backslash or a drive letter"
    if unicodedata.normalize("NFC", name) != name:
        return "is not in Unicode normal form C"
    try:
        length = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return "is no Unicode text"
    if length > MAX_LENGTH:
        return f"is longer than {MAX_LENGTH} bytes"
    for part in name.split("/"):
        if part in {"", ".", ".."}:
            return "is absolute, or has an empty part, '.' or '..'"
        if len(part.encode("utf-8")) > MAX_PART:
            return f"has a part of more than {MAX_PART} bytes"
        if part[-1] in " ." or part.split(".")[0].casefold() in _DEVICES:
            return "has a part that some systems cannot store"
    return None
