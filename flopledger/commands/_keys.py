"""Keys as the command line takes them: a locked one asks for its passphrase on a terminal."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from flopledger.bundle import PrivateKey


def private(paths: list[Path]) -> "list[PrivateKey]":
    """Load private keys; the passphrase comes from the environment or from the terminal."""
    if not paths:
        return []
    from flopledger.bundle import keys

    loaded = []
    for path in paths:
        passphrase = None
        if sys.stdin.isatty() and keys.needs_passphrase(path):
            passphrase = typer.prompt(f"passphrase of {path}", hide_input=True, err=True).encode()
        loaded.append(keys.load_private(path, passphrase=passphrase))
    return loaded


def secret(path: Path | None) -> str | None:
    """Read the audit id from its file; an option would show it in the list of processes."""
    from flopledger.bundle import BundleError

    if path is None:
        return None
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise BundleError(f"--audit-id-file {path}: cannot be read: {why}") from None
    if not text or len(text) > 1000:
        raise BundleError(f"--audit-id-file {path}: expected one line of text")
    return text
