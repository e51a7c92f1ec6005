"""What was seen while it ran? Readings, traces and the instruments that take them."""

from profilers.errors import ProfilersError
from profilers.reading import SIGNALS, Kind, Reading, Reason, Signal, Unavailable, is_number
from profilers.source import Source, SourceError, Sweep
from profilers.trace import Device, DeviceKey, DeviceTrace, Event, Gap, Sample, Series, Trace

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
]
