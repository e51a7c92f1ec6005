"""Making bundles: of an audited case, or of a profiled run's folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flopledger import stamps
from flopledger.bundle import contents, records, statement, strict, summary, writing
from flopledger.bundle.archive import Archive, Writer
from flopledger.bundle.errors import BundleError
from flopledger.bundle.keys import PrivateKey
from flopledger.bundle.statement import Options, Predicate, Withheld
from flopledger.bundle.summary import Identities
from flopledger.bundle.writing import Content, Sealed

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.bundle.redaction import Redaction
    from flopledger.cases.case import AuditCase

__all__ = ["Choices", "Sealed", "seal_case", "seal_record", "seal_report"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """What a sealer may decide."""

    html: bool = True  #: include report.html (some 5 MB)
    site: str | None = None  #: the site's name in a federated audit; the title unless given
    audit_id: str | None = None  #: the secret that the sites of one audit share
    summary_only: bool = False  #: every input stays: digests, summary and report leave the site
    sealed_at: str | None = None  #: RFC 3339; left out, equal inputs give equal bytes


def seal_case(
    case: "AuditCase",
    *,
    keys: Sequence[PrivateKey],
    out: Path,
    seed: int | None = None,
    regime_ids: tuple[str, ...] = (),
    trace: bool = True,
    redaction: "Redaction | None" = None,
    choices: Choices | None = None,
) -> Sealed:
    """Audit ``case`` and seal it with its evidence and report."""
    _need_key(keys)
    report = _audit(case, seed=seed, regime_ids=regime_ids, trace=trace)
    return seal_report(report, keys=keys, out=out, redaction=redaction, choices=choices)


def seal_report(
    report: "AuditReport",
    *,
    keys: Sequence[PrivateKey],
    out: Path,
    redaction: "Redaction | None" = None,
    choices: Choices | None = None,
    unsigned: bool = False,
) -> Sealed:
    """Seal an audit that was made, with the inputs that it rests on.

    ``unsigned`` allows no key: the bundle can be signed later, on the machine that has one. Raises
    ``BundleError`` where an input was changed since, or has no place in a bundle.
    """
    chosen = choices or Choices()
    if not unsigned:
        _need_key(keys)
    if report.case.name != report.case.path.name:
        # Places in a sealed report begin at the case's folder, wherever that lay on this machine.
        report = _audit(
            report.case, seed=report.seed, regime_ids=report.regime_ids, trace=report.trace
        )
    if chosen.summary_only or redaction is not None:
        from flopledger.bundle import redaction as withholding

        return withholding.seal(report, keys=keys, out=out, redaction=redaction, choices=chosen)
    files: dict[str, Content] = {**contents.of_case(report.case)}
    told = summary.of_report(
        report,
        Identities(chosen.audit_id),
        site=chosen.site or report.case.spec.title,
        guessable=False,
    )
    files |= rendered(report, html=chosen.html) | {statement.SUMMARY: summary.dumps(told)}
    return writing.write(
        out, files, predicate_of(report, chosen), keys, check=lambda found: unchanged(report, found)
    )


def rendered(report: "AuditReport", *, html: bool) -> dict[str, Content]:
    """Render the report and its facts as the files of a bundle."""
    from flopledger.reports import html as page
    from flopledger.reports import json_report

    told = json_report.to_dict(report)
    found: dict[str, Content] = {
        statement.AUDIT: (json_report.dumps(report) + "\n").encode(),
        statement.FACTS: strict.dumps({"schema": "flopledger/facts/1", "facts": told["facts"]}),
    }
    if html:
        found[statement.HTML] = page.render(report).encode()
    return found


def predicate_of(report: "AuditReport", choices: Choices) -> Predicate:
    """Say what is sealed and how to repeat it."""
    return Predicate(
        schema=statement.SCHEMA,
        kind="audit",
        title=report.case.spec.title,
        tool=writing.tool(report.data_digests, report.environment),
        options=options_of(report),
        verdict=str(report.verdict),
        sealed_at=rfc3339(choices.sealed_at),
    )


def options_of(report: "AuditReport") -> Options:
    """Say what must be repeated to get the same figures."""
    return Options(
        case=statement.CASE + report.case.path.name,
        seed=report.seed,
        regimes=list(report.regime_ids),
        trace=report.trace,
    )


def countersign(bundle: Path, *, keys: Sequence[PrivateKey], out: Path) -> Sealed:
    """Add signatures to a bundle; its content and its other signatures stay.

    Raises ``BundleError`` where the bundle does not verify: nobody should sign what does not hold.
    """
    from flopledger.bundle.verification import check_files, read_seal, verify

    _need_key(keys)
    found = verify(bundle)
    if found.statement is None:
        first = found.problems[0]
        raise BundleError(f"{bundle}: is not signed again: {first.file}: {first.message}")
    with Archive.open(bundle) as archive, writing.replacing(out) as file:
        seal = read_seal(archive)
        if seal.problems or check_files(archive, seal) or seal.id != found.id:
            raise BundleError(f"{bundle}: changed while it was signed again")
        writer = Writer(file)
        for name in seal.statement.digests:
            writer.add(name, archive.reader(name))
        signatures = {one.key_id: one for one in seal.envelope.signatures}
        earlier = [(signatures[key.id], key) for key in seal.signers]
        signed = writing.add_seal(writer, seal.payload, keys, earlier)
        size, digest = writing.measure(file)
    predicate = found.statement.predicate
    return Sealed(
        path=out, id=seal.id, sha256=digest, files=len(seal.statement.digests), size=size,
        signers=signed, withheld=len(predicate.withheld), verdict=predicate.verdict,
        notes=tuple(predicate.notes),
    )  # fmt: skip


def seal_record(
    run_dir: Path,
    *,
    keys: Sequence[PrivateKey],
    out: Path,
    redaction: "Redaction | None" = None,
    choices: Choices | None = None,
) -> Sealed:
    """Seal the folder that ``flopledger run`` or ``import`` wrote.

    A record that a crash cut short is sealed and the bundle says so. Raises ``BundleError`` for one
    whose chain or segments were altered.
    """
    import hardware_db
    from flopledger import digests

    chosen = choices or Choices()
    _need_key(keys)
    problems = records.problems(run_dir)
    altered = [problem for problem in problems if problem.code not in records.HONEST]
    if altered:
        first = altered[0]
        raise BundleError(
            f"{run_dir}: {first.file}: {first.code}: {first.detail}; "
            "an altered record is not sealed as evidence"
        )
    told = records.sum_up(
        run_dir, Identities(chosen.audit_id), site=chosen.site or run_dir.resolve().name
    )
    tables = {"hardware_db": hardware_db.database_digest(), **digests.of_own_tables()}
    inputs = contents.of_record(run_dir)
    withheld: list[Withheld] = []
    secrets = None
    if redaction is not None:
        from flopledger.bundle.redaction import commit_files

        inputs, withheld, secrets = commit_files(inputs, redaction)
    predicate = Predicate(
        schema=statement.SCHEMA,
        kind="record",
        title=told.site,
        tool=writing.tool(tables, {}),
        notes=[f"{problem.file}: {problem.code}: {problem.detail}" for problem in problems],
        withheld=withheld,
        audience=None if redaction is None else redaction.policy.audience,
        sealed_at=rfc3339(chosen.sealed_at),
    )
    files: dict[str, Content] = {statement.SUMMARY: summary.dumps(told)}
    if not chosen.summary_only:
        files |= inputs
    made = writing.write(out, files, predicate, keys)
    if secrets is not None:
        secrets.save()
    return made


def rfc3339(time: str | None) -> str | None:
    """Check a stated time and give it in UTC."""
    return None if time is None else stamps.stated(time, "--at", BundleError)


def _need_key(keys: Sequence[PrivateKey]) -> None:
    if not keys:
        raise BundleError(
            "a seal needs a key: --key flopledger.key (`flopledger keygen` writes it)"
        )


def _audit(
    case: "AuditCase", *, seed: int | None, regime_ids: tuple[str, ...], trace: bool
) -> "AuditReport":
    """Audit under the case's bare name: no path of this machine enters a bundle."""
    from flopledger.auditing import DEFAULT_SEED, audit

    contents.of_case(case)  # what cannot be sealed is refused before the work
    return audit(
        replace(case, name=case.path.name),
        seed=DEFAULT_SEED if seed is None else seed,
        regime_ids=regime_ids,
        trace=trace,
    )


def unchanged(report: "AuditReport", digests: Mapping[str, str]) -> None:
    """Raise ``BundleError`` where what was just written is not what the audit read."""
    read = {report.case.path.name: report.case.sha256}
    for run in report.runs:
        read |= run.evidence_digests
    for name, digest in read.items():
        plain = "/".join(part for part in name.split("/") if part not in {"", "."})
        if digests.get(statement.CASE + plain, digest) != digest:
            raise BundleError(f"{name}: changed while it was audited and sealed; seal again")
