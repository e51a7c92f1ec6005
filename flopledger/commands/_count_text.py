"""A count on the terminal: what it comes to, where it goes, what to doubt."""

import re
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flopledger.reports.console import terminal, widened
from flopledger.reports.count_json import rows
from flopledger.text import number, per_cent
from flopledger.unseen import visible

if TYPE_CHECKING:
    from flopcount.model_files.counted_model import CountedModel

_UNKNOWN = "unknown"


def show(counted: "CountedModel", opinions: list[Any], *, by: str | None, depth: int) -> None:
    """Print the figures, then the chosen view (all of them, briefly, where none is chosen)."""
    tables = [_head(counted)]
    if counted.count is not None:
        views = (by,) if by else ("module", "op", "dtype")
        tables += [_view(counted, view, depth) for view in views]
    others = [_opinions(opinions)] if opinions else []
    out, talk = widened(terminal(), *tables, *others), Console(stderr=True, highlight=False)
    for table in tables:
        out.print(table)
    for unknown in counted.count.uncounted if counted.count is not None else ():
        out.print(_plain(f"not counted: {unknown.op}, {unknown.calls} calls"))
    for table in others:
        out.print(table)
    # In a file or a pipe a message is one line, however long: it is searched for its words.
    whole = not talk.is_terminal
    for line in (*counted.assumptions, *(counted.count.notes if counted.count else ())):
        talk.print(_plain(f"note: {line}"), soft_wrap=whole)
    for finding in counted.findings:
        told = "; ".join(part.strip() for part in _as_option(finding.message).splitlines())
        talk.print(_plain(f"{finding.severity}: {finding.code}: {told}"), soft_wrap=whole)


def _plain(text: str) -> Text:
    """Set words of a model's files as words: neither rich nor the terminal reads anything into them."""
    return Text(visible(text))


def _as_option(message: str) -> str:
    """Name a size as the command line does, where the message names the argument of Python."""
    return re.sub(
        r"\bgive (\w+)=\.\.\.", lambda found: f"give --{found[1].replace('_', '-')} N", message
    )


def figure(value: int | None) -> str:
    """Write an exact whole number with its size beside it; None is 'unknown', not 0."""
    if value is None:
        return _UNKNOWN
    return f"{value:,}" if abs(value) < 10**6 else f"{value:,}  ({number(value, 4)})"


def _head(counted: "CountedModel") -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    count, parameters = counted.count, counted.parameters
    table.add_row("model", _plain(counted.name))
    table.add_row("inputs", _inputs(counted))
    if parameters is not None:
        table.add_row("parameters", figure(parameters.total))
        if parameters.active != parameters.total:
            table.add_row("  active per token", figure(parameters.active))
    table.add_row("forward FLOP", figure(count.forward if count else None))
    table.add_row("backward FLOP", figure(count.backward if count else None))
    if count is not None and count.recompute:
        table.add_row("recomputed FLOP", figure(count.recompute))
    name = count.convention.name if count else "dense"
    table.add_row(f"total FLOP ({name})", figure(count.total if count else None))
    if count is not None and count.flop_bounds is not None:
        low, high = count.flop_bounds
        table.add_row("  bounds", f"{figure(low)} to {figure(high)}")
    return table


def _inputs(counted: "CountedModel") -> str:
    """The sizes of the step; a model that was counted without a sequence reads none."""
    batch = "as the inputs are" if counted.batch is None else f"batch {counted.batch}"
    if counted.sequence is not None:
        return f"{batch}, sequence {counted.sequence}"
    wants = any(
        finding.code == "input-size-unknown" and "'sequence'" in finding.message
        for finding in counted.findings
    )
    return batch + (", sequence not given" if wants else "")


def _view(counted: "CountedModel", view: str, depth: int) -> Table:
    table = Table(box=None, pad_edge=False, title_justify="left")
    table.add_column(view)
    table.add_column("FLOP", justify="right")
    table.add_column("share", justify="right")
    for name, flop, share in rows(counted, view, depth):
        shown = name or "(model)"
        if view == "module" and name:
            level = name.count(".") + 1
            shown = "  " * level + name.rpartition(".")[2]
        table.add_row(_plain(shown), f"{flop:,}", per_cent(share))
    return table


def _opinions(opinions: list[Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    for head in ("second opinion", "forward FLOP", "ratio", "explained by"):
        table.add_column(head, no_wrap=head in {"forward FLOP", "ratio"}, overflow="fold")
    for opinion in opinions:
        ratio = _UNKNOWN if opinion.ratio is None else f"{opinion.ratio:.6g}"
        reasons = "; ".join(f"{reason['cause']}: {reason['text']}" for reason in opinion.explained)
        forward = _UNKNOWN if opinion.forward is None else f"{opinion.forward:,}"
        table.add_row(opinion.counter, forward, ratio, _plain(reasons))
    return table


def show_explanation(answer: dict[str, Any]) -> None:
    """Print the way from one convention's total to the other's."""
    table = Table(box=None, pad_edge=False)
    for head in ("step", "FLOP", "so far", "why"):
        # A figure is never cut: the reasons give way on a narrow terminal.
        exact = head in ("FLOP", "so far")
        table.add_column(head, justify="right" if exact else "left", no_wrap=exact, overflow="fold")
    so_far = answer["from"]["total"]
    table.add_row(answer["from"]["convention"], "", f"{so_far:,}", "")
    for term in answer["terms"]:
        so_far += term["flop"]
        table.add_row(term["name"], f"{term['flop']:+,}", f"{so_far:,}", _plain(term["reason"]))
    table.add_row(answer["to"]["convention"], "", f"{answer['to']['total']:,}", "")
    widened(terminal(), table).print(table)
