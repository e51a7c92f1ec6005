"""What each drawing shows: rows with intervals on one axis, or signals over time.

Everything is decided here, once. `svg.py` draws it for the page without scripts, for print and for
the PDF; `interactive.py` draws the same for plotly.
"""

import math
from dataclasses import dataclass
from typing import Literal

from flopledger.quantity import Interval
from flopledger.text import number

Role = Literal["route", "bound", "combined", "claim", "doubt"]
#: Room of a letter in a label, in the drawing's unit.
_LETTER = 5.8


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A row's interval on the axis."""

    label: str
    span: Interval  #: in the axis's unit; an open end runs to the edge, all ends open: no line
    role: Role
    value: str  #: the figure in words, printed at the right
    caption: str  #: the whole in words, for readers who do not see the drawing
    band: Interval | None = None  #: what was expected, drawn behind
    target: float | None = None  #: a limit of this row alone


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """A limit across all rows."""

    at: float
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """The scale; ``first`` and ``last`` are in its unit."""

    kind: Literal["log", "linear"]
    first: float
    last: float
    title: str
    percent: bool = False

    def share(self, value: float) -> float:
        """Place ``value`` between the ends, 0 to 1; what lies outside stays at the edge."""
        if self.kind == "log":
            low, high = math.log10(self.first), math.log10(self.last)
            place = (math.log10(value) - low) / (high - low) if value > 0 else 0.0
        else:
            place = (value - self.first) / (self.last - self.first)
        return min(max(place, 0.0), 1.0)

    def ticks(self, most: int = 8) -> list[tuple[float, str]]:
        """Choose round figures, ``most`` at most."""
        return _log_ticks(self, most) if self.kind == "log" else _linear_ticks(self, most)


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """Rows of intervals under one axis."""

    title: str
    rows: tuple[Line, ...]
    rules: tuple[Rule, ...]
    axis: Axis

    @property
    def description(self) -> str:
        """Everything that is drawn, in words."""
        return "; ".join(row.caption for row in self.rows)

    def lanes(self, left: float, right: float, width: float) -> list[int]:
        """Give each rule's label a lane above the rows, so that no two labels touch.

        Args:
            left: Where the axis begins.
            right: Where the axis ends.
            width: Of the whole drawing; no label leaves it.

        """
        taken: list[float] = []  # right end of the last label in each lane
        lanes = []
        for rule in self.rules:
            half = len(rule.label) * _LETTER / 2 + 4
            place = left + (right - left) * self.axis.share(rule.at)
            x = min(max(place, half), width - half)
            lane = next((at for at, end in enumerate(taken) if x - half > end), len(taken))
            taken[lane : lane + 1] = [x + half]
            lanes.append(lane)
        return lanes


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One signal over time: for each moment the mean over devices between its extremes.

    ``None`` where nothing was seen: a gap is drawn as a gap.
    """

    label: str
    unit: str
    low: tuple[float | None, ...]
    mean: tuple[float | None, ...]
    high: tuple[float | None, ...]
    top: float  #: of the axis
    caption: str
    bottom: float = 0.0  #: of the axis: 0, or below where values are

    def stretches(self) -> list[list[int]]:
        """Split the moments at the gaps."""
        found: list[list[int]] = [[]]
        for at, value in enumerate(self.mean):
            if value is None:
                found.append([])
            else:
                found[-1].append(at)
        return [stretch for stretch in found if stretch]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """A stretch of time behind all panels, with a name."""

    label: str
    start: float
    end: float  #: both in the time axis's unit


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeChart:
    """Panels over one time axis, from the start of the recording unless it says otherwise."""

    title: str
    times: tuple[float, ...]  #: middle of each moment
    span: float  #: length of the recording
    panels: tuple[Panel, ...]
    unit: str  #: of time, as a sign: s, min, h or d
    axis_title: str
    stretches: tuple[Stretch, ...] = ()

    @property
    def description(self) -> str:
        """Everything that is drawn, in words."""
        return "; ".join(panel.caption for panel in self.panels)

    @property
    def axis(self) -> Axis:
        """The time axis."""
        return Axis(kind="linear", first=0.0, last=self.span, title=self.axis_title)


#: From so many seconds on: seconds of the unit, its sign, its word.
_CLOCKS = (
    (2 * 86_400, 86_400, "d", "days"),
    (2 * 3600, 3600, "h", "hours"),
    (120, 60, "min", "minutes"),
)


def clock(seconds: float) -> tuple[float, str, str]:
    """Choose the unit of a time axis: factor, sign and word."""
    for least, factor, unit, words in _CLOCKS:
        if seconds >= least:
            return float(factor), unit, words
    return 1.0, "s", "seconds"


def log_axis(values: list[float], title: str) -> Axis:
    """Span ``values`` with some air."""
    logs = [math.log10(value) for value in values if value > 0]
    air = max(0.12, 0.04 * (max(logs) - min(logs)))
    return Axis(
        kind="log", first=10 ** (min(logs) - air), last=10 ** (max(logs) + air), title=title
    )


def ends(span: Interval) -> list[float]:
    """List the ends that are known."""
    return [end for end in (span.low, span.best, span.high) if end is not None]


def round_up(value: float) -> float:
    """Give the next round figure: 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8 or 10 of a decade."""
    if value <= 0:
        return 1.0
    decade = 10.0 ** math.floor(math.log10(value))
    for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10):
        if value <= step * decade * (1 + 1e-9):
            return step * decade
    return 10 * decade


def _log_ticks(axis: Axis, most: int) -> list[tuple[float, str]]:
    low, high = math.log10(axis.first), math.log10(axis.last)
    decades = range(math.floor(low), math.ceil(high) + 1)
    for steps in ((1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        found = [
            step * 10.0**decade
            for decade in decades
            for step in steps
            if low <= math.log10(step * 10.0**decade) <= high
        ]
        if len(found) <= most:
            break
    if len(found) < 3:  # a narrow axis is nearly linear: take even steps
        step = round_up((axis.last - axis.first) / 5)
        first = math.ceil(axis.first / step)
        found = [step * at for at in range(first, math.floor(axis.last / step) + 1)]
    every = -(-len(found) // most) if found else 1
    return [(tick, _tick(tick)) for tick in found[::every]]


def _tick(value: float) -> str:
    digits = next(digits for digits in range(1, 8) if digits == 7 or _shows(value, digits))
    return number(value, digits)


def _shows(value: float, digits: int) -> bool:
    """Say whether so many digits tell ``value``, rounding noise aside."""
    return math.isclose(float(f"{value:.{digits - 1}e}"), value, rel_tol=1e-9)


def _linear_ticks(axis: Axis, most: int) -> list[tuple[float, str]]:
    step = round_up((axis.last - axis.first) / most)
    count = math.floor((axis.last - axis.first) / step + 1e-9)
    found = [axis.first + step * place for place in range(count + 1)]
    if axis.percent:
        return [(tick, f"{100 * tick:.3g}%") for tick in found]
    return [(tick, f"{tick:.4g}") for tick in found]
