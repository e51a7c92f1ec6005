"""Evidence files in, facts out. Formats are recognised by content; one format a file."""

import pathlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from flopledger.facts import Finding, Severity
from flopledger.logs import (
    disguises,
    limits,
    losses,
    record_copies,
    record_ranks,
    run_records,
    unread,
)
from flopledger.logs.document import Document
from flopledger.logs.evidence import Evidence, EvidenceError, EvidenceFile, Source
from flopledger.logs.notes import Notes
from flopledger.logs.packed import SUFFIXES
from flopledger.logs.reader import Reader
from flopledger.logs.readers import READERS, job_reports
from flopledger.logs.stepping import LinesOutOfOrder
from flopledger.logs.telemetry_files import is_telemetry
from flopledger.logs.walking import documents_in

#: What a fault of a reader on hostile content looks like. One bad file must not end an audit.
_UNEXPECTED = (ValueError, LookupError, TypeError, ArithmeticError, AttributeError, RecursionError)

#: Known files that hold no fact of a run.
_SAY_NOTHING = frozenset(
    {"model-auxiliary", "mlflow-other", "mlflow-metric", "mlflow-param", "model-card", "prose"}
)
#: What a program's console log is called; a scheduler's report may stand below one.
_CONSOLE = "-log"
#: Why something was left out that a reader knows well.
_EXPLAINED = frozenset({"duplicate-evidence", "record-forked", "record-overlaps", "records-joined"})
#: Every checkpoint folder holds these again; nobody wonders at their copies.
_REPEATED_BY_CHECKPOINTS = frozenset(
    {"model-auxiliary", "model-config", "adapter-config", "model-card", "hf-results", "prose"}
)


def read(files: Sequence[EvidenceFile]) -> Evidence:
    """Read every file, folders walked, and keep all that was found side by side.

    A file that nobody recognises goes to ``unread``; one that is recognised but damaged goes there
    too, with a finding ``evidence-unreadable``. Raises ``EvidenceError`` where a file or folder
    cannot be opened at all, leaves its folder, or the whole exceeds the limits.
    """
    found = _Found(zone=next((file.zone for file in files), None))
    documents = list(documents_in(files, found.refused))
    folders = [one for one in documents if isinstance(one, EvidenceFile)]
    copies = record_copies.left_out(folders)
    found.join_ranks([one for one in folders if one.name not in copies])
    for document in documents:
        if isinstance(document, Document):
            found.file(document)
        elif document.name in copies:
            found.refused.append(copies[document.name])
            found.sources |= _record_sources(document)
        elif run_records.is_record(document.path):
            found.record(document)
        else:
            found.recorded(document)  # an MLflow run's system metrics
    return found.evidence()


@dataclass
class _Found:
    """What was found so far."""

    zone: str | None
    notes: list[Notes] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    hints: dict[str, str] = field(default_factory=dict)
    telemetry: list[EvidenceFile] = field(default_factory=list)
    sources: dict[str, Source] = field(default_factory=dict)
    refused: list[Finding] = field(default_factory=list)
    size_bytes: int = 0
    """Of the files that are read whole."""
    beside: dict[str, tuple[pathlib.Path, ...]] = field(default_factory=dict)
    """Records whose steps are read with those of another one, by its name."""
    told: set[str] = field(default_factory=set)
    """Those others: their own steps are told with it."""

    def join_ranks(self, folders: Sequence[EvidenceFile]) -> None:
        """Find records that hold ranks of one job."""
        for first, *others in record_ranks.together(folders):
            self.beside[first.name] = tuple(one.path for one in others)
            self.told |= {one.name for one in others}
            self.refused.append(record_ranks.joined((first, *others)))

    def record(self, folder: EvidenceFile) -> None:
        """Read a run's own record."""
        beside = self.beside.get(folder.name, ())
        notes, is_sound = _read_record(folder, beside, is_told=folder.name in self.told)
        self.sources |= _record_sources(folder)
        self._take(notes, folder.name)
        if is_sound:
            self.telemetry.append(folder)

    def recorded(self, file: EvidenceFile) -> None:
        """Keep telemetry for later, in the zone that the case states."""
        self.telemetry.append(replace(file, zone=self.zone))

    def file(self, document: Document) -> None:
        """Read one file, unless it was read under this name or another."""
        if document.name in self.sources:
            return
        reader, damage = _recognised(document)
        if damage is not None:
            self.notes.append(damage)
        if reader is not None and not reader.header_only:
            self._spend(document)
        is_telemetry = reader is None and damage is None and _is_telemetry(document)
        digest = document.sha256()
        copied = _copied(digest, self.sources) if reader is not None or is_telemetry else None
        self.sources[document.name] = Source(
            format="telemetry" if is_telemetry else reader.format if reader else None,
            sha256=digest,
            size_bytes=document.size_bytes,
            losses=frozenset() if reader is None else losses.stretches(document.head),
        )
        if copied is not None:
            if reader is None or reader.format not in _REPEATED_BY_CHECKPOINTS:
                self.refused.append(_copy(document.name, copied))
        elif is_telemetry:
            self.recorded(EvidenceFile(path=document.path, name=document.name))
        elif reader is None:
            self.unread.append(document.name)
            if damage is None and (hint := unread.why(document)) is not None:
                self.hints[document.name] = hint
        else:
            self._take(_read_one(reader, document), document.name)

    def evidence(self) -> Evidence:
        """Give everything, in the order in which it was met."""
        return Evidence(
            facts=tuple(fact for notes in self.notes for fact in notes.facts),
            findings=(*self.refused, *(item for notes in self.notes for item in notes.findings)),
            unread=(
                *self.unread,
                *(one.evidence[0] for one in self.refused if one.code not in _EXPLAINED),
            ),
            telemetry=tuple(self.telemetry),
            sources=self.sources,
            hints=self.hints,
        )

    def _take(self, notes: Notes, name: str) -> None:
        self.notes.append(notes)
        self.unread += _unreadable(notes, name)

    def _spend(self, document: Document) -> None:
        """Count what is read in all; a file that is refused for its own size is not read."""
        if document.size_bytes > limits.TEXT_BYTES:
            return
        self.size_bytes += document.size_bytes
        if self.size_bytes > limits.TOTAL_BYTES:
            raise EvidenceError(
                f"{document.name}: the evidence exceeds {limits.TOTAL_BYTES:,} bytes in all; "
                "hand in fewer files"
            )


def _is_telemetry(document: Document) -> bool:
    return document.size_bytes > 0 and is_telemetry(document)


def _copied(digest: str | None, sources: dict[str, Source]) -> str | None:
    """Give the name of the file that was read already with the very same bytes."""
    same = (name for name, one in sources.items() if digest is not None and one.sha256 == digest)
    return next(same, None)


def _copy(name: str, original: str) -> Finding:
    return Finding(
        code="duplicate-evidence",
        severity="info",
        message=f"{name}: the same bytes as {original}; read once",
        evidence=(name, original),
    )


def _unreadable(notes: Notes, name: str) -> list[str]:
    return [name] if any(one.code == "evidence-unreadable" for one in notes.findings) else []


def _read_record(
    folder: EvidenceFile, beside: Sequence[pathlib.Path], *, is_told: bool
) -> tuple[Notes, bool]:
    """Read a run record; say whether its figures may be used."""
    notes = Notes(folder.name)
    try:
        record = run_records.read(folder.path, notes, beside=beside, is_told=is_told)
    except EvidenceError as error:
        notes = Notes(folder.name)
        notes.finding("evidence-unreadable", "error", str(error), "the folder")
        return notes, False
    return notes, record is not None


def _record_sources(folder: EvidenceFile) -> dict[str, Source]:
    """Hash a record's journals: their digests stand for everything that their chains name."""
    sources = {}
    named = [
        *folder.path.glob("telemetry/node=*/journal.jsonl"),
        *folder.path.glob("steps/rank=*/ledger.jsonl"),
        folder.path / "summary.json",
    ]
    for path in sorted(path for path in named if path.is_file()):
        name = f"{folder.name.rstrip('/')}/{path.relative_to(folder.path).as_posix()}"
        document = Document(path, name)
        sources[name] = Source(
            format=run_records.FORMAT, sha256=document.sha256(), size_bytes=document.size_bytes
        )
    return sources


def _recognised(document: Document) -> tuple[Reader | None, Notes | None]:
    """Find the reader; a packed file that cannot be unpacked gives its damage instead."""
    try:
        return recognise(document), None
    except EvidenceError as error:
        notes = Notes(document.name)
        notes.finding("evidence-unreadable", "error", str(error), "the file")
        return None, notes


def recognise(document: Document) -> Reader | None:
    """Find the reader of a file, or ``None``."""
    if document.size_bytes == 0:
        return None
    name = document.name
    if document.is_packed:
        name = next((name.removesuffix(end) for end in SUFFIXES if name.endswith(end)), name)
    head = document.printed_head
    for reader in READERS:
        if reader.sniff(head, name):
            return reader
    return None


def _read_in_order(reader: Reader, document: Document) -> Notes:
    """Read a log; by its stamps, where steps and stamps fall back together and less is done again so."""
    notes = Notes(document.name)
    try:
        reader.read(document, notes)
    except LinesOutOfOrder as printed:
        sorted_notes = Notes(document.name)
        sorted_notes.order, sorted_notes.lost_as_printed = "by stamps", printed.lost_steps
        document.by_stamps = True
        try:
            reader.read(document, sorted_notes)
        except LinesOutOfOrder:
            document.by_stamps = False
            notes = Notes(document.name)
            notes.order = "as printed"
            reader.read(document, notes)
            return notes
        sorted_notes.finding(
            "lines-out-of-order",
            "info",
            "steps and stamps of the log fall back together, as where its lines or pieces were put in "
            "another order: it was read in the order of its stamps",
            "the file",
        )
        return sorted_notes
    return notes


def _read_one(reader: Reader, document: Document) -> Notes:
    notes = Notes(document.name)
    try:
        notes = _read_in_order(reader, document)
        if reader.format.endswith(_CONSOLE) and not document.is_binary:
            job_reports.read_below(document, notes)
    except EvidenceError as error:
        # Half of a document is no evidence: what was noted before the damage is dropped.
        notes = Notes(document.name)
        notes.finding("evidence-unreadable", "error", str(error), "the file")
    except _UNEXPECTED as error:
        notes = Notes(document.name)
        notes.finding(
            "evidence-unreadable",
            "error",
            f"{document.name}: the {reader.format} reader met content that it does not expect "
            f"({type(error).__name__}); nothing was taken from this file",
            "the file",
        )
    notes.tell_misfits()
    if not notes.facts and not notes.findings and reader.format not in _SAY_NOTHING:
        notes.finding(
            "no-facts",
            "warning",
            f"read as {reader.format}, and nothing was found in it that an audit can use: its marks are "
            "there, its figures are not",
            "the file",
        )
    if document.skipped_lines:
        notes.finding(
            "evidence-truncated",
            "warning",
            f"{document.skipped_lines} lines of more than {limits.LINE_CHARACTERS:,} characters "
            "were skipped",
            "the file",
        )
    if document.torn_line is not None:
        words, number = document.torn_line
        notes.finding("torn-tail", "info", words, f"line {number}")
    if document.disguised_lines:
        told = disguises.TOLD.format(count=f"{document.disguised_lines:,}")
        # Texts in other languages have digits of their own, and nothing to hide.
        severity: Severity = "info" if reader.format in _SAY_NOTHING else "warning"
        notes.finding(disguises.FINDING, severity, told, "the file")
    if notes.dropped_facts:
        notes.finding(
            "evidence-truncated",
            "warning",
            f"{notes.dropped_facts:,} facts beyond the {limits.FACTS_PER_FILE:,} that are kept of one file "
            "were left out",
            "the file",
        )
    return notes
