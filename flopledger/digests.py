"""How a digest is written, and those of the data tables that an audit rests on.

A report names the tables' exact state by them.
"""

import hashlib
import re
from functools import cache
from importlib.resources import files

SHA256 = "[0-9a-f]{64}"
"""A SHA-256 in hexadecimal, as a regular expression for the whole of it."""
_SHA256 = re.compile(SHA256)


def is_sha256(text: str) -> bool:
    """Whether a text is a SHA-256 as it is written everywhere here: 64 digits, small letters."""
    return _SHA256.fullmatch(text) is not None


@cache
def of_own_tables() -> dict[str, str]:
    """SHA-256 of the regimes and of the priors, by table name."""
    return {
        "regimes": _folder("flopledger.regimes"),
        "priors": _folder("flopledger.methods"),
    }


def _folder(package: str) -> str:
    """Hash the names and contents of the TOML files in a package's data folder, in name order."""
    digest = hashlib.sha256()
    entries = sorted((files(package) / "data").iterdir(), key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.endswith(".toml"):
            digest.update(entry.name.encode() + b"\0" + entry.read_bytes() + b"\0")
    return digest.hexdigest()
