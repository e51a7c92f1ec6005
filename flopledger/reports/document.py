"""What a report says, apart from how it looks.

A report is decided once, as a `Document` of sections and blocks; the page, the PDF and the Markdown
are three ways to set the same blocks in the same order. Words from the case or its evidence are
plain strings everywhere: each renderer escapes them for its own language.
"""

import re
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

from flopledger import unseen
from flopledger.reports.charts import Chart, TimeChart


@dataclass(frozen=True, slots=True)
class Code:
    """A word that is typed or copied: a code, a path, a digest."""

    text: str


@dataclass(frozen=True, slots=True)
class Strong:
    """A word that is stressed."""

    text: str


Inline = str | Code | Strong
Words = tuple[Inline, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Paragraph:
    """A few sentences, or a heading inside a section."""

    words: Words
    role: Literal["plain", "note", "heading"] = "plain"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bullets:
    """A list without order."""

    items: tuple[Words, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Branch:
    """One point of a tree, with what hangs on it."""

    words: Words
    branches: tuple["Branch", ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """Lists within lists; ``caption`` is for readers who do not see it."""

    caption: str
    branches: tuple[Branch, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column: figures keep their digits under one another, long words may break anywhere."""

    title: str
    kind: Literal["text", "figure", "long"] = "text"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row of a table; a total is set apart."""

    cells: tuple[Words, ...]
    total: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows under columns; ``heading`` is the column that names its row."""

    caption: str  #: what the table holds, for readers who do not see it
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    heading: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """Names with their values."""

    rows: tuple[tuple[str, Words], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A drawing with its caption; ``key`` is unique in the document."""

    key: str
    chart: Chart | TimeChart
    caption: Words


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """A finding: what was found, where, what its code means and what would resolve it."""

    severity: Literal["info", "warning", "error"]
    code: str
    message: str
    places: tuple[str, ...]
    meaning: Words  #: empty where an earlier card of the same code says it
    resolves: Words


Block = Paragraph | Bullets | Tree | Table | Pairs | Figure | Card


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A heading with its blocks; ``key`` is unique in the document."""

    key: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stat:
    """One figure of the headline."""

    label: str
    value: str
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """The whole: a headline and sections."""

    kind: str  #: what sort of document this is
    title: str
    verdict: str | None  #: its key, for the colour; ``None`` in documents that judge nothing
    mark: str  #: the verdict in words
    lead: str
    quote: str | None
    cite: str | None
    stats: tuple[Stat, ...]
    sections: tuple[Section, ...]
    footer: str


def words(text: str) -> Words:
    """Read a sentence of our own, in which `backticks` set code. Never for words of a case."""
    pieces = re.split(r"`([^`]*)`", text)
    return tuple(Code(piece) if place % 2 else piece for place, piece in enumerate(pieces) if piece)


def plain(text: Words) -> str:
    """Drop the setting and keep the words."""
    return "".join(piece if isinstance(piece, str) else piece.text for piece in text)


def sentence(text: str) -> str:
    """Begin with a capital, unless the first word is a name: of a file, a code, a regime."""
    first = text.split(" ", 1)[0].rstrip(",;")  # what stands before a colon is a name: "cpu: ..."
    return f"{text[:1].upper()}{text[1:]}" if first.isalpha() else text


def row(*cells: str | Inline | Words, total: bool = False) -> Row:
    """Make a row of single words."""
    return Row(
        cells=tuple(cell if isinstance(cell, tuple) else (cell,) for cell in cells), total=total
    )


def columns(*titles: str) -> tuple[Column, ...]:
    """Make columns of titles: ``#`` before a title says figures, ``~`` long words."""
    kinds: dict[str, Literal["figure", "long"]] = {"#": "figure", "~": "long"}
    return tuple(
        Column(title=title[1:], kind=kinds[title[0]]) if title[:1] in kinds else Column(title=title)
        for title in titles
    )


def visible(value: Any) -> Any:
    """Give the same value with every string of it as :func:`flopledger.unseen.visible` writes it."""
    if isinstance(value, str):
        return unseen.visible(value)
    if isinstance(value, tuple):
        return tuple(visible(one) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {
            field.name: made
            for field in fields(value)
            if (made := visible(old := getattr(value, field.name))) is not old
        }
        return replace(value, **changed) if changed else value
    return value
