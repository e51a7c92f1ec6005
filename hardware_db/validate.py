"""The rules that the data must keep. ``flopledger hardware verify`` and the tests run them all."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hardware_db.errors import AmbiguousAccelerator, HardwareError, NotDerivable
from hardware_db.figures import select

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hardware_db.database import Database
    from hardware_db.figures import Figure
    from hardware_db.spec import Accelerator

ARITHMETIC_TOLERANCE = 0.01
BANDWIDTH_TOLERANCE = 0.02
_TOTAL = re.compile(r"total of (?:the )?(\d+) ")
_SANE_RELEASE = ("2006-01", "2027-01")
_SANE_TDP_W = (5.0, 30_000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A rule that the data breaks."""

    rule: str
    part: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the validation found, and how much there was to find it in."""

    problems: tuple[Problem, ...]
    parts: int
    figures: int  # dense figures; sparse ones follow from them
    checked_by_arithmetic: int  # printed figures that units x rate x clock confirms
    derived: int  # figures that are that arithmetic, from the vendor's units and clock
    waived: int  # figures whose print disagrees with the arithmetic, with the reason written down
    vendor_tier: int  # figures from the vendor's own publications


def validate(database: Database) -> Verdict:
    """Check every part and every figure against every rule."""
    parts = database.accelerators()
    problems: list[Problem] = []
    checked = waived = 0
    for part in parts:
        for rule in (_sources, _prints, _sparse, _ratios, _bandwidth, _bound, _capped, _sane):
            problems += rule(part)
        for figure in _dense(part):
            off = arithmetic_deviation(part, figure)
            if off is None or figure.basis == "derived":
                continue
            checked += 1
            if figure.waiver is not None:
                waived += 1
            elif abs(off) > ARITHMETIC_TOLERANCE:
                problems.append(_arithmetic_problem(part, figure, off))
    for check in (_names, _pci, _measured, _instances):
        problems += check(database)
    problems += _shared(parts)
    figures = [f for p in parts for f in _dense(p)]
    vendor = [f for f in figures if f.tier in ("datasheet", "whitepaper", "documentation")]
    return Verdict(
        problems=tuple(problems),
        parts=len(parts),
        figures=len(figures),
        checked_by_arithmetic=checked,
        derived=sum(f.basis == "derived" for f in figures),
        waived=waived,
        vendor_tier=len(vendor),
    )


def arithmetic_deviation(part: Accelerator, figure: Figure) -> float | None:
    """units x rate x clock over the figure, minus 1; None where the arithmetic is not public."""
    clock = {"matrix": part.matrix_clock, "vector": part.vector_clock}.get(figure.clock or "")
    if clock is None or part.rate_capped:
        return None
    try:
        derived = part.peak_at(
            figure.dtype,
            clock_mhz=clock.mhz,
            sparse=figure.sparse,
            engine=figure.engine,
            accumulate=figure.accumulate,
        )
    except NotDerivable:
        return None
    return derived / figure.flop_per_second - 1


def printed_value(figure: Figure) -> float | None:
    """The printed number in FLOP/s, as it stands on the page; None where nothing was printed."""
    if figure.printed is None:
        return None
    number, _, unit = figure.printed.partition(" ")
    return float(number.replace(",", "")) * {"PFLOPS": 1e15}.get(unit, 1e12)


def printed_factor(part: Accelerator, figure: Figure) -> float:
    """How often the printed number holds the dense figure of one part."""
    words = figure.printed_as or ""
    total = _TOTAL.search(words)
    sparse = 1.0
    if "with sparsity" in words:
        sparse = part.peak_flop_per_second(
            figure.dtype, sparse=True, engine=figure.engine, accumulate=figure.accumulate
        )
        sparse /= figure.flop_per_second
    return sparse * (int(total[1]) if total else 1)


def _dense(part: Accelerator) -> list[Figure]:
    return [f for f in part.peaks if not f.sparse]


def _label(figure: Figure) -> str:
    return f"{figure.dtype} {figure.engine} {figure.accumulate}"


def _arithmetic_problem(part: Accelerator, figure: Figure, off: float) -> Problem:
    return Problem(
        rule="arithmetic",
        part=part.id,
        message=f"{_label(figure)}: units x rate x clock is {off:+.1%} off the figure of "
        f"{figure.flop_per_second / 1e12:g} TFLOP/s; correct one of them or write a waiver",
    )


def _sources(part: Accelerator) -> Iterator[Problem]:
    for figure in _dense(part):
        if not figure.locator or not figure.origin.title:
            yield Problem(rule="source", part=part.id, message=f"{_label(figure)}: no locator")
        if figure.basis == "derived" and arithmetic_deviation(part, figure) is None:
            yield Problem(
                rule="source",
                part=part.id,
                message=f"{_label(figure)}: called derived, but units, rate or clock is missing",
            )
        if figure.basis == "datasheet" and figure.printed is None:
            yield Problem(
                rule="source",
                part=part.id,
                message=f"{_label(figure)}: from a datasheet, but without the printed number",
            )


def _prints(part: Accelerator) -> Iterator[Problem]:
    for figure in _dense(part):
        printed = printed_value(figure)
        if printed is None:
            continue
        factor = printed_factor(part, figure)
        if abs(printed / factor / figure.flop_per_second - 1) > ARITHMETIC_TOLERANCE:
            yield Problem(
                rule="print",
                part=part.id,
                message=f"{_label(figure)}: printed {figure.printed} {figure.printed_as} does not "
                f"give {figure.flop_per_second / 1e12:g} when divided by {factor:g}",
            )


def _sparse(part: Accelerator) -> Iterator[Problem]:
    """Structured sparsity doubles a rate, at most quadruples it, and never lowers it."""
    dense = {_label(f): f for f in _dense(part)}
    for figure in part.peaks:
        if (
            figure.sparse
            and not 1 < figure.flop_per_second / dense[_label(figure)].flop_per_second <= 4
        ):
            yield Problem(
                rule="sparse", part=part.id, message=f"{_label(figure)}: no such sparsity"
            )


def _ratios(part: Accelerator) -> Iterator[Problem]:
    """Figures at one clock stand to each other as the architecture's rates do."""
    if part.rate_capped or not part.rates:
        return
    matrix = [f for f in _dense(part) if f.clock == "matrix" and f.waiver is None]
    first: tuple[float, Figure] | None = None
    for figure in matrix:
        rates = [r for r in part.rates if r.dtype == figure.dtype]
        rate = select(rates, engine=figure.engine, accumulate=figure.accumulate, dtype=figure.dtype)
        if rate is None:
            continue
        clock = figure.flop_per_second / rate.flop_per_clock
        if first is None:
            first = (clock, figure)
        elif abs(clock / first[0] - 1) > 2 * ARITHMETIC_TOLERANCE:
            yield Problem(
                rule="ratio",
                part=part.id,
                message=f"{_label(figure)} : {_label(first[1])} is not as {part.architecture} says",
            )


def _bandwidth(part: Accelerator) -> Iterator[Problem]:
    bus, rate, printed = part.memory_bus_bits, part.memory_data_rate_gtps, part.bandwidth_gb_per_s
    if bus is None or rate is None or printed is None:
        return
    derived = bus * rate / 8
    if abs(derived / printed - 1) > BANDWIDTH_TOLERANCE:
        yield Problem(
            rule="bandwidth",
            part=part.id,
            message=f"{bus} bits x {rate} GT/s / 8 is {derived:.0f} GB/s, not {printed:g}",
        )


def _bound(part: Accelerator) -> Iterator[Problem]:
    if part.max_clock is None or part.rate_capped:
        return
    for figure in _dense(part):
        try:
            most = part.peak_at(
                figure.dtype,
                clock_mhz=part.max_clock.mhz,
                engine=figure.engine,
                accumulate=figure.accumulate,
            )
        except NotDerivable:
            continue
        if figure.flop_per_second > most * (1 + ARITHMETIC_TOLERANCE) and figure.waiver is None:
            yield Problem(
                rule="bound",
                part=part.id,
                message=f"{_label(figure)}: above the highest clock of {part.max_clock.mhz:g} MHz",
            )


def _capped(part: Accelerator) -> Iterator[Problem]:
    if not part.rate_capped:
        return
    for figure in _dense(part):
        try:
            part.peak_at(figure.dtype, clock_mhz=1000, engine=figure.engine)
        except NotDerivable:
            continue
        yield Problem(
            rule="capped", part=part.id, message=f"{_label(figure)}: derived on a capped part"
        )


def _sane(part: Accelerator) -> Iterator[Problem]:
    low, high = _SANE_RELEASE
    if part.released is not None and not low <= part.released <= high:
        yield Problem(rule="release", part=part.id, message=f"released {part.released}?")
    if part.tdp_w is not None and not _SANE_TDP_W[0] <= part.tdp_w <= _SANE_TDP_W[1]:
        yield Problem(rule="power", part=part.id, message=f"TDP of {part.tdp_w} W?")
    if part.restriction is not None and part.export_of is None:
        yield Problem(rule="export", part=part.id, message="restricted, but variant of nothing")


def _shared(parts: tuple[Accelerator, ...]) -> Iterator[Problem]:
    """Parts that compute alike say so by reference: a copied number is corrected only once."""
    groups: dict[object, list[Accelerator]] = defaultdict(list)
    by_id = {p.id: p for p in parts}
    for part in parts:
        if part.export_of is not None and part.export_of not in by_id:
            yield Problem(rule="export", part=part.id, message=f"no part {part.export_of}")
        if part.compute_units is not None:
            key = (part.architecture, part.compute_units, part.matrix_clock, part.vector_clock)
            groups[(*key, tuple((_label(f), f.flop_per_second) for f in part.peaks))].append(part)
    for group in groups.values():
        roots = {p.same_compute_as or p.id for p in group}
        if len(roots) > 1:
            ids = ", ".join(p.id for p in group)
            yield Problem(
                rule="shared", part=group[0].id, message=f"{ids} compute alike without a reference"
            )


def _names(database: Database) -> Iterator[Problem]:
    """Every listed name finds its part, or says openly that others share the name."""
    for part in database.accelerators():
        names = database.identifier.names_of(part.id)
        for name in (part.id, *names.exact):
            problem = _lost(database, part.id, name)
            if problem is not None:
                yield Problem(rule="name", part=part.id, message=problem)
        reachable = [name for name in names.exact if _lost(database, part.id, name) is None]
        if not reachable and not names.models:
            yield Problem(rule="name", part=part.id, message="no name leads to this part")


def _lost(database: Database, part_id: str, name: str) -> str | None:
    try:
        found = database.identify(name)
    except AmbiguousAccelerator as error:
        if part_id in [c.id for c in error.candidates] and name != part_id:
            return None
        return f"{name!r} is ambiguous, but not with this part"
    except HardwareError as error:
        return f"{name!r} is not found: {error}"
    return None if found.id == part_id else f"{name!r} means {found.id} instead"


def _pci(database: Database) -> Iterator[Problem]:
    seen: dict[tuple[str, ...], str] = {}
    for part in database.accelerators():
        names = database.identifier.names_of(part.id)
        for ids in names.pci:
            if len(ids) not in (1, 3) or not all(re.fullmatch("[0-9a-f]{4}", i) for i in ids):
                yield Problem(rule="pci", part=part.id, message=f"malformed ids {ids}")
            other = seen.setdefault(ids, part.id)
            share_a_name = set(names.exact) & set(database.identifier.names_of(other).exact)
            if other != part.id and not share_a_name:
                yield Problem(rule="pci", part=part.id, message=f"{ids} is also {other}")


def _measured(database: Database) -> Iterator[Problem]:
    """No measurement may exceed what we call a hard bound."""
    for entry in database.index.measurements:
        part = database.part(entry.part)
        try:
            bound = part.ceiling_flop_per_second(entry.dtype)
        except NotDerivable:
            bound = part.peak_flop_per_second(entry.dtype)
        if entry.flop_per_second > bound:
            yield Problem(
                rule="measured",
                part=part.id,
                message=f"{entry.flop_per_second / 1e12:g} TFLOP/s were measured in {entry.dtype}, "
                f"above the bound of {bound / 1e12:.1f} ({entry.source})",
            )


def _instances(database: Database) -> Iterator[Problem]:
    """Every instance type names a known part and a known source."""
    for name in database.instances.names:
        try:
            database.instance(name)
        except (HardwareError, KeyError) as error:
            yield Problem(rule="instance", part=name, message=f"refers to nothing: {error}")
