"""What each finding's code means and what would resolve it: the words of ``docs/findings.md``.

The page is part of the package, so that users, reports and tests read the same sentence. It holds
tables of three columns: code, meaning, what resolves it.
"""

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from flopledger.reports.document import Words, words

_ROW = re.compile(r"^\| `(?P<code>[a-z0-9-]+)` \| (?P<meaning>.+?) \| (?P<resolves>.+?) \|$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """One row of the page."""

    meaning: Words
    resolves: Words


def explain(code: str) -> Explanation | None:
    """Look ``code`` up; ``None`` for a code that the page does not know (yet)."""
    return _page().get(code)


@cache
def _page() -> dict[str, Explanation]:
    text = (files("flopledger.reports") / "findings.md").read_text("utf-8")
    found = {}
    for line in text.splitlines():
        match = _ROW.match(line.replace("\\|", "\N{FULLWIDTH VERTICAL LINE}"))
        if match is not None:
            found[match["code"]] = Explanation(
                meaning=_words(match["meaning"]), resolves=_words(match["resolves"])
            )
    return found


def _words(cell: str) -> Words:
    # Links are for the page; a report stands alone.
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", cell)
    return words(text.replace("\N{FULLWIDTH VERTICAL LINE}", "|"))
