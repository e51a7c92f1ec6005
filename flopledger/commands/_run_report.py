"""The report of a training run: ``flopledger report RUN_DIR``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from flopledger.commands._deliver import deliver

if TYPE_CHECKING:
    from flopledger.commands._targets import Target
    from flopledger.reports.run_report import RunReport

FORMS = {"html": (".html", ".htm"), "pdf": (".pdf",), "markdown": (".md",), "json": (".json",)}


def report_run(folder: Path, asked: "list[Target]") -> int:
    """Write what is asked for of the run in ``folder``; where that is nothing tell it on the terminal."""
    from flopledger.commands._targets import check
    from flopledger.reports.run_report import read_run

    check(asked, FORMS, "a run is written as")
    made = read_run(folder)
    if not asked:
        _tell(made)
    for one in asked:
        deliver(_rendered(made, one.form), one.form, one.path, is_json=one.form == "json")
    return 0


def _rendered(made: "RunReport", form: str) -> str | bytes:
    from flopledger.reports import markdown, pdf
    from flopledger.reports.html import render_document
    from flopledger.reports.run_document import document

    if form == "json":
        return json.dumps(made.as_json(), indent=2, allow_nan=False) + "\n"
    if form == "markdown":
        return markdown.render(document(made))
    return pdf.render(document(made)) if form == "pdf" else render_document(document(made))


def _tell(made: "RunReport") -> None:
    from flopledger.commands.run_text import steps_lines
    from flopledger.reports.content.telemetry import extent
    from flopledger.reports.document import visible
    from flopledger.text import energy

    told = steps_lines({"steps": made.section, "findings": made.findings})
    code = made.summary.get("exit_code")
    ended = [f"  the command ended with exit code {code}"] if isinstance(code, int) and code else []
    lines = [made.name, *ended, *(f"  {line}" for line in told or ["no step is on record"])]
    joules = made.summary.get("energy_joules")
    if joules is not None:
        lines.append(f"  energy {energy(joules)}")
    if made.telemetry is not None:
        lines.append(f"  telemetry: {extent(made.telemetry)}")
    warnings = [one for one in made.findings if one.get("severity") != "info"]
    lines += dict.fromkeys(f"  {one.get('code')}: {one.get('message')}" for one in warnings)
    for line in lines:
        typer.echo(visible(line))
