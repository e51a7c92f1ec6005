"""The page of a merge: from the bundle alone, after everything in it was checked."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flopledger.bundle import PublicKey
    from flopledger.reports.document import Document

SUFFIXES = {"html": (".html", ".htm"), "pdf": (".pdf",), "markdown": (".md",)}


def document(bundle: Path, known: Sequence["PublicKey"]) -> "Document":
    """Check the merged bundle and decide its page. Raises for a bundle that does not hold.

    ``known`` are keys whose owners the caller knows: signatures by them are marked.
    """
    from dataclasses import replace

    from flopledger.bundle import verify
    from flopledger.errors import FlopledgerError
    from flopledger.reports import merge_document

    found = verify(bundle)
    if not found.ok:
        first = found.problems[0]
        raise FlopledgerError(f"{bundle}: its seal does not hold: {first.file}: {first.message}")
    assert found.statement is not None
    if found.merged is None:
        kind = found.statement.predicate.kind
        raise FlopledgerError(
            f"{bundle}: a bundle of kind {kind}, not a merge; the report of one audit is inside it: "
            f"unzip -p {bundle.name} report/report.html"
        )
    ids = frozenset(key.id for key in known)
    return merge_document.document(
        replace(found, tree=tuple(one.knowing(ids) for one in found.tree))
    )


def rendered(bundle: Path, form: str, known: Sequence["PublicKey"]) -> str | bytes:
    """Give the page in one of the forms of ``SUFFIXES``."""
    from flopledger.reports import markdown, pdf
    from flopledger.reports.html import render_document

    made = document(bundle, known)
    if form == "markdown":
        return markdown.render(made)
    return pdf.render(made) if form == "pdf" else render_document(made)


def write(bundle: Path, form: str, target: Path, known: Sequence["PublicKey"]) -> None:
    """Write the page whole."""
    from flopledger.reports import write_whole

    write_whole(target, rendered(bundle, form, known))
