"""``flopledger report``: the audit in the form that somebody asks for."""

from pathlib import Path
from typing import Annotated

import typer

from flopledger.commands._deliver import deliver
from flopledger.commands._options import AllowOutside, Regimes, Seed, Trace, refuse


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
        Path | None, typer.Option("--out", help="The file; without it text goes to stdout.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="The same as --format html --out FILE.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
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
    lines. Exit code 0 once it is written, whatever the verdict; 2 for bad input.

    Example: flopledger report examples/llama-3.1-405b/case.toml --format article-52 --out notice.pdf
    """
    from flopledger.commands._audited import audited, check_target
    from flopledger.errors import FlopledgerError
    from flopledger.exports import FORMATS, render

    if not case.exists():
        raise FlopledgerError(
            f"{case}: no such file; give a case, a merged bundle or a run's record"
        )
    if html is not None:
        check_target(html)
        form, out = _html(form, out, html, as_json=as_json)
    audit_only = {
        "seed": seed is not None, "regime": regime, "no_trace": not trace,
        "allow_outside": allow_outside, "created": created,
    }  # fmt: skip
    if case.is_dir():
        from flopledger.commands._run_report import report_run

        refuse(f"{case}: a run's folder, of which nothing is audited", key=key, **audit_only)
        asked = form is not None or out is not None or as_json
        return report_run(case, _form(form, out, as_json=as_json) if asked else None, out)
    name = _form(form, out, as_json=as_json)
    if case.suffix.lower() == ".zip":
        refuse(f"{case}: a merge was audited by its sites", **audit_only)
        return _merge(case, name, out, key or [])
    refuse(f"{case}: a case, which nobody signed", key=key)
    if name != "spdx":
        refuse(f"--format {name} states no creation time", created=created)
    _check(name, out)
    made = audited(case, seed=seed, regime=regime, trace=trace, allow_outside=allow_outside)
    suffix = None if out is None else out.suffix
    content = render(made, name, suffix, created=created)
    return deliver(content, name, out, is_json=".json" in FORMATS[name].suffixes)


def _merge(bundle: Path, form: str, out: Path | None, keys: list[Path]) -> int:
    """Write the page of a merged bundle."""
    from flopledger.bundle import load_public
    from flopledger.commands import _merge_page as merge_page
    from flopledger.commands._audited import check_target
    from flopledger.errors import FlopledgerError

    if form not in merge_page.SUFFIXES:
        raise FlopledgerError(
            f"--format {form}: a merge is written as {', '.join(merge_page.SUFFIXES)}"
        )
    if out is None and form != "markdown":
        raise FlopledgerError(f"--format {form} needs --out FILE{merge_page.SUFFIXES[form][0]}")
    check_target(out, "--out", merge_page.SUFFIXES[form])
    content = merge_page.rendered(bundle, form, [load_public(path) for path in keys])
    return deliver(content, form, out)


def _html(form: str | None, out: Path | None, html: Path, *, as_json: bool) -> tuple[str, Path]:
    from flopledger.errors import FlopledgerError

    if form not in {None, "html"} or out is not None or as_json:
        raise FlopledgerError(f"--html {html}: says form and file already; leave the others out")
    return "html", html


def _form(form: str | None, out: Path | None, *, as_json: bool) -> str:
    """Decide the form from the options."""
    from flopledger.errors import FlopledgerError

    if as_json:
        if form not in {None, "json"}:
            raise FlopledgerError(f"--json and --format {form}: give one of them")
        return "json"
    if form is not None:
        return form
    by_suffix = {
        ".html": "html", ".htm": "html", ".pdf": "pdf", ".md": "markdown", ".csv": "csv",
        ".json": "json", ".jsonld": "spdx",
    }  # fmt: skip
    suffix = "" if out is None else out.suffix.lower()
    if suffix not in by_suffix:
        raise FlopledgerError(
            "say what to write: --format NAME, or --out FILE that ends in .html, .pdf, .md, .csv or .json"
        )
    return by_suffix[suffix]


def _check(name: str, out: Path | None) -> None:
    """Refuse what cannot be written before the work, not after it."""
    from flopledger.commands._audited import check_target
    from flopledger.errors import FlopledgerError
    from flopledger.exports import FORMATS

    if name not in FORMATS:
        raise FlopledgerError(f"--format {name}: there are: {', '.join(FORMATS)}")
    form = FORMATS[name]
    if out is None:
        if form.suffixes[0] in {".pdf", ".html"}:
            raise FlopledgerError(f"--format {name} needs --out FILE{form.suffixes[0]}")
        return
    check_target(out, "--out", form.suffixes)
