"""A document as PDF, set by Typst: the same blocks in the same order as the page.

Accessible (PDF/UA-1: tagged, with alternative texts) and without a clock: equal documents give equal
bytes. Only the fonts that come with Typst are used, so that a report looks the same everywhere; words
in scripts that they lack are set in whatever the machine has.
"""

import json
from importlib.resources import files
from typing import Any, Literal

from flopledger import __version__
from flopledger.errors import FlopledgerError
from flopledger.reports import svg
from flopledger.reports.document import (
    Block,
    Branch,
    Bullets,
    Card,
    Code,
    Document,
    Figure,
    Pairs,
    Paragraph,
    Strong,
    Table,
    Tree,
    Words,
    plain,
    sentence,
)

_BREAK = "\N{ZERO WIDTH SPACE}"
_LONGEST = 18  #: letters of one word before it may break anywhere
#: A table up to here takes a third of a page at most, and is not broken.
_SHORT_ROWS, _SHORT_LETTERS = 8, 1200


def render(document: Document) -> bytes:
    """Set ``document``. Raises ``FlopledgerError`` without the extra ``pdf``."""
    try:
        import typst
    except ImportError:
        raise FlopledgerError(
            "PDF reports need typst, which is not installed: pip install 'flopledger[pdf]'"
        ) from None
    template = (files("flopledger.reports") / "templates" / "document.typ").read_bytes()
    data = json.dumps(_document(document), ensure_ascii=False).encode()
    sources: Any = {"main.typ": template, "document.json": data}  # typst's own types lack this form
    # An unknown script must not cost the reader the report: first other fonts, then the standard.
    attempts: tuple[tuple[bool, Literal["ua-1", "1.7"]], ...] = (
        (True, "ua-1"),
        (False, "ua-1"),
        (False, "1.7"),
    )
    for own_fonts, standard in attempts:
        try:
            made: bytes = typst.compile(
                sources, ignore_system_fonts=own_fonts, pdf_standards=standard
            )
        except typst.TypstError as error:
            failure = str(error)
            continue
        return made
    raise FlopledgerError(f"typst could not set the report: {failure}")


def _document(document: Document) -> dict[str, Any]:
    return {
        "version": __version__,
        "kind": document.kind,
        "title": _breakable(document.title),
        "running": svg.cut(document.title, 70),
        "verdict": document.verdict or "",
        "mark": sentence(document.mark),
        "lead": _breakable(document.lead),
        "quote": _breakable(document.quote or ""),
        "cite": _breakable(document.cite or ""),
        "stats": [
            {"label": one.label, "value": one.value, "note": _breakable(one.note)}
            for one in document.stats
        ],
        "sections": [
            {"title": section.title, "blocks": [_block(block) for block in section.blocks]}
            for section in document.sections
        ],
        "footer": document.footer,
    }


def _block(block: Block) -> dict[str, Any]:
    match block:
        case Paragraph():
            return {"kind": "paragraph", "role": block.role, "words": _words(block.words)}
        case Bullets():
            return {"kind": "bullets", "items": [_words(item) for item in block.items]}
        case Tree():
            return {"kind": "tree", "branches": _branches(block.branches)}
        case Table():
            return _table(block)
        case Pairs():
            rows = [{"name": name, "words": _words(value)} for name, value in block.rows]
            return {"kind": "pairs", "rows": rows}
        case Card():
            return {
                "kind": "card",
                "severity": block.severity,
                "code": block.code,
                "message": _breakable(block.message),
                "meaning": _words(block.meaning),
                "resolves": _words(block.resolves),
                "places": _breakable("; ".join(block.places)),
            }
        case Figure():
            return {
                "kind": "figure",
                "svg": svg.draw(block.chart, svg.PAPER, svg.PRINT_STYLE),
                "alt": f"{block.chart.title}. {block.chart.description}",
                "caption": _words(block.caption),
            }


def _branches(branches: tuple[Branch, ...]) -> list[dict[str, Any]]:
    return [
        {"words": _words(branch.words), "branches": _branches(branch.branches)}
        for branch in branches
    ]


def _table(table: Table) -> dict[str, Any]:
    return {
        "kind": "table",
        "titles": [column.title for column in table.columns],
        "widths": _widths(table),
        "heading": table.heading,
        "whole": _is_short(table),
        "rows": [
            {"cells": [_words(cell) for cell in row.cells], "total": row.total}
            for row in table.rows
        ],
    }


def _is_short(table: Table) -> bool:
    """Say whether a table surely fits on a page, so that it can stay in one piece."""
    letters = sum(len(plain(cell)) for row in table.rows for cell in row.cells)
    return len(table.rows) <= _SHORT_ROWS and letters <= _SHORT_LETTERS


def _widths(table: Table) -> list[float]:
    """Share the width by what the columns hold; less than in proportion, or long ones take all."""
    found = []
    for at, column in enumerate(table.columns):
        longest = max((len(plain(row.cells[at])) for row in table.rows), default=0)
        word = max((len(word) for word in column.title.split()), default=1)
        found.append(float(max(min(longest, 90), word, 5)) ** 0.65)
    return found


def _words(text: Words) -> list[dict[str, str]]:
    kinds: dict[type, str] = {str: "text", Code: "code", Strong: "strong"}
    return [
        {
            "kind": kinds[type(piece)],
            "text": _breakable(piece if isinstance(piece, str) else piece.text),
        }
        for piece in text
    ]


def _breakable(text: str) -> str:
    """Let long words (paths, digests) break: after a sign, or where nothing better is found."""
    return " ".join(_pieces(word) if len(word) > _LONGEST else word for word in text.split(" "))


def _pieces(word: str) -> str:
    parts, run = [], 0
    for letter in word:
        parts.append(letter)
        run += 1
        if run >= _LONGEST or (letter in "/_.:,;-=&?" and run > 3):
            parts.append(_BREAK)
            run = 0
    return "".join(parts)
