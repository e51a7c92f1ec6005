"""What the answer hangs on, and what would change it."""

import math
from typing import TYPE_CHECKING

from flopledger.quantity import Z90, Interval
from flopledger.reports.charts import Chart, Line, Rule, ends
from flopledger.reports.content.figures import shown
from flopledger.reports.content.routes import flop_axis
from flopledger.reports.document import Bullets, Figure, Section, Table, columns, row, sentence
from flopledger.text import number, per_cent

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.sensitivity import Share

_MOST = 12  #: bars; what is left is said in a sentence
_LEAST = 0.0005  #: share below which an input is as good as exact
_CAPTION = (
    "Each bar moves one input over its own 90% range and leaves all others at their best figure; at the "
    "right its share of the variance of the total's logarithm. To first order, largest first."
)


def section(report: "AuditReport") -> Section | None:
    """Show the tornado; ``None`` where there is no total, or nothing is uncertain about it."""
    total = None if report.combined is None else report.combined.flop
    if total is None or not report.sensitivity:
        return None
    shares = tuple(one for one in report.sensitivity if one.log_variance_share >= _LEAST)
    drawing = _chart(shares, total)
    if drawing is None:
        return None
    table = Table(
        caption="Share of the log variance by input",
        columns=columns("Input", "#Share of the log variance", "#Total over its 90% range"),
        rows=tuple(
            row(share.input, _share(share), shown(_swing(share, total))) for share in shares
        ),
    )
    return Section(
        key="sensitivity",
        title="What the answer hangs on",
        blocks=(Figure(key="sensitivity", chart=drawing, caption=(_CAPTION,)), table),
    )


def changes(report: "AuditReport") -> Section | None:
    """List what would turn the verdict or narrow the answer."""
    if not report.would_change:
        return None
    items = tuple((f"{sentence(line)}.",) for line in report.would_change)
    return Section(
        key="change", title="What would change the answer", blocks=(Bullets(items=items),)
    )


def _chart(shares: "tuple[Share, ...]", total: Interval) -> Chart | None:
    if total.best is None or total.low is None or total.high is None or total.low == total.high:
        return None
    lines = tuple(
        Line(
            label=share.input,
            span=_swing(share, total),
            role="route",
            value=_share(share),
            caption=f"{share.input}: {_share(share)} of the log variance, total "
            f"{shown(_swing(share, total))} FLOP",
        )
        for share in shares[:_MOST]
    )
    found = [end for line in lines for end in ends(line.span)]
    return Chart(
        title="Tornado: what each input does to the total",
        rows=lines,
        rules=(Rule(at=total.best, label=f"best figure {number(total.best)}"),),
        axis=flop_axis(found),
    )


def _swing(share: "Share", total: Interval) -> Interval:
    """Give the total over one input's 90% range, the others held.

    The total's standard deviation in the logarithm is ln(high / low) / (2 x 1.645); an input with
    the share s of the variance has sqrt(s) of it.
    """
    assert total.low is not None
    assert total.best is not None
    assert total.high is not None
    sigma = math.log(total.high / total.low) / (2 * Z90)
    factor = math.exp(Z90 * sigma * math.sqrt(share.log_variance_share))
    return Interval(low=total.best / factor, best=total.best, high=total.best * factor)


def _share(share: "Share") -> str:
    value = share.log_variance_share
    return "< 0.1%" if value < 0.001 else per_cent(value)
