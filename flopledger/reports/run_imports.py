"""What a run's report says of recordings that were imported: whose they are, and what they leave open."""

from pathlib import Path
from typing import Any

from flopledger import foreign_json
from flopledger.foreign_json import tables_of

_LIST = "imports.jsonl"
_MOST_BYTES = 16 << 20


def with_imports(summary: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Add the imports of a record to what was measured of it.

    Energy of devices and of the node that they are in does not add up: none is given then.
    """
    found = _imports(folder)
    if not found:
        return summary
    told = [_finding(entry, one) for entry in found for one in tables_of(entry.get("findings"))]
    joined = {**summary, "imports": found, "findings": [*tables_of(summary.get("findings")), *told]}
    scopes = sorted({str(entry.get("scope")) for entry in found})
    if len(scopes) > 1:
        joined["energy_joules"] = None
        message = (
            f"recordings of {' and '.join(scopes)} are in one record: their energies do not add up"
        )
        joined["findings"].append(_said("energy-boundary-mixed", "warning", message))
    return joined


def _imports(folder: Path) -> list[dict[str, Any]]:
    """Read the list that `flopledger import` leaves; a damaged line tells nothing."""
    path = folder / _LIST
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return []
    lines = path.read_text("utf-8", errors="replace").splitlines()
    return [entry for line in lines if (entry := foreign_json.table(line)) is not None]


def _finding(entry: dict[str, Any], one: dict[str, Any]) -> dict[str, Any]:
    return _said(str(one.get("code")), "info", f"{entry.get('file')}: {one.get('message')}")


def _said(code: str, severity: str, message: str) -> dict[str, Any]:
    return {"code": code, "severity": severity, "message": message, "evidence": []}
