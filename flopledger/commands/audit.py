"""``flopledger audit``: evidence and claim in, verdict and interval out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flopledger.commands._audited import audited, check_bundle, check_target
from flopledger.commands._deliver import say_written
from flopledger.commands._keys import private
from flopledger.commands._options import AllowOutside, Regimes, Seed, Trace

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.bundle import PrivateKey

#: 0 done, 1 inconsistent, 3 undetermined or in need of an explanation.
EXIT_CODES = {"consistent": 0, "inconsistent": 1, "needs-explanation": 3, "undetermined": 3}


def register(app: typer.Typer) -> None:
    """Hang this verb on the command line."""
    app.command("audit", short_help="Does the claim hold? Evidence in, verdict and interval out")(
        audit
    )


def audit(
    case: Annotated[Path, typer.Argument(metavar="CASE.toml", help="The case file.")],
    *,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the report as one offline HTML file.")
    ] = None,
    pdf: Annotated[
        Path | None, typer.Option("--pdf", help="Write the report as PDF (extra pdf).")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Write the report as Markdown.")
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", help="Write the tables as one CSV file, or one each into a folder."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="Write case, evidence and report as one bundle.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="Private key that signs the bundle.")
    ] = None,
    seed: Seed = None,
    regime: Regimes = None,
    trace: Trace = True,
    allow_outside: AllowOutside = False,
) -> int:
    """Audit a compute claim: count, measure, reconcile, and say whether it holds.

    Exit code 0 consistent, 1 inconsistent, 2 bad input, 3 undetermined or needs explanation.

    Example: flopledger audit examples/llama-3.1-405b/case.toml --html report.html
    """
    targets = [one for one in (html, pdf, markdown, csv) if one is not None]
    check_target(html)
    if key is not None and bundle is None:
        raise typer.BadParameter("signs a bundle; give --bundle F.zip, too", param_hint="--key")
    check_bundle(bundle, "--bundle")
    check_target(pdf, "--pdf", (".pdf",))
    check_target(markdown, "--markdown", (".md",))
    if csv is None or not csv.is_dir():
        check_target(csv, "--csv", (".csv",))
    keys = private([key] if key else [])  # a key that is none is told before the work
    report = audited(case, seed=seed, regime=regime, trace=trace, allow_outside=allow_outside)
    try:
        show(report, as_json=as_json)
    finally:  # a reader who has seen enough (`| head`) takes no file away
        for target in targets:
            report.save(target)
            say_written("report", target)
        if bundle is not None:
            _seal(report, bundle, keys)
    return EXIT_CODES[str(report.verdict)]


def _seal(report: "AuditReport", out: Path, keys: "list[PrivateKey]") -> None:
    from flopledger.bundle import seal_report

    made = seal_report(report, keys=keys, out=out, unsigned=True)
    say_written("bundle", made.path)
    if not made.signers:
        typer.echo(f"note: nobody signed it; flopledger seal {out} --key K --out F.zip", err=True)


def show(report: "AuditReport", *, as_json: bool) -> None:
    """Print the answer: JSON for scripts, a summary for people."""
    if as_json:
        from flopledger.commands._deliver import echo_json
        from flopledger.reports.json_report import dumps

        echo_json(dumps(report))
        return
    from flopledger.reports.console import print_summary

    print_summary(report)
