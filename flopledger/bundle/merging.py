"""Federated audits: several sites' bundles into one total and one verdict, their seals kept.

A merged bundle holds, for every statement below it, the signed envelope, the public keys and the
site's summary, so that the whole tree can be checked offline without the sites' data. The result is
a pure function of the sites: it does not depend on order, on nesting (a merge of merges adds up the
same sites), or on how often a site is handed in. It can be signed, and need not be: verifying
repeats the sum.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flopledger.bundle import statement, strict, summary, writing
from flopledger.bundle.archive import Archive
from flopledger.bundle.errors import BundleError
from flopledger.bundle.keys import PrivateKey, PublicKey
from flopledger.bundle.members import (
    MAX_SITES,
    Stub,
    check_stub,
    files_of,
    node_of,
    stub_of,
    stubs_of,
)
from flopledger.bundle.merged_result import result_of
from flopledger.bundle.statement import Predicate
from flopledger.bundle.tree import Node, leaf
from flopledger.facts import Finding

if TYPE_CHECKING:
    from flopledger.bundle.verification import Seal
    from flopledger.bundle.writing import Content
    from flopledger.quantity import Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """A merge that was written."""

    path: Path
    result: dict[str, Any]  #: report/merged.json
    total: "Interval | None"  #: FLOP that update parameters, all sites together
    verdict: str
    sites: int
    runs: int
    findings: tuple[Finding, ...]
    excluded: int  #: bundles that were left out

    @property
    def exit_code(self) -> int:
        """1 where a bundle was left out or the sites contradict their claims, else 0."""
        return 1 if self.excluded or self.verdict == "inconsistent" else 0

    def to_dict(self) -> dict[str, Any]:
        """Give the merged result as plain values."""
        return self.result


@dataclass(frozen=True, kw_only=True, slots=True)
class _Excluded:
    sha256: str
    file: str
    reason: str


@dataclass(slots=True)
class _Pool:
    """Everything that was handed in, each statement once."""

    stubs: dict[str, Stub] = field(default_factory=dict)
    direct: set[str] = field(default_factory=set)
    again: list[str] = field(default_factory=list)  #: files whose statement was there already
    excluded: list[_Excluded] = field(default_factory=list)

    def add(self, found: Iterable[Stub]) -> None:
        """Take stubs in; signatures of the same statement are united."""
        for stub in found:
            known = self.stubs.get(stub.seal.id)
            if known is not None:
                stub = replace(stub, signatures=known.signatures | stub.signatures)
            self.stubs[stub.seal.id] = stub

    def left_out(self) -> list[_Excluded]:
        """List what does not count, each file once, in the order of digests."""
        return sorted(set(self.excluded), key=lambda one: (one.sha256, one.file, one.reason))

    def findings(self) -> Iterable[Finding]:
        """Say of each file that adds nothing why it does not."""
        for one in self.left_out():
            message = f"{one.file}: {one.reason}"
            yield Finding(code="member-excluded", severity="error", message=message)
        for file in self.again:
            message = f"{file}: the same bundle as one before it; it counts once"
            yield Finding(code="member-repeated", severity="info", message=message)


def merge(
    paths: Sequence[Path],
    *,
    out: Path,
    keys: Sequence[PrivateKey] = (),
    trusted: Sequence[PublicKey] = (),
    title: str = "Federated audit",
) -> Merged:
    """Merge the bundles at ``paths`` into ``out``.

    A bundle that does not verify, or whose summary cannot be, is left out with a finding. With
    ``trusted``, so is every bundle with a site that none of these keys signed. Raises
    ``BundleError`` where nothing is left, or a file does not exist.
    """
    pool = _Pool()
    for path in paths:
        _take(pool, path, trusted)
    if not any(stub.site is not None for stub in pool.stubs.values()):
        reasons = "; ".join(f"{one.file}: {one.reason}" for one in pool.excluded[:3])
        raise BundleError(f"no bundle to merge: {reasons or 'none was given'}")
    result, total = result_of(title, pool.stubs.values())
    excluded = pool.left_out()
    result["excluded"] = [asdict(one) for one in excluded]
    told = strict.dumps(result)
    if len(told) > strict.MAX_BYTES:
        raise BundleError(
            f"the merged result has {len(told):,} bytes, more than a verifier reads "
            f"({strict.MAX_BYTES:,}); merge fewer sites, or those with fewer runs"
        )
    files: dict[str, Content] = {statement.MERGED: told}
    for name in sorted(pool.stubs):
        files |= files_of(pool.stubs[name])
    predicate = Predicate(
        schema=statement.SCHEMA,
        kind="merged",
        title=title,
        tool=writing.tool(_tables(), {}),
        verdict=result["verdict"],
        members=sorted(pool.direct),
    )
    writing.write(out, files, predicate, keys)
    return Merged(
        path=out,
        result=result,
        total=total,
        verdict=result["verdict"],
        sites=len(result["sites"]),
        runs=sum(len(site["runs"]) for site in result["sites"]),
        findings=(
            *(Finding(**{**one, "evidence": ()}) for one in result["findings"]),
            *pool.findings(),
        ),
        excluded=len(excluded),
    )


def check(
    archive: Archive, seal: "Seal", trusted: Sequence[PublicKey]
) -> tuple[Node, list[tuple[str, str]]]:
    """Check every seal below a merge and repeat the sum; list (file, fault)."""
    try:
        stubs = {stub.seal.id: stub for stub in stubs_of(archive, seal)}
        node, reached = node_of(seal, stubs, trusted)
        orphans = sorted(set(stubs) - reached)
        if orphans:
            return node, [(statement.MEMBERS + orphans[0], "belongs to no member of the merge")]
        again, _ = result_of(seal.statement.predicate.title, stubs.values())
        told = strict.loads(
            archive.content(statement.MERGED, limit=strict.MAX_BYTES), what=statement.MERGED
        )
    except BundleError as error:
        return leaf(seal, trusted), [(statement.MEMBERS, str(error))]
    if not isinstance(told, dict):
        return node, [(statement.MERGED, "not an object")]
    faults = [
        (statement.MERGED, f"{key}: sealed as {_short(told.get(key))}, adds up to {_short(value)}")
        for key, value in again.items()
        if strict.line(told.get(key)) != strict.line(value)
    ]
    if not _is_list_of_excluded(told.get("excluded")):
        faults.append((statement.MERGED, "excluded: not a list of files with digest and reason"))
    strangers = sorted(set(told) - set(again) - {"excluded"})
    faults += [(statement.MERGED, f"{key}: does not belong there") for key in strangers]
    if seal.statement.predicate.verdict != again["verdict"]:
        faults.append((statement.MANIFEST, f"the verdict is {again['verdict']}"))
    return node, faults


def _is_list_of_excluded(told: Any) -> bool:
    """Check the one part of a result that does not follow from the sites."""
    return isinstance(told, list) and all(
        isinstance(one, dict)
        and set(one) == {"sha256", "file", "reason"}
        and all(isinstance(value, str) for value in one.values())
        for one in told
    )


def _take(pool: _Pool, path: Path, trusted: Sequence[PublicKey]) -> None:
    from flopledger.bundle.verification import read_seal, verify

    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise BundleError(f"{path}: {what}; give sealed bundles (.zip)")
    found = verify(path)
    try:
        if not found.ok:
            first = found.problems[0]
            place = "" if first.file == path.name else f"{first.file}: "
            message = first.message.removeprefix(f"{path}: ")
            raise BundleError(f"its seal does not hold: {place}{message}")
        with Archive.open(path) as archive:
            seal = read_seal(archive)
            if seal.problems or seal.id != found.id:
                raise BundleError("changed while it was merged")
            taken = list(stubs_of(archive, seal))
            if seal.statement.predicate.kind == "merged":
                taken.append(stub_of(seal))
            else:
                data = archive.content(statement.SUMMARY, limit=summary.MAX_BYTES)
                taken.append(stub_of(seal, data))
        for stub in taken:
            check_stub(stub, trusted)
        if len(pool.stubs) + len(taken) > MAX_SITES:
            raise BundleError(f"more than {MAX_SITES:,} sites")
    except BundleError as error:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        pool.excluded.append(_Excluded(sha256=digest, file=path.name, reason=str(error)))
        return
    if seal.id in pool.direct:
        pool.again.append(path.name)
    pool.add(taken)
    pool.direct.add(seal.id)


def _tables() -> dict[str, str]:
    from flopledger import digests

    return digests.of_own_tables()


def _short(value: Any) -> str:
    text = strict.line(value).decode()
    return text if len(text) <= 200 else text[:200] + "..."
