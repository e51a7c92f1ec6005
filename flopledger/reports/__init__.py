"""Pure functions of an AuditReport: console, JSON, HTML."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from flopledger.errors import FlopledgerError

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport


def save(report: "AuditReport", path: Path) -> None:
    """Write ``report`` to ``path``; the suffix says how. Raises for a suffix nobody writes."""
    suffix = path.suffix.lower()
    if suffix in {".html", ".htm"}:
        from flopledger.reports.html import render

        text = render(report)
    elif suffix == ".json":
        from flopledger.reports.json_report import dumps

        text = dumps(report) + "\n"
    else:
        raise FlopledgerError(f"{path}: reports are written as .html or .json, found {suffix!r}")
    write_whole(path, text)


def write_whole(path: Path, text: str) -> None:
    """Write ``text`` beside ``path`` and rename it, so that no half-written file is ever seen."""
    if not path.parent.is_dir():
        raise FlopledgerError(f"{path}: no such folder {path.parent}; create it first")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    beside = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        mask = os.umask(0)
        os.umask(mask)
        beside.chmod(0o666 & ~mask)  # mkstemp gives 600; a report is an ordinary file
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
