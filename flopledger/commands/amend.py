"""``flopledger amend``: correct an opened case by appending, never by overwriting."""

from pathlib import Path
from typing import Annotated

import typer

from flopledger.commands._options import AsJson


def register(app: typer.Typer) -> None:
    """Hang this verb on the command line."""
    app.command("amend", short_help="Append a correction to a case; nothing is overwritten")(amend)


def amend(
    case: Annotated[Path, typer.Argument(metavar="CASE.toml", help="The case file.")],
    *,
    author: Annotated[str, typer.Option("--author", help="Who corrects.")],
    reason: Annotated[str, typer.Option("--reason", help="Why.")],
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar='"KEY = VALUE"',
            help="A value as in the case, runs by name (repeatable).",
        ),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option("--remove", metavar="KEY", help="A key to take out (repeatable)."),
    ] = None,
    time: Annotated[
        str | None, typer.Option("--time", help="Time of the correction, RFC 3339 (default: now).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Append a correction to CASE.toml.amendments.jsonl; audits use it and show the history.

    Without --set and --remove it is a note. The case file itself must stay as it was opened.

    Example: flopledger amend case.toml --set "run.pre-training.tokens = 1.5e13" \
        --author "A. Auditor" --reason "table 3 counts both epochs"
    """
    import json

    from flopledger.cases import amendments
    from flopledger.reports.content.amendments import written
    from flopledger.reports.document import visible

    done = amendments.append(
        case, author=author, reason=reason, text="\n".join(change or ()),
        removed=remove or (), time=time,
    )  # fmt: skip
    if as_json:
        changes = [{"key": one.key, "old": one.old, "new": one.new} for one in done.changes]
        answer = {
            "number": done.number,
            "time": done.time,
            "changes": changes,
            "sha256": done.digest,
        }
        typer.echo(json.dumps(answer))
        return
    typer.echo(f"{amendments.ledger_of(case)}: amendment {done.number}, {done.time}")
    for one in done.changes:
        typer.echo(f"  {one.key}: {visible(written(one.old))} -> {visible(written(one.new))}")
