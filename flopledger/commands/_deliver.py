"""Where a written form goes: the terminal or a file."""

import sys
from pathlib import Path
from typing import Any

import typer


def deliver(content: str | bytes, form: str, out: Path | None, *, is_json: bool = False) -> int:
    """Print ``content`` or write it whole to ``out``; returns the exit code 0.

    Forms that are bytes have a file: their verbs ask for ``--out`` first.
    """
    if out is None:
        assert isinstance(content, str)
        typer.echo(in_ascii(content) if is_json else content, nl=False)
        return 0
    from flopledger.reports import write_whole

    write_whole(out, content)
    say_written(form, out)
    return 0


def say_written(what: str, path: Path) -> None:
    """Say which file was written; a name may hold what no terminal shows."""
    from flopledger.unseen import visible

    typer.echo(f"{what}: {visible(str(path))}", err=True)


def print_json(answer: Any) -> None:
    """Print an answer for programs."""
    import json

    from flopledger.unseen import in_json

    echo_json(in_json(json.dumps(answer, indent=2, ensure_ascii=False)))


def echo_json(text: str) -> None:
    """Print JSON that is JSON in every locale."""
    typer.echo(in_ascii(text))


def in_ascii(text: str) -> str:
    """Give JSON whose letters stand in JSON's own escapes, where the terminal's encoding lacks some."""
    import json
    import re

    # There is no stdout where the caller closed it, and then nothing is printed.
    if (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("_", "-") == "utf-8":
        return text
    # Outside of its strings JSON has no such characters.
    return re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], text)
