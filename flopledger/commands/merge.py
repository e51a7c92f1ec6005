"""``flopledger merge``: the bundles of several sites into one total and one verdict."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Hang this verb on the command line."""
    app.command("merge", short_help="Add up what several sites sealed; raw data stay there")(merge)


def merge(
    bundles: Annotated[list[Path], typer.Argument(metavar="F.zip...", help="Sites' bundles.")],
    *,
    out: Annotated[Path, typer.Option("--out", help="The merged bundle to write (.zip).")],
    key: Annotated[
        list[Path] | None, typer.Option("--key", help="Private key that signs the merge.")
    ] = None,
    trust: Annotated[
        list[Path] | None,
        typer.Option("--trust", help="Leave out sites that none of these public keys signed."),
    ] = None,
    title: Annotated[str, typer.Option("--title", help="Title.")] = "Federated audit",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the merged result as JSON.")
    ] = False,
) -> int:
    """Add up what several sites sealed; their raw data stay where they are.

    Duplicates count once, overlapping device time is found, a broken bundle is left out with a
    finding. Exit code 0 done, 1 a bundle's seal does not verify or the verdict is inconsistent,
    2 bad input.

    Example: flopledger merge site-a.zip site-b.zip --out all.zip
    """
    import json

    from flopledger.bundle import load_public
    from flopledger.bundle import merge as add_up
    from flopledger.commands import _keys
    from flopledger.commands.verify import plain
    from flopledger.text import interval

    done = add_up(
        bundles,
        out=out,
        keys=_keys.private(key or []),
        trusted=[load_public(path) for path in trust or ()],
        title=title,
    )
    if as_json:
        typer.echo(json.dumps(done.to_dict(), indent=2, ensure_ascii=False))
        return done.exit_code
    total = "not known" if done.total is None else interval(done.total)
    sites = f"{done.sites} site{'' if done.sites == 1 else 's'}"
    runs = f"{done.runs} run{'' if done.runs == 1 else 's'}"
    typer.echo(f"{out}: {sites}, {runs}, total {total} FLOP: {done.verdict}")
    for finding in done.findings:
        typer.echo(f"  {finding.severity} {finding.code}: {plain(finding.message)}")
    return done.exit_code
