"""Reading a config.json that somebody else wrote: bounded in size and depth, nothing executed."""

import importlib.util
import json
from pathlib import Path
from typing import Any

from flopcount.errors import FlopcountError

LARGEST_FILE = 16 * 2**20
"""Bytes. The largest published config.json has a few hundred kilobytes."""
DEEPEST = 40


class ConfigError(FlopcountError):
    """A model file that cannot be used: names the file, the key and the cure."""


class MissingLibraryError(ConfigError):
    """The library that knows the model's class is not installed."""


def need_libraries(source: object, *names: str) -> None:
    """Check that the libraries which read ``source`` are there.

    Raises:
        MissingLibraryError: one is not installed.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        msg = (
            f"{source}: {' and '.join(missing)} not installed, so the model cannot be built\n"
            "  pip install 'flopledger[trace]'"
        )
        raise MissingLibraryError(msg)


def find_config(path: Path) -> Path:
    """Return the config.json that ``path`` is or contains.

    Raises:
        ConfigError: there is none.
    """
    if path.is_dir():
        for name in ("config.json", "model_index.json"):
            if (path / name).is_file():
                return path / name
        msg = f"{path}: no config.json in this folder\n  give the file, or the folder that holds it"
        raise ConfigError(msg)
    if not path.is_file():
        msg = f"{path}: no such file\n  give a config.json or its folder"
        raise ConfigError(msg)
    return path


def read_json(path: Path) -> dict[str, Any]:
    """Parse one JSON object.

    Raises:
        ConfigError: the file is too large, not JSON, too deep, or no object, or names a key twice.
    """
    size = path.stat().st_size
    if size > LARGEST_FILE:
        msg = f"{path}: {size:,} bytes, more than any such file has ({LARGEST_FILE:,})"
        raise ConfigError(msg)
    try:
        value = json.loads(path.read_bytes(), object_pairs_hook=_each_key_once)
    except _KeyTwiceError as error:
        key, first, second = error.args
        msg = (
            f"{path}: the key {key!r} stands twice, with {first!s:.40} and {second!s:.40}\n"
            "  nobody can say which one is meant: take one out"
        )
        raise ConfigError(msg) from None
    except (ValueError, RecursionError) as error:
        # ValueError covers broken JSON, broken UTF-8 and integers of thousands of digits.
        msg = f"{path}: not readable as JSON: {str(error)[:120]}\n  expected a JSON object"
        raise ConfigError(msg) from None
    if not isinstance(value, dict):
        msg = f"{path}: a JSON {type(value).__name__}\n  expected an object of keys and values"
        raise ConfigError(msg)
    _check_depth(value, path)
    return value


class _KeyTwiceError(Exception):
    """A key with two values: the last one would win in silence."""


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and found[key] != value:
            raise _KeyTwiceError(key, found[key], value)
        found[key] = value
    return found


def _check_depth(value: object, path: Path) -> None:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    msg = f"{path}: nested deeper than {DEEPEST} levels\n  no model configuration is"
    raise ConfigError(msg)
