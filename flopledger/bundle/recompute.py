"""The audit again, from the sealed inputs: every number compared with the sealed one."""

import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flopledger import __version__
from flopledger.bundle import recompute_page, recompute_part, statement, strict, writing
from flopledger.bundle.archive import Archive
from flopledger.bundle.errors import BundleError
from flopledger.bundle.recompute_page import Page
from flopledger.bundle.recompute_part import LeftOut
from flopledger.bundle.statement import Statement, Tool

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport

#: Other processors and library versions round the last bits otherwise; no figure has ten digits.
ROUNDING = 1e-9
MAX_DIFFERENCES = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One figure or word that came out otherwise."""

    file: str
    place: str  #: key in the JSON, as ``runs[0].tokens``
    sealed: Any
    recomputed: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Recomputed:
    """The outcome of a recomputation."""

    same: bool  #: every figure came out as sealed
    differences: tuple[Difference, ...] = ()
    explanations: tuple[str, ...] = ()  #: what differs about the tool, or stands in the way
    compared: int = 0  #: figures and words
    left_out: tuple[LeftOut, ...] = ()  #: what cannot be recomputed, since inputs are withheld
    page: Page | None = None  #: what came of the page; ``None``: there is none, or figures differ

    @property
    def complete(self) -> bool:
        """Whether everything came out as sealed, the page to the last byte."""
        return self.same and (self.page is None or self.page.outcome == "same")

    @property
    def refuted(self) -> bool:
        """Whether figures differ and nothing about the tool explains it."""
        return bool(self.differences) and not self.explanations

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain values."""
        return {
            "same": self.same,
            "compared": self.compared,
            "differences": [
                {
                    "file": one.file,
                    "place": one.place,
                    "sealed": one.sealed,
                    "recomputed": one.recomputed,
                }
                for one in self.differences
            ],
            "explanations": list(self.explanations),
            "page": None if self.page is None else self.page.to_dict(),
            "left_out": [{"what": one.what, "why": one.why} for one in self.left_out],
        }


def recompute(
    archive: Archive, told: Statement, revealed: Mapping[str, Path] | None = None
) -> Recomputed | None:
    """Repeat the audit. ``None`` for a merge, which verifying always recomputes.

    ``revealed`` are withheld files at hand that match their commitments, by name in the bundle.
    """
    predicate = told.predicate
    if predicate.kind == "merged":
        return None
    options = predicate.options
    withheld = [one.name for one in predicate.withheld]
    if withheld and options is not None:
        return _partly(archive, told, revealed or {})
    if withheld:
        shown = ", ".join(withheld[:5]) + (" ..." if len(withheld) > 5 else "")
        why = f"{len(withheld)} inputs are withheld ({shown}); ask for them and for the reveal file"
        return Recomputed(same=False, explanations=(why,))
    if options is None and predicate.kind == "audit":
        return Recomputed(same=False, explanations=("a summary: its inputs stayed with the site",))
    with tempfile.TemporaryDirectory(prefix="flopledger-") as draft:
        try:
            repeat = _record if options is None else _audit
            again, files = repeat(archive, told, Path(draft))
        except BundleError as error:
            return _impossible(error, predicate.tool)
    outcome = list(_outcomes(archive, again))
    differences = [one for one in outcome if one is not None]
    compared = len(outcome) - len(differences)
    explanations = tuple(_explanations(predicate.tool, files.tool)) if differences else ()
    page = None
    if not differences and files.report is not None and statement.HTML in told.digests:
        old = archive.content(statement.HTML, limit=strict.MAX_BYTES)
        page = recompute_page.compare(old, files.report, predicate.tool, files.tool)
        if page.outcome == "differs":
            explanations = (page.why,) if page.why else ()
            differences.append(
                Difference(
                    file=statement.HTML, place=f"byte {page.place}", sealed=page.sealed,
                    recomputed=page.rendered,
                )
            )  # fmt: skip
    return Recomputed(
        same=not differences,
        differences=tuple(differences[:MAX_DIFFERENCES]),
        explanations=explanations,
        compared=compared + len(differences),
        page=page,
    )


def _outcomes(archive: Archive, again: Mapping[str, Any]) -> Iterator[Difference | None]:
    """Yield for each sealed value its difference from the repeated one, or ``None`` where it is the same."""
    for name, found in again.items():
        old = strict.loads(archive.content(name, limit=strict.MAX_BYTES), what=name)
        if name == statement.SUMMARY and old["audit"] != found["audit"]:
            # Names under a secret audit id cannot be repeated without it; the figures can.
            old, found = _nameless(old), _nameless(found)
        yield from _compare(name, "", old, found)


def _partly(archive: Archive, told: Statement, revealed: Mapping[str, Path]) -> Recomputed:
    """Repeat what rests on public and revealed inputs alone."""
    with tempfile.TemporaryDirectory(prefix="flopledger-") as draft:
        part = recompute_part.recompute(archive, told, Path(draft), revealed)
    differences = tuple(
        Difference(file=statement.AUDIT, place=place, sealed=old, recomputed=new)
        for place, old, new in part.differences
    )
    sealed = told.predicate.tool
    mine = writing.tool(_tables(), sealed.environment)
    return Recomputed(
        same=not differences and not part.left_out,
        differences=differences[:MAX_DIFFERENCES],
        explanations=tuple(_explanations(sealed, mine)) if differences else (),
        compared=part.compared + len(differences),
        left_out=part.left_out,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Again:
    tool: Tool
    report: "AuditReport | None"


def _impossible(error: BundleError, sealed: Tool) -> Recomputed:
    """Inputs that were audited once must be auditable again, unless the tool has changed."""
    explanations = tuple(_explanations(sealed, writing.tool(_tables(), sealed.environment)))
    if explanations and sealed.version != __version__:
        return Recomputed(same=False, explanations=(str(error), *explanations))
    difference = Difference(
        file="", place="the sealed inputs", sealed="audited", recomputed=str(error)
    )
    return Recomputed(same=False, differences=(difference,))


def _tables() -> dict[str, str]:
    import hardware_db
    from flopledger import digests

    return {"hardware_db": hardware_db.database_digest(), **digests.of_own_tables()}


def _nameless(told: dict[str, Any]) -> dict[str, Any]:
    """Take the names of devices, hosts and evidence out of a summary."""
    runs = []
    for run in told["runs"]:
        windows = sorted(device["windows"] for device in run["devices"])
        runs.append(run | {"digest": None, "devices": windows})
    return told | {"audit": None, "runs": runs}


def _record(archive: Archive, told: Statement, root: Path) -> tuple[dict[str, Any], _Again]:
    """Sum a sealed record up again."""
    from flopledger.bundle import records, summary
    from flopledger.bundle.summary import Identities
    from flopledger.bundle.verification import extract

    extract(archive, root, prefix=statement.RECORD)
    again = records.sum_up(root / statement.RECORD, Identities(None), site=told.predicate.title)
    if statement.SUMMARY not in told.digests:
        raise BundleError(f"{statement.SUMMARY} is not in the bundle")
    loaded = strict.loads(summary.dumps(again), what=statement.SUMMARY)
    return {statement.SUMMARY: loaded}, _Again(tool=writing.tool(_tables(), {}), report=None)


def _audit(archive: Archive, told: Statement, root: Path) -> tuple[dict[str, Any], _Again]:
    from flopledger.bundle import summary
    from flopledger.bundle.sealing import rendered
    from flopledger.bundle.verification import extract
    from flopledger.cases.case import AuditCase

    options = told.predicate.options
    assert options is not None
    extract(archive, root, prefix=statement.CASE)
    if options.case not in told.digests or not options.case.startswith(statement.CASE):
        raise BundleError(f"{options.case}: the sealed case is not in the bundle")

    def load() -> "AuditCase":
        case = AuditCase.load(root / options.case)
        return replace(case, name=case.path.name)

    report = recompute_part.audited(load, told, root, what="the sealed inputs")
    files = rendered(report, html=False)
    again = {
        name: strict.loads(content, what=name)
        for name, content in files.items()
        if isinstance(content, bytes)
    }
    if not {*files, statement.SUMMARY} <= set(told.digests):
        raise BundleError("report, facts or summary are not in the bundle")
    sealed = strict.loads(
        archive.content(statement.SUMMARY, limit=strict.MAX_BYTES), what=statement.SUMMARY
    )
    summed = summary.of_report(
        report, summary.Identities(None), site=sealed["site"], guessable=False
    )
    again[statement.SUMMARY] = strict.loads(summary.dumps(summed), what=statement.SUMMARY)
    return again, _Again(tool=writing.tool(report.data_digests, report.environment), report=report)


def _explanations(sealed: Tool, mine: Tool) -> Iterator[str]:
    if sealed.version != mine.version:
        yield f"sealed by flopledger {sealed.version}, recomputed by {mine.version}"
    for name in sorted(set(sealed.data_digests) | set(mine.data_digests)):
        old, new = sealed.data_digests.get(name), mine.data_digests.get(name)
        if old != new:
            yield f"data table {name}: sealed with {old}, this installation has {new}"
    for name in sorted(set(sealed.environment) | set(mine.environment)):
        old, new = sealed.environment.get(name), mine.environment.get(name)
        if old != new:
            yield f"{name}: sealed with {old or 'none'}, this installation has {new or 'none'}"


def _compare(file: str, place: str, old: Any, new: Any) -> Iterator[Difference | None]:
    """Give ``None`` for each value that is the same, and each difference."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(set(old) | set(new)):
            inner = f"{place}.{key}" if place else key
            yield from _compare(file, inner, old.get(key, _ABSENT), new.get(key, _ABSENT))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            left = old[index] if index < len(old) else _ABSENT
            right = new[index] if index < len(new) else _ABSENT
            yield from _compare(file, f"{place}[{index}]", left, right)
    elif same(old, new):
        yield None
    else:
        yield Difference(file=file, place=place, sealed=old, recomputed=new)


_ABSENT = "(absent)"


def same(old: Any, new: Any) -> bool:
    """Say whether two values are the same but for the last bits of a number."""
    numbers = [value for value in (old, new) if isinstance(value, int | float)]
    if len(numbers) == 2 and not isinstance(old, bool) and not isinstance(new, bool):
        return math.isclose(old, new, rel_tol=ROUNDING, abs_tol=0.0)
    return type(old) is type(new) and bool(old == new)
