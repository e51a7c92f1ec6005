"""A run's record as a document: its summary, its devices, what they were seen doing.

The summary is what the recorder wrote; it is shown, not judged. A missing figure is "not known".
"""

import json
from pathlib import Path
from typing import Any, cast

from flopledger import __version__
from flopledger.errors import FlopledgerError
from flopledger.reports.content.bounds import bounded
from flopledger.reports.content.telemetry import drawn
from flopledger.reports.document import (
    Block,
    Card,
    Code,
    Document,
    Pairs,
    Section,
    Stat,
    Table,
    columns,
    row,
    sentence,
    visible,
)
from flopledger.reports.explanations import explain
from flopledger.text import number

_MAX_BYTES = 16 << 20  #: a summary is some kilobytes


def document(folder: Path) -> Document:
    """Read the record in ``folder``. Raises ``FlopledgerError`` where it is none, or damaged."""
    summary = _summary(folder / "summary.json")
    sections = [_devices(summary), _telemetry(folder), _findings(summary), _provenance(summary)]
    made = Document(
        kind="Run record",
        title=" ".join(str(word) for word in _list(summary, "command")) or folder.name,
        verdict=None,
        mark=f"exit code {_shown(summary.get('exit_code'))}",
        lead=f"Recorded from {_shown(summary.get('started'))}.",
        quote=None,
        cite=None,
        stats=_stats(summary),
        sections=tuple(bounded(one) for one in sections if one is not None),
        footer=f"flopledger {__version__}. What could not be read is not known, never 0.",
    )
    return cast("Document", visible(made))


def _summary(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise FlopledgerError(f"{path}: larger than a summary can be")
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise FlopledgerError(
            f"{path}: no such file; a record ends with one, `flopledger top` follows one that runs"
        ) from None
    except (ValueError, RecursionError, OSError) as error:
        raise FlopledgerError(f"{path}: not a run's summary: {error}") from None
    if not isinstance(found, dict):
        raise FlopledgerError(f"{path}: not a run's summary: expected an object")
    return found


def _list(summary: dict[str, Any], key: str) -> list[Any]:
    value = summary.get(key)
    return value if isinstance(value, list) else []


def _tables(summary: dict[str, Any], key: str) -> list[dict[str, Any]]:
    return [one for one in _list(summary, key) if isinstance(one, dict)]


def _shown(value: object, unit: str = "") -> str:
    if value is None:
        return "not known"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    whole = isinstance(value, int) and abs(value) < 10_000
    text = str(value) if whole else number(float(value)) if abs(value) < 1e300 else str(value)
    return f"{text} {unit}".strip()


def _stats(summary: dict[str, Any]) -> tuple[Stat, ...]:
    bounds = summary.get("flop_bounds")
    known = isinstance(bounds, list) and len(bounds) == 2
    executed = f"{_shown(bounds[0])} to {_shown(bounds[1])}" if known else "not known"  # type: ignore[index]
    return (
        Stat(
            label="Duration", value=_shown(summary.get("duration_seconds"), "s"), note="wall clock"
        ),
        Stat(
            label="Energy",
            value=_shown(summary.get("energy_joules"), "J"),
            note="of the devices, from start to end",
        ),
        Stat(
            label="Model FLOP", value=_shown(summary.get("model_flop")), note="from the steps seen"
        ),
        Stat(label="Executed FLOP", value=executed, note="bounds from the devices' counters"),
    )


def _devices(summary: dict[str, Any]) -> Section | None:
    keys = ("name", "uuid", "status", "covered_seconds", "busy_seconds", "energy_joules")
    rows = tuple(
        row(*(_shown(device.get(key)) for key in keys)) for device in _tables(summary, "devices")
    )
    if not rows:
        return None
    titles = columns("Device", "~UUID", "Status", "#Seen, s", "#Busy, s", "#Energy, J")
    table = Table(caption="Devices", columns=titles, rows=rows)
    return Section(key="devices", title="Devices", blocks=(table,))


def _telemetry(folder: Path) -> Section | None:
    from flopledger.telemetry import Telemetry
    from flopledger.telemetry_view import thin
    from profilers import ProfilersError
    from profilers.record import read_record

    try:
        trace = read_record(folder)
    except ProfilersError as error:
        raise FlopledgerError(f"{folder}: the record's telemetry cannot be read: {error}") from None
    view = thin(Telemetry(trace=trace, names=(folder.name,)))
    if view is None:
        return None
    return Section(key="telemetry", title="Telemetry", blocks=drawn(view, "Telemetry"))


def _findings(summary: dict[str, Any]) -> Section | None:
    cards: list[Block] = []
    for one in _tables(summary, "findings"):
        code = str(one.get("code"))
        text = explain(code)
        severity = one.get("severity")
        cards.append(
            Card(
                severity=severity if severity in {"error", "warning"} else "info",
                code=code,
                message=sentence(str(one.get("message"))),
                places=tuple(str(place) for place in _list(one, "evidence")),
                meaning=() if text is None else text.meaning,
                resolves=() if text is None else text.resolves,
            )
        )
    return Section(key="findings", title="Findings", blocks=tuple(cards)) if cards else None


def _provenance(summary: dict[str, Any]) -> Section:
    command = " ".join(str(word) for word in _list(summary, "command"))
    rows = (
        ("Command", (Code(command),)),
        ("Started", (_shown(summary.get("started")),)),
        ("Schema", (Code(_shown(summary.get("schema"))),)),
    )
    return Section(key="provenance", title="Provenance", blocks=(Pairs(rows=rows),))
