"""``flopledger regimes``: thresholds and scope rules with their citations."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flopledger.commands._deliver import print_json
from flopledger.commands._options import AsJson

if TYPE_CHECKING:
    from flopledger.regimes import Regime

group = typer.Typer(
    help="Thresholds and scope rules with their citations.\n\n"
    "Example: flopledger regimes show eu-systemic-risk-1e25",
    short_help="Thresholds and scope rules with their citations",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Hang this verb on the command line."""
    app.add_typer(group, name="regimes")


@group.command("list")
def list_regimes(*, as_json: AsJson = False) -> None:
    """List every regime on record, revoked ones with their dates.

    Example: flopledger regimes list --json
    """
    from flopledger.regimes import all_regimes

    known = all_regimes()
    if as_json:
        print_json([_to_dict(regime) for regime in known])
        return
    from rich.table import Table

    from flopledger.reports.console import NARROW, terminal
    from flopledger.text import round_number

    console = terminal()
    names = ("id", "threshold", "ledger", "in force", "status")
    left_out = {"ledger": NARROW, "status": 60}  # columns of the terminal that they need
    shown = [name for name in names if console.width >= left_out.get(name, 0)]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in shown:  # an id is copied, so it is not folded
        table.add_column(
            name, overflow="fold", no_wrap=name in {"id", "threshold", "ledger"},
            min_width=len("2025-08-02") if name == "in force" else None,
        )  # fmt: skip
    for regime in known:
        limit = "1/3 original" if regime.rule else round_number(regime.threshold_flop)
        threshold = f"{regime.comparator} {limit}"
        until = f" to {regime.ended}" if regime.ended else ""
        since = f"{regime.in_force or '-'}{until}"
        told = dict(
            zip(names, (regime.id, threshold, regime.ledger, since, regime.status), strict=True)
        )
        table.add_row(*(told[name] for name in shown))
    console.print(table)


@group.command("show")
def show_regime(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="As `regimes list` names it.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show one regime with its citation and what it counts.

    Example: flopledger regimes show eu-systemic-risk-1e25
    """
    from flopledger.regimes import by_id

    answer = _to_dict(by_id(identifier))
    if as_json:
        print_json(answer)
        return
    width = max(len(key) for key in answer)
    for key, value in answer.items():
        told = f"{value:g}".replace("e+", "e") if isinstance(value, float) else value
        typer.echo(f"{key:<{width}}  {'-' if value is None else told}")


def _to_dict(regime: "Regime") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(regime)
