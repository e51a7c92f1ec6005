"""Every form that a report can take, by name: what `flopledger report --format` offers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopledger.errors import FlopledgerError

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.reports.document import Document


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """One form: what it is, and the suffixes that its file may have (the first is the default)."""

    about: str
    suffixes: tuple[str, ...]


_TEXT = (".md", ".pdf", ".html")
FORMATS = {
    "html": Format(about="the report as one offline page", suffixes=(".html", ".htm")),
    "pdf": Format(about="the report for print and for the file", suffixes=(".pdf",)),
    "markdown": Format(about="the report as text", suffixes=(".md",)),
    "csv": Format(about="all tables as one", suffixes=(".csv",)),
    "json": Format(about="the report for programs", suffixes=(".json",)),
    "annex-xi": Format(about="AI Act, Annex XI: compute fields", suffixes=_TEXT),
    "code-of-practice": Format(about="Model Documentation Form: compute", suffixes=_TEXT),
    "article-52": Format(about="AI Act, Article 52: draft notification", suffixes=_TEXT),
    "cyclonedx": Format(about="CycloneDX 1.6 ML-BOM", suffixes=(".json",)),
    "spdx": Format(about="SPDX 3.0.1 with an AI package, JSON-LD", suffixes=(".json", ".jsonld")),
    "model-card": Format(about="section of a Hugging Face model card", suffixes=(".md",)),
}


def render(
    report: "AuditReport", name: str, suffix: str | None = None, *, created: str | None = None
) -> str | bytes:
    """Render ``report`` in the form ``name``, for a file with ``suffix`` (or the form's own).

    ``created`` is the creation time that an SPDX document states. Raises ``FlopledgerError`` for an
    unknown form, or a suffix that the form does not have.
    """
    form = FORMATS.get(name)
    if form is None:
        raise FlopledgerError(f"no format {name!r}; there are: {', '.join(FORMATS)}")
    ending = form.suffixes[0] if suffix is None else suffix.lower()
    if ending not in form.suffixes:
        raise FlopledgerError(
            f"format {name} is written as {' or '.join(form.suffixes)}, found {suffix!r}"
        )
    if name == "spdx":
        from flopledger.exports import spdx

        return spdx.dumps(report, created)
    if name in _documents():
        return _set(_documents()[name](report), ending)
    return _others()[name](report)


def _documents() -> "dict[str, Callable[[AuditReport], Document]]":
    from flopledger.exports import european

    return {
        "annex-xi": european.annex_xi,
        "code-of-practice": european.code_of_practice,
        "article-52": european.article_52,
    }


def _others() -> "dict[str, Callable[[AuditReport], str | bytes]]":
    from flopledger import reports
    from flopledger.exports import cyclonedx, model_card

    return {
        "html": reports.FORMS[".html"],
        "pdf": reports.FORMS[".pdf"],
        "markdown": reports.FORMS[".md"],
        "csv": reports.FORMS[".csv"],
        "json": reports.FORMS[".json"],
        "cyclonedx": cyclonedx.dumps,
        "model-card": model_card.render,
    }


def _set(document: "Document", suffix: str) -> str | bytes:
    from flopledger.reports.document import visible

    shown: Document = visible(document)
    if suffix == ".pdf":
        from flopledger.reports import pdf

        return pdf.render(shown)
    if suffix == ".html":
        from flopledger.reports import html

        return html.render_document(shown)
    from flopledger.reports import markdown

    return markdown.render(shown)
