"""JSON from strangers: bounded in size and depth, no NaN, no key twice; and one way to write it.

Two readers of one document must never see two different things, so whatever JSON libraries read
differently is refused: repeated keys, NaN and Infinity, numbers beyond a double, lone surrogates.
"""

import json
import math
import re
from typing import Any

from flopledger.bundle.errors import BundleError
from flopledger.errors import NO_TEXT

MAX_BYTES = 16 << 20  #: an audit of ten thousand facts takes a few million
MAX_DEPTH = 64
MAX_DIGITS = 41  #: of an integer: FLOP totals stay below 1e40


def loads(data: bytes, *, what: str, max_bytes: int = MAX_BYTES) -> Any:
    """Read JSON of ``what`` (a name for messages), or raise ``BundleError``."""
    if len(data) > max_bytes:
        raise BundleError(f"{what}: {len(data):,} bytes of JSON; at most {max_bytes:,} are read")
    _check_depth(data, what)
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_int=_int,
            parse_float=_float,
        )
        if _SURROGATE.search(data):
            _check_text(value)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{what}: not strict JSON: {error}") from None
    return value


def dumps(value: Any) -> bytes:
    """Write ``value`` in the one form that bundles use: sorted keys, two spaces, a last newline."""
    try:
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        return (text + "\n").encode("utf-8")
    except UnicodeEncodeError:
        raise BundleError(NO_TEXT) from None
    except ValueError as error:
        raise BundleError(f"a figure or text that cannot be written as JSON: {error}") from None


def line(value: Any) -> bytes:
    """Write ``value`` on one line without spaces: what digests of single figures are taken over."""
    text = json.dumps(
        value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    return text.encode("utf-8")


def _check_depth(data: bytes, what: str) -> None:
    """Count brackets outside of strings before anything is parsed."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for byte in _STRING.sub(b"", data).translate(None, _NO_BRACKETS):
        depth += 1 if byte in b"[{" else -1
        if depth > MAX_DEPTH:
            raise BundleError(f"{what}: nested deeper than {MAX_DEPTH} levels")


_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def _check_text(value: Any) -> None:
    """Refuse halves of surrogate pairs: they are no text, and no file or digest can hold them."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("a lone surrogate, which is no text") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:80]!r} stands twice in one object")
    return found


def _int(text: str) -> int:
    if len(text.lstrip("-")) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits is beyond every figure")
    return int(text)


def _constant(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is beyond every figure")
    return value
