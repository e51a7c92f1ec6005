"""Numbers out of Python source that a log carries: read as text, never run, never parsed as code.

Only assignments of whole numbers and their products are understood (``batch_size : int = 8*64``);
anything else is left alone.
"""

import math
import re
from dataclasses import dataclass

_PRODUCT = r"\d{1,15}(?:\s{0,3}\*\s{0,3}\d{1,15}){0,6}"
_ASSIGNMENT = re.compile(
    rf"^(\s{{0,16}})([A-Za-z_]\w{{0,60}})\s{{0,6}}(?::\s{{0,6}}[\w.]{{1,30}}\s{{0,6}})?="
    rf"\s{{0,6}}({_PRODUCT})\s{{0,40}}(?:#\s{{0,4}}(.{{0,200}}))?,?\s*$"
)
_KEYWORD = re.compile(
    rf"\b([A-Za-z_]\w{{0,60}})\s{{0,3}}=\s{{0,3}}({_PRODUCT}|[A-Za-z_][\w.]{{0,60}})"
)
#: A call that makes the model spans a few lines at most.
_CALL_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class Assigned:
    """A number that the source gives a name."""

    value: int
    line: int
    comment: str


def product(text: str) -> int | None:
    """Multiply ``"64*1024"`` out."""
    if re.fullmatch(_PRODUCT, text.strip()) is None:
        return None
    return math.prod(int(factor) for factor in text.split("*"))


class SourceText:
    """The source part of a log, line by line."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []
        self._assigned: dict[str, Assigned] = {}

    def take(self, number: int, text: str) -> None:
        """Take one line in."""
        self.lines.append((number, text))
        match = _ASSIGNMENT.match(text)
        if match is not None and (value := product(match[3])) is not None:
            self._assigned.setdefault(match[2], Assigned(value, number, match[4] or ""))

    def number(self, *names: str) -> Assigned | None:
        """Give the first of ``names`` that the source assigns a number."""
        return next((self._assigned[name] for name in names if name in self._assigned), None)

    def has(self, *words: str) -> int | None:
        """Give the line of the first that holds any of ``words``."""
        return next(
            (number for number, text in self.lines if any(word in text for word in words)), None
        )

    def call(self, pattern: str) -> tuple[dict[str, int], int] | None:
        """Give the whole-number keywords of the last call that ``pattern`` begins.

        Keywords that name a variable are looked up among the assignments. The last call counts:
        classes come first in such a file, the model is made below them.
        """
        begin = re.compile(pattern)
        for index in range(len(self.lines) - 1, -1, -1):
            match = begin.search(self.lines[index][1])
            if match is None:
                continue
            text = self.lines[index][1][match.end() :]
            text += "\n".join(line for _, line in self.lines[index + 1 : index + 12])
            keywords = self._keywords(_until_closed(text[:_CALL_CHARACTERS]))
            if keywords:
                return keywords, self.lines[index][0]
        return None

    def _keywords(self, text: str) -> dict[str, int]:
        found = {}
        for match in _KEYWORD.finditer(text):
            value = product(match[2])
            if value is None:
                named = self._assigned.get(match[2].split(".")[-1])
                value = named.value if named else None
            if value is not None:
                found[match[1]] = value
        return found


def _until_closed(text: str) -> str:
    """Cut an argument list at the bracket that closes it."""
    depth = 1
    for index, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            return text[:index]
    return text
