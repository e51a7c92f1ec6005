"""A training run as a document: what its record holds, and the page made of it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flopledger.errors import FlopledgerError
from flopledger.foreign_json import tables_of
from flopledger.recording.series import StepSeries, read_series
from flopledger.recording.steps_summary import as_findings, steps_section
from flopledger.recording.totals import RunTotals
from flopledger.reports.ordering import rank
from flopledger.reports.run_imports import with_imports
from flopledger.reports.run_words import figure
from profilers.errors import ProfilersError

if TYPE_CHECKING:
    from flopledger.profiling.telemetry_view import TelemetryView

SCHEMA = "flopledger/run-report/1"
_MOST_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class RunReport:
    """Everything that a run's report shows. None and empty where the record has nothing."""

    name: str
    """Of the run's folder."""
    summary: dict[str, Any]
    """``summary.json`` as it was left. Where no wrapper wrote it: energy, devices and what there is to
    say of them, from the samples; empty without any."""
    totals: RunTotals | None
    section: dict[str, Any] | None
    """The section ``steps``, worked out anew from the ledgers."""
    series: StepSeries | None
    telemetry: "TelemetryView | None"
    findings: tuple[dict[str, Any], ...]

    def as_json(self) -> dict[str, Any]:
        """Return plain values for scripts."""
        return {
            "schema": SCHEMA,
            "run": self.name,
            "summary": self.summary or None,
            "steps": self.section,
            "series": None if self.series is None else asdict(self.series),
            "findings": list(self.findings),
        }


def read_run(folder: Path) -> RunReport:
    """Read a run's folder.

    Raises:
        FlopledgerError: when it holds neither a summary nor a ledger.

    """
    from flopledger.recording.adding import totals
    from flopledger.recording.summary import measured
    from profilers.steps.record.ledger import read_run as read_ledgers

    if not folder.is_dir():
        raise FlopledgerError(f"{folder}: no such folder; give the DIR of `flopledger run --out`")
    summary = _summary(folder)
    try:
        processes, unread = read_ledgers(folder)
    except ProfilersError as error:
        raise FlopledgerError(str(error)) from error
    if not (summary or processes or unread) and not (folder / "telemetry").is_dir():
        raise FlopledgerError(
            f"{folder}: holds no run record (no summary.json, no steps/, no telemetry/); record one "
            "with `flopledger run --out DIR -- COMMAND` or flopledger.record(DIR)"
        )
    added = totals(processes, unread) if processes or unread else None
    if not summary:
        summary = measured(folder, added if added is not None and added.windows else None)
        summary = with_imports(summary, folder)
    section, told = None, list[dict[str, Any]]()
    if added is not None and (added.steps or added.span_flop):
        section, found = steps_section(
            added,
            telemetry=tables_of(summary.get("devices")),
            energy_joules=figure(summary, "energy_joules"),
            attributed=summary.get("attribution") not in (None, "none", "record"),
        )
        told = as_findings(found)
    return RunReport(
        name=folder.resolve().name,
        summary=summary,
        totals=added,
        section=section,
        series=read_series(processes) if processes else None,
        telemetry=_telemetry(folder),
        findings=_merged(tables_of(summary.get("findings")), told),
    )


def _summary(folder: Path) -> dict[str, Any]:
    path = folder / "summary.json"
    if not path.is_file() or path.is_symlink():
        return {}
    if path.stat().st_size > _MOST_BYTES:
        raise FlopledgerError(f"{path}: {path.stat().st_size} bytes; no summary is that long")
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (OSError, ValueError, RecursionError) as error:
        raise FlopledgerError(f"{path}: cannot be read ({error})") from error
    if not isinstance(found, dict):
        raise FlopledgerError(f"{path}: holds no summary but a {type(found).__name__}")
    return found


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _telemetry(folder: Path) -> "TelemetryView | None":
    from flopledger.profiling.telemetry_view import thin
    from flopledger.telemetry import Telemetry
    from profilers.record import read_record

    try:
        trace = read_record(folder)
    except (ProfilersError, OSError):
        return None
    return thin(Telemetry(trace=trace, names=("telemetry",))) if trace.devices else None


def _merged(
    old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]
) -> tuple[dict[str, Any], ...]:
    """Join findings; what the ledgers say now stands for what the summary said of them then."""
    from flopledger.recording.remarks import CODES

    seen: dict[tuple[str, str], dict[str, Any]] = {}
    told = (one for one in old if not new or one.get("code") not in CODES)
    for one in (*new, *told):
        key = (str(one.get("code")), str(one.get("message")))
        seen.setdefault(key, one)
    return tuple(
        sorted(seen.values(), key=lambda one: rank(str(one.get("severity")), str(one.get("code"))))
    )
