"""``flopledger view``: read a report in the browser, served on this machine only."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flopledger.commands._options import Trace

_LARGEST = 64 << 20  #: bytes of a page; reports are a tenth of it


def register(app: typer.Typer) -> None:
    """Hang this verb on the command line."""
    app.command("view", short_help="Show a report on 127.0.0.1, read-only, until Ctrl-C")(view)


def view(
    what: Annotated[
        Path,
        typer.Argument(
            metavar="REPORT.html|CASE.toml|RUN_DIR|MERGED.zip",
            help="A report, a case, a run's record, or a merged bundle.",
        ),
    ],
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open it in the browser.")] = True,
    trace: Trace = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the address as JSON.")] = False,
) -> int:
    """Show a report on 127.0.0.1, read-only, until Ctrl-C.

    Example: flopledger view report.html
    """
    from flopledger.reports.server import PageServer

    made = page(what, trace=trace)
    try:
        opened = PageServer(made, port)
    except OSError as error:
        from flopledger.errors import FlopledgerError

        raise FlopledgerError(
            f"--port {port}: cannot be had ({error.strerror}); without it any free one is taken"
        ) from None
    with opened as server:
        address = server.address
        typer.echo(json.dumps({"url": address}) if as_json else address)
        typer.echo("Ctrl-C ends it", err=True)
        if browser:
            import webbrowser

            webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


def page(what: Path, *, trace: bool) -> bytes:
    """Read a page, or make one of a case or a run's record."""
    from flopledger.errors import FlopledgerError

    if not what.exists():
        raise FlopledgerError(f"{what}: no such file; give a report, a case or a run's record")
    if what.is_file() and what.suffix.lower() in {".html", ".htm"}:
        if what.stat().st_size > _LARGEST:
            raise FlopledgerError(f"{what}: larger than {_LARGEST >> 20} MB, so no report of ours")
        return what.read_bytes()
    if what.is_file() and what.suffix.lower() == ".zip":
        from flopledger.commands import _merge_page as merge_page

        return str(merge_page.rendered(what, "html", ())).encode()
    if not what.is_dir() and what.suffix.lower() != ".toml":
        raise FlopledgerError(
            f"{what}: expected a report (.html), a case (.toml), a run's folder or a merged bundle (.zip)"
        )
    from flopledger.auditing import audit
    from flopledger.cases.case import AuditCase
    from flopledger.commands._waiting import waiting
    from flopledger.reports.html import render, render_document
    from flopledger.reports.run_document import document
    from flopledger.reports.run_report import read_run

    case = what / "case.toml" if what.is_dir() and (what / "case.toml").is_file() else what
    if case.is_dir():
        return render_document(document(read_run(case))).encode()
    with waiting(f"auditing {case}"):
        return render(audit(AuditCase.load(case), trace=trace)).encode()
