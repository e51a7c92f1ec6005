"""The part of YAML that programs write: tables and lists by indentation, plain and quoted scalars.

``kubectl -o yaml`` and its like need no more. Anchors, tags and merged keys are refused, not guessed at,
and a block of text is passed over: no fact stands in it. Scalars stay words; who wants a number reads one.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from flopledger.logs.evidence import EvidenceError

_DEPTH = 64
_LINES = 200_000
_KEY = re.compile(
    r"""("(?:[^"\\]|\\.){0,300}"|'[^']{0,300}'|[^\s#"'\[\]{}&*!|>%@`-][^#:]{0,300}?)"""
    r"""\s{0,9}:(?:\s+(.*))?$"""
)
_BLOCK = re.compile(r"[|>][+-]?\d?$")
_REFUSED = re.compile(r"[&*!]\S|<<\s*:")


@dataclass(slots=True)
class _Line:
    number: int
    indent: int
    text: str


def documents(text: str, name: str) -> list[Any]:
    """Read every document of a text; raises ``EvidenceError`` for what is no plain YAML."""
    found: list[Any] = []
    for part in _parts(text, name):
        if part:
            reader = _Reader(part, name)
            found.append(reader.value(part[0].indent, 0))
            reader.end()
    return found


def _parts(text: str, name: str) -> list[list[_Line]]:
    parts: list[list[_Line]] = [[]]
    lines = text.splitlines()
    if len(lines) > _LINES:
        raise EvidenceError(f"{name}: more than {_LINES:,} lines of YAML")
    for number, raw in enumerate(lines, start=1):
        bare = raw.rstrip()
        if bare == "---" or bare == "...":
            parts.append([])
        elif bare.lstrip() and not bare.lstrip().startswith("#"):
            parts[-1].append(_Line(number, len(bare) - len(bare.lstrip(" ")), bare.strip()))
    return parts


class _Reader:
    def __init__(self, lines: list[_Line], name: str) -> None:
        self.lines = lines
        self.name = name
        self.place = 0

    def end(self) -> None:
        if self.place < len(self.lines):
            raise self._wrong(self.lines[self.place])

    def _wrong(self, line: _Line) -> EvidenceError:
        return EvidenceError(
            f"{self.name}: line {line.number} is no plain YAML: {line.text[:60]!r}"
        )

    def _here(self, indent: int) -> _Line | None:
        if self.place >= len(self.lines):
            return None
        line = self.lines[self.place]
        if _REFUSED.match(line.text):
            raise self._wrong(line)
        return line if line.indent == indent else None

    def value(self, indent: int, depth: int) -> Any:
        if depth > _DEPTH:
            raise EvidenceError(f"{self.name}: YAML nested too deep")
        first = self._here(indent)
        if first is None:
            return None
        if first.text == "-" or first.text.startswith("- "):
            return self._list(indent, depth)
        return self._table(indent, depth)

    def _list(self, indent: int, depth: int) -> list[Any]:
        found: list[Any] = []
        while (line := self._here(indent)) is not None and re.match(r"-(?:\s|$)", line.text):
            rest = line.text[1:]
            inside = rest.lstrip()
            if not inside:
                self.place += 1
                found.append(self._below(indent, depth))
            elif _KEY.match(inside) or re.match(r"-\s", inside):
                # What follows the dash stands as if on a line of its own.
                line.indent = indent + 1 + len(rest) - len(inside)
                line.text = inside
                found.append(self.value(line.indent, depth + 1))
            else:
                self.place += 1
                found.append(_scalar(inside))
                self._skip_text(inside, indent)
        return found

    def _table(self, indent: int, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while (line := self._here(indent)) is not None:
            match = _KEY.match(line.text)
            if match is None:
                raise self._wrong(line)
            key, rest = _scalar(match[1]), (match[2] or "").strip()
            if key in found:
                raise EvidenceError(
                    f"{self.name}: line {line.number}: the key {key[:40]!r} stands twice"
                )
            self.place += 1
            if _REFUSED.match(rest):
                raise self._wrong(line)
            found[key] = _scalar(rest) if rest else self._below(indent, depth)
            self._skip_text(rest, indent)
        return found

    def _below(self, indent: int, depth: int) -> Any:
        """Give what stands further in; a list may stand as far out as its key."""
        if self.place >= len(self.lines):
            return None
        line = self.lines[self.place]
        is_list = line.text == "-" or line.text.startswith("- ")
        if line.indent > indent or (line.indent == indent and is_list):
            return self.value(line.indent, depth + 1)
        return None

    def _skip_text(self, rest: str, indent: int) -> None:
        """Pass over a block of text, and over the further lines of a long scalar."""
        if _BLOCK.fullmatch(rest) or rest:
            while self.place < len(self.lines) and self.lines[self.place].indent > indent:
                self.place += 1


def _scalar(text: str) -> str:
    """Give a scalar's words, without quotes and comment."""
    if text[:1] == '"':
        try:
            end = json.JSONDecoder().raw_decode(text)[0]
        except ValueError:
            return text
        return str(end)
    if text[:1] == "'":
        return text[1:].split("'", 1)[0]
    return re.split(r"\s+#", text, maxsplit=1)[0].strip()
