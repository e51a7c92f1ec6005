"""``flopledger version``: which tool answered."""

import typer

from flopledger.commands._options import AsJson

#: What the figures or the look of an answer may hang on.
_COMPANIONS = ("numpy", "torch", "transformers", "plotly", "typst", "nvidia-ml-py")


def register(app: typer.Typer) -> None:
    """Hang this verb on the command line."""
    app.command("version", short_help="Versions of flopledger and of what it works with")(version)


def version(*, as_json: AsJson = False) -> None:
    """Print the version of flopledger and of what it was installed with.

    Example: flopledger version --json
    """
    import json
    import platform

    from flopledger import __version__

    answer: dict[str, str | None] = {
        "flopledger": __version__,
        "python": platform.python_version(),
    }
    answer |= {name: _installed(name) for name in _COMPANIONS}
    if as_json:
        typer.echo(json.dumps(answer))
        return
    for name, found in answer.items():
        typer.echo(f"{name} {found or 'not installed'}")


def _installed(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as found

    try:
        return found(name)
    except PackageNotFoundError:
        return None
