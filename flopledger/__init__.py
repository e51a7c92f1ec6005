"""So how much was it, and does the claim hold? The roof over the three pillars.

import flopledger

report = flopledger.audit(flopledger.AuditCase.load("case.toml"))
report.verdict, report.combined, report.save("report.html")

The modules of this folder and its rooms, each in the order in which it is best read:

**A case.** ``cases/``.

**Values.** ``quantity``, ``inputs``, ``facts``, ``estimate``, ``parts`` (the accelerator, with
``machine_names`` and ``tpu_slices``), ``digests``, ``errors``; in words ``text``, ``flop_words``,
``unseen``; with care for what strangers wrote ``foreign_json``, ``foreign_toml``, ``stamps``,
``secret_values``; to the disk ``whole_files``.

**One run.** ``run_audit`` joins it: ``logs/`` reads its evidence, ``evidence`` completes the case by it,
``disagreements`` and ``shared_evidence`` say where the two differ, ``methods/`` estimate.

**What a recording is of** (design/099). ``coverage``, ``recorded_figures``, ``job_width``, ``telemetry``,
``run_bounds``.

**Holding figures against each other** (design/003). ``combine``, ``reconcile``; one question each,
``checks/``; which mistake it may be, ``fingerprints/``.

**The answer.** ``auditing`` is the whole. ``verdict`` (the bands) and ``claims/``; ``scope``, ``ledgers`` and
``planning`` with ``regimes/``; ``sensitivity``.

**A command under observation.** ``profiling/``. Steps of a training: ``recording/``, without code
``injection/``, in other people's trainers ``integrations/``.

**Telling it.** ``reports/``, ``exports/`` (documents for others), ``bundle/`` (sealed), ``commands/`` (the
verbs; ``__main__`` is their door).

A test holds this list to the folder.
"""

from typing import TYPE_CHECKING, Any

from flopledger.errors import FlopledgerError

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport, audit
    from flopledger.cases.case import AuditCase
    from flopledger.recording import Recording, record

__version__ = "0.1.0"

__all__ = [
    "AuditCase",
    "AuditReport",
    "FlopledgerError",
    "Recording",
    "__version__",
    "audit",
    "record",
]

#: Name -> module that holds it: `import flopledger` stays light, and `--help` with it.
_LATER = {
    "AuditCase": "flopledger.cases.case",
    "AuditReport": "flopledger.auditing",
    "Recording": "flopledger.recording",
    "audit": "flopledger.auditing",
    "record": "flopledger.recording",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is asked for."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    """What completion in a shell or a notebook offers."""
    return __all__
