"""What a document's verb is asked to write: forms, each with its file, or one on the terminal."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: The form of a file, where no ``--format`` says it.
BY_SUFFIX = {
    ".html": "html", ".htm": "html", ".pdf": "pdf", ".md": "markdown", ".csv": "csv",
    ".json": "json", ".jsonld": "spdx",
}  # fmt: skip
BINARY = frozenset({"html", "pdf"})
"""Forms that nobody reads on a terminal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One thing to write.

    Attributes:
        form: Its name, as of ``--format``.
        path: The file; None is standard output.
        option: The option that named it.

    """

    form: str
    path: Path | None
    option: str = "--out"


def targets(
    form: str | None, outs: list[Path], pages: Mapping[str, Path | None], *, as_json: bool
) -> list[Target]:
    """Decide what is written from the options, the terminal's last; nothing where none was given.

    Args:
        form: Of ``--format``: what each of ``outs`` is, or the terminal where there are none.
        outs: The files of ``--out``; without a form their suffixes say what they are.
        pages: The file of each form that has an option of its own.
        as_json: ``--json``: JSON into the files of that suffix, else on the terminal.

    Raises:
        FlopledgerError: Two options contradict each other, or two forms go to one file.

    """
    from flopledger.errors import FlopledgerError

    if as_json and form not in {None, "json"}:
        raise FlopledgerError(f"--json and --format {form}: give one of them")
    found = [
        Target(form=name, path=path, option=f"--{name}")
        for name, path in pages.items()
        if path is not None
    ]
    found += [Target(form=form or _by_suffix(path), path=path) for path in outs]
    printed = "json" if as_json else form
    if printed is not None and all(one.form != printed for one in found):
        found.append(Target(form=printed, path=None))
    files = [one.path.resolve() for one in found if one.path is not None]
    for one, file in zip(found, files, strict=False):
        if files.count(file) > 1:
            raise FlopledgerError(
                f"{one.option} {one.path}: another output has this name; change it"
            )
    return found


def check(found: list[Target], suffixes: Mapping[str, tuple[str, ...]], unknown: str) -> None:
    """Refuse what cannot be written before the work, not after it.

    Args:
        found: What is asked for.
        suffixes: Of each form that there is.
        unknown: What is said of another one.

    """
    from flopledger.commands._audited import check_target
    from flopledger.errors import FlopledgerError

    for one in found:
        if one.form not in suffixes:
            asked = f"--format {one.form}" if one.path is None else f"{one.option} {one.path}"
            raise FlopledgerError(f"{asked}: {unknown} {', '.join(suffixes)}")
        if one.path is None and one.form in BINARY:
            raise FlopledgerError(f"--format {one.form} needs --out FILE{suffixes[one.form][0]}")
        if one.path is not None and not (one.option == "--csv" and one.path.is_dir()):
            check_target(one.path, one.option, suffixes[one.form])


def _by_suffix(path: Path) -> str:
    from flopledger.errors import FlopledgerError

    suffix = path.suffix.lower()
    if suffix not in BY_SUFFIX:
        raise FlopledgerError(f"--out {path}: {SAY}")
    return BY_SUFFIX[suffix]


SAY = "say what to write: --format NAME, or --out FILE that ends in .html, .pdf, .md, .csv or .json"
