"""Which run each ledger counts: one number cannot serve every rule."""

from typing import TYPE_CHECKING

from flopledger import scope
from flopledger.quantity import Interval
from flopledger.reports.content.figures import shown
from flopledger.reports.document import Block, Bullets, Paragraph, Row, Section, Table, columns, row
from flopledger.text import interval, number

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.reconcile import RunAudit

NAMES = {
    "parameter_update": "Parameter updates",
    "eu_cumulative": "EU cumulative",
    "us_state": "US states",
    "cumulative": "Cumulative",
}
#: Kinds of run, where the case's own word is none of a reader's.
_KINDS = {
    "pretraining": "pre-training",
    "continued": "continued training",
    "finetuning": "fine-tuning",
    "lora": "fine-tuning by adapters",
    "rl": "reinforcement learning",
    "synthetic-data": "making synthetic data",
    "parent": "training of a parent model",
    "merged": "weights merged in",
    "auxiliary": "training of an auxiliary model",
}
_NOTE = (
    "Parameter updates: what updated the model itself. EU cumulative: everything that contributed to its "
    "capabilities, private synthetic data and merged weights included. US states: the run, what it was "
    "built upon, and the developer's own later modifications. Recomputed activations are in none of them."
)


def section(report: "AuditReport") -> Section | None:
    """Show runs against ledgers, and what the texts leave open about them."""
    names = list(dict.fromkeys(one.regime.ledger for one in report.standings))
    if not names:
        return None
    rows = [_run_row(run, names) for run in report.runs]
    base = report.case.spec.base_model
    if base is not None:
        rows.append(_base_row(report, names))
    sums = {one.regime.ledger: one.flop for one in report.standings}
    rows.append(row("Sum", "", "", *(shown(sums[name], 2) for name in names), total=True))
    titles = [f"#{NAMES.get(name, name)}" for name in names]
    blocks: list[Block] = [
        Table(
            caption="Runs and the ledgers that count them",
            columns=columns("Run", "Kind", "#Model FLOP", *titles),
            rows=tuple(rows),
        ),
        Paragraph(words=(_NOTE,), role="note"),
    ]
    open_questions = tuple(
        (f"{run.figures.name}: {text}.",)
        for run in report.runs
        if (text := scope.reading(run.figures)) is not None
    )
    if not open_questions:
        return Section(key="ledgers", title="Ledgers", blocks=tuple(blocks))
    return Section(key="ledgers", title="Ledgers", blocks=(*blocks, Bullets(items=open_questions)))


def _run_row(run: "RunAudit", names: list[str]) -> Row:
    flop = _best(None if run.combined is None else run.combined.flop)
    counted = ["counted" if scope.counts(run.figures, name) else "not counted" for name in names]
    return row(run.figures.name, kind(run.figures.kind), flop, *counted)


def _base_row(report: "AuditReport", names: list[str]) -> Row:
    from flopledger.inputs import quantity

    stated = report.case.spec.base_model
    assert stated is not None
    flop = None if stated.flop is None else quantity(stated.flop).interval
    counted = ["counted" if scope.counts_base(name) else "not counted" for name in names]
    return row("Original model", "as stated", _best(flop), *counted)


def _best(flop: Interval | None) -> str:
    if flop is None:
        return "not known"
    return interval(flop, 2) if flop.best is None else number(flop.best)


def kind(word: str) -> str:
    """Say a run's kind in words."""
    return _KINDS.get(word, word)
