"""Who signed what: a bundle, and below a merge its members, down to the sites."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from flopledger.bundle.keys import PublicKey

if TYPE_CHECKING:
    from flopledger.bundle.archive import Archive
    from flopledger.bundle.verification import Seal


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One sealed statement."""

    id: str  #: SHA-256 of the statement
    title: str
    kind: str
    verdict: str | None
    signers: tuple[str, ...]  #: key ids
    site: str | None = None  #: what a site below a merge calls itself
    trusted: bool  #: whether a key that the caller named is among them
    members: tuple["Node", ...] = ()

    def leaves(self) -> Iterator["Node"]:
        """Give the sites below (a bundle that is no merge is its own)."""
        if self.kind != "merged":
            yield self
        for member in self.members:
            yield from member.leaves()

    def knowing(self, keys: frozenset[str]) -> "Node":
        """Give the same tree with the signatures of these keys (ids) marked as trusted."""
        return replace(
            self,
            trusted=bool(keys & set(self.signers)),
            members=tuple(member.knowing(keys) for member in self.members),
        )

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain values."""
        return {
            "id": self.id,
            "title": self.title,
            "kind": self.kind,
            "verdict": self.verdict,
            "site": self.site,
            "signers": list(self.signers),
            "trusted": self.trusted,
            "members": [member.to_dict() for member in self.members],
        }


def leaf(
    seal: "Seal",
    trusted: Sequence[PublicKey],
    members: tuple[Node, ...] = (),
    *,
    site: str | None = None,
) -> Node:
    """Describe one seal."""
    predicate = seal.statement.predicate
    ids = tuple(key.id for key in seal.signers)
    return Node(
        id=seal.id,
        title=predicate.title,
        kind=predicate.kind,
        verdict=predicate.verdict,
        site=site,
        signers=ids,
        trusted=any(key.id in ids for key in trusted),
        members=members,
    )


def check_merge(
    archive: "Archive", seal: "Seal", trusted: Sequence[PublicKey]
) -> tuple[Node, list[tuple[str, str]]]:
    """Check every member of a merge and repeat the sum; list (file, fault)."""
    from flopledger.bundle.merging import check

    return check(archive, seal, trusted)
