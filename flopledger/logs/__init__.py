"""Training evidence in, facts out: logs, trainer states, cards, configurations."""

from flopledger.logs.assemble import assemble
from flopledger.logs.evidence import Evidence, EvidenceError, EvidenceFile, Source
from flopledger.logs.read import read
from flopledger.logs.run_facts import Resolved, RunFacts

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
