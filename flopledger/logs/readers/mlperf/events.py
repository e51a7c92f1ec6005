"""The marked lines of an MLPerf log, three generations of them."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from flopledger import foreign_json
from flopledger.logs.numbers import parse_count, parse_positive

_OLD = re.compile(r":::MLL\S* (\d{9,11}(?:\.\d+)?) ([a-z0-9_]+): (\{.*\})")
_ENDS = frozenset({"run_start", "run_stop"})


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log."""

    line: int
    time_ms: float  #: Unix time; 0 for a setting without a stamp, which lies before every window
    key: str
    value: Any
    metadata: dict[str, Any]

    def count(self, name: str) -> int | None:
        """Read a counter from the metadata."""
        return parse_count(self.metadata.get(name))


def events(lines: Iterable[tuple[int, str]], broken: list[int] | None = None) -> Iterator[Event]:
    """Parse the marked lines; ``broken`` takes the numbers of those that begin an entry and give none."""
    for number, text in lines:
        mark = text.find(":::MLL")
        if mark < 0:
            continue
        if text.startswith(":::MLLOG", mark):
            event = _new_event(number, text[mark + len(":::MLLOG") :])
        else:
            event = _old_event(number, text[mark:])
        if event is not None:
            yield event
        elif broken is not None and "{" in text[mark : mark + 60]:
            broken.append(number)


def _new_event(number: int, text: str) -> Event | None:
    try:
        record, _ = json.JSONDecoder().raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not isinstance(record.get("key"), str):
        return None
    time_ms = parse_positive(record.get("time_ms"))
    if time_ms is None and record["key"] in _ENDS:
        return None  # an end of the timed part that says no time would put it into 1970
    metadata = record.get("metadata")
    return Event(
        number,
        float(time_ms) if time_ms is not None else 0.0,
        record["key"],
        record.get("value"),
        metadata if isinstance(metadata, dict) else {},
    )


def _old_event(number: int, text: str) -> Event | None:
    match = _OLD.match(text)
    if match is None:
        return None
    record = foreign_json.table(match[3])
    if record is None:
        return None
    metadata = record.get("metadata")
    return Event(
        number,
        float(match[1]) * 1000,
        match[2],
        record.get("value"),
        metadata if isinstance(metadata, dict) else {},
    )
