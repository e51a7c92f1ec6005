"""``flopledger verify``: does the seal hold, who signed, and do the figures come out again?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flopledger.commands._deliver import print_json
from flopledger.commands._options import AsJson, refuse
from flopledger.unseen import visible

if TYPE_CHECKING:
    from flopledger.bundle import Verification
    from flopledger.bundle.recompute import Recomputed
    from flopledger.bundle.recompute_page import Page
    from flopledger.bundle.reveal import Revealed
    from flopledger.bundle.transparency import Expected
    from flopledger.bundle.tree import Node

_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Hang this verb on the command line."""
    app.command("verify", short_help="Check a bundle: signatures, digests, chains, every figure")(
        verify
    )


def verify(
    bundle: Annotated[Path, typer.Argument(metavar="F.zip", help="A bundle, or a run's folder.")],
    *,
    key: Annotated[
        list[Path] | None,
        typer.Option(
            "--key", metavar="FILE", help="Public key that must have signed (repeatable)."
        ),
    ] = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Audit again and compare every figure.")
    ] = False,
    reveal: Annotated[
        Path | None, typer.Option("--reveal", help="Reveal file: check what was withheld.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Folder of revealed files (default: beside the reveal file)."),
    ] = None,
    sigstore_identity: Annotated[
        str | None,
        typer.Option("--sigstore-identity", help="Who must have signed through Sigstore."),
    ] = None,
    sigstore_issuer: Annotated[
        str | None,
        typer.Option("--sigstore-issuer", help="OpenID issuer that vouched for that identity."),
    ] = None,
    sigstore_bundle: Annotated[
        Path | None,
        typer.Option(help="The Sigstore signature (default: F.zip.sigstore.json)."),
    ] = None,
    sigstore_trust: Annotated[
        Path | None,
        typer.Option(help="Trusted root or trust configuration (default: sigstore's own)."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Check signatures, digests and chains; with --recompute every number, too.

    With --reveal, --recompute uses the revealed files that match their commitments, too.

    Exit code 0 it holds, 1 it does not, 2 bad input, 3 it holds, but nobody signed it or the
    figures cannot be compared (another version of the tool, withheld inputs).

    Example: flopledger verify evidence.zip --key flopledger.pub --recompute
    """
    from flopledger.bundle import load_public
    from flopledger.bundle import verify as check
    from flopledger.commands._waiting import waiting

    if reveal is None:
        refuse("--from says where the files of --reveal lie", **{"from": source})

    trusted = [load_public(path) for path in key or ()]
    expected = _expected(sigstore_identity, sigstore_issuer, sigstore_bundle, sigstore_trust)
    revealed = None
    with waiting(f"checking {bundle}"):
        found = check(
            bundle, trusted=trusted, recompute=recompute and reveal is None, sigstore=expected
        )
        if reveal is not None:
            folder = reveal.parent if source is None else source
            found, revealed = _with_revealed(found, reveal, folder, recompute=recompute)
    code = 1 if revealed is not None and not revealed.ok else found.exit_code
    if as_json:
        answer = found.to_dict() | {"ok": code == 0}
        answer["revealed"] = None if revealed is None else revealed.to_dict()
        print_json(answer)
        return code
    _show(found)
    if revealed is not None:
        _show_revealed(revealed)
    return code


def _with_revealed(
    found: "Verification", reveal: Path, folder: Path, *, recompute: bool
) -> "tuple[Verification, Revealed]":
    """Check revealed files against their commitments, and count with those that match."""
    from flopledger.bundle import reveal as revealing

    revealed = revealing.check(found, reveal, folder)
    if recompute:
        found = revealing.recompute(found, revealed, folder)
    return found, revealed


def _expected(
    identity: str | None, issuer: str | None, attestation: Path | None, trust: Path | None
) -> "Expected | None":
    """Say who must have signed through Sigstore; an identity means nothing without its issuer."""
    from flopledger.bundle import BundleError
    from flopledger.bundle.transparency import Expected

    if identity is None and issuer is None:
        if attestation is None and trust is None:
            return None
        raise BundleError("--sigstore-identity and --sigstore-issuer: say who must have signed")
    if identity is None or issuer is None:
        lacking = "identity" if identity is None else "issuer"
        raise BundleError(
            f"--sigstore-{lacking} is missing: anybody can have any name with some issuer, so both "
            "are needed"
        )
    return Expected(identity=identity, issuer=issuer, attestation=attestation, trust=trust)


def _show(found: "Verification") -> None:
    told = found.statement
    if found.ok:
        what = "" if told is None else f" ({told.predicate.kind}: {visible(told.predicate.title)})"
        signed = found.signers or found.witness is not None or _members(found)
        state = "the seal holds" if signed else "unsigned; digests hold"
        if told is None:
            state = "its chains hold"
        typer.echo(f"{found.path.name}: {state}{what}")
    elif found.intact:
        typer.echo(f"{found.path.name}: whole, but NOT signed by whom you named")
    else:
        typer.echo(f"{found.path.name}: the seal does NOT hold")
    for problem in found.problems[:_SHOWN]:
        typer.echo(f"  {problem.code}: {visible(problem.file)}: {visible(problem.message)}")
    if len(found.problems) > _SHOWN:
        typer.echo(f"  ... and {len(found.problems) - _SHOWN} more (see --json)")
    for signer in found.signers:
        typer.echo(f"  signed by {signer.key_id} ({'trusted' if signer.trusted else 'not pinned'})")
    if found.witness is not None:
        when = found.witness.integrated_time
        typer.echo(
            f"  signed through Sigstore by {visible(found.witness.identity)} "
            f"(vouched for by {visible(found.witness.issuer)}"
            f"{'' if when is None else f', logged {_utc(when)}'})"
        )
    for node in found.tree:
        for member in node.members:
            _show_node(member, 1)
    if told is not None:
        if told.predicate.verdict is not None:
            typer.echo(f"  sealed verdict: {visible(told.predicate.verdict)}")
        if told.predicate.withheld:
            typer.echo(f"  withheld by digest: {len(told.predicate.withheld)}")
    for note in found.notes:
        typer.echo(f"  note: {visible(note)}")
    if found.recomputed is not None:
        _show_recomputed(found.recomputed)


def _show_recomputed(found: "Recomputed") -> None:
    if found.same:
        typer.echo(f"  recomputed: all {found.compared} figures come out as sealed")
        _show_page(found.page)
        return
    for one in found.differences[:_SHOWN]:
        typer.echo(
            f"  differs: {one.file}: {visible(one.place)}: "
            f"sealed {visible(repr(one.sealed))}, recomputed {visible(repr(one.recomputed))}"
        )
    if len(found.differences) > _SHOWN:
        typer.echo(f"  ... and {len(found.differences) - _SHOWN} more (see --json)")
    for why in found.explanations:
        typer.echo(f"  because: {visible(why)}")
    if found.left_out:
        same = found.compared - len(found.differences)
        typer.echo(
            f"  recomputed from what is at hand: {same} figures come out as sealed; left out:"
        )
    for left in found.left_out[:_SHOWN]:
        typer.echo(f"    {visible(left.what)}: {visible(left.why)}")


def _show_page(page: "Page | None") -> None:
    if page is None:
        typer.echo("  the page: none is sealed")
    elif page.outcome == "same":
        typer.echo("  the page: comes out as sealed, byte for byte")
    elif page.outcome == "partly":
        typer.echo(
            f"  the page: its words, tables and static drawings come out as sealed; its live drawings "
            f"are not compared: {visible(page.why)}"
        )
    else:
        typer.echo(f"  the page: NOT compared: {visible(page.why)}")


def _show_revealed(found: "Revealed") -> None:
    for one in found.items:
        typer.echo(f"  revealed {one.kind} {visible(one.name)}: {one.outcome}")


def _show_node(node: "Node", depth: int) -> None:
    signed = ", ".join(name[:16] for name in node.signers) or "nobody"
    name = node.title if node.site in {None, node.title} else f"{node.site}: {node.title}"
    typer.echo(f"{'  ' * (depth + 1)}- {visible(name)} [{node.kind}] signed by {signed}")
    for member in node.members:
        _show_node(member, depth + 1)


def _members(found: "Verification") -> bool:
    return any(node.members for node in found.tree)


def _utc(seconds: int) -> str:
    import datetime as dt

    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="seconds")
