"""Where a written form goes: the terminal or a file."""

import sys
from pathlib import Path
from typing import Any

import typer


def deliver(content: str | bytes, form: str, out: Path | None) -> int:
    """Print ``content`` or write it whole to ``out``; returns the exit code 0.

    Forms that are bytes have a file: their verbs ask for ``--out`` first.
    """
    if out is None:
        assert isinstance(content, str)
        typer.echo(content, nl=False)
        return 0
    from flopledger.reports import write_whole

    write_whole(out, content)
    typer.echo(f"{form}: {out}", err=True)
    return 0


def print_json(answer: Any) -> None:
    """Print an answer for programs."""
    import json

    echo_json(json.dumps(answer, indent=2, ensure_ascii=False))


def echo_json(text: str) -> None:
    """Print JSON that is JSON in every locale: what the encoding lacks stands in JSON's own escapes."""
    import json
    import re

    if (sys.stdout.encoding or "utf-8").lower().replace("_", "-") != "utf-8":
        # Outside of its strings JSON has no such characters.
        text = re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], text)
    typer.echo(text)
