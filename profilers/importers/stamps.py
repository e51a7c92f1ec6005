"""Stamps of foreign tools to nanoseconds. A zone that nobody wrote down stays unknown."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from profilers.importers.errors import ImportFormatError
from profilers.importers.units import number

_CIVIL = re.compile(
    r"(\d{4})[-/](\d{2})[-/](\d{2})[ T](\d{2}):(\d{2}):(\d{2})(?:[.,](\d{1,9}))?"
    r"\s*(Z|[+-]\d{2}:?\d{2})?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_UNITS = {"unix-s": 10**9, "unix-ms": 10**6, "unix-us": 10**3, "unix-ns": 1}
COARSER_NS = 10**15
"""From here (11.6 days after 1970) to a hundredfold lie stamps of a unit a thousand times coarser."""
_LATEST_S = 1 << 33  # the year 2242: beyond it no stamp is believed, and 64 bits are not left


def zone(name: str) -> tzinfo:
    """Return a stated time zone: an IANA name, ``UTC``, or an offset such as ``+02:00``."""
    offset = re.fullmatch(r"([+-])(\d{2}):?(\d{2})", name)
    if offset:
        minutes = int(offset[2]) * 60 + int(offset[3])
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ImportFormatError(
            f"{name!r} is no time zone; give an IANA name such as Europe/Berlin, UTC, or +02:00"
        ) from error


def civil(text: str, stated: tzinfo | None = None) -> tuple[int, bool] | None:
    """Read ``2026/01/31 10:20:30.123`` and its kin.

    Returns nanoseconds and whether the zone is known (written in the stamp, or ``stated``); a stamp
    of unknown zone counts as if its clock were UTC. None: no such stamp.
    """
    found = _CIVIL.fullmatch(text.strip())
    if not found:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    where: tzinfo = stated or UTC
    written = found[8]
    if written:
        where = UTC if written == "Z" else zone(written)
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=where)
    except ValueError:
        return None
    since = moment - _EPOCH
    whole = (since.days * 86_400 + since.seconds) * 10**9
    if not 0 <= whole < _LATEST_S * 10**9:
        return None
    return whole + int((found[7] or "0").ljust(9, "0")), bool(written or stated)


def zoned(cells: Iterable[str]) -> bool:
    """Say whether the first civil stamp among some cells has its zone written behind it."""
    return next((found[1] for cell in cells if (found := civil(cell)) is not None), False)


def zone_behind(text: str) -> str:
    """Return what stands behind the figures of a civil stamp: ``Z``, `` +02:00`` or nothing."""
    found = _CIVIL.fullmatch(text.strip())
    return (
        "" if found is None or found[8] is None else text.strip()[found.end(7 if found[7] else 6) :]
    )


def epoch(text: str, unit: str) -> int | None:
    """Read a Unix stamp in ``unix-s``, ``-ms``, ``-us`` or ``-ns``; None: no plausible stamp."""
    value = number(text.strip())
    return None if value is None else epoch_ns(value, unit)


def epoch_ns(value: Decimal, unit: str) -> int | None:
    """Return nanoseconds of a Unix stamp, or None where it is outside 1970 to 2242.

    Seconds that are taken for milliseconds fall into 1970 to 1973, and their like for the finer units:
    no stamp either. Counted from a start of its own, a recording may have up to eleven days.
    """
    result = int(value * EPOCH_UNITS[unit])
    if unit != "unix-s" and COARSER_NS <= result < COARSER_NS * 100:
        return None
    return result if 0 <= result < _LATEST_S * 10**9 else None


def duration(text: str) -> int:
    """Read ``500ms``, ``1s``, ``2.5s``, ``1m`` as nanoseconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text.strip())
    scale = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
    if not found or float(found[1]) <= 0:
        raise ImportFormatError(f"{text!r} is no duration; write 500ms, 1s, 2.5s or 1m")
    return int(Decimal(found[1]) * scale[found[2]])


def moment(text: str, stated: tzinfo | None = None) -> int:
    """Read a stated moment: civil with a zone (in the text or ``stated``), or Unix seconds."""
    found = civil(text, stated)
    if found is not None:
        if not found[1]:
            raise ImportFormatError(f"{text!r} has no zone; append Z or state --zone")
        return found[0]
    time = epoch(text, "unix-s")
    if time is None:
        raise ImportFormatError(
            f"{text!r} is no moment; write 2026-01-31T10:00:00Z or Unix seconds"
        )
    return time
