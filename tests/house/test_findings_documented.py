"""Every finding that the code can give stands in docs/findings.md, once, and no other."""

import re
from collections import Counter
from pathlib import Path

#: A code of several words.
_CODE = r"""["']([a-z][a-z0-9]*(?:-[a-z0-9]+)+)["']"""
#: Where a code is written.
_WRITTEN = (
    # As a keyword, or as the first word handed to a helper of that name; a CSS class is none.
    r"(?:code\s*=\s*|(?<!classList\.)"
    r"\b(?:finding|note|_note|_finding|add|tell|_without|warn|info|error|contradict\w*)\(\s*)"
    + _CODE,
    # In a table: figure -> (fact, code).
    r":\s*\(\s*[\"']\w+[\"'],\s*" + _CODE + r"\s*\)",
    # In a table: figure -> code.
    r":\s*[\"']([a-z]+(?:-[a-z]+)*-(?:mismatch|conflict|disagreement))[\"']",
    # In a table: code -> (severity, message).
    r"[\"']([a-z][a-z0-9-]*)[\"']:\s*\([\"'](?:info|warning|error)[\"']",
    # The only codes of one word outside that table; and the causes of a cross-check.
    r"code\s*=\s*[\"'](unsealed)[\"']",
    r"(?:_failed\(\s*[\"'][\w-]+[\"'],|_cause\()\s*[\"']([a-z-]+)[\"']",
)
_SOURCES = ("flopcount", "profilers", "hardware_db", "flopledger")


def _documented(root: Path) -> list[str]:
    return re.findall(r"^\| `([a-z0-9-]+)` \|", (root / "docs/findings.md").read_text(), re.M)


def _sources(root: Path) -> list[str]:
    return [
        path.read_text() for package in _SOURCES for path in sorted((root / package).rglob("*.py"))
    ]


def test_every_code_is_documented(root: Path) -> None:
    sources = _sources(root)
    by_place = [{code for text in sources for code in re.findall(p, text)} for p in _WRITTEN]
    assert all(by_place), "a pattern finds nothing any more: the code is written otherwise now"
    used = set().union(*by_place)
    assert len(used) > 20
    assert sorted(used - set(_documented(root))) == []


def test_every_documented_code_is_given(root: Path) -> None:
    written = {
        word for text in _sources(root) for word in re.findall(r"[\"']([a-z][a-z0-9-]*)[\"']", text)
    }
    assert sorted(set(_documented(root)) - written) == []


def test_no_code_is_documented_twice(root: Path) -> None:
    assert [code for code, times in Counter(_documented(root)).items() if times > 1] == []
