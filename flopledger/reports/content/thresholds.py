"""Where the case stands against each regime: probability, and the zone of the bare figure."""

from typing import TYPE_CHECKING

from flopledger.reports import wording
from flopledger.reports.charts import Chart, Line, Role, ends
from flopledger.reports.content.figures import shown
from flopledger.reports.content.ledgers import NAMES
from flopledger.reports.content.routes import flop_axis
from flopledger.reports.document import (
    Block,
    Bullets,
    Code,
    Figure,
    Paragraph,
    Section,
    Table,
    Words,
    columns,
    row,
)
from flopledger.text import round_number

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.ledgers import Standing

_CAPTION = (
    "Each regime's own ledger against its threshold, the upright mark; at the right the probability "
    "that the ledger exceeds it."
)


def section(report: "AuditReport") -> Section | None:
    """Show every regime that was asked for, or that is in force."""
    if not report.standings:
        return None
    of = "claim" if report.claim is not None else "estimate"
    note = (
        "The probability is that of the regime's own ledger exceeding its threshold. The zone is a legal "
        f"reading of the bare {of} under the 30% margin of the EU guidelines (C(2025) 5045 final, "
        "annex A.2). The two are never merged."
    )
    blocks: tuple[Block, ...] = (
        Figure(key="thresholds", chart=_chart(report), caption=(_CAPTION,)),
        _table(report),
        Paragraph(words=(note,), role="note"),
        Bullets(items=tuple(_citation(one) for one in report.standings)),
    )
    return Section(key="thresholds", title="Thresholds", blocks=blocks)


def _chart(report: "AuditReport") -> Chart:
    values = [one.threshold_flop for one in report.standings]
    values += [end for one in report.standings for end in ends(one.flop)]
    return Chart(
        title="Each regime's ledger against its threshold",
        rows=tuple(_line(one) for one in report.standings),
        rules=(),
        axis=flop_axis(values),
    )


def _line(one: "Standing") -> Line:
    likely = one.probability_exceeded
    role: Role = "bound" if one.flop.best is None else "route"
    if one.flop.best is not None and likely is not None and likely > 0.5:
        role = "claim"
    chance = wording.probability(one)
    return Line(
        label=one.regime.id,
        span=one.flop,
        role=role,
        value=chance,
        target=one.threshold_flop,
        caption=f"{one.regime.id}: ledger {shown(one.flop, 2)} FLOP, threshold "
        f"{round_number(one.threshold_flop)}, probability of exceeding it {chance}",
    )


def _table(report: "AuditReport") -> Table:
    return Table(
        caption="Thresholds",
        columns=columns(
            "~Regime",
            "#Threshold",
            "Ledger",
            "#FLOP of the ledger",
            "#P(exceeded)",
            "Zone",
            "~Status",
        ),
        rows=tuple(
            row(
                one.regime.name,
                _limit(one),
                NAMES.get(one.regime.ledger, one.regime.ledger),
                shown(one.flop, 2),
                wording.probability(one),
                wording.zone(one, report)
                if one.zone
                else ("not in force" if one.regime.ended else "not known"),
                f"{one.regime.status} ({one.regime.in_force or 'never in force'})",
            )
            for one in report.standings
        ),
    )


def _limit(one: "Standing") -> str:
    sign = {">=": "≥", "<=": "≤"}.get(one.regime.comparator, one.regime.comparator)
    bound = "" if one.threshold_bound is None else f"{one.threshold_bound} "
    return f"{sign} {bound}{round_number(one.threshold_flop)}"


def _citation(one: "Standing") -> Words:
    regime = one.regime
    conditions = f" Conditions: {regime.conditions}." if regime.conditions else ""
    return (
        Code(regime.id),
        f" ({_limit(one)}): {regime.citation}. {regime.confidence.capitalize()}, checked {regime.as_of}."
        f"{conditions}",
    )
