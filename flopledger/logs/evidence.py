"""What an audit hands in and what the readers hand back."""

import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from flopledger.errors import FlopledgerError
from flopledger.facts import Fact, Finding


class EvidenceError(FlopledgerError):
    """Evidence that cannot be read: names the file, what was found and how to mend it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvidenceFile:
    """A file or folder of evidence."""

    path: pathlib.Path  #: resolved and checked by the caller
    name: str  #: as the case spells it
    zone: str | None = None  #: of local stamps in recordings that write none, as the case states it


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One file that was looked at."""

    format: str | None  #: id of the reader; ``None`` where nobody recognised the file
    sha256: str | None  #: of the whole file; ``None`` above the hashing limit
    size_bytes: int
    #: digests of rows of losses that its beginning prints (``logs.losses``)
    losses: frozenset[bytes] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Everything that was read, conflicts included."""

    facts: tuple[Fact, ...] = ()
    findings: tuple[Finding, ...] = ()
    unread: tuple[str, ...] = ()  #: names of files that nobody recognised or that were refused
    #: recordings and run records (folders), integrated once the window is known
    telemetry: tuple[EvidenceFile, ...] = ()
    sources: Mapping[str, Source] = field(default_factory=dict)  #: by name
    #: what an unread file seems to be and what would be read in its place, by name
    hints: Mapping[str, str] = field(default_factory=dict)

    def named(self, name: str) -> tuple[Fact, ...]:
        """Give all facts of one canonical name, in the order of reading."""
        return tuple(fact for fact in self.facts if fact.name == name)

    def by_file(self, name: str, formats: frozenset[str]) -> dict[str, float]:
        """Give a figure of each file of some formats: the last that the file tells."""
        return {
            fact.file: float(fact.value)
            for fact in self.named(name)
            if fact.file in self.sources and self.sources[fact.file].format in formats
        }
