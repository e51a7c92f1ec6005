"""``flopledger report``: the audit in the form that somebody asks for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flopledger.commands._deliver import deliver, say_written
from flopledger.commands._options import AllowOutside, Regimes, Seed, Trace, refuse

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.commands._targets import Target


def register(app: typer.Typer) -> None:
    """Hang this verb on the command line."""
    app.command("report", short_help="An audit or a run as a document: HTML, PDF, forms, tables")(
        report
    )


def report(
    case: Annotated[
        Path,
        typer.Argument(
            metavar="CASE.toml|RUN_DIR|MERGED.zip",
            help="The case file, a run's folder, or a merged bundle.",
        ),
    ],
    *,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="html, pdf, markdown, csv, json, annex-xi, code-of-practice, article-52, cyclonedx, "
            "spdx or model-card; without it the suffix of --out decides.",
        ),
    ] = None,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out", metavar="FILE", help="The file (repeatable); without it text goes to stdout."
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the page, too.")] = None,
    pdf: Annotated[Path | None, typer.Option("--pdf", help="Write PDF, too (extra pdf).")] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Write Markdown, too.")
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", help="Write the tables as one CSV file, or one each into a folder."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, or write the --out that ends so.")
    ] = False,
    key: Annotated[
        list[Path] | None,
        typer.Option(
            "--key",
            metavar="FILE",
            help="Of a merge: public key whose owner you know (repeatable).",
        ),
    ] = None,
    created: Annotated[
        str | None, typer.Option(help="Creation time that an SPDX document states.")
    ] = None,
    seed: Seed = None,
    regime: Regimes = None,
    trace: Trace = True,
    allow_outside: AllowOutside = False,
) -> int:
    """Write an audit as a document: for readers, for an authority, for a bill of materials.

    Of a merged bundle: total, sites, and who signed what, after every seal was checked (html, pdf,
    markdown). Of a run's folder: what the training did, over time (html, pdf, markdown, json), or in a few
    lines. Several outputs are several forms of one audit. Exit code 0 once they are written, whatever the
    verdict; 2 for bad input.

    Example: flopledger report examples/llama-3.1-405b/case.toml --format article-52 --out notice.pdf
    """
    from flopledger.commands._audited import audited
    from flopledger.commands._targets import SAY, check, targets
    from flopledger.errors import FlopledgerError
    from flopledger.exports import FORMATS

    if not case.exists():
        raise FlopledgerError(
            f"{case}: no such file; give a case, a merged bundle or a run's record"
        )
    pages = {"html": html, "pdf": pdf, "markdown": markdown, "csv": csv}
    asked = targets(form, out or [], pages, as_json=as_json)
    audit_only = {
        "seed": seed is not None, "regime": regime, "no_trace": not trace,
        "allow_outside": allow_outside, "created": created,
    }  # fmt: skip
    if case.is_dir():
        from flopledger.commands._run_report import report_run

        refuse(f"{case}: a run's folder, of which nothing is audited", key=key, **audit_only)
        return report_run(case, asked)
    if not asked:
        raise FlopledgerError(SAY)
    if case.suffix.lower() == ".zip":
        refuse(f"{case}: a merge was audited by its sites", **audit_only)
        return _merge(case, asked, key or [])
    refuse(f"{case}: a case, which nobody signed", key=key)
    if all(one.form != "spdx" for one in asked):
        refuse(f"--format {asked[0].form} states no creation time", created=created)
    check(asked, {name: one.suffixes for name, one in FORMATS.items()}, "there are:")
    made = audited(case, seed=seed, regime=regime, trace=trace, allow_outside=allow_outside)
    for one in asked:
        _write(made, one, created)
    return 0


def _write(made: "AuditReport", one: "Target", created: str | None) -> None:
    from flopledger.exports import FORMATS, render

    if one.path is not None and one.path.is_dir():
        made.save(one.path)
        say_written(one.form, one.path)
        return
    suffix = None if one.path is None else one.path.suffix
    content = render(made, one.form, suffix, created=created if one.form == "spdx" else None)
    deliver(content, one.form, one.path, is_json=".json" in FORMATS[one.form].suffixes)


def _merge(bundle: Path, asked: "list[Target]", keys: list[Path]) -> int:
    """Write the page of a merged bundle."""
    from flopledger.bundle import load_public
    from flopledger.commands import _merge_page as merge_page
    from flopledger.commands._targets import check

    check(asked, merge_page.SUFFIXES, "a merge is written as")
    known = [load_public(path) for path in keys]
    for one in asked:
        deliver(merge_page.rendered(bundle, one.form, known), one.form, one.path)
    return 0
