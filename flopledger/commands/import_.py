"""``flopledger import``: recorded telemetry of any known format into a run record."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

from flopledger.commands._options import AsJson
from flopledger.unseen import message, visible

if TYPE_CHECKING:
    from profilers.importers.into import Outcome


def register(app: typer.Typer) -> None:
    """Hang this verb on the command line."""
    app.command("import", short_help="Recorded telemetry of any known format into a run record")(
        import_
    )


def import_(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Recordings; a folder for MLflow runs; http://host:9090 for a Prometheus server.",
        ),
    ],
    *,
    out: Annotated[Path, typer.Option("--out", metavar="RUN_DIR", help="Folder of the record.")],
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave out what is not understood.")
    ] = False,
    append: Annotated[
        bool, typer.Option("--append", help="Add to a record that exists already.")
    ] = False,
    mapping: Annotated[
        Path | None,
        typer.Option("--mapping", metavar="TOML", help="What is what in a CSV of your own."),
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option("--zone", help="Zone of stamps that carry none: Europe/Berlin, UTC, +02:00."),
    ] = None,
    node: Annotated[
        str | None, typer.Option("--node", help="Host of recordings that do not name theirs.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--start", help="First stamp of recordings without time, or of the range."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--end", help="Last stamp of the range asked of a server.")
    ] = None,
    step: Annotated[
        str | None, typer.Option("--step", help="Spacing without stamps, or of the range: 15s.")
    ] = None,
    selector: Annotated[
        str,
        typer.Option(
            "--selector", metavar="LABELS", help="Series of a server: 'Hostname=~\"node.*\"'."
        ),
    ] = "",
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", metavar="SECONDS", help="How long to wait for a server's answer."
        ),
    ] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Read recorded telemetry into a run record; formats are recognised by content, not by name.

    nvidia-smi CSV and dmon, Prometheus text and ranges (DCGM in both generations of names), MLflow,
    Weights & Biases, CodeCarbon, Zeus, MLPerf power, amd-smi, and CSV of your own with --mapping.
    One file that is not understood: exit 2 and nothing is written.

    Example: flopledger import gpu.csv run-1a2b.wandb --zone UTC --out runs/march
    """
    from flopledger.errors import naming
    from profilers.importers import Options
    from profilers.importers.into import import_files
    from profilers.importers.stamps import duration, moment
    from profilers.importers.stamps import zone as zone_of

    where = zone_of(zone) if zone else None
    options = Options(
        zone=where,
        node=node,
        started_ns=moment(start, where) if start else None,
        period_ns=duration(step) if step else None,
        mapping=mapping,
    )
    end_ns = moment(end, where) if end else None
    with naming(out), _Progress() as progress:
        outcome = import_files(
            files, out, options, skip_unknown=skip_unknown, append=append, end_ns=end_ns,
            selector=selector, timeout_s=timeout, progress=progress,
        )  # fmt: skip
    _answer(outcome, out, as_json=as_json)


class _Progress:
    """Rows so far on a terminal, redrawn a few times a second and gone at the end; silent elsewhere."""

    def __init__(self) -> None:
        import sys

        self._shown = sys.stderr.isatty()
        self._last = 0.0
        self._written = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._written:
            typer.echo(f"\r{' ' * self._written}\r", nl=False, err=True)

    def __call__(self, file: str, rows: int) -> None:
        import time

        now = time.monotonic()
        if self._shown and now - self._last > 0.25:
            self._last = now
            told = f"{visible(Path(file).name)[:40]}: {rows:,} samples"
            typer.echo(f"\r{told:<{self._written}}", nl=False, err=True)
            self._written = max(self._written, len(told))


def _answer(outcome: "Outcome", out: Path, *, as_json: bool) -> None:
    import json

    from profilers.importers.into import as_json as one_json

    if as_json:
        answer = {
            "schema": "flopledger/import/1",
            "out": str(out),
            "imported": [one_json(one) for one in outcome.imported],
            "skipped": [{"file": one.file, "reason": one.reason} for one in outcome.skipped],
        }
        typer.echo(json.dumps(answer, indent=2, allow_nan=False))
        return
    for one in outcome.imported:
        devices = f"{len(one.devices)} device{'s' if len(one.devices) != 1 else ''}"
        typer.echo(
            visible(
                f"{one.file}: {one.format}, {one.rows:,} samples of {devices}, "
                f"{one.covered_seconds:,.0f} device-seconds covered"
            )
        )
        for finding in one.findings:
            where = f" (line {finding.line})" if finding.line is not None else ""
            times = f" x{finding.count}" if finding.count > 1 else ""
            typer.echo(visible(f"  {finding.code}{times}: {finding.message}{where}"), err=True)
    for left in outcome.skipped:
        typer.echo(message(f"skipped: {left.reason}"), err=True)
    typer.echo(f"record: {out}")
