"""``flopledger version``: which tool answered."""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Hang this verb on the command line."""
    app.command("version", short_help="Versions of flopledger and of what it works with")(version)


def version(
    *, as_json: Annotated[bool, typer.Option("--json", help="Answer as JSON.")] = False
) -> None:
    """Print the version of flopledger and of what it was installed with.

    Example: flopledger version --json
    """
    import json
    import platform

    from flopledger import __version__

    answer = {"flopledger": __version__, "python": platform.python_version()}
    typer.echo(json.dumps(answer) if as_json else "\n".join(f"{k} {v}" for k, v in answer.items()))
