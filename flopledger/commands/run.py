"""``flopledger run``: profile any command without touching its code."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Hang this verb on the command line."""
    app.command(
        "run",
        short_help="Record what the GPUs did while any command ran",
        context_settings={
            "allow_interspersed_args": False
        },  # what stands behind it is the command's
    )(run)


def run(
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND...", help="The command and its arguments.")
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of the record; a new one if not given."),
    ] = None,
    interval: Annotated[
        str, typer.Option("--interval", help="Time between samples: 1s, 100ms, 1m.")
    ] = "1s",
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            metavar="NAME[=URL]",
            help="Instrument: nvml (default), dcgm=http://host:9400/metrics, amd, cpu, replay=RUN_DIR. "
            "Repeatable.",
        ),
    ] = None,
    steps: Annotated[
        bool, typer.Option("--steps/--no-steps", help="Count the steps of PyTorch trainings.")
    ] = True,
    append: Annotated[
        bool, typer.Option("--append", help="Continue the record in DIR: a restart, a resume.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No summary at the end.")] = False,
) -> int:
    """Run a command and record what the GPUs really did and what the training steps cost.

    The command's own exit code is passed on (127 not found, 130 interrupted). The record and
    DIR/summary.json are written into the folder; nothing is changed in the command itself. Python
    processes that import torch are recorded step by step.

    Example: flopledger run --out runs/today -- torchrun --nproc-per-node 8 train.py
    """
    from flopledger.profiling.run import ProfiledRun, parse_interval, parse_sources, talking

    words = command[1:] if command and command[0] == "--" else command
    profiled = ProfiledRun(
        words,
        folder=out,
        interval_seconds=parse_interval(interval),
        sources=parse_sources(source),
        steps=steps,
        append=append,
    )
    summary = profiled.run()
    if not quiet and "findings" in summary:  # else there was none to be made, which was told
        with talking():
            _print(summary, profiled.folder)
    code = summary["exit_code"]
    assert isinstance(code, int)
    return code


def _print(summary: dict[str, object], folder: Path) -> None:
    """Tell people what was seen; on stderr, because stdout belongs to the command."""
    from rich.console import Console

    from flopledger.commands.run_text import print_run

    print_run(summary, folder, Console(stderr=True, highlight=False))
