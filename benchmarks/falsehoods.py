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
