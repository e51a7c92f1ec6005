"""The last look before a redacted bundle leaves: is anything withheld to be found in its bytes?

Words are searched as they are and as JSON, HTML and TOML escape them, without regard to case.
Numbers are searched as numbers: every figure in the text is read, whatever its notation (grouping,
exponent), and compared with the withheld ones and their conversions (hours and
seconds, MWh and joules). Figures of one or two digits are everywhere and cannot be searched for; for
those the redaction of the report itself must do.
"""

import bisect
import html
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec

from flopledger.bundle import statement
from flopledger.bundle.errors import BundleError
from flopledger.bundle.statement import Predicate
from flopledger.cases.spec import Attention, Basis, Boundary, Kind, Recompute
from flopledger.text import significant

#: Shorter words are parts of other words.
MIN_WORD = 4
#: Words that every report is written with: `device` stands in its keys, `full` in its sentences. To
#: find one tells nothing, and the figure or key that it was is left out of the report itself.
OWN_WORDS = frozenset(
    word for kind in (Attention, Basis, Boundary, Kind, Recompute) for word in get_args(kind)
)
#: A figure that agrees to this many digits with a withheld one tells it.
DIGITS = 3
_CONVERSIONS = (1.0, 3600.0, 1 / 3600.0, 24.0, 1 / 24.0, 3.6e9, 1 / 3.6e9)
_NUMBER = re.compile(r"(?<![\w.])\d[\d,_]*(?:\.\d+)?(?:[eE][+-]?\d+)?")
_SCRIPT = re.compile(r"<script[^>]*>.*?</script>", re.DOTALL)
LIBRARY = 1_000_000  #: characters; no report's own script is that long
MAX_TEXT = 64 << 20


def check(files: Mapping[str, Path | bytes], predicate: Predicate, withheld: Iterable[Any]) -> None:
    """Raise ``BundleError`` naming the file in which something withheld was found."""
    words, numbers = targets(withheld)
    if not words and not numbers:
        return
    told = json.dumps(msgspec.to_builtins(predicate), ensure_ascii=False)
    for name, text in ((statement.MANIFEST, told), *_texts(files)):
        found = find(name + "\n" + text, words, numbers)
        if found is not None:
            raise BundleError(f"{name}: holds what the policy withholds ({found}); {_cure(name)}")


def _cure(name: str) -> str:
    if name.startswith((statement.CASE, statement.RECORD)) and not name.endswith(".redacted.json"):
        return f'withhold the file, too (files = ["{name.partition("/")[2]}"])'
    return "withhold the key or fact that says the same (keys, facts), or reword the title"


def find(text: str, words: Iterable[str], numbers: Iterable[float]) -> str | None:
    """Say what of the withheld stands in ``text``, without saying its value."""
    plain = html.unescape(text).casefold()
    for word in words:
        spellings = {word, json.dumps(word)[1:-1], json.dumps(word, ensure_ascii=False)[1:-1]}
        if any(spelling.casefold() in plain for spelling in spellings):
            return f"a text of {len(word)} characters"
    logs = sorted(math.log(number) for number in numbers)
    if logs and any(_near(value, logs) for value in _figures(text)):
        return "a figure, to three digits"
    return None


def targets(withheld: Iterable[Any]) -> tuple[set[str], set[float]]:
    """Give the words and numbers to search for."""
    words: set[str] = set()
    numbers: set[float] = set()
    for value in _leaves(withheld):
        if isinstance(value, str) and len(value) >= MIN_WORD and value not in OWN_WORDS:
            words.add(value)
        elif _searchable(value):
            numbers |= {float(value) * factor for factor in _CONVERSIONS}
    return words, numbers


def _searchable(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return False
    return significant(float(value)) >= DIGITS or value >= 1e6


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


def _texts(files: Mapping[str, Path | bytes]) -> Iterator[tuple[str, str]]:
    for name, content in files.items():
        data = content.read_bytes() if isinstance(content, Path) else content
        if len(data) > MAX_TEXT:
            raise BundleError(
                f"{name}: {len(data):,} bytes cannot be searched for withheld figures; withhold it"
            )
        text = data.decode("utf-8", "replace")
        yield name, _without_library(text) if name == statement.HTML else text


def _without_library(page: str) -> str:
    """Leave out the drawing library, whose thousands of constants are nobody's figures."""
    return _SCRIPT.sub(lambda found: "" if len(found[0]) > LIBRARY else found[0], page)


def _figures(text: str) -> Iterator[float]:
    for found in _NUMBER.finditer(text):
        spelled = found[0].replace(",", "").replace("_", "")
        if len(spelled) > 60:
            continue
        value = float(spelled)
        if value > 0 and math.isfinite(value):
            yield value


def _near(value: float, logs: list[float]) -> bool:
    """Compare within half a unit of the last digit that is shown, of at least three digits.

    Figures below 1e5 must be the same: coordinates and dates are too many for anything less.
    """
    shown = significant(value)
    if shown < DIGITS:
        return False
    unit = 10.0 ** (math.floor(math.log10(value)) - shown + 1)
    width = max(0.5 * unit / value, 1e-9) if value >= 1e5 else 1e-9
    here = math.log(value)
    at = bisect.bisect_left(logs, here - width)
    return at < len(logs) and logs[at] <= here + width
