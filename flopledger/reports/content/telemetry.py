"""What the devices were seen doing, moment by moment."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flopledger.reports.charts import Panel, TimeChart, clock, round_up
from flopledger.reports.document import Block, Figure, Paragraph, Section
from flopledger.text import number, plural, with_unit

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.profiling.telemetry_view import Envelope, TelemetryView


def section(report: "AuditReport") -> Section | None:
    """Draw each run's recordings; ``None`` where the case has none."""
    blocks: list[Block] = []
    for index, run in enumerate(report.runs):
        if run.telemetry is None:
            continue
        blocks += drawn(run.telemetry, f"Telemetry of run {run.figures.name}", index)
    if not blocks:
        return None
    return Section(key="telemetry", title="Telemetry", blocks=tuple(blocks))


def drawn(view: "TelemetryView", title: str, index: int = 0) -> tuple[Block, Block]:
    """Give the drawing of one run's recordings, and the files that they came from."""
    figure = Figure(key=f"telemetry-{index}", chart=chart(view, title), caption=(caption(view),))
    return figure, Paragraph(words=(f"{title}: {', '.join(view.files)}.",), role="note")


def chart(view: "TelemetryView", title: str) -> TimeChart:
    """Draw each signal in a panel of its own."""
    length, unit, words = clock(view.seconds)
    span = view.seconds / length
    return TimeChart(
        title=title,
        unit=unit,
        axis_title=f"{words} from the first sample",
        times=tuple(span * (at + 0.5) / view.moments for at in range(view.moments)),
        span=span,
        panels=tuple(_panel(one) for one in view.envelopes),
    )


def _panel(one: "Envelope") -> Panel:
    highs = [value for value in one.high if value is not None]
    means = [value for value in one.mean if value is not None]
    lows = [value for value in one.low if value is not None]
    middle = sum(means) / len(means)
    empty = len(one.mean) - len(means)
    gaps = f", nothing seen in {empty} of {len(one.mean)} moments" if empty else ""
    return Panel(
        label=one.label,
        unit=one.unit,
        low=one.low,
        mean=one.mean,
        high=one.high,
        top=100.0 if one.unit == "%" and max(highs) <= 100 else round_up(1.04 * max(highs)),
        caption=f"{one.label}: mean {with_unit(middle, one.unit)}, lowest {number(min(lows))}, highest "
        f"{number(max(highs))}{gaps}",
    )


def caption(view: "TelemetryView") -> str:
    """Say what is drawn and how it was thinned."""
    most = max(one.samples for one in view.envelopes)
    thinned = most > view.moments * max(one.devices for one in view.envelopes)
    how = "Down-sampled for display: " if thinned else ""
    return (
        f"{how}{extent(view)} are shown as {view.moments} moments. The line is the mean over samples and "
        "devices, the band runs from the lowest sample to the highest; a break is a time without samples. "
        "Every figure rests on the full recording."
    )


def extent(view: "TelemetryView") -> str:
    """Say how many samples there are, of how many devices and from when."""
    samples = max(one.samples for one in view.envelopes)
    devices = max(one.devices for one in view.envelopes)
    length = view.seconds
    size, unit = (length / 3600, "hour") if length >= 3600 else (length, "second")
    span = f"{number(size)} {unit}{'' if number(size) == '1' else 's'}"
    return f"{samples:,} samples of {plural(devices, 'device')} over {span}{_began(view)}"


def _began(view: "TelemetryView") -> str:
    """Say when the first sample was, as far as its stamp tells."""
    if view.clock == "date-unknown":
        return ""
    zone = "UTC" if view.clock == "UTC" else "(of a zone that is not known)"
    began = datetime.fromtimestamp(view.started_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f" from {began} {zone}"
