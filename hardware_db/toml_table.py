"""Reading a TOML table strictly: every mistake is reported with its file and key."""

from __future__ import annotations

import math
import re
import tomllib
from typing import TYPE_CHECKING, Any, TypeVar

from hardware_db.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

_Value = TypeVar("_Value")
MAX_BYTES = 1_000_000
_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?")


def read_toml(path: Path) -> Table:
    """Parse one file; raises DataError for what is unreadable, too large or not TOML."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(f"{path}: {size} bytes; a hardware file has at most {MAX_BYTES}")
        return Table(tomllib.loads(path.read_bytes().decode("utf-8")), str(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except ValueError as error:  # a number of thousands of digits, too
        raise DataError(f"{path}: not valid TOML: {error}") from None
    except RecursionError:
        raise DataError(f"{path}: nested too deeply to be a hardware file") from None


class Table:
    """A TOML table whose keys are taken one by one; :meth:`finish` refuses what is left over."""

    def __init__(self, values: dict[str, Any], where: str) -> None:
        self._values = dict(values)
        self._where = where

    def error(self, key: str, problem: str) -> DataError:
        """The error for a key of this table."""
        return DataError(f"{self._where}: {key}: {problem}")

    def has(self, key: str) -> bool:
        """Whether the key is still there to be taken."""
        return key in self._values

    def names(self) -> tuple[str, ...]:
        """The keys not taken yet."""
        return tuple(self._values)

    def _take(self, key: str, kind: type | tuple[type, ...], kind_name: str) -> Any:
        value = self._values.pop(key, None)
        if value is None:
            return None
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(key, f"expected {kind_name}, found {value!r:.60}")
        return value

    def text(self, key: str, *, pattern: str | None = None) -> str | None:
        """A string of printable characters, or None where the key is absent."""
        value: str | None = self._take(key, str, "a string")
        if value is None:
            return None
        if not value.strip() or len(value) > 2000 or not value.replace("\n", " ").isprintable():
            raise self.error(key, f"expected printable text, found {value!r:.60}")
        if pattern is not None and not re.fullmatch(pattern, value):
            raise self.error(key, f"{value!r:.60} does not look right; it must match {pattern}")
        return value

    def need_text(self, key: str, *, pattern: str | None = None) -> str:
        """A string that must be there."""
        return self._needed(key, self.text(key, pattern=pattern))

    def date(self, key: str) -> str | None:
        """YYYY, YYYY-MM or YYYY-MM-DD."""
        value = self.text(key)
        if value is not None and not _DATE.fullmatch(value):
            raise self.error(key, f"expected YYYY-MM or YYYY-MM-DD, found {value!r}")
        return value

    def choice(self, key: str, options: tuple[str, ...], default: str | None = None) -> str:
        """One of a few words."""
        value = self._needed(key, self.text(key) or default)
        if value not in options:
            raise self.error(key, f"expected one of {', '.join(options)}; found {value!r:.60}")
        return value

    def number(self, key: str) -> float | None:
        """A positive finite number, or None where the key is absent."""
        value = self._take(key, (int, float), "a number")
        if value is None:
            return None
        if not (math.isfinite(value) and 0 < value < 1e15):
            raise self.error(key, f"expected a positive number, found {value!r}")
        return float(value)

    def need_number(self, key: str) -> float:
        """A number that must be there."""
        return self._needed(key, self.number(key))

    def integer(self, key: str) -> int | None:
        """A positive integer, or None where the key is absent."""
        value = self._take(key, int, "an integer")
        if value is None:
            return None
        if not 0 < value < 10**9:
            raise self.error(key, f"expected a positive integer, found {value!r}")
        return int(value)

    def count(self, key: str) -> str:
        """A positive whole number, or a fraction of one written "1/6"; returned as text."""
        value = self._take(key, (int, str), 'a number or a fraction such as "1/6"')
        if not re.fullmatch(r"[1-9]\d{0,3}(/[1-9]\d{0,3})?", str(value)):
            raise self.error(key, f"expected a count or a fraction, found {value!r:.60}")
        return str(value)

    def flag(self, key: str) -> bool:
        """A boolean; False where the key is absent."""
        return bool(self._take(key, bool, "true or false"))

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; empty where the key is absent."""
        values = self._take(key, list, "a list of strings") or []
        for value in values:
            if not isinstance(value, str) or not value.strip() or len(value) > 500:
                raise self.error(key, f"expected a list of strings, found {value!r:.60} in it")
        return tuple(values)

    def table(self, key: str) -> Table:
        """A nested table; an empty one where the key is absent."""
        values = self._take(key, dict, "a table") or {}
        return Table(values, f"{self._where}: {key}")

    def tables(self, key: str) -> list[Table]:
        """A list of tables; empty where the key is absent."""
        values = self._take(key, list, "a list of tables") or []
        for value in values:
            if not isinstance(value, dict):
                raise self.error(key, f"expected a list of tables, found {value!r:.60} in it")
        return [Table(v, f"{self._where}: {key}[{i}]") for i, v in enumerate(values)]

    def pairs(self, key: str) -> tuple[tuple[str, ...], ...]:
        """A list of lists of strings; empty where the key is absent."""
        values = self._take(key, list, "a list of lists") or []
        for value in values:
            if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
                raise self.error(key, f"expected lists of strings, found {value!r:.60} in it")
        return tuple(tuple(value) for value in values)

    def finish(self) -> None:
        """Refuse keys that nobody asked for: a misspelt key must not be silently ignored."""
        if self._values:
            key = next(iter(self._values))
            raise self.error(key, "unknown key; see docs/hardware.md for the keys of a part")

    def _needed(self, key: str, value: _Value | None) -> _Value:
        if value is None:
            raise self.error(key, "missing")
        return value
