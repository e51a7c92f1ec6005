"""How a run's report writes its figures."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flopledger.text import number


def model_or_bounds(section: Mapping[str, Any], name: str) -> str:
    """Write a FLOP figure, or its bounds where it is not known."""
    if section[name] is not None:
        return number(section[name])
    return between(section[f"{name}_bounds"])


def between(ends: tuple[float | None, float | None]) -> str:
    """Write two ends, of which the upper one may be open."""
    low, high = ends
    return f"at least {number(low)}" if high is None else f"{number(low)} to {number(high)}"


def per_day(section: Mapping[str, Any]) -> str:
    """Write the pace."""
    pace = section["model_flop_per_day"]
    return "" if pace is None else f"{number(pace)} a day at this pace"


def count(value: int | None) -> str:
    """Write a number of things, exactly as long as it is short."""
    return number(value) if value is None or value >= 1_000_000 else f"{value:,}"


def rate(value: float | None, words: str) -> str:
    """Write a rate; nothing where it is not known."""
    return "" if value is None else f"{number(value)} {words}"


def figure(entry: Mapping[str, Any], name: str) -> float | None:
    """Take a number out of a stranger's summary; ``None`` for anything else."""
    value = entry.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def moment(at_ns: int) -> str:
    """Write a moment, given in Unix nanoseconds."""
    try:
        return datetime.fromtimestamp(at_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return "not known"
