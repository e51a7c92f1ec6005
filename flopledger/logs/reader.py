"""What a reader is."""

from collections.abc import Callable
from dataclasses import dataclass

from flopledger.logs.document import Document
from flopledger.logs.notes import Notes


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """One format: how it is recognised and how it is read."""

    format: str  #: id, kebab-case, documented in docs/evidence.md
    #: Sees the head (and tail) of a file and its name; content decides, the name may help.
    sniff: Callable[[bytes, str], bool]
    #: Writes facts and findings down; raises only ``EvidenceError``.
    read: Callable[[Document, Notes], None]
    header_only: bool = False  #: reads a header of a file that may be far larger
