"""The members of a merge: every statement below it with its signatures, and each site's summary."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopledger.bundle import envelope, statement, summary
from flopledger.bundle.archive import Archive
from flopledger.bundle.errors import BundleError
from flopledger.bundle.keys import PublicKey
from flopledger.bundle.summary import SiteSummary
from flopledger.bundle.tree import Node, leaf
from flopledger.text import number

if TYPE_CHECKING:
    from flopledger.bundle.envelope import Signature
    from flopledger.bundle.verification import Seal
    from flopledger.bundle.writing import Content

MAX_SITES = 2_000
MAX_BYTES = 256 << 20  #: of all members of a merge together
#: A member may stand in several merges; written out, such a tree can have more nodes than atoms.
MAX_DEPTH, MAX_NODES = 32, 10_000
#: More than any device of the hardware database can do in a second, in any precision; a run that
#: needs more of each of its device-seconds is no measurement.
MAX_FLOP_PER_DEVICE_SECOND = 1e18
#: Letters of a site's own names, which the merged result repeats.
MAX_LETTERS = 1_000_000
#: Stretches of device time, each as often as runs of one site claim it: what settling them costs.
MAX_CLAIMS = 500_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Stub:
    """One statement with its signatures; of a site also its summary."""

    seal: "Seal"
    signatures: "dict[str, tuple[Signature, PublicKey]]"
    summary: bytes | None = None
    site: SiteSummary | None = None


def check_stub(stub: Stub, trusted: Sequence[PublicKey]) -> None:
    """Refuse what may not enter a sum. Raises ``BundleError``."""
    if stub.site is None:
        return
    if not stub.signatures:
        raise BundleError("nobody signed it")
    if trusted and not any(key.id in stub.signatures for key in trusted):
        raise BundleError(f"{stub.site.site}: none of the trusted keys signed it")
    _check_costs(stub.site)
    for run in stub.site.runs:
        time = None if run.device_seconds is None else run.device_seconds.high
        least = None if run.flop is None else run.flop.low
        if time and least is not None and least > time * MAX_FLOP_PER_DEVICE_SECOND:
            raise BundleError(
                f"run {run.name!r}: at least {number(least)} FLOP in {number(time)} device-seconds; "
                "no device computes that fast"
            )


def _check_costs(site: SiteSummary) -> None:
    """Refuse a summary that would keep everybody else's from being added up, or checked again."""
    letters = sum(len(run.name) + sum(map(len, run.shared)) for run in site.runs)
    if letters > MAX_LETTERS:
        raise BundleError(f"its names have {letters:,} letters; at most {MAX_LETTERS:,} are merged")
    edges: dict[str, list[tuple[float, int]]] = {}
    for run in site.runs:
        for device in run.devices:
            found = edges.setdefault(device.id, [])
            found += [(start, 1) for start, _ in device.windows]
            found += [(end, -1) for _, end in device.windows]
    claims = 0
    for found in edges.values():
        claimed = 0
        for _, step in sorted(found):
            claimed += step
            claims += claimed if claimed > 1 else 0
            if claims > MAX_CLAIMS:
                raise BundleError(
                    f"its runs claim the same devices more than {MAX_CLAIMS:,} times over, which is "
                    "more than a merge settles"
                )


def stubs_of(archive: Archive, seal: "Seal") -> Iterable[Stub]:
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
            stub = stub_of(inner)
        else:
            data = archive.content(folder + statement.SUMMARY, limit=summary.MAX_BYTES)
            stub = stub_of(inner, data)
            check_stub(stub, ())
        if below[name] != set(files_of(stub)):
            raise BundleError(f"{folder}: holds files that a member does not have")
        yield stub


def stub_of(seal: "Seal", data: bytes | None = None) -> Stub:
    """Make a member of a checked seal and, for a site, its summary. Raises ``BundleError``."""
    signatures = {one.key_id: one for one in seal.envelope.signatures}
    pairs = {key.id: (signatures[key.id], key) for key in seal.signers}
    if data is None:
        return Stub(seal=seal, signatures=pairs)
    if seal.statement.digests.get(statement.SUMMARY) != hashlib.sha256(data).hexdigest():
        raise BundleError(f"{statement.SUMMARY}: not the one that was sealed")
    site = summary.loads(data)
    return Stub(seal=seal, signatures=pairs, summary=data, site=site)


def files_of(stub: Stub) -> "dict[str, Content]":
    """List the files that a member has in a merged bundle."""
    folder = f"{statement.MEMBERS}{stub.seal.id}/"
    ordered = [stub.signatures[name][0] for name in sorted(stub.signatures)]
    sealed = envelope.Envelope(payload=stub.seal.payload, signatures=tuple(ordered))
    files: dict[str, Content] = {folder + statement.SEAL: sealed.dumps()}
    for name, (_, key) in stub.signatures.items():
        files[f"{folder}{statement.SIGNERS}{name}.pub"] = key.pem
    if stub.summary is not None:
        files[folder + statement.SUMMARY] = stub.summary
    return files


def node_of(
    seal: "Seal",
    stubs: dict[str, Stub],
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
        node, below = node_of(stubs[name].seal, stubs, trusted, depth=depth + 1, built=built)
        members.append(node)
        reached |= below | {name}
    stub = stubs.get(seal.id)
    called = None if stub is None or stub.site is None else stub.site.site
    return leaf(seal, trusted, tuple(members), site=called), reached
