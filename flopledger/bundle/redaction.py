"""What a provider withholds, and what binds it to it: one case, reports for several audiences.

A policy names files, facts and keys of the case. Each withheld thing leaves a commitment in the
manifest, HMAC-SHA256 under a salt that only the provider's reveal file holds, so that a token count
cannot be found by trying all round numbers. Everything public (JSON, HTML, facts, summary) is
rendered from one redacted report value; afterwards every byte that would leave is searched for what
was withheld, and sealing fails where something is found.

A figure that is withheld goes with its synonyms: the case's ``accelerator_hours``, the fact
``accelerator_seconds`` and the run's device time are one thing. With ``derived = "round"`` (the
default) results are rounded outward to two digits, since an exact FLOP total divided by exact
parameters gives the tokens back; ``derived = "keep"`` leaves them exact.
"""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from flopledger import foreign_toml
from flopledger.bundle import contents, leaks, sealing, statement, strict, summary, writing
from flopledger.bundle.errors import BundleError
from flopledger.bundle.keys import PrivateKey
from flopledger.bundle.reveal import Secrets
from flopledger.bundle.statement import Withheld
from flopledger.bundle.summary import Identities
from flopledger.bundle.writing import Content, Sealed
from flopledger.facts import Fact

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.bundle.sealing import Choices
    from flopledger.cases.case import AuditCase

SCHEMA = "flopledger/redaction/1"
MAX_BYTES = 1 << 20
PUBLIC_CASE = "case.redacted.json"


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may see what. Patterns use ``*``, ``?`` and ``[...]``; ``*`` crosses slashes and dots."""

    schema: str
    audience: str
    files: list[str] = []  #: paths as the case names them: "logs/*.txt"
    facts: list[str] = []  #: names of facts: "tokens", "energy_*"
    keys: list[str] = []  #: keys of the case, runs by name: "run.*.tokens", "claim.source"
    derived: Literal["round", "keep"] = "round"

    @property
    def hides_case(self) -> bool:
        """Whether the case cannot leave as it is, and not files alone are withheld."""
        return bool(self.facts or self.keys)

    @property
    def hides_figures(self) -> bool:
        """Whether figures are withheld; no figure hangs on what the provider says of the release."""
        return bool(self.facts) or any(not key.startswith("release.") for key in self.keys)


@dataclass(frozen=True, kw_only=True, slots=True)
class Redaction:
    """A policy and where the salts are kept."""

    policy: Policy
    reveal: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """Figures that were taken out of a report, with their values."""

    keys: dict[str, Any]  #: case key -> value
    facts: dict[str, tuple[Any, str]]  #: "run: fact [n]" -> value, place
    fields: dict[str, frozenset[str]]  #: run -> names of withheld run figures
    values: tuple[Any, ...]  #: everything that must not be found again
    equal: frozenset[Fact] = frozenset()  #: facts under other names that state one of the values


def load(policy: Path | None, reveal: Path | None, *, summary_only: bool) -> Redaction | None:
    """Read the policy that the command line names; ``None`` where nothing is withheld by policy."""
    if policy is None and reveal is None:
        return None
    if reveal is None:
        raise BundleError(
            "--redact: needs --reveal FILE, where the salts are kept; without them nothing "
            "withheld could ever be shown"
        )
    if policy is None:
        if not summary_only:
            raise BundleError("--reveal: nothing is withheld; give a policy with --redact")
        everything = Policy(schema=SCHEMA, audience="federation", files=["*"], derived="keep")
        return Redaction(policy=everything, reveal=reveal)
    return Redaction(policy=load_policy(policy), reveal=reveal)


def load_policy(path: Path) -> Policy:
    """Read a policy file, or raise ``BundleError`` with the key that is wrong."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            raise BundleError(f"{path}: no such policy file, or no file written by hand")
        policy = msgspec.convert(foreign_toml.loads(path.read_text("utf-8")), Policy)
    except msgspec.ValidationError as error:
        raise BundleError(f"{path}: {error}") from None
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: not a TOML file: {error}") from None
    if policy.schema != SCHEMA:
        raise BundleError(f'{path}: schema: found {policy.schema!r}, this tool reads "{SCHEMA}"')
    if not (policy.files or policy.facts or policy.keys):
        raise BundleError(f"{path}: withholds nothing; give files, facts or keys")
    return policy


def redact(report: "AuditReport", policy: Policy) -> "AuditReport":
    """Give the report that ``policy``'s audience may see: every renderer shows only this."""
    from flopledger.bundle import redacted_report

    return redacted_report.redact(report, policy)[0]


def seal(
    report: "AuditReport",
    *,
    keys: Sequence[PrivateKey],
    out: Path,
    redaction: Redaction | None,
    choices: "Choices",
) -> Sealed:
    """Seal what may leave, and commit to the rest."""
    from flopledger.bundle import redacted_report

    inputs = contents.of_case(report.case)
    identities = Identities(choices.audit_id)
    site = choices.site or report.case.spec.title
    if redaction is None:
        policy, secrets, taken, public = None, None, None, report
    else:
        policy = redaction.policy
        secrets = Secrets.open(redaction.reveal)
        public, taken = redacted_report.redact(report, policy)
    told = summary.of_report(report, identities, site=site, guessable=True)
    if policy is not None and policy.hides_figures:
        told = redacted_report.summary_of(told, public, identities)
    files: dict[str, Content] = {statement.SUMMARY: summary.dumps(told)}
    withheld: list[Withheld] = []
    if not choices.summary_only:
        assert policy is not None
        assert taken is not None
        files |= _public_inputs(report.case, public.case, inputs, policy)
        files |= sealing.rendered(public, html=choices.html)
    if secrets is not None:
        kept = {name: path for name, path in inputs.items() if name not in files}
        withheld = _commit(secrets, kept, taken)
    predicate = msgspec.structs.replace(
        sealing.predicate_of(public, choices),
        options=None if policy is None or choices.summary_only else sealing.options_of(public),
        withheld=withheld,
        audience=None if policy is None else policy.audience,
        notes=["a summary: every input stays with the site"] if choices.summary_only else [],
    )
    if taken is not None and policy is not None and policy.hides_case:
        leaks.check(files, predicate, taken.values)
    made = writing.write(
        out, files, predicate, keys, check=lambda found: sealing.unchanged(report, found)
    )
    if secrets is not None:
        secrets.save()
    return made


def commit_files(
    files: dict[str, Path], redaction: Redaction
) -> tuple[dict[str, Path], list[Withheld], Secrets]:
    """Split the files of a record into those that leave and commitments to those that stay."""
    secrets = Secrets.open(redaction.reveal)
    kept = {
        name: path
        for name, path in files.items()
        if matches(name.removeprefix(statement.RECORD), redaction.policy.files)
    }
    return (
        {name: path for name, path in files.items() if name not in kept},
        _commit(secrets, kept, None),
        secrets,
    )


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Say whether one of ``patterns`` names ``name``."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _public_inputs(
    case: "AuditCase", public: "AuditCase", inputs: dict[str, Path], policy: Policy
) -> dict[str, Content]:
    """List the inputs that leave. A case with withheld keys leaves as JSON without them."""
    own = {statement.CASE + case.path.name, statement.CASE + case.path.name + ".amendments.jsonl"}
    hidden = own if policy.hides_case else set()
    found: dict[str, Content] = {
        name: path
        for name, path in inputs.items()
        if name not in hidden and not matches(name.removeprefix(statement.CASE), policy.files)
    }
    if hidden:
        spec = {key: value for key, value in msgspec.to_builtins(public.spec).items() if value}
        found[statement.CASE + PUBLIC_CASE] = strict.dumps(spec)
    return found


def _commit(secrets: Secrets, files: dict[str, Path], taken: Taken | None) -> list[Withheld]:
    """Commit to withheld files and figures, sorted."""
    found = []
    for name, path in sorted(files.items()):
        with path.open("rb") as file:
            found.append(secrets.commit_file(name, file))
    if taken is not None:
        for name, value in sorted(taken.keys.items()):
            found.append(secrets.commit_value("key", name, value))
        for name, (value, place) in sorted(taken.facts.items()):
            found.append(secrets.commit_value("fact", name, value, where=place))
    return found
