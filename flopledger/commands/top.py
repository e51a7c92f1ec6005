"""``flopledger top``: a live one-screen view of this host's devices, or of a recorded run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType


def register(app: typer.Typer) -> None:
    """Hang this verb on the command line."""
    app.command("top", short_help="Devices and runs on this host, live")(top)


def top(
    run_dir: Annotated[
        Path | None, typer.Argument(metavar="RUN_DIR", help="A run that is being recorded here.")
    ] = None,
    *,
    interval: Annotated[str, typer.Option("--interval", help="Time between two looks.")] = "1s",
    once: Annotated[
        bool, typer.Option("--once", help="Print one view and leave (also without a terminal).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One view as JSON.")] = False,
    source: Annotated[
        list[str] | None, typer.Option("--source", metavar="NAME[=URL]", help="As in `run`.")
    ] = None,
) -> int:
    """Show devices, clocks against rated, power, tensor activity and faults, live.

    With RUN_DIR it follows that record and asks no driver; leave with Ctrl-C.

    Example: flopledger top --once
    """
    import json

    from flopledger.commands.top_screen import render
    from flopledger.profiling.run import parse_interval, parse_sources
    from flopledger.profiling.top_view import LiveFeed, RecordFeed, as_rows

    seconds = parse_interval(interval)
    feed = RecordFeed(run_dir) if run_dir else LiveFeed(parse_sources(source), seconds)
    try:
        view = feed.look(first=True)
        if as_json:
            typer.echo(json.dumps(as_rows(view), indent=2))
            return 0
        from rich.console import Console

        console = Console(highlight=False)
        if once or not console.is_terminal:
            console.print(render(view, console.width))
            return 0
        from rich.live import Live

        def draw() -> "RenderableType":
            return render(feed.look(), console.width)

        with Live(render(view, console.width), console=console, screen=True) as live:
            while True:
                live.update(draw(), refresh=True)
    except KeyboardInterrupt:
        return 0
    finally:
        feed.close()
