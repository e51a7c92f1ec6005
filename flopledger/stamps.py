"""Times that somebody states on the command line."""

import datetime as dt

from flopledger.errors import FlopledgerError


def stated(time: str, option: str, error: type[FlopledgerError]) -> str:
    """Check a time with its zone and give it in UTC, RFC 3339; raise ``error`` for what is none."""
    try:
        given = dt.datetime.fromisoformat(time)
        if given.tzinfo is None:
            raise error(f"{option}: {time!r} has no time zone; add Z or +00:00")
        return given.astimezone(dt.UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError):  # the second: a zone takes it out of the calendar
        raise error(f"{option}: found {time!r}; expected 2026-01-31T12:00:00Z") from None
