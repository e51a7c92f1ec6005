"""Counts that this machine made before, kept on disk: the same question is answered at once.

Most of the time of a count goes into loading torch and the model's library. An audit, a report and
a table ask about the same configuration again and again, so the answer of a trace is kept. It is
found again only when nothing that could change it has changed: the file's bytes and its path, every
size asked for, the source of this package, the versions of Python and of the libraries.

The store is a folder of the user's own (``FLOPLEDGER_CACHE``, else the system's place for such
folders); ``FLOPLEDGER_CACHE=off`` keeps nothing. Files are JSON, bounded and checked field by
field; one that does not fit is as good as absent. A store that cannot be written is no error.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
import tempfile
import types
import typing
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

FORMAT = 1
MOST_FILES = 256
LARGEST = 256 * 2**20
"""Bytes of one unpacked answer."""
LIBRARIES = ("torch", "transformers", "diffusers")
NOTE = "remembered from an earlier count with the same program and libraries; --fresh counts again"
T = TypeVar("T")


def recall(kind: type[T], file: Path, content: bytes, question: Mapping[str, Any]) -> T | None:
    """The answer that was kept for this question, or None."""
    folder = _folder()
    if folder is None:
        return None
    path = folder / _name(kind, file, content, question)
    try:
        if path.is_symlink() or not _is_ours(path):
            return None
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(path.read_bytes(), LARGEST)
        if not unpacker.eof:
            return None
        answer = _read(kind, json.loads(text), _names())
        os.utime(path)
    except (OSError, ValueError, TypeError, KeyError, zlib.error, RecursionError):
        return None
    return typing.cast("T", answer)


def remember(answer: Any, file: Path, content: bytes, question: Mapping[str, Any]) -> None:
    """Keep an answer; where that is impossible nothing is kept."""
    folder = _folder()
    if folder is None:
        return
    text = json.dumps(dataclasses.asdict(answer), default=str, separators=(",", ":"))
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours(folder):
            return
        handle, draft = tempfile.mkstemp(dir=folder, prefix=".draft-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(zlib.compress(text.encode(), 1))
            Path(draft).replace(folder / _name(type(answer), file, content, question))
        except OSError:
            Path(draft).unlink(missing_ok=True)
        _forget_oldest(folder)


def _folder() -> Path | None:
    """Where counts are kept; None when the user wants none."""
    stated = os.environ.get("FLOPLEDGER_CACHE")
    if stated is not None:
        return None if stated.lower() in ("", "off", "0", "no", "false") else Path(stated)
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "flopledger" / "counts"
    except RuntimeError:  # a user without a home
        return None


def _is_ours(path: Path) -> bool:
    """Whether nobody else could have written there."""
    if not hasattr(os, "geteuid"):
        return path.exists()
    status = path.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _forget_oldest(folder: Path) -> None:
    files = sorted(folder.glob("*.count"), key=lambda path: path.stat().st_mtime)
    for path in files[:-MOST_FILES]:
        path.unlink(missing_ok=True)


def _name(kind: type, file: Path, content: bytes, question: Mapping[str, Any]) -> str:
    """A file name that no other question, program or library shares."""
    everything = {
        "format": FORMAT,
        "kind": kind.__qualname__,
        "path": str(file),
        "content": hashlib.sha256(content).hexdigest(),
        "question": {key: question[key] for key in sorted(question)},
        "program": _program(),
        "python": sys.version,
        "libraries": {name: _version(name) for name in LIBRARIES},
    }
    text = json.dumps(everything, sort_keys=True, default=str)
    return f"{hashlib.sha256(text.encode()).hexdigest()}.count"


@cache
def _program() -> str:
    """A digest of flopcount's own source: a changed formula asks anew."""
    digest = hashlib.sha256()
    home = Path(__file__).parent.parent
    for path in sorted(home.rglob("*.py")):
        digest.update(f"{path.relative_to(home)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def _names() -> dict[str, Any]:
    """Names that the value classes use in their annotations and import for type checkers only."""
    names: dict[str, Any] = {"Path": Path, "Mapping": Mapping}
    for module in ("closed_form", "count", "findings", "model_files.parameters"):
        found = vars(import_module(f"flopcount.{module}"))
        names |= {key: value for key, value in found.items() if isinstance(value, type)}
    return names


@cache
def _fields(kind: type) -> dict[str, Any]:
    # The class's own module goes first: two modules may share a name (``Term``, ``Parameters``).
    return typing.get_type_hints(kind, localns=_names() | vars(sys.modules[kind.__module__]))


def _read(kind: Any, value: Any, names: dict[str, Any]) -> Any:
    """``value`` as an instance of an annotation.

    Raises:
        TypeError: it is none.

    """
    if dataclasses.is_dataclass(kind):
        hints = _fields(typing.cast("type", kind))
        if not isinstance(value, dict) or set(value) != set(hints):
            raise TypeError(kind)
        return typing.cast("Any", kind)(
            **{key: _read(hint, value[key], names) for key, hint in hints.items()}
        )
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (inner,) = [item for item in arguments if item is not type(None)]
        return _read(inner, value, names)
    if origin is tuple and isinstance(value, list):
        if arguments[-1] is Ellipsis:
            return tuple(_read(arguments[0], item, names) for item in value)
        return tuple(_read(a, item, names) for a, item in zip(arguments, value, strict=True))
    if origin is typing.Literal and value in arguments:
        return value
    if kind is Path and isinstance(value, str):
        return Path(value)
    if origin in (dict, Mapping) and isinstance(value, dict):
        return {str(key): _read(arguments[1], item, names) for key, item in value.items()}
    if isinstance(kind, type) and type(value) is kind:
        return value
    raise TypeError(kind)


def remembering(
    kind: type[T], file: Path, question: Mapping[str, Any], compute: Callable[[], T]
) -> tuple[T, bool]:
    """The kept answer, or a new one that is then kept; and whether it was remembered."""
    content = file.read_bytes()
    found = recall(kind, file, content, question)
    if found is not None:
        return found, True
    answer = compute()
    remember(answer, file, content, question)
    return answer, False
