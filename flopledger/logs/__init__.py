"""Training evidence in, facts out: what do the files of a run say, and where does each say it?

``read`` gives the facts and findings of all files, side by side; ``assemble`` makes one run's figures of
them. The modules, each in the order in which it is best read:

**Values and bounds.** ``evidence`` (what is handed in and back), ``run_facts`` (one run's figures),
``limits`` (how much is read at most), ``notes`` (what one reader writes down), ``reader`` (what a reader
is).

**From a file to its facts.** ``reading`` (who reads what), ``walking`` (folders, links, pipes),
``document`` (one file: lines, text, JSON), ``packed`` (archives, wide encodings), ``torn_end`` (a last line
that was cut), ``disguises`` (figures that are not what they look like), ``readers/`` (one format a module,
with a map of its own), ``unread`` (what a file is that nobody reads).

**What readers share.** ``numbers``, ``stamps`` (lines of a console, their dates), ``stepping`` (step lines:
ranks, restarts), ``process_clocks`` (clocks that start again), ``scalars``
(names under which trackers keep figures), ``source_text`` (numbers in a program's source),
``plain_yaml``, ``sqlite_files``, ``wire`` (records of protocol buffers), ``smi_table``, ``benchmarks``
(MLPerf's reference shapes).

**From the facts of a run to its figures** (design/060, 062, 095). ``assembling``, ``choosing``,
``batches``, ``architecture``, ``adapters``, ``series`` (one run in several files), ``checkpoints``,
``stages`` (launches with settings of their own), ``losses`` (two
logs of one training), ``event_files``, ``statements`` (prose), ``checks`` (what
does not fit together), ``accounts`` (of device-time).

**Recorded telemetry and run records** (design/063, 067). ``telemetry``, ``telemetry_files``,
``telemetry_windows``, ``telemetry_devices``; ``run_records``, ``recorded_steps``, ``record_ranks``,
``record_copies``.

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
