"""Implied utilisation: the work over what the devices could have done, beside what is usual."""

from typing import TYPE_CHECKING

from flopledger import verdict as bands
from flopledger.methods import priors
from flopledger.quantity import Interval
from flopledger.reports.charts import Axis, Chart, Line, Role, Rule, ends, round_up
from flopledger.reports.document import Figure, Paragraph, Section, Table, columns, row
from flopledger.text import percent

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.reconcile import RunAudit

#: Precisions that the priors were fitted on.
_SIXTEEN_BITS = frozenset({"bf16", "fp16"})
_MOST = 2.0  #: of the axis; a utilisation beyond stays at its edge


def section(report: "AuditReport") -> Section:
    """Show every run with work, hours and part, at every precision of the part."""
    used = [run for run in report.runs if run.utilisation]
    if not used:
        text = "Not known: it takes device-hours, a part and an amount of work."
        return Section(
            key="utilisation", title="Implied utilisation", blocks=(Paragraph(words=(text,)),)
        )
    lines = tuple(line for run in used for line in _lines(run, several=len(used) > 1))
    caption = (
        "Work over device time × dense peak, at each precision that the part has. The shaded band is the "
        "prior: it holds 90% of what published 16-bit runs on this class of hardware reach, downtime "
        "included, and is no evidence about this run. Red is implausible at that precision; a whole run at "
        "1 is impossible."
    )
    notes = tuple(dict.fromkeys(_prior(run).describe() for run in used))
    return Section(
        key="utilisation",
        title="Implied utilisation",
        blocks=(
            Figure(key="utilisation", chart=_chart(lines), caption=(caption,)),
            _table(used),
            Paragraph(words=(f"Prior: {'; '.join(notes)}.",), role="note"),
        ),
    )


def _chart(lines: tuple[Line, ...]) -> Chart:
    found = [end for line in lines for end in ends(line.span)]
    last = min(max(round_up(max(found) * 1.02), 1.0), _MOST)
    limits = (
        Rule(
            at=bands.PLAUSIBLE_UTILISATION, label=f"plausible to {bands.PLAUSIBLE_UTILISATION:.0%}"
        ),
        Rule(at=1.0, label="100%"),
    )
    return Chart(
        title="Implied utilisation by precision",
        rows=lines,
        rules=limits,
        axis=Axis(
            kind="linear", first=0.0, last=last, title="share of the dense peak", percent=True
        ),
    )


def _lines(run: "RunAudit", *, several: bool) -> list[Line]:
    band = _prior(run).interval
    return [
        _line(run, precision, share, band if precision in _SIXTEEN_BITS else None, several)
        for precision, share in run.utilisation.items()
    ]


def _line(
    run: "RunAudit", precision: str, share: Interval, band: Interval | None, several: bool
) -> Line:
    stated = " (stated)" if precision == run.figures.precision else ""
    role: Role = "route" if precision in run.precision_supported else "doubt"
    label = f"{precision}{stated}"
    label = f"{run.figures.name}: {label}" if several else label
    expected = "" if band is None else f", expected {percent(band)} of {_ends(band)}"
    return Line(
        label=label,
        span=share,
        role=role,
        value=percent(share),
        caption=f"{label}: {percent(share)}{expected}",
        band=band,
    )


def _ends(band: Interval) -> str:
    return percent(Interval(low=band.low, best=None, high=band.high))


def _prior(run: "RunAudit") -> priors.Prior:
    return priors.utilisation(None if run.part is None else run.part.architecture)


def _table(used: "list[RunAudit]") -> Table:
    rows = []
    for run in used:
        part = "" if run.part is None else run.part.id or run.part.spelled
        for precision, share in run.utilisation.items():
            stated = " (stated)" if precision == run.figures.precision else ""
            plausible = "yes" if precision in run.precision_supported else "no"
            interval = _ends(share) if share.low is not None and share.high is not None else ""
            rows.append(
                row(
                    f"{precision}{stated}",
                    run.figures.name,
                    part,
                    percent(share),
                    interval,
                    plausible,
                )
            )
    return Table(
        caption="Implied utilisation",
        columns=columns(
            "Precision",
            "Run",
            "Accelerator",
            "#Work over dense peak",
            "#90% interval",
            "Plausible",
        ),
        rows=tuple(rows),
    )
