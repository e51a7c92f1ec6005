"""Does a line of a journal say what its kind is to say? It may come from an audited party.

The format is in :mod:`profilers.journal`. Kinds of a later version pass.
"""

from collections.abc import Callable, Mapping
from typing import Any

from profilers.errors import ProfilersError
from profilers.segment import SCHEMA
from profilers.wire import device_from_json, event_from_json, gap_from_json

MOST_TIME_NS = 1 << 62
MOST_NAME = 128

Entry = Mapping[str, Any]
_FAULTS = (
    ProfilersError, LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError,
)  # fmt: skip


def what_is_wrong(entry: Entry) -> str | None:
    """Return why a line cannot be believed; None where nothing speaks against it."""
    kind = entry.get("kind")
    if not isinstance(kind, str):
        return "a line of no kind"
    check = _CHECKS.get(kind)
    if check is None:
        return None
    try:
        check(entry)
    except _FAULTS as error:
        return f"a line of kind {kind!r} that is none ({type(error).__name__}: {error})"[:300]
    return None


def _header(entry: Entry) -> None:
    _text(entry["schema"])
    if entry["schema"] != SCHEMA:
        return  # whoever reads it says so
    _text(entry["node"])
    _time(entry["clock"]["monotonic_ns"])
    _time(entry["clock"]["wall_ns"])


def _devices(entry: Entry) -> None:
    if not isinstance(entry["devices"], list):
        raise TypeError("devices are no list")
    for item in entry["devices"]:
        device_from_json(item)
    if "time_ns" in entry:
        _time(entry["time_ns"])


def _gap(entry: Entry) -> None:
    gap = gap_from_json(entry)
    _time(gap.start_ns)
    _time(gap.end_ns)


def _event(entry: Entry) -> None:
    _time(event_from_json(entry).time_ns)


def _run(entry: Entry) -> None:
    _text(entry["what"])
    _time(entry["time_ns"])


def _opened(entry: Entry) -> None:
    _file(entry["file"])


def _closed(entry: Entry) -> None:
    _file(entry["file"])
    _text(entry["sha256"])


def _compacted(entry: Entry) -> None:
    _closed(entry)
    if not isinstance(entry["of"], list):
        raise TypeError("of is no list")
    for name in entry["of"]:
        _file(name)


def _text(value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")


def _time(value: Any) -> None:
    if type(value) is not int or abs(value) > MOST_TIME_NS:
        raise ValueError(f"{value!r} is no time in nanoseconds")


def _file(value: Any) -> None:
    """A file beside the journal: nobody is led to another place."""
    _text(value)
    if not 0 < len(value) <= MOST_NAME or not value.isprintable() or {"/", "\\"} & set(value):
        raise ValueError(f"{value!r} is no file's name")


_CHECKS: Mapping[str, Callable[[Entry], None]] = {
    "header": _header,
    "devices": _devices,
    "gap": _gap,
    "event": _event,
    "run": _run,
    "segment-open": _opened,
    "segment": _closed,
    "compacted": _compacted,
}
