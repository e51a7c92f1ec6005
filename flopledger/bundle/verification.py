"""Checking a bundle, or a bare run folder: form, signatures, digests, chains, and the figures.

Whatever is wrong is collected and named; content is handed out only where the seal holds, and only
from bytes whose digest was checked.
"""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flopledger.bundle import envelope, keys, records, statement, strict
from flopledger.bundle.archive import Archive
from flopledger.bundle.errors import BundleError
from flopledger.bundle.keys import PublicKey
from flopledger.bundle.statement import Statement

if TYPE_CHECKING:
    from flopledger.bundle.envelope import Envelope
    from flopledger.bundle.recompute import Recomputed
    from flopledger.bundle.transparency import Expected, Witness
    from flopledger.bundle.tree import Node

SCHEMA = "flopledger/verification/1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that does not hold."""

    #: form, signature, key, digest, missing-file, extra-file, content, chain, merge; signer and
    #: sigstore where the bundle is whole, but whom the caller named did not sign it
    code: str
    file: str  #: inside the bundle; the bundle itself where it is as a whole
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Signer:
    """A key whose signature over the manifest holds."""

    key_id: str
    trusted: bool  #: whether the caller named it; else anybody may own it


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What was found out about a bundle."""

    path: Path
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()
    signers: tuple[Signer, ...] = ()
    id: str | None = None  #: SHA-256 of the signed statement
    statement: Statement | None = None  #: ``None`` where the seal does not hold
    audit: Mapping[str, Any] | None = None  #: the sealed ``audit --json``
    summary: Mapping[str, Any] | None = None  #: the site's summary
    merged: Mapping[str, Any] | None = None  #: a merge's result, which was repeated
    recomputed: "Recomputed | None" = None
    witness: "Witness | None" = None  #: a Sigstore signature by whom the caller named
    tree: tuple["Node", ...] = field(default=())  #: who signed what; of a merge: its members below

    @property
    def ok(self) -> bool:
        """Whether form, signatures, digests and chains hold (and every key that was asked for signed)."""
        return not self.problems

    @property
    def intact(self) -> bool:
        """Whether the bundle is whole, whoever signed it."""
        return all(one.code in {"signer", "sigstore"} for one in self.problems)

    @property
    def trusted(self) -> bool:
        """Whether a key or identity that the caller named vouches for the bundle."""
        return self.ok and (
            self.witness is not None or any(signer.trusted for signer in self.signers)
        )

    @property
    def unsigned(self) -> bool:
        """Whether nobody vouches for it. A merge is vouched for by its members' signers."""
        vouched = self.signers or self.witness is not None or self._merged
        return self.statement is not None and not vouched

    @property
    def _merged(self) -> bool:
        return self.statement is not None and self.statement.predicate.kind == "merged"

    @property
    def exit_code(self) -> int:
        """0 holds; 1 does not; 3 unsigned, or the figures differ or stay out for a known reason."""
        if self.problems or (self.recomputed is not None and self.recomputed.refuted):
            return 1
        if self.unsigned:
            return 3
        return 3 if self.recomputed is not None and not self.recomputed.complete else 0

    def to_dict(self) -> dict[str, Any]:
        """Give the answer of ``verify --json``."""
        predicate = None if self.statement is None else self.statement.predicate
        return {
            "schema": SCHEMA,
            "bundle": self.path.name,
            "ok": self.exit_code == 0,
            "sealed": self.ok,
            "trusted": self.trusted,
            "id": self.id,
            "kind": None if predicate is None else predicate.kind,
            "title": None if predicate is None else predicate.title,
            "verdict": None if predicate is None else predicate.verdict,
            "sealed_at": None if predicate is None else predicate.sealed_at,
            "files": None if self.statement is None else len(self.statement.digests),
            "withheld": []
            if predicate is None
            else [{"kind": one.kind, "name": one.name} for one in predicate.withheld],
            "signers": [
                {"key_id": signer.key_id, "trusted": signer.trusted} for signer in self.signers
            ],
            "sigstore": None if self.witness is None else self.witness.to_dict(),
            "problems": [
                {"code": one.code, "file": one.file, "message": one.message}
                for one in self.problems
            ],
            "notes": list(self.notes),
            "tree": [node.to_dict() for node in self.tree],
            "recomputed": None if self.recomputed is None else self.recomputed.to_dict(),
        }


def verify(
    path: Path,
    *,
    trusted: Sequence[PublicKey] = (),
    recompute: bool = False,
    sigstore: "Expected | None" = None,
) -> Verification:
    """Check the bundle (or run folder) at ``path``.

    Every key of ``trusted`` must have signed it (of an unsigned merge: each member must be signed by
    one of them). ``sigstore`` names an identity that must have signed it, too. ``recompute`` repeats
    the audit from the sealed inputs and compares every figure. Raises ``BundleError`` only where there
    is nothing to check.
    """
    if path.is_dir():
        if sigstore is not None:
            raise BundleError(f"{path}: a run's folder carries no signature; seal it first")
        return _verify_record(path, trusted, recompute=recompute)
    if not path.exists():
        raise BundleError(f"{path}: no such file; give a bundle (.zip) or a run's folder")
    try:
        archive = Archive.open(path)
    except BundleError as error:
        return Verification(path=path, problems=(_form(path, error),))
    with archive:
        return _verify_archive(path, archive, trusted, sigstore, recompute=recompute)


def _form(path: Path, error: BundleError) -> Problem:
    return Problem(code="form", file=path.name, message=str(error))


def _verify_archive(
    path: Path,
    archive: Archive,
    trusted: Sequence[PublicKey],
    sigstore: "Expected | None",
    *,
    recompute: bool,
) -> Verification:
    try:
        read = read_seal(archive)
    except BundleError as error:
        return Verification(path=path, problems=(_form(path, error),))
    problems = [*read.problems, *check_files(archive, read)]
    notes: list[str] = []
    signers = tuple(
        Signer(key_id=key.id, trusted=any(key.id == one.id for one in trusted))
        for key in read.signers
    )
    base = Verification(path=path, problems=tuple(problems), signers=signers, id=read.id)
    if problems:
        return base
    predicate = read.statement.predicate
    problems += _contents(archive, read.statement, notes)
    from flopledger.bundle import tree as trees
    from flopledger.bundle import vouching

    tree: tuple[Node, ...] = ()
    if predicate.kind == "merged" and not problems:
        found, faults = trees.check_merge(archive, read, trusted)
        tree = (found,)
        problems += [Problem(code="merge", file=file, message=text) for file, text in faults]
        notes.append("the sum over the members was repeated and comes out as sealed")
    elif not problems:
        tree = (trees.leaf(read, trusted),)
    witness = vouching.witness(path, read, sigstore, problems, notes)
    problems += vouching.identity(signers, trusted, tree, notes, witnessed=witness is not None)
    notes += predicate.notes
    if problems:
        return Verification(
            path=path, problems=tuple(problems), signers=signers, id=read.id, notes=tuple(notes)
        )
    audit = _json(archive, statement.AUDIT)
    told = _json(archive, statement.SUMMARY)
    recomputed = None
    if recompute:
        from flopledger.bundle.recompute import recompute as repeat

        recomputed = repeat(archive, read.statement)
    return Verification(
        path=path, problems=(), notes=tuple(notes), signers=signers, id=read.id,
        statement=read.statement, audit=audit, summary=told,
        merged=_json(archive, statement.MERGED), recomputed=recomputed,
        witness=witness, tree=tree,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Seal:
    """Manifest and signatures of an archive, the signatures checked."""

    payload: bytes
    statement: Statement
    envelope: "Envelope"
    signers: tuple[PublicKey, ...]  #: whose signature holds
    problems: tuple[Problem, ...]

    @property
    def id(self) -> str:
        """SHA-256 of the statement."""
        return hashlib.sha256(self.payload).hexdigest()


def read_seal(archive: Archive, *, prefix: str = "") -> Seal:
    """Read and check the seal whose files begin with ``prefix``; raise ``BundleError`` for none."""
    seal_name = prefix + statement.SEAL
    sealed = envelope.loads(archive.content(seal_name, limit=envelope.MAX_BYTES), what=seal_name)
    read = statement.loads(sealed.payload, what=prefix + statement.MANIFEST)
    problems: list[Problem] = []
    if not prefix and archive.content(statement.MANIFEST, limit=strict.MAX_BYTES) != sealed.payload:
        message = "is not the manifest that was signed"
        problems.append(Problem(code="digest", file=statement.MANIFEST, message=message))
    signers: list[PublicKey] = []
    for one in sealed.signatures:
        name = f"{prefix}{statement.SIGNERS}{one.key_id}.pub"
        key = keys.parse_public(archive.content(name, limit=keys.MAX_BYTES), name)
        if key.id != one.key_id or archive.content(name, limit=keys.MAX_BYTES) != key.pem:
            message = f"is not the key {one.key_id}, or not in its one form"
            problems.append(Problem(code="key", file=name, message=message))
        elif not sealed.signed_by(key):
            message = f"the signature of {one.key_id} over the manifest does not hold"
            problems.append(Problem(code="signature", file=seal_name, message=message))
        else:
            signers.append(key)
    return Seal(
        payload=sealed.payload,
        statement=read,
        envelope=sealed,
        signers=tuple(signers),
        problems=tuple(problems),
    )


def check_files(archive: Archive, seal: Seal) -> list[Problem]:
    """Compare every file with its digest, and the list of files with the list that was sealed."""
    problems: list[Problem] = []
    told = seal.statement
    present = list(archive.entries)
    public = [f"{statement.SIGNERS}{one.key_id}.pub" for one in seal.envelope.signatures]
    own = [statement.MANIFEST, statement.SEAL, *public]
    files = [name for name in present if name not in own]
    problems += [
        Problem(code="missing-file", file=name, message="sealed, but not there")
        for name in sorted(set(told.digests) - set(files))
    ]
    for name in files:
        if name not in told.digests:
            problems.append(Problem(code="extra-file", file=name, message="there, but not sealed"))
            continue
        problems += _digest(archive, name, told.digests[name])
    expected = sorted(told.digests, key=lambda name: name.encode("utf-8"))
    if not problems and present != [*expected, *own]:
        message = "its files are not in the order of the format"
        problems.append(Problem(code="form", file="", message=message))
    return problems


def _digest(archive: Archive, name: str, expected: str) -> list[Problem]:
    digest = hashlib.sha256()
    try:
        for piece in archive.chunks(name):
            digest.update(piece)
    except BundleError as error:
        return [problem_of("digest", name, error)]
    if digest.hexdigest() == expected:
        return []
    message = f"SHA-256 {digest.hexdigest()}, sealed as {expected}"
    return [Problem(code="digest", file=name, message=message)]


def problem_of(code: str, file: str, error: BundleError) -> Problem:
    """Make a problem of an error whose message may name the file, too."""
    return Problem(code=code, file=file, message=str(error).removeprefix(f"{file}: "))


def _contents(archive: Archive, told: Statement, notes: list[str]) -> list[Problem]:
    """Check what a seal does not: the summary's sense, and the chains of run records inside."""
    from flopledger.bundle import summary

    problems: list[Problem] = []
    try:
        if statement.SUMMARY in told.digests:
            data = archive.content(statement.SUMMARY, limit=summary.MAX_BYTES)
            summary.loads(data)
    except BundleError as error:
        problems.append(problem_of("content", statement.SUMMARY, error))
    for name in (statement.AUDIT, statement.FACTS):
        try:
            if name in told.digests and _json(archive, name) is None:
                raise BundleError("not a JSON object")
        except BundleError as error:
            problems.append(problem_of("content", name, error))
    for folder in sorted(records.folders(told.digests)):
        problems += _check_chain(archive, folder, notes)
    return problems


def _check_chain(archive: Archive, folder: str, notes: list[str]) -> list[Problem]:
    with tempfile.TemporaryDirectory(prefix="flopledger-") as draft:
        root = Path(draft)
        extract(archive, root, prefix=folder + "/")
        return [
            Problem(code="chain", file=f"{folder}/{one.file}", message=f"{one.code}: {one.message}")
            for one in _record_problems(root / folder, notes, folder)
        ]


def _record_problems(run_dir: Path, notes: list[str], name: str) -> list[Problem]:
    """Check a record on disk; what a crash explains becomes a note."""
    found = records.problems(run_dir)
    honest = [one for one in found if one.code in records.HONEST]
    notes += [f"{name}/{one.file}: {one.code}: {one.detail}" for one in honest]
    return [
        Problem(code=one.code, file=one.file, message=one.detail)
        for one in found
        if one.code not in records.HONEST
    ]


def extract(archive: Archive, root: Path, *, prefix: str) -> None:
    """Write the files below ``prefix`` under ``root``. Names were checked when the archive opened."""
    for name in archive.entries:
        if not name.startswith(prefix):
            continue
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            for piece in archive.chunks(name):
                file.write(piece)


def _json(archive: Archive, name: str) -> Mapping[str, Any] | None:
    if name not in archive.entries:
        return None
    found = strict.loads(archive.content(name, limit=strict.MAX_BYTES), what=name)
    return found if isinstance(found, dict) else None


def _verify_record(run_dir: Path, trusted: Sequence[PublicKey], *, recompute: bool) -> Verification:
    """Check the chains of a bare run folder, which nobody signed."""
    if recompute:
        raise BundleError(f"{run_dir}: a run's folder has no sealed figures; seal it first")
    if not records.is_record(run_dir):
        raise BundleError(f"{run_dir}: no run's record (telemetry/ or steps/) is in this folder")
    notes: list[str] = []
    found = [
        Problem(code="chain", file=one.file, message=f"{one.code}: {one.message}")
        for one in _record_problems(run_dir, notes, run_dir.name)
    ]
    if trusted:
        message = "a run's folder carries no signature; `flopledger seal` makes a bundle of it"
        found.append(Problem(code="signature", file=run_dir.name, message=message))
    notes.append("a bare record: its chains hold, but only a seal says who vouches for it")
    return Verification(path=run_dir, problems=tuple(found), notes=tuple(notes))
