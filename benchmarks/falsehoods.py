"""Lies told about honest records, and what an audit says of them.

Each record that is called consistent and has two independent routes is falsified in one figure:

    claim, hours, tokens   times and over 1.5, 2, 3, 5, 10
    count                  the same, where devices and clock time stand in place of device-hours
    part                   every other part of ``PARTS``; the size is the ratio of their dense peaks
    precision              every other one that is trained in; the size is the ratio of the peaks

A part or precision of the same peak is a lie of size 1: it changes no figure and is left out. A
precision that the part has no path for has no size: it stands apart.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import records

import hardware_db

FACTORS = (1.5, 2.0, 3.0, 5.0, 10.0)
PARTS = (
    "NVIDIA V100 SXM2 32GB",
    "NVIDIA A100 SXM4 80GB",
    "NVIDIA A800 SXM4 80GB",
    "NVIDIA H100 SXM5 80GB",
    "NVIDIA H800 SXM5 80GB",
    "NVIDIA H20",
    "NVIDIA B200",
    "NVIDIA L40S",
    "AMD MI300X",
    "Google TPU v3",
    "Google TPU v4",
    "Google TPU v5p",
)
PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "fp8")
CAUGHT = frozenset({"inconsistent", "needs-explanation", "refused"})
REFUTED = frozenset({"inconsistent"})
KINDS = ("claim", "hours", "count", "tokens", "part", "precision")
#: Size of a precision that the part cannot compute in.
NO_PATH = math.inf


class Audited(Protocol):
    """What is needed of a report."""

    @property
    def verdict(self) -> Any: ...
    @property
    def runs(self) -> Any: ...


@dataclass(slots=True)
class Tally:
    """Outcomes of one kind of lie at one size."""

    outcomes: list[str] = field(default_factory=list)

    def share(self, accepted: frozenset[str] | set[str]) -> float:
        """Share of the outcomes in ``accepted``; NaN without any."""
        if not self.outcomes:
            return math.nan
        return sum(one in accepted for one in self.outcomes) / len(self.outcomes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lie:
    """One falsified record, and what was said of it."""

    kind: str
    size: float  #: stated over true, by what it does to the figures; ``NO_PATH`` for none
    record: str
    told: str  #: what was written in place of the truth
    text: str = field(repr=False, default="")
    outcome: str = ""

    @property
    def factor(self) -> float:
        """The size whichever way it goes, at least 1."""
        return max(self.size, 1 / self.size)


def tell(
    verdict: Callable[[str], str],
    known: list[dict[str, Any]],
    honest: Mapping[str, Audited | None],
) -> list[Lie]:
    """Falsify each record that has two independent routes and is called consistent."""
    return [
        replace(lie, text="", outcome=verdict(lie.text))
        for record in known
        if (report := honest[record["id"]]) is not None
        and report.verdict == "consistent"
        and report.runs[0].pairs
        for lie in falsified(record)
    ]


def falsified(record: dict[str, Any]) -> Iterator[Lie]:
    """Yield every lie that the record allows."""
    claim = record["disclosed_training_flop"] or records.six_nd(record)
    honest = {**record, "disclosed_training_flop": claim}
    scaled = (
        ("claim", "disclosed_training_flop"),
        ("hours", "chip_hours"),
        ("tokens", "train_tokens_seen_count"),
    )
    for factor in FACTORS:
        for times in (factor, 1 / factor):
            for kind, key in scaled:
                yield _lie(kind, times, {**honest, key: honest[key] * times}, f"x {times:.3g}")
            if record["chip_count"]:
                count, hours = record["chip_count"], record["chip_hours"]
                clock = {"accelerator_count": count * times, "wall_clock_hours": hours / count}
                yield _lie("count", times, {**honest, "clock": clock}, f"x {times:.3g}")
    yield from _swapped(honest)


def _swapped(honest: dict[str, Any]) -> Iterator[Lie]:
    """Yield the record with each other part, and with each other precision."""
    name, precision = honest["chip_name"], honest["train_precision"]
    true = _peak(name, precision)
    if true is None:
        return
    for part in PARTS:
        peak = _peak(part, precision)
        if peak is not None and not math.isclose(peak, true, rel_tol=0.02):
            yield _lie("part", peak / true, {**honest, "chip_name": part}, part)
    for other in PRECISIONS:
        peak = _peak(name, other)
        lied = {**honest, "train_precision": other}
        if peak is None:
            yield _lie("precision", NO_PATH, lied, other)
        elif not math.isclose(peak, true, rel_tol=0.02):
            yield _lie("precision", peak / true, lied, other)


def _lie(kind: str, size: float, record: dict[str, Any], told: str) -> Lie:
    text = records.case_text(record)
    return Lie(kind=kind, size=size, record=record["id"], told=told, text=text)


def _peak(name: str, precision: str) -> float | None:
    """Dense peak of the largest part that goes by the name; ``None`` without that precision."""
    try:
        chips = [hardware_db.identify(name)]
    except hardware_db.AmbiguousAccelerator as error:
        chips = list(error.candidates)
    peaks = []
    for chip in chips:
        try:
            peaks.append(chip.peak_flop_per_second(precision))
        except hardware_db.HardwareError:
            return None
    return max(peaks)


#: Sizes of swapped parts and precisions fall between those that figures are multiplied with.
_BINS = (
    ("1.25 to 1.75", 1.25, 1.75),
    ("1.75 to 2.5", 1.75, 2.5),
    ("2.5 to 4", 2.5, 4.0),
    ("4 to 7", 4.0, 7.0),
    ("above 7", 7.0, 1e6),
)


def table(lies: list[Lie]) -> list[str]:
    """Tabulate the share of lies caught, by size and direction, and name those of 3 that were not."""
    rows = []
    for factor in FACTORS:
        for sign, size in (("x", factor), ("/", 1 / factor)):
            told = [lie for lie in lies if math.isclose(lie.size, size) and lie.kind in KINDS[:4]]
            cells = [_cell([one for one in told if one.kind == kind]) for kind in KINDS[:4]]
            rows.append(f"| {sign} {factor:g} | {' | '.join(cells)} |")
    swapped = []
    for words, low, high in _BINS:
        told = [lie for lie in lies if lie.kind in KINDS[4:] and low <= lie.factor < high]
        cells = [
            _cell([lie for lie in told if lie.kind == kind and (lie.size > 1) == up])
            for kind in KINDS[4:]
            for up in (True, False)
        ]
        swapped.append(f"| {words} | {' | '.join(cells)} |")
    barred = [lie for lie in lies if lie.factor == NO_PATH]
    three = [lie for lie in lies if 2.5 <= lie.factor < 4]
    missed = [lie for lie in three if lie.outcome not in CAUGHT]
    return [
        "## Lies caught",
        "",
        f"{len({lie.record for lie in lies})} honest records with two independent routes, one figure "
        f"falsified at a time: {len(lies)} lies. Share not called consistent (in brackets: called "
        "inconsistent); n.",
        "",
        "| lie | claim | hours | devices (by the clock) | tokens |",
        "|---|---|---|---|---|",
        *rows,
        "",
        "Part and precision swapped, by the ratio of the dense peaks. A slower part than the true one "
        "raises the implied utilisation, a faster one lowers it.",
        "",
        "| ratio | faster part | slower part | faster precision | slower precision |",
        "|---|---|---|---|---|",
        *swapped,
        f"| no such path in the part | | | {_cell(barred)} | |",
        "",
        f"**Of the {len(three)} lies of factor 3 (swaps: 2.5 to 4), {_share(three):.1%} are caught.** "
        "What is missed leaves every route where honest runs are:",
        "",
        *(f"- {lie.record}: {lie.kind} {lie.told} (x {lie.size:.2g})" for lie in missed),
        "",
    ]


def _share(lies: list[Lie]) -> float:
    return Tally([lie.outcome for lie in lies]).share(CAUGHT)


def _cell(lies: list[Lie]) -> str:
    if not lies:
        return "-"
    tally = Tally([lie.outcome for lie in lies])
    return f"{tally.share(CAUGHT):.0%} ({tally.share(REFUTED):.0%}); {len(lies)}"


_COLOURS = {
    "claim": "#d9480f",
    "hours": "#3b82c4",
    "count": "#2b8a3e",
    "tokens": "#6d4aff",
    "part": "#c2255c",
    "precision": "#868e96",
}
_WIDTH, _HEIGHT, _LEFT, _TOP = 560, 320, 60, 20


def curve(lies: list[Lie]) -> str:
    """Draw the share caught against the size of the lie, up and down together, as SVG."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        _, y = _place(1.0, share)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - 90}" y1="{y}" y2="{y}" stroke="#ddd"/>'
            f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{share:.0%}</text>'
        )
    for factor in FACTORS:
        x, y = _place(factor, 0)
        parts.append(f'<text x="{x}" y="{y + 18}" text-anchor="middle">{factor:g}</text>')
    parts.append(
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}">size of the lie (factor, up and down together)</text>'
    )
    for index, (kind, colour) in enumerate(_COLOURS.items()):
        points = [_place(size, share) for size, share in _points(kind, lies)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        y = _TOP + 16 + 18 * index
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{_WIDTH - 82}" y="{y}" fill="{colour}">{kind}</text>')
    return "".join([*parts, "</svg>\n"])


def _points(kind: str, lies: list[Lie]) -> list[tuple[float, float]]:
    """Give (size, share caught): at each factor, or of each bin at its lies' geometric mean."""
    own = [lie for lie in lies if lie.kind == kind and lie.factor != NO_PATH]
    if kind in KINDS[:4]:
        groups = [[one for one in own if math.isclose(one.factor, size)] for size in FACTORS]
    else:
        groups = [[one for one in own if low <= one.factor < high] for _, low, high in _BINS]
    found = []
    for group in filter(None, groups):
        mean = math.exp(sum(math.log(lie.factor) for lie in group) / len(group))
        found.append((min(mean, FACTORS[-1]), _share(group)))
    return found


def _place(factor: float, share: float) -> tuple[float, float]:
    x = _LEFT + math.log(factor) / math.log(FACTORS[-1]) * (_WIDTH - _LEFT - 90)
    return x, _TOP + (1 - share) * (_HEIGHT - _TOP - 50)
