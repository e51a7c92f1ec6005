"""``flopledger keygen``: a key pair for seals."""

from pathlib import Path
from typing import Annotated

import typer

from flopledger.commands._options import AsJson


def register(app: typer.Typer) -> None:
    """Hang this verb on the command line."""
    app.command("keygen", short_help="Write flopledger.key and flopledger.pub")(keygen)


def keygen(
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder for the two files.")] = Path(),
    passphrase: Annotated[
        bool,
        typer.Option(
            "--passphrase", help="Lock the private key (FLOPLEDGER_KEY_PASSPHRASE, or asked for)."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write flopledger.key (private, mode 600) and flopledger.pub; never over existing files.

    Keep the first to yourself; give the second to whoever checks your bundles, by a way they trust.

    Example: flopledger keygen --out ~/keys
    """
    import json

    from flopledger.bundle import generate_key, keys

    made = generate_key(out, passphrase=_passphrase() if passphrase else None)
    secret, public = out / keys.PRIVATE_NAME, out / keys.PUBLIC_NAME
    if as_json:
        answer = {"key_id": made.id, "private": str(secret), "public": str(public)}
        typer.echo(json.dumps(answer))
        return
    typer.echo(f"wrote {secret} (keep it secret) and {public}\nkey id {made.id}")


def _passphrase() -> bytes:
    import os
    import sys

    from flopledger.bundle import BundleError, keys

    given = os.environ.get(keys.PASSPHRASE_VARIABLE)
    if given is not None:
        return given.encode()
    if not sys.stdin.isatty():
        raise BundleError(f"--passphrase: no terminal to ask on; set {keys.PASSPHRASE_VARIABLE}")
    typed: str = typer.prompt("passphrase", hide_input=True, confirmation_prompt=True, err=True)
    return typed.encode()
