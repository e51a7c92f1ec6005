"""Training evidence in, facts out: logs, trainer states, cards, configurations."""

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
