"""The result of a merge: a pure function of the sites, whatever their order and nesting."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from flopledger.bundle import counted_once, summary, totals
from flopledger.bundle.counted_once import Part
from flopledger.bundle.members import Stub
from flopledger.facts import Finding
from flopledger.quantity import Interval

SCHEMA = "flopledger/merged/1"
MAX_OVERLAPS = 200  #: that are listed one by one; all of them are settled


def result_of(title: str, stubs: Iterable[Stub]) -> tuple[dict[str, Any], Interval | None]:
    """Add up the sites. Nothing in here depends on their order."""
    sites = sorted(
        ((stub.seal.id, stub) for stub in stubs if stub.site is not None), key=lambda one: one[0]
    )
    parts = [
        Part(site=name, called=stub.site.site, audit=stub.site.audit, run=run)
        for name, stub in sites
        if stub.site is not None
        for run in stub.site.runs
    ]
    parts, pairs = counted_once.without_duplicates(parts)
    settle = _Settled()
    timed, overlaps = settle(parts)
    findings = [
        *_duplicates(pairs), *_overlaps(overlaps), *_words(parts), *_sites(sites), *_open(parts),
        *_attempts(parts),
    ]  # fmt: skip
    counted = _counted(parts, "parameter_update", settle)
    flop = totals.total(counted)
    result = {
        "schema": SCHEMA,
        "title": title,
        "verdict": _verdict(sites, findings),
        "combined": None if flop is None else {"flop": _ends(flop), "level": 0.9},
        "known": _known(counted),
        "errors": totals.errors(counted),
        "device_seconds": _ends(totals.device_seconds(timed)),
        "sites": [_site(name, stub, timed) for name, stub in sites],
        "findings": [
            {"code": one.code, "severity": one.severity, "message": one.message} for one in findings
        ],
        "regimes": _regimes(parts, settle),
    }
    return result, flop


class _Settled:
    """Settles shared device time once for each set of runs: most ledgers count the same ones."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, ...], tuple[list[Part], list[counted_once.Overlap]]] = {}

    def __call__(self, parts: Sequence[Part]) -> tuple[list[Part], list[counted_once.Overlap]]:
        # The parts outlive this object, so an id is one part's alone.
        key = tuple(map(id, parts))
        if key not in self._found:
            self._found[key] = counted_once.with_overlaps(parts)
        return self._found[key]


def _known(parts: Sequence[Part]) -> dict[str, Any]:
    """Add the runs that have a figure, so that one site without any hides nobody's."""
    counted = [part for part in parts if part.duplicate_of is None]
    figured = [part for part in counted if part.end("best")]
    return {
        "flop": _ends(totals.total(figured)),
        "runs": len(figured),
        "runs_without_figure": len(counted) - len(figured),
    }


def _verdict(sites: Sequence[tuple[str, Stub]], findings: Sequence[Finding]) -> str:
    from flopledger.verdict import Verdict, worst

    tests = [Verdict(stub.site.verdict) for _, stub in sites if stub.site is not None]
    if any(one.severity == "warning" for one in findings):
        tests.append(Verdict.NEEDS_EXPLANATION)
    return str(worst(tests))


def _counted(parts: Sequence[Part], ledger: str, settle: _Settled) -> list[Part]:
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
    return settle(counted)[0]


def _regimes(parts: Sequence[Part], settle: _Settled) -> list[dict[str, Any]]:
    from flopledger import regimes
    from flopledger.verdict import zone

    found = []
    chosen = [regime for regime in regimes.default_regimes() if regime.rule is None]
    sums = {
        ledger: totals.total(_counted(parts, ledger, settle))
        for ledger in sorted({regime.ledger for regime in chosen})
    }
    for regime in chosen:
        flop = sums[regime.ledger]
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


def _site(name: str, stub: Stub, parts: Sequence[Part]) -> dict[str, Any]:
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
        message = f"the run {dropped} rests on the same evidence as {kept}: counted once"
        if disputed:
            message += "; the two state different things, each end is taken at its highest"
            yield Finding(code="duplicate-disputed", severity="warning", message=message)
        else:
            yield Finding(code="duplicate-run", severity="info", message=message)


def _overlaps(overlaps: Sequence[counted_once.Overlap]) -> Iterable[Finding]:
    for one in overlaps[:MAX_OVERLAPS]:
        message = (
            f"the runs {one.first} and {one.second} claim the same device for {one.seconds:,.0f} "
            "device-seconds: counted once in the low end and the best figure, twice in the high end"
        )
        yield Finding(code="overlapping-device-time", severity="warning", message=message)
    more = overlaps[MAX_OVERLAPS:]
    if more:
        seconds = math.fsum(one.seconds for one in more)
        message = f"{len(more):,} more pairs of runs claim the same device for {seconds:,.0f} device-seconds"
        yield Finding(code="overlapping-device-time", severity="warning", message=message)


def _words(parts: Sequence[Part]) -> Iterable[Finding]:
    for group in counted_once.same_words(parts):
        names = ", ".join(one.label for one in group[:5]) + (" ..." if len(group) > 5 else "")
        message = (
            f"the runs {names} have no evidence and the same words about them; they may be one run "
            "told several times, so the low end counts one site's, best figure and high end count all"
        )
        yield Finding(code="same-words", severity="info", message=message)


def _sites(sites: Sequence[tuple[str, Stub]]) -> Iterable[Finding]:
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


def _attempts(parts: Sequence[Part]) -> Iterable[Finding]:
    """Name the runs that go on with what another record holds: perhaps one that is in the sum."""
    counted = [part for part in parts if part.duplicate_of is None]
    for part in counted:
        if part.run.goes_on_after is not None and len(counted) > 1:
            message = (
                f"{part.label} goes on after step {part.run.goes_on_after:,}, and its beginning is not in "
                "its record: if another run of this merge is that beginning, the steps that were done "
                "again count twice; audit or seal the two records together"
            )
            yield Finding(code="attempts-apart", severity="warning", message=message)


def _open(parts: Iterable[Part]) -> Iterable[Finding]:
    for part in parts:
        if part.duplicate_of is None and (part.run.flop is None or part.run.flop.best is None):
            message = f"{part.label}: no figure, so the total has only bounds"
            yield Finding(code="run-without-figure", severity="info", message=message)


def _ends(value: Interval | None) -> dict[str, float | None] | None:
    return None if value is None else {"low": value.low, "best": value.best, "high": value.high}


def _ends_of(value: summary.Ends | None) -> dict[str, float | None] | None:
    return None if value is None else {"low": value.low, "best": value.best, "high": value.high}
