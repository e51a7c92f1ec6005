"""What was seen while it ran? Readings, traces and the instruments that take them.

Two records lie in a run's folder, which never wait for each other: ``telemetry/`` (what devices did) and
``steps/`` (what training processes did). The modules, each in the order in which it is best read:

**Values.** ``reading``, ``values``, ``trace``, ``clocks``, ``errors``; as JSON ``wire``.

**Sampling devices** (design/040 to 044). ``sampler`` (the handle), ``recorder`` (the process that keeps
the record), ``probe`` and ``probe_process`` (the one that touches drivers), ``attempt``, ``source`` and
``sources/``, ``checks``, ``frames``, ``watch``; for ``doctor`` ``permissions``, ``examine``,
``calibration``.

**The devices' record** (design/042). Written by ``journal`` on a ``ledger``, with ``segment``,
``arrowstream``, ``spool``, ``compact``, ``compaction``; read by ``record``, ``journal_entries``,
``record_columns``, ``tail``. Recorded by others: ``importers/`` (design/050).

**What a trace adds up to** (design/051). ``counters``, ``integrals``, ``coarse``; ``bounds/``.

**Steps of a training** (design/070, 071). ``steps/`` watches them and keeps their record.

A test holds this list to the folder.
"""

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
