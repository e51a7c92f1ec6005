"""Paths that a case may name: relative, regular, and inside the case's folder.

The case comes from the audited party as often as from the auditor, so a path is resolved through
its links before it is judged, and devices, pipes and sockets are never opened.
"""

from itertools import islice
from pathlib import Path, PurePosixPath

from flopledger.errors import CaseError

MAX_MATCHES = 10_000  #: files that one pattern may name
MAX_FOLDERS = 64  #: that one pattern may go through
_WILDCARDS = "*?["


def inside(folder: Path, name: str, *, where: str, allow_outside: bool = False) -> Path:
    """Resolve ``name`` against ``folder``; a regular file or a folder, or ``CaseError``."""
    if not name or "\0" in name:
        raise CaseError(f"{where}: an empty or broken path")
    if not allow_outside and (PurePosixPath(name).is_absolute() or Path(name).is_absolute()):
        raise CaseError(f"{where}: {name!r} is absolute; paths are relative to the case's folder")
    root = folder.resolve()
    try:
        path = (root / name).resolve(strict=True)
    except FileNotFoundError:
        raise CaseError(f"{where}: no such file: {name!r} (looked in {folder})") from None
    except (OSError, RuntimeError) as error:
        raise CaseError(f"{where}: {name!r} cannot be reached: {error}") from None
    if not allow_outside and not path.is_relative_to(root):
        raise CaseError(
            f"{where}: {name!r} leads outside the case's folder; "
            "copy the file in, or pass --allow-outside"
        )
    if not (path.is_file() or path.is_dir()):
        raise CaseError(
            f"{where}: {name!r} is a device, pipe or socket; only files can be evidence"
        )
    return path


def matching(
    folder: Path, pattern: str, *, where: str, allow_outside: bool = False
) -> dict[str, Path]:
    """List what ``pattern`` names, sorted by name; a pattern that matches nothing is an error."""
    if not any(letter in pattern for letter in _WILDCARDS):
        return {pattern: inside(folder, pattern, where=where, allow_outside=allow_outside)}
    if PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
        raise CaseError(f"{where}: {pattern!r}: a pattern stays inside the case's folder")
    if len(PurePosixPath(pattern).parts) > MAX_FOLDERS:
        raise CaseError(f"{where}: a pattern goes through at most {MAX_FOLDERS} folders")
    found: dict[str, Path] = {}
    root = folder.resolve()
    try:
        paths = sorted(islice(root.glob(pattern), MAX_MATCHES + 1))
        if len(paths) > MAX_MATCHES:
            raise CaseError(f"{where}: {pattern!r} names more than {MAX_MATCHES} files")
        for path in paths:
            name = path.relative_to(root).as_posix()
            found[name] = inside(folder, name, where=where, allow_outside=allow_outside)
    except ValueError as error:
        raise CaseError(f"{where}: {pattern!r}: {error}") from None
    if not found:
        raise CaseError(f"{where}: no file matches {pattern!r} (looked in {folder})")
    return found
