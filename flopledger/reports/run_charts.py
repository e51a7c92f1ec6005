"""A run's steps over time as panels: the drawing's rows, decided once for page and print."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from flopledger.recording.series import StepSeries
from flopledger.reports.charts import Panel, Stretch, TimeChart, clock, round_up
from flopledger.text import number, with_unit

_PREFIXES = (
    (1e24, "Y"), (1e21, "Z"), (1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"),
    (1e3, "k"),
)  # fmt: skip
MOST_STRETCHES = 300
_Cells = Sequence[float | None]


def steps_chart(series: StepSeries, peak: float | None) -> TimeChart:
    """Draw steps, tokens and FLOP over time.

    Args:
        series: The thinned steps.
        peak: FLOP/s of all devices together, where it is known: the rate is then shown as MFU.

    """
    factor, unit, words = clock(series.seconds)
    panels = [_step_time(series)]
    if series.loss is not None:
        panels.insert(0, _loss(*zip(*series.loss, strict=True)))
    if series.tokens_per_second is not None:
        panels.append(_rate("throughput", series.tokens_per_second, "tokens/s"))
    if any(series.flop_per_second):
        if peak is not None:
            share = [None if v is None else 100 * v / peak for v in series.flop_per_second]
            panels.append(_rate("MFU of the moment", share, "%", top=100.0))
        else:
            panels.append(_rate("model FLOP a second", series.flop_per_second, "FLOP/s"))
        panels.append(_rate("FLOP so far", series.flop_total, "FLOP"))
    share = [None if v is None else 100 * v for v in series.step_share]
    panels.append(_rate("time inside steps", share, "%", top=100.0))
    return TimeChart(
        title="Steps over time",
        times=tuple(
            series.seconds / factor * (at + 0.5) / series.moments for at in range(series.moments)
        ),
        span=series.seconds / factor,
        panels=tuple(panels),
        unit=unit,
        axis_title=f"{words} from the start of the first process",
        stretches=tuple(
            Stretch(label=band.what, start=band.start / factor, end=band.end / factor)
            for band in series.bands[:MOST_STRETCHES]
        ),
    )


def beside(chart: TimeChart, seconds: float, *, after: float, whole: float) -> TimeChart:
    """Put a drawing onto a longer time axis, so that two of them can be compared by eye.

    Args:
        chart: A drawing of ``seconds``.
        seconds: Its own length.
        after: Seconds from the beginning of the whole to the beginning of this one.
        whole: Seconds of the whole.

    """
    own, (factor, unit, words) = clock(seconds)[0], clock(whole)

    def moved(at: float) -> float:
        return (at * own + after) / factor

    return replace(
        chart,
        times=tuple(moved(at) for at in chart.times),
        span=whole / factor,
        unit=unit,
        axis_title=f"{words} from the start of the record",
        stretches=tuple(
            replace(one, start=moved(one.start), end=moved(one.end)) for one in chart.stretches
        ),
    )


def scaled(most: float, unit: str) -> tuple[float, str]:
    """Choose a prefix, so that an axis has figures that people can read."""
    for factor, prefix in _PREFIXES:
        if most >= factor and (unit.startswith("FLOP") or prefix in {"k", "M", "G"}):
            return factor, f"{prefix}{unit}" if unit.startswith("FLOP") else f"{prefix} {unit}"
    return 1.0, unit


def caption(series: StepSeries) -> str:
    """Say what is drawn and how it was thinned."""
    began = datetime.fromtimestamp(series.start_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    factor, _, words = clock(series.seconds)
    told = sorted({band.what for band in series.bands})
    bands = f" Shaded: {', '.join(told)}." if told else ""
    thinned = "Thinned for display: " if series.steps > series.moments else ""
    steps = "1 step" if series.steps == 1 else f"{series.steps:,} steps of all processes"
    return (
        f"{thinned}{steps} over {number(series.seconds / factor)} {words} from {began}, "
        f"shown as {series.moments} moments. "
        "For step times the line is the mean and the band runs from the shortest to the longest step; "
        f"rates are over each moment.{_about_loss(series)}{bands} Every figure rests on the full ledgers."
    )


def _about_loss(series: StepSeries) -> str:
    if series.loss is None:
        return ""
    wrong = series.losses_not_finite
    gaps = f", {wrong:,} of them not finite (gaps)" if wrong else ""
    times = "once" if series.losses == 1 else f"{series.losses:,} times"
    return f" Loss: as the program told it, {times}{gaps}; no figure rests on it."


def _loss(low: _Cells, mean: _Cells, high: _Cells) -> Panel:
    """Draw a loss from 0, or from below it where it is mostly far above: its changes are what is read."""
    panel = _panel("loss", "", tuple(low), tuple(mean), tuple(high))
    least = min((value for value in low if value is not None), default=0.0)
    most = max((value for value in high if value is not None), default=0.0)
    if least < 0:
        return replace(panel, bottom=-round_up(-least))
    if least <= most / 2:
        return panel
    # Half of the scale at least 1% of the loss: figures of four digits then differ.
    half = round_up(max((most - least) / 2, most / 100))
    bottom = half * math.floor(least / half)
    return replace(
        panel, bottom=bottom, top=bottom + half * max(math.ceil((most - bottom) / half), 2)
    )


def _step_time(series: StepSeries) -> Panel:
    longest = max((high for _, _, high in series.step_seconds if high is not None), default=0.0)
    factor, unit = (1e3, "ms") if longest < 1.0 else (1.0, "s")
    low, mean, high = zip(*series.step_seconds, strict=True)
    return _panel(
        "step time", unit, _times(low, factor), _times(mean, factor), _times(high, factor)
    )


def _rate(label: str, values: _Cells, unit: str, top: float | None = None) -> Panel:
    most = max((value for value in values if value is not None), default=0.0)
    if unit == "%":
        cells = tuple(values)
    else:
        divisor, unit = scaled(most, unit)
        cells = _times(values, 1 / divisor)
    return _panel(label, unit, cells, cells, cells, top)


def _panel(
    label: str,
    unit: str,
    low: tuple[float | None, ...],
    mean: tuple[float | None, ...],
    high: tuple[float | None, ...],
    top: float | None = None,
) -> Panel:
    known = [value for value in mean if value is not None]
    most = max((value for value in high if value is not None), default=0.0)
    least = min((value for value in low if value is not None), default=0.0)
    middle = sum(known) / len(known) if known else 0.0
    return Panel(
        label=label,
        unit=unit,
        low=low,
        mean=mean,
        high=high,
        top=top if top is not None and most <= top * (1 + 1e-6) else round_up(most),
        caption=f"{label}: mean {with_unit(middle, unit)}, lowest {number(least)}, highest {number(most)}",
    )


def _times(values: _Cells, factor: float) -> tuple[float | None, ...]:
    return tuple(None if value is None else value * factor for value in values)
