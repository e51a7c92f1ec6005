"""Lines of a console log: how long one may be, the date and time in it, and the order that those give."""

import datetime as dt
import math
import re
from collections.abc import Iterator
from functools import lru_cache

from flopledger.logs.document import Document

#: A step line is short, some thousand characters where a program prints every figure that it has (verl);
#: what follows in a longer one is other output glued to it.
STEP_LINE_CHARACTERS = 16_000

_STAMP = re.compile(r"(\d{4})[-/]?(\d\d)[-/]?(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,6}))?")

#: What ``kubectl logs --timestamps`` and ``docker logs -t`` set before each line.
COLLECTED = r"(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d) )?"


def short_lines(document: Document) -> Iterator[tuple[int, str]]:
    """Give the lines of a log, each cut to the length that a step line may have."""
    lines = ((number, text[:STEP_LINE_CHARACTERS]) for number, text in document.lines())
    yield from _by_stamps(lines) if document.by_stamps else lines


def _by_stamps(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Order lines by their stamps; one without a stamp stays behind the one that it followed."""
    moment = -math.inf
    dated = []
    for number, text in lines:
        stamp = stamp_seconds(text)
        moment = moment if stamp is None else stamp
        dated.append((moment, number, text))
    dated.sort(key=lambda one: one[0])
    return ((number, text) for _, number, text in dated)


def stamp_seconds(text: str) -> float | None:
    """Read the first date and time of a line as seconds; the zone is unknown, so differences only.

    Returns ``None`` where there is none.
    """
    match = _STAMP.search(text)
    if match is None:
        return None
    year, month, day, hours, minutes, seconds, fraction = match.groups()
    midnight = _midnight(year, month, day)
    hour, minute = int(hours), int(minutes)
    if midnight is None or hour > 23 or minute > 59:
        return None
    whole = midnight + hour * 3600 + minute * 60 + min(int(seconds), 59)
    return whole + float(f"0.{fraction}") if fraction else whole


@lru_cache(maxsize=512)
def _midnight(year: str, month: str, day: str) -> float | None:
    """Give the seconds at which a day begins; a log has few days and very many lines."""
    try:
        return dt.datetime(int(year), int(month), int(day), tzinfo=dt.UTC).timestamp()
    except ValueError:
        return None
