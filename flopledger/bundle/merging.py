"""Federated audits: several sites' bundles into one total and one verdict, their seals kept.

A merged bundle holds, for every statement below it, the signed envelope, the public keys and the
site's summary, so that the whole tree can be checked offline without the sites' data. The result is
a pure function of the sites: it does not depend on order, on nesting (a merge of merges adds up the
same sites), or on how often a site is handed in. It can be signed, and need not be: verifying
repeats the sum.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flopledger.bundle import envelope, statement, strict, summary, totals, writing
from flopledger.bundle.archive import Archive
from flopledger.bundle.errors import BundleError
from flopledger.bundle.keys import PrivateKey, PublicKey
from flopledger.bundle.statement import Predicate
from flopledger.bundle.summary import SiteSummary
from flopledger.bundle.totals import Part
from flopledger.bundle.tree import Node, leaf
from flopledger.facts import Finding

if TYPE_CHECKING:
    from flopledger.bundle.envelope import Signature
    from flopledger.bundle.verification import Seal
    from flopledger.bundle.writing import Content
    from flopledger.quantity import Interval

SCHEMA = "flopledger/merged/1"
MAX_SITES = 2_000
MAX_BYTES = 256 << 20  #: of all members of a merge together
#: A member may stand in several merges; written out, such a tree can have more nodes than atoms.
MAX_DEPTH, MAX_NODES = 32, 10_000
#: More than any device of the hardware database can do in a second, in any precision; a run that
#: needs more of each of its device-seconds is no measurement.
MAX_FLOP_PER_DEVICE_SECOND = 1e18


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
class _Stub:
    """One statement with its signatures; of a site also its summary."""

    seal: "Seal"
    signatures: "dict[str, tuple[Signature, PublicKey]]"
    summary: bytes | None = None
    site: SiteSummary | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Excluded:
    sha256: str
    file: str
    reason: str


@dataclass(slots=True)
class _Pool:
    """Everything that was handed in, each statement once."""

    stubs: dict[str, _Stub] = field(default_factory=dict)
    direct: set[str] = field(default_factory=set)
    excluded: list[_Excluded] = field(default_factory=list)

    def add(self, found: Iterable[_Stub]) -> None:
        """Take stubs in; signatures of the same statement are united."""
        for stub in found:
            known = self.stubs.get(stub.seal.id)
            if known is not None:
                stub = replace(stub, signatures=known.signatures | stub.signatures)
            self.stubs[stub.seal.id] = stub


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
    result, total = _result(title, pool.stubs.values())
    excluded = sorted({(one.sha256, one.file, one.reason) for one in pool.excluded})
    result["excluded"] = [
        {"sha256": digest, "file": file, "reason": reason} for digest, file, reason in excluded
    ]
    files: dict[str, Content] = {statement.MERGED: strict.dumps(result)}
    for name in sorted(pool.stubs):
        files |= _files_of(pool.stubs[name])
    predicate = Predicate(
        schema=statement.SCHEMA,
        kind="merged",
        title=title,
        tool=writing.tool(_tables(), {}),
        verdict=result["verdict"],
        members=sorted(pool.direct),
    )
    writing.write(out, files, predicate, keys)
    findings = [Finding(**{**one, "evidence": ()}) for one in result["findings"]] + [
        Finding(code="member-excluded", severity="error", message=f"{file}: {reason}")
        for _, file, reason in excluded
    ]
    return Merged(
        path=out,
        result=result,
        total=total,
        verdict=result["verdict"],
        sites=len(result["sites"]),
        runs=sum(len(site["runs"]) for site in result["sites"]),
        findings=tuple(findings),
        excluded=len(excluded),
    )


def check(
    archive: Archive, seal: "Seal", trusted: Sequence[PublicKey]
) -> tuple[Node, list[tuple[str, str]]]:
    """Check every seal below a merge and repeat the sum; list (file, fault)."""
    try:
        stubs = {stub.seal.id: stub for stub in _stubs_of(archive, seal)}
        node, reached = _node(seal, stubs, trusted)
        orphans = sorted(set(stubs) - reached)
        if orphans:
            return node, [(statement.MEMBERS + orphans[0], "belongs to no member of the merge")]
        again, _ = _result(seal.statement.predicate.title, stubs.values())
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
    strangers = sorted(set(told) - set(again) - {"excluded"})
    faults += [(statement.MERGED, f"{key}: does not belong there") for key in strangers]
    if seal.statement.predicate.verdict != again["verdict"]:
        faults.append((statement.MANIFEST, f"the verdict is {again['verdict']}"))
    return node, faults


def _take(pool: _Pool, path: Path, trusted: Sequence[PublicKey]) -> None:
    from flopledger.bundle.verification import read_seal, verify

    if not path.is_file():
        raise BundleError(f"{path}: no such file; give sealed bundles (.zip)")
    found = verify(path)
    try:
        if not found.ok:
            first = found.problems[0]
            raise BundleError(f"its seal does not hold: {first.file}: {first.message}")
        with Archive.open(path) as archive:
            seal = read_seal(archive)
            if seal.problems or seal.id != found.id:
                raise BundleError("changed while it was merged")
            taken = list(_stubs_of(archive, seal))
            if seal.statement.predicate.kind == "merged":
                taken.append(_stub(seal))
            else:
                data = archive.content(statement.SUMMARY, limit=summary.MAX_BYTES)
                taken.append(_stub(seal, data))
        for stub in taken:
            _check_stub(stub, trusted)
        if len(pool.stubs) + len(taken) > MAX_SITES:
            raise BundleError(f"more than {MAX_SITES:,} sites")
    except BundleError as error:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        pool.excluded.append(_Excluded(sha256=digest, file=path.name, reason=str(error)))
        return
    pool.add(taken)
    pool.direct.add(seal.id)


def _check_stub(stub: _Stub, trusted: Sequence[PublicKey]) -> None:
    """Refuse what may not enter a sum. Raises ``BundleError``."""
    if stub.site is None:
        return
    if not stub.signatures:
        raise BundleError("nobody signed it")
    if trusted and not any(key.id in stub.signatures for key in trusted):
        raise BundleError(f"{stub.site.site}: none of the trusted keys signed it")
    for run in stub.site.runs:
        time = None if run.device_seconds is None else run.device_seconds.high
        least = None if run.flop is None else run.flop.low
        if time and least is not None and least > time * MAX_FLOP_PER_DEVICE_SECOND:
            raise BundleError(
                f"run {run.name!r}: at least {least:.3g} FLOP in {time:.3g} device-seconds; "
                "no device computes that fast"
            )


def _stubs_of(archive: Archive, seal: "Seal") -> Iterable[_Stub]:
    """Read the members that a merge carries; each must verify by itself."""
    from flopledger.bundle.verification import read_seal

    if seal.statement.predicate.kind != "merged":
        return
    below: dict[str, set[str]] = {}
    size = 0
    for entry in archive.entries.values():
        if entry.name.startswith(statement.MEMBERS):
            name = entry.name.removeprefix(statement.MEMBERS).split("/")[0]
            below.setdefault(name, set()).add(entry.name)
            size += entry.size
    if len(below) > MAX_SITES or size > MAX_BYTES:
        raise BundleError(f"more than {MAX_SITES:,} members, or {MAX_BYTES:,} bytes of them")
    for name in sorted(below):
        folder = f"{statement.MEMBERS}{name}/"
        inner = read_seal(archive, prefix=folder)
        if inner.problems:
            raise BundleError(f"{inner.problems[0].file}: {inner.problems[0].message}")
        if inner.id != name:
            raise BundleError(f"{folder}: holds the statement {inner.id}")
        if inner.statement.predicate.kind == "merged":
            stub = _stub(inner)
        else:
            data = archive.content(folder + statement.SUMMARY, limit=summary.MAX_BYTES)
            stub = _stub(inner, data)
            _check_stub(stub, ())
        if below[name] != set(_files_of(stub)):
            raise BundleError(f"{folder}: holds files that a member does not have")
        yield stub


def _stub(seal: "Seal", data: bytes | None = None) -> _Stub:
    signatures = {one.key_id: one for one in seal.envelope.signatures}
    pairs = {key.id: (signatures[key.id], key) for key in seal.signers}
    if data is None:
        return _Stub(seal=seal, signatures=pairs)
    if seal.statement.digests.get(statement.SUMMARY) != hashlib.sha256(data).hexdigest():
        raise BundleError(f"{statement.SUMMARY}: not the one that was sealed")
    site = summary.loads(data, what=statement.SUMMARY)
    return _Stub(seal=seal, signatures=pairs, summary=data, site=site)


def _files_of(stub: _Stub) -> "dict[str, Content]":
    folder = f"{statement.MEMBERS}{stub.seal.id}/"
    ordered = [stub.signatures[name][0] for name in sorted(stub.signatures)]
    sealed = envelope.Envelope(payload=stub.seal.payload, signatures=tuple(ordered))
    files: dict[str, Content] = {folder + statement.SEAL: sealed.dumps()}
    for name, (_, key) in stub.signatures.items():
        files[f"{folder}{statement.SIGNERS}{name}.pub"] = key.pem
    if stub.summary is not None:
        files[folder + statement.SUMMARY] = stub.summary
    return files


def _node(
    seal: "Seal",
    stubs: dict[str, _Stub],
    trusted: Sequence[PublicKey],
    *,
    depth: int = 0,
    built: list[str] | None = None,
) -> tuple[Node, set[str]]:
    """Build the tree below a seal, and the set of statements that it reaches."""
    reached: set[str] = set()
    built = [] if built is None else built
    built.append(seal.id)
    if depth > MAX_DEPTH or len(built) > MAX_NODES:
        raise BundleError(f"merges deeper than {MAX_DEPTH} levels, or of {MAX_NODES:,} nodes")
    members = []
    for name in seal.statement.predicate.members:
        if name not in stubs:
            raise BundleError(f"the member {name} is not in the bundle")
        node, below = _node(stubs[name].seal, stubs, trusted, depth=depth + 1, built=built)
        members.append(node)
        reached |= below | {name}
    return leaf(seal, trusted, tuple(members)), reached


def _tables() -> dict[str, str]:
    from flopledger import digests

    return digests.of_own_tables()


def _result(title: str, stubs: Iterable[_Stub]) -> "tuple[dict[str, Any], Interval | None]":
    """Add up the sites. Nothing in here depends on their order."""
    sites = sorted(
        ((stub.seal.id, stub) for stub in stubs if stub.site is not None), key=lambda one: one[0]
    )
    parts = [
        Part(site=name, audit=stub.site.audit, run=run)
        for name, stub in sites
        if stub.site is not None
        for run in stub.site.runs
    ]
    parts, pairs = totals.without_duplicates(parts)
    timed, overlaps = totals.with_overlaps(parts)
    findings = [*_duplicates(pairs), *_overlaps(overlaps), *_sites(sites), *_open(parts)]
    flop = totals.total(_counted(parts, "parameter_update"))
    result = {
        "schema": SCHEMA,
        "title": title,
        "verdict": _verdict(sites, findings),
        "combined": None if flop is None else {"flop": _ends(flop), "level": 0.9},
        "known": _known(_counted(parts, "parameter_update")),
        "device_seconds": _ends(totals.device_seconds(timed)),
        "sites": [_site(name, stub, timed) for name, stub in sites],
        "findings": [
            {"code": one.code, "severity": one.severity, "message": one.message} for one in findings
        ],
        "regimes": _regimes(parts),
    }
    return result, flop


def _known(parts: Sequence[Part]) -> dict[str, Any]:
    """Add the runs that have a figure, so that one site without any hides nobody's."""
    counted = [part for part in parts if part.duplicate_of is None]
    figured = [part for part in counted if part.end("best")]
    return {
        "flop": _ends(totals.total(figured)),
        "runs": len(figured),
        "runs_without_figure": len(counted) - len(figured),
    }


def _verdict(sites: "Sequence[tuple[str, _Stub]]", findings: Sequence[Finding]) -> str:
    from flopledger.verdict import Verdict, worst

    tests = [Verdict(stub.site.verdict) for _, stub in sites if stub.site is not None]
    if any(one.severity == "warning" for one in findings):
        tests.append(Verdict.NEEDS_EXPLANATION)
    return str(worst(tests))


def _counted(parts: Sequence[Part], ledger: str) -> list[Part]:
    """Pick the runs that a ledger counts, and settle among them who counts shared device time."""
    from flopledger.inputs import RunFigures
    from flopledger.scope import counts

    counted = [
        part
        for part in parts
        if counts(
            RunFigures(
                name=part.run.name,
                kind=part.run.kind,
                place="",
                synthetic_public=part.run.synthetic_public,
            ),
            ledger,
        )
    ]
    return totals.with_overlaps(counted)[0]


def _regimes(parts: Sequence[Part]) -> list[dict[str, Any]]:
    from flopledger import regimes
    from flopledger.verdict import zone

    found = []
    for regime in regimes.default_regimes():
        if regime.rule is not None:
            continue
        flop = totals.total(_counted(parts, regime.ledger))
        if flop is None:
            continue
        best = flop.best
        found.append(
            {
                "id": regime.id,
                "threshold_flop": regime.threshold_flop,
                "ledger": regime.ledger,
                "flop": _ends(flop),
                "probability_exceeded": totals.probability_above(flop, regime.threshold_flop),
                "zone": None if best is None else zone(best, regime.threshold_flop),
            }
        )
    return found


def _site(name: str, stub: _Stub, parts: Sequence[Part]) -> dict[str, Any]:
    assert stub.site is not None
    mine = [part for part in parts if part.site == name]
    stated = {run.name: run for run in stub.site.runs}
    return {
        "id": name,
        "site": stub.site.site,
        "verdict": stub.site.verdict,
        "signers": sorted(stub.signatures),
        "runs": [
            {
                "name": part.run.name,
                "kind": part.run.kind,
                "flop": _ends_of(stated[part.run.name].flop),
                "device_seconds": _ends_of(part.run.device_seconds),
                "repeated": part.repeated,
                "duplicate_of": part.duplicate_of,
            }
            for part in mine
        ],
    }


def _duplicates(pairs: Iterable[tuple[str, str, bool]]) -> Iterable[Finding]:
    for kept, dropped, disputed in pairs:
        message = f"{dropped} rests on the same evidence as {kept}: counted once"
        if disputed:
            message += "; the two state different things, each end is taken at its highest"
            yield Finding(code="duplicate-disputed", severity="warning", message=message)
        else:
            yield Finding(code="duplicate-run", severity="info", message=message)


def _overlaps(overlaps: Iterable[totals.Overlap]) -> Iterable[Finding]:
    for one in overlaps:
        message = (
            f"{one.first} and {one.second} claim the same device for {one.seconds:,.0f} "
            "device-seconds: counted once in the low end and the best figure, twice in the high end"
        )
        yield Finding(code="overlapping-device-time", severity="warning", message=message)


def _sites(sites: "Sequence[tuple[str, _Stub]]") -> Iterable[Finding]:
    told = [stub.site for _, stub in sites if stub.site is not None]
    if len({one.audit for one in told}) > 1:
        message = (
            "the sites sealed under different audit ids: their devices and evidence cannot be "
            "compared, so work that is told twice is counted twice"
        )
        yield Finding(code="audit-ids-differ", severity="warning", message=message)
    names = [one.site for one in told]
    for name in sorted({name for name in names if names.count(name) > 1}):
        message = (
            f"{names.count(name)} sites call themselves {name[:100]!r}; their ids tell them apart"
        )
        yield Finding(code="site-name-collision", severity="info", message=message)
    blind = sum(not any(run.devices for run in one.runs) for one in told)
    if len(told) > 1 and blind:
        message = (
            f"{blind} of {len(told)} sites tell no device windows: device time that they share "
            "with others cannot be seen"
        )
        yield Finding(code="overlap-unchecked", severity="info", message=message)


def _open(parts: Iterable[Part]) -> Iterable[Finding]:
    for part in parts:
        if part.duplicate_of is None and (part.run.flop is None or part.run.flop.best is None):
            message = f"{part.label}: no figure, so the total has only bounds"
            yield Finding(code="run-without-figure", severity="info", message=message)


def _ends(value: "Interval | None") -> dict[str, float | None] | None:
    return None if value is None else {"low": value.low, "best": value.best, "high": value.high}


def _ends_of(value: "summary.Ends | None") -> dict[str, float | None] | None:
    return None if value is None else {"low": value.low, "best": value.best, "high": value.high}


def _short(value: Any) -> str:
    text = strict.line(value).decode()
    return text if len(text) <= 200 else text[:200] + "..."
