"""Evidence files in, facts out. Formats are recognised by content; one format a file."""

import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flopledger.logs import limits
from flopledger.logs.document import Document
from flopledger.logs.evidence import Evidence, EvidenceError, EvidenceFile, Source
from flopledger.logs.notes import Notes
from flopledger.logs.reader import Reader
from flopledger.logs.readers import READERS


def read(files: Sequence[EvidenceFile]) -> Evidence:
    """Read every file, folders walked, and keep all that was found side by side.

    A file that nobody recognises goes to ``unread``; one that is recognised but damaged goes there
    too, with a finding ``evidence-unreadable``. Raises ``EvidenceError`` where a file or folder
    cannot be opened at all, leaves its folder, or the whole exceeds the limits.
    """
    everything: list[Notes] = []
    unread: list[str] = []
    sources: dict[str, Source] = {}
    total = 0
    for document in _documents(files):
        if document.name in sources:
            continue
        reader = recognise(document)
        if reader is not None and not reader.header_only:
            total += document.size_bytes
        if total > limits.TOTAL_BYTES:
            raise EvidenceError(
                f"{document.name}: the evidence exceeds {limits.TOTAL_BYTES:,} bytes in all; "
                "hand in fewer files"
            )
        sources[document.name] = Source(
            format=reader.format if reader else None,
            sha256=document.sha256(),
            size_bytes=document.size_bytes,
        )
        if reader is None:
            unread.append(document.name)
            continue
        notes = _read_one(reader, document)
        everything.append(notes)
        if any(finding.code == "evidence-unreadable" for finding in notes.findings):
            unread.append(document.name)
    return Evidence(
        facts=tuple(fact for notes in everything for fact in notes.facts),
        findings=tuple(finding for notes in everything for finding in notes.findings),
        unread=tuple(unread),
        sources=sources,
    )


def recognise(document: Document) -> Reader | None:
    """Find the reader of a file, or ``None``."""
    if document.size_bytes == 0:
        return None
    for reader in READERS:
        if reader.sniff(document.head, document.name):
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
    files: int = limits.FILES

    def spend(self, name: str) -> None:
        self.files -= 1
        if self.files < 0:
            raise EvidenceError(
                f"{name}: more than {limits.FILES:,} files of evidence; name the ones that matter"
            )


def _documents(files: Sequence[EvidenceFile]) -> Iterator[Document]:
    budget = _Budget()
    for file in files:
        if file.path.is_dir():
            yield from _walk(file.path.resolve(), file.path, file.name, budget, 0)
        elif file.path.is_file():
            budget.spend(file.name)
            yield Document(file.path, file.name)
        else:
            raise EvidenceError(
                f"{file.name}: neither a file nor a folder; check the path in the case"
            )


def _walk(
    root: pathlib.Path, folder: pathlib.Path, name: str, budget: _Budget, depth: int
) -> Iterator[Document]:
    """Give the regular files under ``folder``; a link must stay under ``root``."""
    if depth > limits.FOLDER_DEPTH:
        raise EvidenceError(f"{name}: folders nested deeper than {limits.FOLDER_DEPTH}")
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise EvidenceError(f"{name}: cannot be listed ({error.strerror})") from None
    for entry in entries:
        inside = f"{name.rstrip('/')}/{entry.name}"
        if entry.is_symlink():
            _require_inside(root, entry, inside)
        if entry.is_dir():
            # A link to a folder above would be walked for ever; its files are met anyway.
            if not entry.is_symlink():
                yield from _walk(root, entry, inside, budget, depth + 1)
        elif entry.is_file():
            budget.spend(inside)
            yield Document(entry, inside)


def _require_inside(root: pathlib.Path, entry: pathlib.Path, name: str) -> None:
    try:
        target = entry.resolve(strict=True)
    except (OSError, RuntimeError):
        raise EvidenceError(f"{name}: a link that leads nowhere") from None
    if not target.is_relative_to(root):
        raise EvidenceError(f"{name}: a link that leaves the evidence folder; copy the file in")
