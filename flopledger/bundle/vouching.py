"""Who vouches for a bundle: the keys and the identity that the caller named."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flopledger.bundle import statement
from flopledger.bundle.errors import BundleError
from flopledger.bundle.keys import PublicKey
from flopledger.bundle.verification import Problem, Signer, problem_of

if TYPE_CHECKING:
    from flopledger.bundle.transparency import Expected, Witness
    from flopledger.bundle.tree import Node
    from flopledger.bundle.verification import Seal


def witness(
    path: Path,
    read: "Seal",
    sigstore: "Expected | None",
    problems: list[Problem],
    notes: list[str],
) -> "Witness | None":
    """Check the Sigstore signature that was asked for; mention one that was not."""
    from flopledger.bundle import transparency

    if sigstore is None:
        notes += [words for words in (transparency.describe(path),) if words is not None]
        return None
    transparency.require()
    try:
        return transparency.check(path, read.payload, sigstore)
    except BundleError as error:
        where = transparency.beside(path) if sigstore.attestation is None else sigstore.attestation
        problems.append(problem_of("sigstore", where.name, error))
        return None


def identity(
    signers: Sequence[Signer],
    trusted: Sequence[PublicKey],
    tree: "Sequence[Node]",
    notes: list[str],
    *,
    witnessed: bool,
) -> list[Problem]:
    """Ask for every key that the caller named; an identity that signed vouches, too."""
    is_merge = bool(tree and tree[0].members)
    if not trusted:
        if not witnessed:
            notes.append(_nobody_asked(is_signed=bool(signers), is_merge=is_merge))
        return []
    if not signers and is_merge:
        return [
            Problem(
                code="signer",
                file=f"{statement.MEMBERS}{leaf.id}",
                message="no key that was given signed this member of an unsigned merge",
            )
            for leaf in tree[0].leaves()
            if not leaf.trusted
        ]
    have = {signer.key_id for signer in signers}
    below = {name for node in tree for leaf in node.leaves() for name in leaf.signers}
    problems = [
        Problem(
            code="signer",
            file=statement.SEAL,
            message=f"the key {key.id} did not sign it; signed by: "
            f"{', '.join(sorted(have)) or 'nobody'}",
        )
        for key in trusted
        if key.id not in have | below
    ]
    if not problems and not any(signer.trusted for signer in signers):
        message = "none of the keys that were given signed the bundle itself"
        problems.append(Problem(code="signer", file=statement.SEAL, message=message))
    return problems


def _nobody_asked(*, is_signed: bool, is_merge: bool) -> str:
    """Say what a bundle is worth of which no signer is known."""
    if is_signed:
        return (
            "untrusted: the signature holds, but whose key it is was not checked: "
            "give the signer's public key with --key"
        )
    if is_merge:
        return (
            "untrusted: the members' signatures hold, but whose keys they are was not checked: "
            "give the signers' public keys with --key"
        )
    return "unsigned: the digests hold, but anybody can have made this bundle"
