"""Training evidence in, facts out: logs, trainer states, cards, configurations.

A format is a module of ``readers/``, which lists them in the order in which they are asked. The modules of
this folder, each in the order in which it is best read:

**The way.** ``evidence`` (what is handed in), ``reading`` (files to facts), ``assembling`` (facts to the
figures of ``run_facts``).

**A file.** ``walking``, ``document``, ``packed``, ``limits``; ``reader`` (what a reader is), ``notes`` (what
it writes down), ``unread`` (what is said where none takes a file).

**What readers share.** ``numbers``, ``stepping``, ``scalars``, ``smi_table``, ``source_text``,
``plain_yaml``, ``sqlite_files``, ``wire``, ``event_files``, ``benchmarks``.

**From facts to figures** (design/060). ``choosing``, ``batches``, ``architecture``, ``adapters``,
``statements`` (prose, design/095), ``series``, ``stages``, ``checks``.

**Run records** (design/067). ``run_records``, ``recorded_steps``, ``record_copies``, ``record_ranks``.

**Recorded telemetry** (design/063). ``telemetry``, ``telemetry_files``, ``telemetry_windows``,
``telemetry_devices``.

A test holds this list to the folder.
"""

from typing import TYPE_CHECKING, Any

from flopledger.logs.evidence import Evidence, EvidenceError, EvidenceFile, Source
from flopledger.logs.run_facts import Resolved, RunFacts

if TYPE_CHECKING:
    from flopledger.logs.assembling import assemble
    from flopledger.logs.reading import read

__all__ = [
    "Evidence",
    "EvidenceError",
    "EvidenceFile",
    "Resolved",
    "RunFacts",
    "Source",
    "assemble",
    "read",
]

#: The readers of all formats load only for a case that has evidence.
_LATER = {"assemble": "flopledger.logs.assembling", "read": "flopledger.logs.reading"}


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is asked for."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATER[name]), name)
