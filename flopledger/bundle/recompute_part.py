"""Recomputing where inputs are withheld: what rests on public inputs alone must come out again.

The audit is repeated from what is in the bundle. A run nothing of which is withheld (no key, no fact,
no evidence, nothing of its models) must come out as sealed, and so must every fact of a file that is
there. Of other runs an estimate that comes out is counted, one that does not is left out and named:
without the withheld inputs nobody can say whether it is wrong. Totals need every run.
"""

import fnmatch
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from flopledger.bundle import statement, strict
from flopledger.bundle.archive import Archive
from flopledger.bundle.errors import BundleError
from flopledger.bundle.statement import Statement
from flopledger.text import significant

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.cases.case import AuditCase
    from flopledger.cases.spec import CaseSpec, RunSpec

#: Keys of a case that are words about figures and enter none.
_WORDS = ("sources", "source", "statement", "cost_usd")
_DIGITS = 2  #: to which a redacted bundle rounds what is derived
#: Figures that a report computes from rounded ones: they have all digits and mean two.
_COMPUTED = ("achieved_flop_per_second_per_accelerator", "hardware_flop", "hfu")
_FACT = ("name", "value", "unit", "file", "locator", "grade")
_TOTALS = ("verdict", "claim", "combined", "regimes", "sensitivity")


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """Something that cannot be recomputed, and what is withheld of its inputs."""

    what: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What a repetition from public inputs found."""

    compared: int
    differences: tuple[tuple[str, Any, Any], ...]  #: place in audit.json, sealed, recomputed
    left_out: tuple[LeftOut, ...]


def recompute(archive: Archive, told: Statement, root: Path, revealed: Mapping[str, Path]) -> Part:
    """Repeat what can be repeated; ``root`` is an empty folder for the inputs.

    ``revealed`` are withheld files by their names in the bundle, already held against their
    commitments: with them what rests on them is repeated, too.
    """
    from flopledger.reports import json_report

    withheld = _Withheld(told, frozenset(revealed))
    try:
        _lay_out(archive, root, revealed)
        case = _case(told, root)
        there = replace(case, spec=_there(case))
        report = audited(lambda: there, told, root, what="the public inputs alone")
    except BundleError as error:
        every = "every figure"
        return Part(compared=0, differences=(), left_out=(LeftOut(what=every, why=str(error)),))
    content = archive.content(statement.AUDIT, limit=strict.MAX_BYTES)
    sealed = strict.loads(content, what=statement.AUDIT)
    again = strict.loads((json_report.dumps(report) + "\n").encode(), what=statement.AUDIT)
    check = _Check(withheld, present={*told.digests, *revealed})
    lacking = {run.name: withheld.of_run(run, case.spec) for run in case.spec.run}
    check.facts(sealed, again, [run.evidence for run in case.spec.run if lacking[run.name]])
    for name, gone in lacking.items():
        check.run(name, gone, sealed, again)
    check.totals(sealed, again)
    check.rest(sealed)
    return Part(
        compared=check.compared,
        differences=tuple(check.differences),
        left_out=tuple(check.left_out),
    )


def audited(
    load: "Callable[[], AuditCase]", told: Statement, root: Path, *, what: str
) -> "AuditReport":
    """Audit a case as it was sealed: same seed, regimes and tracing.

    Raises ``BundleError`` that names ``what`` cannot be audited, and not our own folder for it.
    """
    from flopcount.errors import FlopcountError
    from flopledger.auditing import audit
    from flopledger.errors import FlopledgerError
    from hardware_db import HardwareError
    from profilers.errors import ProfilersError

    options = told.predicate.options
    assert options is not None
    try:
        return audit(
            load(), seed=options.seed, regime_ids=tuple(options.regimes), trace=options.trace
        )
    except (FlopledgerError, FlopcountError, HardwareError, ProfilersError) as error:
        message = str(error).replace(f"{root}/", "")
        raise BundleError(f"{what} cannot be audited: {message}") from None


def _lay_out(archive: Archive, root: Path, revealed: Mapping[str, Path]) -> None:
    """Put the inputs that are at hand where the case expects them."""
    import shutil

    from flopledger.bundle.verification import extract

    extract(archive, root, prefix=statement.CASE)
    for name, path in revealed.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _case(told: Statement, root: Path) -> "AuditCase":
    """Read the case as far as it is at hand."""
    from flopledger.bundle.redaction import PUBLIC_CASE
    from flopledger.cases.case import AuditCase, checked
    from flopledger.cases.spec import SCHEMA
    from flopledger.errors import CaseError

    options = told.predicate.options
    assert options is not None
    path = root / options.case
    public = root / statement.CASE / PUBLIC_CASE
    try:
        if path.is_file():
            public.unlink(missing_ok=True)  # it stands in for the case, and is no evidence
            return replace(AuditCase.load(path, check_files=False), name=path.name)
        if not public.is_file():
            raise BundleError("the case is withheld")
        raw = strict.loads(public.read_bytes(), what=PUBLIC_CASE)
        named = {"schema": SCHEMA, "title": told.predicate.title}
        return AuditCase(
            spec=checked(named | raw, name=PUBLIC_CASE),
            path=path.resolve(),
            name=path.name,
            sha256="withheld",
            claim_text=None,
        )
    except (CaseError, TypeError) as error:
        raise BundleError(f"the public case: {error}".replace(f"{root}/", "")) from None


def _there(case: "AuditCase") -> "CaseSpec":
    """Take out of a case what names files that are withheld."""
    from flopledger.cases.paths import matching
    from flopledger.errors import FlopledgerError

    def found(pattern: str) -> bool:
        try:
            return bool(matching(case.folder, pattern, where="evidence", allow_outside=False))
        except FlopledgerError:
            return False

    models = {}
    for name, model in case.spec.model.items():
        lost = model.config is not None and not (case.folder / model.config).exists()
        kept = msgspec.structs.replace(model, config=None) if lost else model
        if kept.config or kept.architecture or kept.parameters is not None:
            models[name] = kept
    runs = [
        msgspec.structs.replace(
            run,
            evidence=[pattern for pattern in run.evidence if found(pattern)],
            **{key: None for key in _models(run) if getattr(run, key) not in models},
        )
        for run in case.spec.run
    ]
    return msgspec.structs.replace(case.spec, model=models, run=runs)


def _models(run: "RunSpec") -> list[str]:
    """List the keys of a run that name a model."""
    from flopledger.cases.spec import PASS_MODELS

    return [key for key in ("model", *PASS_MODELS) if getattr(run, key) is not None]


class _Withheld:
    """What is withheld, and which figures it touches."""

    def __init__(self, told: Statement, revealed: frozenset[str]) -> None:
        options = told.predicate.options
        assert options is not None
        own = {options.case, options.case + ".amendments.jsonl"}
        every = told.predicate.withheld
        self.hides = any(one.kind != "file" for one in every)
        files = [one.name for one in every if one.kind == "file" and one.name not in revealed]
        self.case = options.case in files
        #: Corrections that are withheld beside a public case would be missed in every figure.
        self.ledger = not self.case and bool(own & set(files))
        self.files = [name.removeprefix(statement.CASE) for name in files if name not in own]
        #: Whoever has the case has its keys, and whoever has every file its facts.
        self.keys = [
            one.name
            for one in every
            if self.case and one.kind == "key" and one.name.rpartition(".")[2] not in _WORDS
        ]
        self.facts = [one.name for one in every if files and one.kind == "fact"]

    def of_run(self, run: "RunSpec", spec: "CaseSpec") -> list[str]:
        """Name what is withheld of one run's inputs."""
        found = ["the case's amendments"] if self.ledger else []
        found += [key for key in self.keys if key.startswith(f"run.{run.name}.")]
        found += [f"fact {name}" for name in self.facts if name.startswith(f"{run.name}: ")]
        for name in sorted({getattr(run, key) for key in _models(run)}):
            found += [one for one in self.keys if one.startswith(f"model.{name}.")]
            config = spec.model[name].config if name in spec.model else None
            found += [one for one in self.files if config and _names([config], one)]
        return found + [name for name in self.files if _names(run.evidence, name)]

    def of_totals(self) -> list[str]:
        """Name what is withheld that only the totals rest on."""
        found = [key for key in self.keys if key.startswith(("claim.", "base_model."))]
        return [*found, "the claim's digits as typed"] if self.case else found


def _names(patterns: list[str], name: str) -> bool:
    return any(
        name == pattern
        or name.startswith(pattern.rstrip("/") + "/")
        or fnmatch.fnmatchcase(name, pattern)
        for pattern in patterns
    )


class _Check:
    """Compares what was sealed with what came out, place by place."""

    def __init__(self, withheld: _Withheld, *, present: set[str]) -> None:
        self._withheld = withheld
        self._present = present
        self._partial: list[str] = []  #: what is withheld of any run
        self.compared = 0
        self.differences: list[tuple[str, Any, Any]] = []
        self.left_out: list[LeftOut] = []

    def facts(self, sealed: Any, again: Any, partial: list[list[str]]) -> None:
        """Every sealed fact of a file that is there must be read again.

        One that was computed over several files need not, where some of its run's are withheld:
        ``partial`` lists the evidence of such runs.
        """
        whole = {_fact(fact) for fact in again["facts"]}
        for index, fact in enumerate(sealed["facts"]):
            name = str(fact["file"])
            if statement.CASE + name not in self._present:
                continue
            computed = str(fact["locator"]).startswith("computed")
            if _fact(fact) in whole:
                self.compared += 1
            elif not (computed and any(_names(patterns, name) for patterns in partial)):
                self.differences.append((f"facts[{index}]", fact, "(not in that file)"))

    def run(self, run: str, lacking: list[str], sealed: Any, again: Any) -> None:
        """Compare one run: strictly where nothing of its inputs is ``lacking``."""
        self._partial += lacking
        why = ", ".join(lacking[:5]) + (" ..." if len(lacking) > 5 else "")
        mine = _estimates(again, run)
        for name, one in _estimates(sealed, run).items():
            self._compare(f"estimate {name} of run {run}", one, mine.get(name, {}), why)
        old = next((one for one in sealed["runs"] if one["name"] == run), None)
        new = next((one for one in again["runs"] if one["name"] == run), None)
        if old is not None and new is not None:
            self._compare(f"figures of run {run}", old, new, why)

    def totals(self, sealed: Any, again: Any) -> None:
        """Compare verdict, combined figure and regimes, which rest on every run."""
        lacking = list(dict.fromkeys([*self._partial, *self._withheld.of_totals()]))
        why = ", ".join(lacking[:5]) + (" ..." if len(lacking) > 5 else "")
        for key in _TOTALS:
            self._compare(key, sealed.get(key), again.get(key), why)

    def rest(self, sealed: Any) -> None:
        """Name what is not repeated of any redacted bundle."""
        for name in sorted({str(fact["file"]) for fact in sealed["facts"]}):
            if statement.CASE + name not in self._present:
                self.left_out.append(LeftOut(what=f"facts of {name}", why="withheld: the file"))
        words = [name for name in (statement.SUMMARY, statement.HTML) if name in self._present]
        self.left_out.append(
            LeftOut(what=f"findings, {', '.join(words)}", why="made of the redacted report")
        )

    def _compare(self, place: str, old: Any, new: Any, why: str) -> None:
        """Count what is the same; the rest differs, or is left out for ``why``."""
        found = list(self._differences(place, old, new))
        wrong = [one for one in found if one is not None]
        if why and wrong:
            self.left_out.append(LeftOut(what=place, why=f"withheld: {why}"))
            return
        self.compared += len(found) - len(wrong)
        self.differences += wrong

    def _differences(self, place: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any] | None]:
        """Give ``None`` for each value that is the same, and each difference."""
        if self._withheld.hides and (old in (None, [], {}) or str(old).startswith("(withheld")):
            return
        if isinstance(old, dict) and isinstance(new, dict):
            for key in sorted(old):
                yield from self._differences(f"{place}.{key}", old[key], new.get(key))
        elif isinstance(old, list) and isinstance(new, list):
            yield from self._lists(place, old, new)
        elif self._same(old, new, computed=any(key in place for key in _COMPUTED)):
            yield None
        else:
            yield place, old, new

    def _lists(self, place: str, old: list[Any], new: list[Any]) -> Iterator[Any]:
        if self._withheld.hides and place.endswith(".inputs"):
            # Inputs that would tell a withheld figure are gone; those that stayed must be there.
            names = {one["name"]: one for one in new}
            for one in old:
                yield from self._differences(f"{place}.{one['name']}", one, names.get(one["name"]))
            return
        if len(old) != len(new):
            yield place, old, new
            return
        for index, (left, right) in enumerate(zip(old, new, strict=True)):
            yield from self._differences(f"{place}[{index}]", left, right)

    def _same(self, old: Any, new: Any, *, computed: bool) -> bool:
        from flopledger.bundle.recompute import same

        if same(old, new):
            return True
        numbers = [one for one in (old, new) if isinstance(one, int | float)]
        if not self._withheld.hides or len(numbers) != 2:
            return False
        if significant(old) > _DIGITS and not computed:
            return False
        # Rounded outward to two digits when it was sealed: within one unit of the second.
        size = max(abs(old), abs(new))
        unit = 10.0 ** (math.floor(math.log10(size)) - _DIGITS + 1) if size else 0.0
        # A quotient of a figure rounded so carries up to a tenth of doubt.
        allowed = 0.1 * size if computed else max(unit, 0.005 if size < 1 else 0.0)
        return bool(abs(old - new) <= allowed * (1 + 1e-9))


def _fact(fact: Mapping[str, Any]) -> tuple[str, ...]:
    """Give what makes a fact; the arithmetic of a computed one is no part of it."""
    place = str(fact.get("locator"))
    told = dict(fact) | {"locator": "computed" if place.startswith("computed") else place}
    return tuple(repr(told.get(key)) for key in _FACT)


def _estimates(told: Any, run: str) -> dict[str, dict[str, Any]]:
    """List a run's estimates under names: one method may give a figure and a bound."""
    keys = ("flop", "level", "bound_only", "independence_group", "inputs")
    found: dict[str, dict[str, Any]] = {}
    for one in told["estimates"]:
        if one["run"] != run:
            continue
        name = f"{one['method']} ({one['basis']}{', bound' if one['bound_only'] else ''})"
        while name in found:
            name += " again"
        found[name] = {key: one.get(key) for key in keys}
    return found
