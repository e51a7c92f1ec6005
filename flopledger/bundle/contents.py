"""What a bundle of a case or of a run record holds, as names and the files behind them."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from flopledger.bundle import archive, names
from flopledger.bundle.errors import BundleError
from flopledger.bundle.statement import CASE, RECORD
from flopledger.cases.amendments import ledger_of

if TYPE_CHECKING:
    from flopledger.cases.case import AuditCase


def of_case(case: "AuditCase") -> dict[str, Path]:
    """List the case file and everything it names, under ``case/`` as it lies in its folder."""
    if not case.path.is_file():
        raise BundleError(
            f"{case.name}: a case made of options has no file to seal; write one with "
            "`flopledger case new`"
        )
    found = {CASE + case.path.name: case.path}
    for key, model in case.spec.model.items():
        if model.config is not None:
            _put(found, model.config, case.file(model.config, key=f"model.{key}.config"))
    for index in range(len(case.spec.run)):
        for name, path in case.evidence(index):
            _put(found, name, path)
    ledger = ledger_of(case.path)
    if ledger.is_file():
        found[CASE + ledger.name] = ledger
    return found


def of_record(run_dir: Path) -> dict[str, Path]:
    """List every file of a run's folder under ``record/``."""
    return {RECORD + name: path for name, path in _walk(run_dir)}


def _put(found: dict[str, Path], name: str, path: Path) -> None:
    plain = _plain(name)
    if not path.is_dir():
        found[CASE + plain] = path
        return
    for below, file in _walk(path):
        found[CASE + (f"{plain}/{below}" if plain else below)] = file


def _plain(name: str) -> str:
    """Write a case's path in its shortest form; paths that leave the folder cannot be sealed."""
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if name.startswith("/") or ".." in parts:
        raise BundleError(
            f"{name!r}: lies outside the case's folder, so it has no place in a bundle; "
            "copy the file in"
        )
    plain = "/".join(parts)
    if plain:
        names.check(plain)
    return plain


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """Give the regular files below ``folder``; links that lead out of it are refused."""
    root = folder.resolve()
    for count, path in enumerate(sorted(root.rglob("*"))):
        if count > 4 * archive.MAX_FILES:
            raise BundleError(f"{folder}: too many files; a bundle holds {archive.MAX_FILES:,}")
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise BundleError(f"{path}: a link that leads out of {folder}; copy the file in")
        if path.is_file():
            yield path.relative_to(root).as_posix(), path
        elif not path.is_dir():
            raise BundleError(f"{path}: a device, pipe or socket; only files can be evidence")
