"""``flopledger merge``: the bundles of several sites into one total and one verdict."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flopledger.commands._deliver import print_json

if TYPE_CHECKING:
    from flopledger.bundle.merging import Merged


def register(app: typer.Typer) -> None:
    """Hang this verb on the command line."""
    app.command("merge", short_help="Add up what several sites sealed; raw data stay there")(merge)


def merge(
    bundles: Annotated[list[Path], typer.Argument(metavar="F.zip...", help="Sites' bundles.")],
    *,
    out: Annotated[Path, typer.Option("--out", help="The merged bundle to write (.zip).")],
    key: Annotated[
        list[Path] | None,
        typer.Option("--key", metavar="FILE", help="Private key that signs the merge."),
    ] = None,
    trust: Annotated[
        list[Path] | None,
        typer.Option(
            "--trust", metavar="FILE", help="Leave out sites that none of these public keys signed."
        ),
    ] = None,
    title: Annotated[str, typer.Option("--title", help="Title.")] = "Federated audit",
    html: Annotated[Path | None, typer.Option("--html", help="Write the merge's page.")] = None,
    pdf: Annotated[Path | None, typer.Option("--pdf", help="Write it as PDF.")] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Write it as Markdown.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the merged result as JSON.")
    ] = False,
) -> int:
    """Add up what several sites sealed; their raw data stay where they are.

    Duplicates count once, overlapping device time is found, a broken bundle is left out with a
    finding. Exit code 0 done, 1 a bundle's seal does not verify or the verdict is inconsistent,
    2 bad input.

    Example: flopledger merge site-a.zip site-b.zip --out all.zip --html all.html
    """
    from flopledger.bundle import load_public
    from flopledger.bundle import merge as add_up
    from flopledger.commands import _keys
    from flopledger.commands import _merge_page as merge_page
    from flopledger.commands._audited import check_bundle, check_target
    from flopledger.commands._waiting import waiting

    check_bundle(out)
    _spare(bundles, out)
    pages = {"--html": html, "--pdf": pdf, "--markdown": markdown}
    for option, target in pages.items():
        check_target(target, option, merge_page.SUFFIXES[option[2:]])
    trusted = [load_public(path) for path in trust or ()]
    signing = _keys.private(key or [])
    with waiting(f"checking and adding up {len(bundles)} bundles"):
        done = add_up(bundles, out=out, keys=signing, trusted=trusted, title=title)
    known = [*trusted, *(one.public for one in signing)]
    for option, target in pages.items():
        if target is not None:
            merge_page.write(out, option[2:], target, known)
    if as_json:
        print_json(done.to_dict())
    else:
        _show(done, out)
    return done.exit_code


def _show(done: "Merged", out: Path) -> None:
    from flopledger.reports.merge_sections import hard_verdicts
    from flopledger.text import interval, plural
    from flopledger.unseen import visible

    total = "not known" if done.total is None else interval(done.total)
    sites, runs = plural(done.sites, "site"), plural(done.runs, "run")
    typer.echo(f"{out}: {sites}, {runs}, total {total} FLOP: {done.verdict}")
    for line in hard_verdicts(done.result):
        typer.echo(f"  {visible(line)}")
    for finding in done.findings:
        typer.echo(f"  {finding.severity} {finding.code}: {visible(finding.message)}")


def _spare(bundles: list[Path], out: Path) -> None:
    """Refuse to write the merge over what a site sealed."""
    from flopledger.errors import FlopledgerError

    if out.exists() and any(one.exists() and one.samefile(out) for one in bundles):
        raise FlopledgerError(f"--out {out}: one of the bundles to merge; give another name")
