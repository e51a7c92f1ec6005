"""A text's lines as people see them: tables of HTML and LaTeX as rows between bars, scripts left out.

Each line keeps the number that it has in the file; one line of HTML may hold several of a page's.
"""

import re
from collections.abc import Iterator

_UNSEEN = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)", re.I | re.S)
_ROW = re.compile(r"<tr\b[^<>]{0,300}>(?:(?!</?tr\b).){0,4000}</tr\s*>", re.I | re.S)
_CELL = re.compile(r"<t[dh]\b[^<>]{0,300}>", re.I)
_TAG = re.compile(r"<[^<>]{0,300}>")
_BLOCK_END = re.compile(
    r"</(?:p|div|li|h[1-6]|tr|table|section|title|dd|dt)\s*>|<br\s*/?>|<hr\s*/?>", re.I
)
_LATEX_ROW = re.compile(r"(?<!\\)&.{0,600}\\\\\s*(?:\\hline|\\midrule|\\bottomrule)?\s*$")
_LATEX_CELL = re.compile(r"(?<!\\)&")
_LATEX_COMMENT = re.compile(r"(?<!\\)%.*")


def lines(text: str, *, is_latex: bool = False) -> Iterator[tuple[int, str]]:
    """Give (line number, text), with rows of tables as ``| cell | cell |``."""
    if "<" in text:
        text = _UNSEEN.sub(_blank, text)
        text = _ROW.sub(_flat, text)
    for number, raw in enumerate(text.splitlines(), start=1):
        if is_latex:
            yield number, _latex(raw)
        elif "<" in raw:
            for piece in _BLOCK_END.split(raw):
                if _TAG.sub("", piece).strip():  # between two rows of a table stands nothing
                    yield number, piece
        else:
            yield number, raw


def _blank(match: re.Match[str]) -> str:
    return "\n" * match[0].count("\n")


def _flat(match: re.Match[str]) -> str:
    """Write a row in one line; the lines after it keep their numbers."""
    row = " ".join(match[0].split("\n"))
    row = row[: row.lower().rfind("</tr")]
    cells = [cell.replace("|", " ") for cell in _CELL.split(row)[1:]]
    return (
        "<br>" + "".join(f"| {cell} " for cell in cells) + "|<br>" + "\n<br>" * match[0].count("\n")
    )


def _latex(raw: str) -> str:
    raw = _LATEX_COMMENT.sub("", raw)
    if _LATEX_ROW.search(raw) is None:
        return raw
    cells = _LATEX_CELL.split(raw[: raw.rindex("\\\\")])
    return "".join(f"| {cell.strip().replace('|', ' ')} " for cell in cells) + "|"
