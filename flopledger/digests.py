"""Digests of the data tables that an audit rests on, so that a report names their exact state."""

import hashlib
from functools import cache
from importlib.resources import files


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
