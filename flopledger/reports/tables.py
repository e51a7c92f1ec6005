"""The report as plain tables: one record a row, for spreadsheets and data frames.

Numbers stay numbers in their base units, missing is ``None``; nothing is rounded.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopledger.errors import FlopledgerError
from flopledger.quantity import Interval

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.inputs import Input

Value = str | float | int | bool | None
Record = dict[str, Value]


@dataclass(frozen=True, kw_only=True, slots=True)
class Records:
    """One table: its columns in order, and a value (or ``None``) for each in every row."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Record, ...]


_FLOP = ("flop_low", "flop_best", "flop_high")
#: The best figure bears the bare name; where there is none, an end alone is the bound that is known.
_SECONDS = ("accelerator_seconds", "accelerator_seconds_low", "accelerator_seconds_high")
_JOULES = ("energy_joules", "energy_joules_low", "energy_joules_high")
_COLUMNS = {
    "estimates": (
        "run", "method", "basis", *_FLOP, "bound_only", "independence_group", "assumptions",
    ),
    "runs": (
        "run", "kind", "accelerator", *_FLOP, *_SECONDS, *_JOULES, "energy_boundary", "verdict",
        "status",
    ),
    "regimes": (
        "id", "name", "comparator", "threshold_flop", "ledger", *_FLOP, "probability_exceeded",
        "zone", "zone_of", "status", "in_force", "citation",
    ),
    "inputs": ("run", "method", "name", "low", "best", "high", "unit", "grade", "source"),
    "facts": ("name", "value", "unit", "file", "locator", "grade"),
    "findings": ("code", "severity", "message", "evidence"),
    "sensitivity": ("input", "log_variance_share"),
}  # fmt: skip
NAMES = tuple(_COLUMNS)
#: Columns of numbers, in base units.
NUMBERS = frozenset(
    {
        *_FLOP, "low", "best", "high", "threshold_flop", "probability_exceeded",
        *_SECONDS, *_JOULES, "log_variance_share",
    }
)  # fmt: skip


def table(report: "AuditReport", name: str) -> Records:
    """Collect one table; raises ``FlopledgerError`` for a name that is none of ``NAMES``."""
    if name not in _MAKERS:
        raise FlopledgerError(f"no table {name!r} in a report; there are: {', '.join(NAMES)}")
    rows = tuple(_MAKERS[name](report))
    return Records(name=name, columns=_COLUMNS[name], rows=rows)


def all_tables(report: "AuditReport") -> tuple[Records, ...]:
    """Collect every table, in the order of ``NAMES``."""
    return tuple(table(report, name) for name in NAMES)


def _ends(interval: Interval | None) -> Record:
    if interval is None:
        return dict.fromkeys(_FLOP)
    return {"flop_low": interval.low, "flop_best": interval.best, "flop_high": interval.high}


def _ranged(names: tuple[str, str, str], known: "Input | None") -> Record:
    if known is None:
        return dict.fromkeys(names)
    interval = known.quantity.interval
    return dict(zip(names, (interval.best, interval.low, interval.high), strict=True))


def _estimates(report: "AuditReport") -> Iterable[Record]:
    for one in report.estimates:
        yield {
            "run": one.run,
            "method": one.method,
            "basis": one.basis,
            **_ends(one.flop),
            "bound_only": one.bound_only,
            "independence_group": one.independence_group,
            "assumptions": "; ".join(one.assumptions),
        }
    if report.combined is not None:
        yield {
            "run": None,
            "method": "combined",
            "basis": "model",
            **_ends(report.combined.flop),
            "bound_only": False,
            "independence_group": None,
            "assumptions": report.combined.rule,
        }


def _runs(report: "AuditReport") -> Iterable[Record]:
    for run in report.runs:
        figures = run.figures
        seconds, energy = figures.device_seconds, figures.energy_joules
        yield {
            "run": figures.name,
            "kind": figures.kind,
            "accelerator": None if run.part is None else run.part.id,
            **_ends(None if run.combined is None else run.combined.flop),
            **_ranged(_SECONDS, seconds),
            **_ranged(_JOULES, energy),
            "energy_boundary": figures.energy_boundary,
            "verdict": str(run.verdict),
            "status": figures.status,
        }


def _regimes(report: "AuditReport") -> Iterable[Record]:
    for one in report.standings:
        yield {
            "id": one.regime.id,
            "name": one.regime.name,
            "comparator": one.regime.comparator,
            "threshold_flop": one.threshold_flop,
            "ledger": one.regime.ledger,
            **_ends(one.flop),
            "probability_exceeded": one.probability_exceeded,
            "zone": one.zone,
            "zone_of": one.zone_of,
            "status": one.regime.status,
            "in_force": one.regime.in_force,
            "citation": one.regime.citation,
        }


def _inputs(report: "AuditReport") -> Iterable[Record]:
    for one in report.estimates:
        for known in one.inputs:
            interval = known.quantity.interval
            yield {
                "run": one.run,
                "method": one.method,
                "name": known.name,
                "low": interval.low,
                "best": interval.best,
                "high": interval.high,
                "unit": known.unit,
                "grade": str(known.grade),
                "source": known.source,
            }


def _facts(report: "AuditReport") -> Iterable[Record]:
    for fact in report.facts:
        yield {
            "name": fact.name,
            "value": fact.value,
            "unit": fact.unit,
            "file": fact.file,
            "locator": fact.locator,
            "grade": str(fact.grade),
        }


def _findings(report: "AuditReport") -> Iterable[Record]:
    for one in report.findings:
        yield {
            "code": one.code,
            "severity": one.severity,
            "message": one.message,
            "evidence": "; ".join(one.evidence),
        }


def _sensitivity(report: "AuditReport") -> Iterable[Record]:
    for share in report.sensitivity:
        yield {"input": share.input, "log_variance_share": share.log_variance_share}


_MAKERS = {
    "estimates": _estimates,
    "runs": _runs,
    "regimes": _regimes,
    "inputs": _inputs,
    "facts": _facts,
    "findings": _findings,
    "sensitivity": _sensitivity,
}
