"""The files among a run's evidence, folders walked: bounded, and never out of the folder that was named."""

import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flopledger.facts import Finding
from flopledger.logs import limits, run_records
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError, EvidenceFile


@dataclass
class _Budget:
    files: int

    def spend(self, name: str) -> None:
        self.files -= 1
        if self.files < 0:
            raise EvidenceError(
                f"{name}: more than {limits.FILES:,} files of evidence; name the ones that matter"
            )


def documents_in(
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
