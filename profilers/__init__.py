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

**What a trace adds up to** (design/051). ``counters``, ``integrals``, ``coarse``; ``bounds`` over
``bound_values``, ``bound_intervals``, ``bound_pieces``, ``bound_counters``, ``bound_sums``,
``bound_meeting``, ``bound_checks``.

**The steps' record** (design/070). Written by ``step_ledger``; read by ``step_reading``,
``step_entries``, ``step_fields``, ``step_clocks``, ``step_check``; its values are ``step_values``.

**Watching a training** (design/071): ``steps`` holds the observer, which joins the parts below. It counts
nothing; ``flopledger.recording`` does.

- A call: ``step_seam`` (the hot path), ``step_key``, ``step_signature``, ``step_asked``, ``step_kinds``,
  ``step_here``, ``step_losses``, ``step_identity``.
- A call of a model that is settled (design/118, 123): ``step_settled``, ``step_glance``, ``step_pulse``,
  ``step_ways``, ``step_roots``, ``step_compiled`` (``csrc/`` where it is built).
- Which models there are: ``step_modules``, ``step_free``, ``step_exchange``, ``step_living``,
  ``step_pickles``.
- What decides what a call costs (design/107): ``step_found``, ``step_places``, ``step_attributes``,
  ``step_attribute_state``, ``step_methods``, ``step_functions``, ``step_switches``, ``step_drift``,
  ``step_doubts``.
- Backward passes (design/096): ``step_engine``, ``step_hooks``, ``step_passes``, ``step_backward``,
  ``step_again``, ``step_within``.
- Optimizers, and what is saved and loaded (design/121): ``step_optimizers``, ``step_states``,
  ``step_weights``.
- Products that no call shows (design/116, 124): ``step_outside``, ``step_beside``, ``step_mode``,
  ``step_elsewhere``, ``step_adapters``, ``step_loops``, ``step_trainers``, ``step_products``.
- From notes to steps (design/072, 097): ``step_events``, ``step_folding``, ``step_open``, ``step_equal``.
- Standing in torch's places, and leaving them: ``step_layers``, ``step_wrapped``, ``step_uncompiled``,
  ``step_threads``, ``step_handlers``.

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
