"""Pure functions of an AuditReport: console, JSON, HTML, PDF, Markdown, CSV.

The modules, each in the order in which it is best read:

**What is said** (design/005, 080, 109). ``document`` (the blocks), ``content/`` (an audit's sections),
``wording``, ``explanations``, ``ordering``, ``passed``; drawings as rows and panels, ``charts``.

**How it looks.** ``html`` with ``templates/``, ``markdown``, ``pdf``; drawings ``svg``, ``interactive``; on a
terminal ``console``; shown by ``server``.

**For scripts.** ``json_report``; ``tables`` as ``csv_report`` and ``frame``.

**Other documents.** A run (design/075): ``run_report``, ``run_imports``, ``run_document``, ``run_sections``,
``run_charts``, ``run_words``. A merge (design/098): ``merge_document``, ``merge_sections``. A count:
``count_json``, ``count_csv``, ``count_html``.

A test holds this list to the folder.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from flopledger.errors import FlopledgerError
from flopledger.whole_files import replacing

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport


def _html(report: "AuditReport") -> str:
    from flopledger.reports.html import render

    return render(report)


def _pdf(report: "AuditReport") -> bytes:
    from flopledger.reports import content, pdf

    return pdf.render(content.document(report))


def _markdown(report: "AuditReport") -> str:
    from flopledger.reports import content, markdown

    return markdown.render(content.document(report))


def _csv(report: "AuditReport") -> str:
    from flopledger.reports.csv_report import dumps

    return dumps(report)


def _json(report: "AuditReport") -> str:
    from flopledger.reports.json_report import dumps

    return dumps(report) + "\n"


#: Suffix -> what writes it. Each imports what it needs when it is asked.
FORMS: dict[str, Callable[["AuditReport"], str | bytes]] = {
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
    ".md": _markdown,
    ".csv": _csv,
    ".json": _json,
}


def save(report: "AuditReport", path: Path) -> None:
    """Write ``report`` to ``path``; the suffix says how. Raises for a suffix nobody writes.

    An existing folder takes one CSV file a table.
    """
    if path.is_dir():
        from flopledger.reports.csv_report import files

        for name, text in files(report).items():
            write_whole(path / name, text)
        return
    write = FORMS.get(path.suffix.lower())
    if write is None:
        known = ".html, .pdf, .md, .csv or .json"
        raise FlopledgerError(f"{path}: reports are written as {known}, found {path.suffix!r}")
    write_whole(path, write(report))


def write_whole(path: Path, content: str | bytes) -> None:
    """Write beside ``path`` and rename, so that no half-written file is ever seen."""
    data = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
    with replacing(path) as file:
        file.write(data)
