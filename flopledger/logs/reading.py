"""Evidence files in, facts out. Formats are recognised by content; one format a file."""

import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from flopledger.facts import Finding
from flopledger.logs import limits, record_copies, run_records
from flopledger.logs.document import Document
from flopledger.logs.evidence import Evidence, EvidenceError, EvidenceFile, Source
from flopledger.logs.notes import Notes
from flopledger.logs.packed import SUFFIXES
from flopledger.logs.reader import Reader
from flopledger.logs.readers import READERS
from flopledger.logs.telemetry_files import is_telemetry

#: What a fault of a reader on hostile content looks like. One bad file must not end an audit.
_UNEXPECTED = (ValueError, LookupError, TypeError, ArithmeticError, AttributeError, RecursionError)

#: Known files that hold no fact of a run.
_SAY_NOTHING = frozenset(
    {"model-auxiliary", "mlflow-other", "mlflow-metric", "mlflow-param", "model-card", "prose"}
)
#: Why something was left out that a reader knows well.
_EXPLAINED = frozenset({"duplicate-evidence", "record-forked", "record-overlaps"})
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
    everything: list[Notes] = []
    unread: list[str] = []
    recordings: list[EvidenceFile] = []
    sources: dict[str, Source] = {}
    total = 0
    refused: list[Finding] = []
    zone = next((file.zone for file in files), None)
    documents = list(_documents(files, refused))
    copies = record_copies.left_out([one for one in documents if isinstance(one, EvidenceFile)])
    for document in documents:
        if isinstance(document, EvidenceFile) and document.name in copies:
            refused.append(copies[document.name])
            sources |= _record_sources(document)
            continue
        if isinstance(document, EvidenceFile) and not run_records.is_record(document.path):
            recordings.append(replace(document, zone=zone))  # an MLflow run's system metrics
            continue
        if isinstance(document, EvidenceFile):
            notes, is_sound = _read_record(document)
            everything.append(notes)
            sources |= _record_sources(document)
            unread += _unreadable(notes, document.name)
            if is_sound:
                recordings.append(document)
            continue
        if document.name in sources:
            continue
        reader, damage = _recognised(document)
        if damage is not None:
            everything.append(damage)
        if reader is not None and not reader.header_only:
            total += document.size_bytes
        if total > limits.TOTAL_BYTES:
            raise EvidenceError(
                f"{document.name}: the evidence exceeds {limits.TOTAL_BYTES:,} bytes in all; "
                "hand in fewer files"
            )
        recorded = (
            reader is None
            and damage is None
            and document.size_bytes > 0
            and document.is_plain
            and is_telemetry(document)
        )
        digest = document.sha256()
        copied = _copied(digest, sources) if reader is not None or recorded else None
        sources[document.name] = Source(
            format="telemetry" if recorded else reader.format if reader else None,
            sha256=digest,
            size_bytes=document.size_bytes,
        )
        if copied is not None:
            if reader is None or reader.format not in _REPEATED_BY_CHECKPOINTS:
                refused.append(_copy(document.name, copied))
            continue
        if recorded:
            recordings.append(EvidenceFile(path=document.path, name=document.name, zone=zone))
            continue
        if reader is None:
            unread.append(document.name)
            continue
        notes = _read_one(reader, document)
        everything.append(notes)
        unread += _unreadable(notes, document.name)
    return Evidence(
        facts=tuple(fact for notes in everything for fact in notes.facts),
        findings=(*refused, *(item for notes in everything for item in notes.findings)),
        unread=(*unread, *(one.evidence[0] for one in refused if one.code not in _EXPLAINED)),
        telemetry=tuple(recordings),
        sources=sources,
    )


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


def _read_record(folder: EvidenceFile) -> tuple[Notes, bool]:
    """Read a run record; say whether its figures may be used."""
    notes = Notes(folder.name)
    try:
        record = run_records.read(folder.path, notes)
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


def _read_one(reader: Reader, document: Document) -> Notes:
    notes = Notes(document.name)
    try:
        reader.read(document, notes)
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
    return notes


@dataclass
class _Budget:
    files: int

    def spend(self, name: str) -> None:
        self.files -= 1
        if self.files < 0:
            raise EvidenceError(
                f"{name}: more than {limits.FILES:,} files of evidence; name the ones that matter"
            )


def _documents(
    files: Sequence[EvidenceFile], refused: list[Finding]
) -> Iterator[Document | EvidenceFile]:
    """Give the files, folders walked; a run record is given as the folder that it is."""
    budget = _Budget(limits.FILES)
    for file in files:
        if file.path.is_dir():
            yield from _walk(file.path.resolve(), file.path, file.name, budget, refused)
        elif file.path.is_file():
            budget.spend(file.name)
            yield Document(file.path, file.name)
        else:
            raise EvidenceError(
                f"{file.name}: neither a file nor a folder; check the path in the case"
            )


def _walk(
    root: pathlib.Path,
    folder: pathlib.Path,
    name: str,
    budget: _Budget,
    refused: list[Finding],
    depth: int = 0,
) -> Iterator[Document | EvidenceFile]:
    """Give the regular files under ``folder``; a link must stay under ``root``."""
    if depth > limits.FOLDER_DEPTH:
        raise EvidenceError(f"{name}: folders nested deeper than {limits.FOLDER_DEPTH}")
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise EvidenceError(f"{name}: cannot be listed ({error.strerror})") from None
    if run_records.is_record(folder):
        yield EvidenceFile(path=folder, name=name)
        entries = [entry for entry in entries if not run_records.is_own(entry.name)]
    elif (folder / "metrics" / "system").is_dir() and (folder / "meta.yaml").is_file():
        yield EvidenceFile(path=folder, name=f"{name.rstrip('/')}/metrics/system")
    elif folder.name == "metrics" and (folder.parent / "meta.yaml").is_file():
        entries = [entry for entry in entries if entry.name != "system"]
    for entry in entries:
        inside = f"{name.rstrip('/')}/{entry.name}"
        reason = _refusal(root, entry)
        if reason is not None:
            refused.append(
                Finding(
                    code="evidence-refused",
                    severity="info",
                    message=f"{inside}: {reason}; copy the file in if it matters",
                    evidence=(inside,),
                )
            )
        elif entry.is_dir():
            # A link to a folder above would be walked for ever; its files are met anyway.
            if not entry.is_symlink():
                yield from _walk(root, entry, inside, budget, refused, depth + 1)
        else:
            budget.spend(inside)
            yield Document(entry, inside)


def _refusal(root: pathlib.Path, entry: pathlib.Path) -> str | None:
    """Say why an entry of a folder is not looked at, or give ``None``.

    W&B's own run folders hold a link into a cache, so one such link must not stop an audit.
    """
    if entry.is_symlink():
        try:
            target = entry.resolve(strict=True)
        except (OSError, RuntimeError):
            return "a link that leads nowhere"
        if not target.is_relative_to(root):
            return "a link that leaves the evidence folder"
    return None if entry.is_dir() or entry.is_file() else "neither a file nor a folder"
