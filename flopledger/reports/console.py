"""The summary on a terminal."""

import os
from typing import TYPE_CHECKING

from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from flopledger.reports import wording
from flopledger.reports.document import visible
from flopledger.reports.ordering import worst_first
from flopledger.verdict import Verdict

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport

_COLOURS = {
    Verdict.CONSISTENT: "green",
    Verdict.NEEDS_EXPLANATION: "yellow",
    Verdict.INCONSISTENT: "red",
    Verdict.UNDETERMINED: "cyan",
}
_SEVERITIES = {"error": "red", "warning": "yellow", "info": "dim"}


#: Columns where there is no terminal to ask: a pipe or a file should lose nothing to folding.
PIPE_WIDTH = 160
#: Columns below which tables keep their figures whole and leave out what the report says, too.
NARROW = 70
#: Columns below which not even a name that somebody copies stays in one piece.
_TINY = 50
_UNBOUNDED = 10_000


def terminal() -> Console:
    """Make the console for stdout; wide where nobody's terminal limits it (``COLUMNS`` does)."""
    console = Console(highlight=False)
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return Console(highlight=False, width=PIPE_WIDTH)


def widened(console: Console, *tables: Table) -> Console:
    """Make room for the longest words of ``tables``, where the terminal is narrower than they are.

    The terminal then folds the line itself. rich would cut it, and a figure that lost its last digits
    is another figure.
    """
    free = console.options.update(width=_UNBOUNDED, max_width=_UNBOUNDED)
    needed = max((Measurement.get(console, free, table).minimum for table in tables), default=0)
    console.width = max(console.width, needed)
    return console


def print_summary(report: "AuditReport", console: Console | None = None) -> None:
    """Print verdict, routes, utilisation, thresholds and findings, in that order."""
    out = console or terminal()
    out.print(Text(visible(report.case.spec.title), style="bold"))
    verdict = Text(f" {wording.heading(report).upper()} ", style="bold reverse")
    verdict.stylize(_COLOURS[report.verdict])
    out.print(verdict)
    out.print(Text(visible(wording.conclusion(report))))
    if report.combined is not None:
        out.print(Text(visible(f"Combined: {report.combined.rule}."), style="dim"))
    for heading, table in (
        ("routes, 90% intervals", _routes(report, narrow=out.width < NARROW)),
        ("implied utilisation of the dense peak", _utilisation(report, narrow=out.width < NARROW)),
        ("thresholds", _thresholds(report, narrow=out.width < NARROW)),
    ):
        if table.row_count:
            for column in table.columns:
                column.no_wrap = column.header in _COPIED and out.width >= _TINY
            out.print()
            out.print(Text(heading, style="bold"))
            out.print(Padding(table, (0, 0, 0, 2), expand=False))
    _print_lines(out, "findings", _findings(report))
    _print_lines(
        out, "would change the answer", [Text(visible(line)) for line in report.would_change]
    )


#: What a reader types or looks up is not folded in the middle.
_COPIED = frozenset({"regime", "accelerator"})


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _routes(report: "AuditReport", *, narrow: bool) -> Table:
    told = ("run", "route", "FLOP", "basis", "independence group")
    table = _table(*told[: 3 if narrow else 5])
    for one in report.estimates:
        cells = (
            Text(visible(one.run)),
            one.title,
            wording.interval(one.flop),
            one.basis,
            one.independence_group,
        )
        table.add_row(*cells[: len(table.columns)])
    if report.combined is not None:
        row = ("all", "combined", wording.interval(report.combined.flop), "model", "")
        table.add_row(*row[: len(table.columns)], style="bold")
    return table


def _utilisation(report: "AuditReport", *, narrow: bool) -> Table:
    told = ("run", "accelerator", "by precision", "plausible at")
    table = _table(*(name for name in told if name != "accelerator" or not narrow))
    for run in report.runs:
        if not run.utilisation or run.part is None:
            continue
        rates = ", ".join(f"{name} {wording.percent(one)}" for name, one in run.utilisation.items())
        part = run.part.id or f"{run.part.spelled} ({len(run.part.candidates)} parts)"
        table.add_row(
            Text(visible(run.figures.name)),
            *([] if narrow else [Text(visible(part))]),
            rates,
            ", ".join(run.precision_supported) or "none",
        )
    return table


def _thresholds(report: "AuditReport", *, narrow: bool) -> Table:
    # A claim of "at most" is no figure that could be placed: then the estimate is.
    of_claim = any(one.zone_of == "claim" for one in report.standings)
    placed = "zone of claim" if of_claim else "zone of estimate"
    told = ("regime", "threshold", "P(exceeded)", placed, "status")
    table = _table(*told[: 3 if narrow else 5])
    for one in report.standings:
        regime = one.regime
        bound = "" if one.threshold_bound is None else f"{one.threshold_bound} "
        threshold = f"{regime.comparator} {bound}{wording.round_number(one.threshold_flop)}"
        row = (
            regime.id,
            threshold,
            wording.probability(one),
            wording.zone(one, report),
            regime.status,
        )
        table.add_row(*row[: len(table.columns)])
    return table


def _findings(report: "AuditReport") -> list[Text]:
    return [
        Text.assemble(
            (f"{finding.severity} ", _SEVERITIES[finding.severity]),
            (f"{finding.code}: ", "bold"),
            visible(finding.message),
        )
        for finding in worst_first(report.findings)
    ]


def _print_lines(out: Console, heading: str, lines: list[Text]) -> None:
    if not lines:
        return
    out.print()
    out.print(Text(heading, style="bold"))
    for line in lines:
        out.print(Padding(line, (0, 0, 0, 2), expand=False))
