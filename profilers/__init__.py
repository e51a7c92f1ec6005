"""What was seen while it ran? Readings, traces and the instruments that take them."""

from typing import TYPE_CHECKING, Any

from profilers.errors import ProfilersError
from profilers.reading import SIGNALS, Kind, Reading, Reason, Signal, Unavailable, is_number
from profilers.source import Source, SourceError, Sweep
from profilers.values import Device, DeviceKey, Event, Gap, Sample

if TYPE_CHECKING:
    from profilers.record import read_record
    from profilers.trace import DeviceTrace, Series, Trace

__all__ = [
    "SIGNALS",
    "Device",
    "DeviceKey",
    "DeviceTrace",
    "Event",
    "Gap",
    "Kind",
    "ProfilersError",
    "Reading",
    "Reason",
    "Sample",
    "Series",
    "Signal",
    "Source",
    "SourceError",
    "Sweep",
    "Trace",
    "Unavailable",
    "is_number",
    "read_record",
]

_LATER = {
    "DeviceTrace": "profilers.trace",
    "Series": "profilers.trace",
    "Trace": "profilers.trace",
    "read_record": "profilers.record",
}


def __getattr__(name: str) -> Any:
    """Import what needs numpy when it is asked for: the sampler's processes never do."""
    if name not in _LATER:
        raise AttributeError(f"module 'profilers' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LATER[name]), name)
