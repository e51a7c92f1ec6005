"""So how much was it, and does the claim hold? The roof over the three pillars.

import flopledger

report = flopledger.audit(flopledger.AuditCase.load("case.toml"))
report.verdict, report.combined, report.save("report.html")
"""

from typing import TYPE_CHECKING, Any

from flopledger.errors import FlopledgerError

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport, audit
    from flopledger.case import AuditCase
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
    "AuditCase": "flopledger.case",
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
