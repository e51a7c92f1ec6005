"""``flopledger seal``: case, evidence and report under one signature."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flopledger.commands._options import AsJson, Regimes, Seed, Trace, refuse

if TYPE_CHECKING:
    from flopledger.bundle import PrivateKey, Sealed
    from flopledger.bundle.redaction import Redaction
    from flopledger.bundle.sealing import Choices


def register(app: typer.Typer) -> None:
    """Hang this verb on the command line."""
    app.command("seal", short_help="Case, evidence and report under one signature")(seal)


def seal(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_DIR_OR_CASE", help="A case file, a run's folder, or a bundle to co-sign."
        ),
    ],
    *,
    key: Annotated[
        list[Path] | None,
        typer.Option("--key", metavar="FILE", help="Private key that signs (repeatable)."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The bundle to write (.zip).")] = None,
    redact: Annotated[
        Path | None, typer.Option("--redact", help="Policy (TOML): what is withheld by digest.")
    ] = None,
    reveal: Annotated[
        Path | None,
        typer.Option("--reveal", help="Private file for the salts of what is withheld."),
    ] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="Withhold every input: digests and totals only.")
    ] = False,
    site: Annotated[
        str | None, typer.Option("--site", help="Name of this site in a federated audit.")
    ] = None,
    audit_id_file: Annotated[
        Path | None,
        typer.Option("--audit-id-file", help="File with the secret that the sites share."),
    ] = None,
    html: Annotated[bool, typer.Option(help="Include the HTML report.")] = True,
    at: Annotated[
        str | None, typer.Option("--at", help="Time of sealing to state, RFC 3339.")
    ] = None,
    seed: Seed = None,
    regime: Regimes = None,
    trace: Trace = True,
    sigstore: Annotated[
        bool,
        typer.Option(
            "--sigstore",
            help="Sign through Sigstore, too: uses the network, publishes who and when.",
        ),
    ] = False,
    sigstore_trust: Annotated[
        Path | None,
        typer.Option(help="Trust configuration of a private Sigstore instance."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Seal a case with its evidence and report, or a run's record, into one signed file.

    The same inputs give the same bytes. What --redact withholds leaves salted digests; --reveal
    keeps what is needed to show it later. --sigstore writes F.zip.sigstore.json beside the bundle; of
    a bundle that exists it needs neither --key nor --out.

    Example: flopledger seal case.toml --key flopledger.key --out evidence.zip
    """
    from flopledger.bundle import redaction, sealing
    from flopledger.commands import _keys
    from flopledger.commands._audited import check_bundle

    if sigstore:
        _announce(sigstore_trust)
    case = _case(source)
    is_bundle = case is None and not source.is_dir()
    if sigstore and is_bundle and not key and out is None:
        _witness(source, sigstore_trust, as_json=as_json)
        return
    if not key or out is None:
        raise _lacking("--key" if not key else "--out")
    check_bundle(out)
    keys = _keys.private(key)
    audit_only = {"seed": seed is not None, "regime": regime, "no_trace": not trace}
    if not sigstore:
        refuse("--sigstore-trust goes with --sigstore", sigstore_trust=sigstore_trust)
    if source.is_dir() and case is None:
        refuse(f"{source}: a run's folder, of which nothing is audited", **audit_only)
    if is_bundle:
        refuse(
            f"{source}: a bundle is sealed already", redact=redact, reveal=reveal, summary=summary,
            site=site, at=at, audit_id_file=audit_id_file, no_html=not html, **audit_only,
        )  # fmt: skip
        made = sealing.countersign(source, keys=keys, out=out)
    else:
        made = _sealed(
            case or source, keys, out, redaction.load(redact, reveal, summary_only=summary),
            sealing.Choices(
                html=html, site=site, audit_id=_keys.secret(audit_id_file), summary_only=summary,
                sealed_at=at,
            ),
            seed=seed, regime_ids=tuple(regime or ()), trace=trace,
        )  # fmt: skip
    if sigstore:
        made = replace(made, attestation=_attest(out, sigstore_trust))
    show(made, as_json=as_json)


def _sealed(
    source: Path,
    keys: "list[PrivateKey]",
    out: Path,
    withheld: "Redaction | None",
    choices: "Choices",
    **of_a_case: Any,
) -> "Sealed":
    """Seal a run's folder, or a case, which is audited first."""
    from flopledger.bundle import sealing
    from flopledger.cases.case import AuditCase
    from flopledger.commands._waiting import waiting

    if source.is_dir():
        with waiting(f"sealing {source}"):
            return sealing.seal_record(
                source, keys=keys, out=out, redaction=withheld, choices=choices
            )
    case = AuditCase.load(source)
    with waiting(f"auditing and sealing {source}"):
        return sealing.seal_case(
            case, keys=keys, out=out, redaction=withheld, choices=choices, **of_a_case
        )


def _attest(out: Path, trust: Path | None) -> Path:
    """Sign a bundle that was just written; where that fails, the bundle stands all the same."""
    from flopledger.bundle import BundleError, transparency

    try:
        return transparency.sign(out, trust=trust)
    except BundleError as error:
        raise BundleError(
            f"{out} is written and signed by key, but not through Sigstore: {error}; to try "
            f"again: flopledger seal {out} --sigstore"
        ) from None


def _announce(trust: Path | None) -> None:
    """Say what signing through Sigstore gives away, before anything is done."""
    from flopledger.bundle import transparency

    transparency.require()
    if trust is None:
        typer.echo(f"warning: {transparency.WARNING}", err=True)


def _witness(bundle: Path, trust: Path | None, *, as_json: bool) -> None:
    """Sign a bundle that exists through Sigstore alone: the bundle stays as it is."""
    import json

    from flopledger.bundle import transparency

    made = transparency.sign(bundle, trust=trust)
    typer.echo(
        json.dumps({"sigstore": str(made)}) if as_json else f"{made}: signed through Sigstore"
    )


def _lacking(option: str) -> Exception:
    from flopledger.bundle import BundleError

    what = {
        "--key": "the private key that signs (`flopledger keygen` writes one)",
        "--out": "the bundle to write, such as evidence.zip",
    }
    return BundleError(f"{option} is missing: {what[option]}")


def show(made: "Sealed", *, as_json: bool) -> None:
    """Print what was written."""
    import json

    from flopledger.unseen import visible

    if as_json:
        answer = {
            "bundle": str(made.path),
            "id": made.id,
            "sha256": made.sha256,
            "files": made.files,
            "bytes": made.size,
            "signers": list(made.signers),
            "withheld": made.withheld,
            "verdict": made.verdict,
            "sigstore": None if made.attestation is None else str(made.attestation),
            "notes": list(made.notes),
        }
        typer.echo(json.dumps(answer))
        return
    typer.echo(f"{made.path}: {made.files} files, {made.size:,} bytes, {made.withheld} withheld")
    typer.echo(f"sha256 {made.sha256}")
    for identity in made.signers:
        typer.echo(f"signed by {identity}")
    if made.attestation is not None:
        typer.echo(f"signed through Sigstore: {made.attestation}")
    for note in made.notes:
        typer.echo(f"note: {visible(note)}", err=True)


def _case(source: Path) -> Path | None:
    """Say which case file is meant; ``None`` for a run's folder or a bundle."""
    from flopledger.bundle import BundleError

    if not source.exists():
        raise BundleError(
            f"{source}: no such file or folder; give a case, a run's folder, a bundle"
        )
    if source.is_dir():
        from flopledger.bundle.records import is_record

        inside = source / "case.toml"
        if is_record(source):
            return None
        if inside.is_file():
            return inside
        raise BundleError(f"{source}: neither a run's record (telemetry/, steps/) nor a case.toml")
    return None if source.suffix.lower() == ".zip" else source
