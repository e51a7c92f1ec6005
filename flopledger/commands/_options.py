"""Options that several verbs share, each written once."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, help="Seed of the Monte Carlo draws (default: 20240801)."),
]
Regimes = Annotated[
    list[str] | None,
    typer.Option("--regime", metavar="ID", help="Report this regime only (repeatable)."),
]
Trace = Annotated[
    bool, typer.Option(help="Trace the model of a config.json (needs the trace extra).")
]
AllowOutside = Annotated[
    bool, typer.Option("--allow-outside", help="Let the case name files outside its folder.")
]


def refuse(what: str, **options: object) -> None:
    """Refuse options that were given and that ``what`` has no use for: none is passed over in silence.

    Raises ``FlopledgerError``; an option that was left alone is None, False, or empty.
    """
    from flopledger.errors import FlopledgerError

    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value]
    if given:
        raise FlopledgerError(f"{what}; leave {', '.join(given)} out")


def one_of(**options: bool) -> None:
    """Refuse two options of which only one could be followed. Raises ``typer.BadParameter``."""
    given = [f"--{name}" for name, value in options.items() if value]
    if len(given) > 1:
        raise typer.BadParameter(f"{' and '.join(given)}: give one or the other")
