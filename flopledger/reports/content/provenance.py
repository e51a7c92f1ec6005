"""From what, by what and how this report was made."""

import shlex
from typing import TYPE_CHECKING

from flopledger import __version__
from flopledger.reports.document import Code, Pairs, Paragraph, Section, Words

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport


def section(report: "AuditReport") -> Section:
    """Name versions, digests, seed and the command that repeats the audit."""
    versions = ", ".join(f"{name} {version}" for name, version in report.environment.items())
    rows: list[tuple[str, Words]] = [("Tool", (f"flopledger {__version__}",))]
    if versions:
        rows.append(("Beside it", (versions,)))
    rows += [
        ("Command", (Code(command(report)),)),
        ("Seed", (str(report.seed),)),
        ("Case", (Code(report.case.name), ", SHA-256 ", Code(report.case.sha256))),
    ]
    rows += [(f"Table {name}", (Code(digest),)) for name, digest in report.data_digests.items()]
    note = (
        "The same case, evidence, seed and tables give the same bytes: this report holds no clock and no "
        "random name."
    )
    return Section(
        key="provenance",
        title="Provenance",
        blocks=(Pairs(rows=tuple(rows)), Paragraph(words=(note,), role="note")),
    )


def command(report: "AuditReport") -> str:
    """Write the command that repeats the audit."""
    case = report.case
    parts = ["flopledger", "audit", case.name, "--seed", str(report.seed)]
    for identifier in report.regime_ids:
        parts += ["--regime", identifier]
    if not report.trace:
        parts.append("--no-trace")
    if case.allow_outside:
        parts.append("--allow-outside")
    if case.name == "options":
        return "flopledger estimate, with the options listed under the inputs"
    return shlex.join(parts)
