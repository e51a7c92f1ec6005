"""The pages agree with the house: links lead somewhere, and every command line that they show exists."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer

from flopledger.commands import app

_ROOT = Path(__file__).parents[2]
_PAGES = sorted(
    path
    for folder in ("docs", "design", "examples", "benchmarks")
    for path in (_ROOT / folder).rglob("*.md")
) + [_ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
_ROOMS = ("flopcount", "profilers", "hardware_db", "flopledger")
_OURS = (*_ROOMS, "benchmarks", "design", "docs", "examples", "tests")
#: What a shell does with what stands behind it is not ours.
_ENDS = {"|", "&&", ";", "#", ">", "||", "--"}


def _name(page: Path) -> str:
    return page.relative_to(_ROOT).as_posix()


@pytest.mark.parametrize("page", _PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_files_that_are_named_exist() -> None:
    """In pages and in the code itself: a path below one of our folders is a file or a folder of ours."""
    code = [path for room in _ROOMS for path in (_ROOT / room).rglob("*.py")]
    lost = {
        (_name(page), name)
        for page in (*_PAGES, *code)
        for name in _paths(page.read_text("utf-8"))
        if not any(_ROOT.glob(f"{name.rstrip('/')}*"))  # "design/107" is short for a note's name
    }
    assert lost == set()


def test_a_lost_file_is_seen() -> None:
    text = (
        "see `flopledger/gone.py`, ``tests/{a,b}/gone_{c,d}.py``, and docs/hardware.md. `x/y.py`\n"
    )
    assert _paths(text) == [
        "flopledger/gone.py", "tests/a/gone_c.py", "tests/a/gone_d.py", "tests/b/gone_c.py",
        "tests/b/gone_d.py", "docs/hardware.md",
    ]  # fmt: skip


def test_the_index_of_decisions_names_each_by_its_title() -> None:
    listed = re.findall(
        r"^- \[(\d{3})\]\((.+)\): (.+)$",
        (_ROOT / "design/README.md").read_text("utf-8"),
        re.MULTILINE,
    )
    notes = sorted((_ROOT / "design").glob("[0-9]*.md"))
    titles = [note.read_text("utf-8").splitlines()[0] for note in notes]
    assert sorted((name, f"# {number}: {title}") for number, name, title in listed) == [
        (note.name, title) for note, title in zip(notes, titles, strict=True)
    ]


def test_the_readme_leads_to_every_page() -> None:
    text = (_ROOT / "README.md").read_text("utf-8")
    pages = [_name(page) for page in _PAGES if page.is_relative_to(_ROOT / "docs")]
    assert [page for page in pages if f"({page})" not in text] == []


@pytest.mark.parametrize("page", _PAGES, ids=_name)
def test_command_lines_exist(page: Path) -> None:
    wrong = [
        line for line in _command_lines(page.read_text("utf-8")) if _fault(shlex.split(line, True))
    ]
    assert wrong == []


def test_the_reference_names_every_option() -> None:
    rows = re.findall(
        r"^\| (`.*`).* \|", (_ROOT / "docs/reference/command-line.md").read_text("utf-8"), re.M
    )
    for verb, options in _verbs().items():
        here = [row for row in rows if re.match(rf"`{verb}\b", row)]
        said = {flag for row in here for flag in re.findall(r"--[a-z][a-z-]+", row)}
        said |= {flag.replace("--no-", "--") for flag in said}
        if " " not in verb:
            real = {flag for flag in options if flag.startswith("--")}
            assert sorted(real - said - {f"--no-{flag[2:]}" for flag in real}) == [], verb
            assert sorted(said - real - {flag.replace("--no-", "--") for flag in real}) == [], verb


def test_a_wrong_command_line_is_seen() -> None:
    lines = _command_lines("```\n$ flopledger adit x\n```\nand `flopledger audit --htm F` or\n")
    assert [_fault(shlex.split(line)) for line in lines] == ["adit", "--htm"]


def _paths(text: str) -> list[str]:
    """Paths below our own folders, braces written out; what stands in another project's is not ours."""
    found = re.findall(rf"(?<![\w./-])(?:{'|'.join(_OURS)})/[\w./{{}},*-]+", text)
    named = [path for word in found for path in _written_out(word.rstrip(".,"))]
    # Names of schemas ("flopledger/audit/1") and the pattern of a note's name are no files.
    return [one for one in named if not re.fullmatch(r"flopledger/[\w-]+(/\d+)?|.*NNN.*", one)]


def _written_out(word: str) -> list[str]:
    """``a/{b,c}.py`` as the shell reads it."""
    before, brace, rest = word.partition("{")
    if not brace:
        return [word]
    inside, _, after = rest.partition("}")
    return [path for part in inside.split(",") for path in _written_out(before + part + after)]


def _command_lines(text: str) -> Iterator[str]:
    """Lines of code blocks, and code in sentences, that call flopledger with a verb."""
    text = text.replace("\\\n", " ")
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.M | re.S)
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    lines += re.findall(r"`([^`\n]+)`", prose)
    return (line for line in lines if re.match(r"flopledger [a-z]", line))


def _fault(words: list[str]) -> str | None:
    """The first word that the command line does not know: a verb or an option."""
    verbs = _verbs()
    name = " ".join(words[1:3])
    if name not in verbs:
        name = words[1].rstrip(",;:")
    if name not in verbs:
        return words[1]
    for word in words[2:]:
        if word in _ENDS:
            return None
        option = re.match(r"--[a-z][a-z-]*", word)
        if option and option[0] not in verbs[name] | {"--debug", "--help"}:
            return option[0]
    return None


@cache
def _verbs() -> dict[str, set[str]]:
    """Options of every verb; a verb of a group stands with its group's name."""
    found: dict[str, set[str]] = {}
    for name, command in typer.main.get_command(app).commands.items():
        inner = getattr(command, "commands", {})
        found[name] = set()
        for verb, leaf in inner.items() or {"": command}.items():
            options = {flag for one in leaf.params for flag in (*one.opts, *one.secondary_opts)}
            found[f"{name} {verb}".strip()] = options
            found[name] |= options
    return found


def test_every_schema_stands_beside_the_reference_and_is_named() -> None:
    text = "".join(page.read_text("utf-8") for page in (_ROOT / "docs").rglob("*.md"))
    schemas = [
        path for path in (_ROOT / "docs").rglob("*.json") if '"$schema"' in path.read_text("utf-8")
    ]
    assert {path.parent for path in schemas} == {_ROOT / "docs/reference"}
    assert [path.name for path in schemas if path.name not in text] == []
