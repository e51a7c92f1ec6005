"""Every finding that the code can give stands in docs/findings.md."""

import re
from pathlib import Path

#: Where a code is written: as a keyword, or as the first word handed to a helper of that name.
_WRITTEN = re.compile(
    r"""(?:code\s*=\s*|(?:finding|note|_note|_finding|add|warn|info|error|contradict\w*)\(\s*)
        ["']([a-z][a-z0-9]*(?:-[a-z0-9]+)+)["']""",
    re.VERBOSE,
)
_SOURCES = ("flopcount", "profilers", "hardware_db", "flopledger")


def test_every_code_is_documented(root: Path) -> None:
    documented = set(
        re.findall(r"^\| `([a-z0-9-]+)`", (root / "docs/findings.md").read_text(), re.M)
    )
    used = {
        code
        for package in _SOURCES
        for path in (root / package).rglob("*.py")
        for code in _WRITTEN.findall(path.read_text())
    }
    assert len(used) > 20
    assert sorted(used - documented) == []
