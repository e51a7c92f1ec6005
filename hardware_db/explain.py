"""Why a claimed peak differs from the sourced one: the known confusions, one by one.

Nearly every wrong peak in circulation is one of a handful of factors, alone or two multiplied. Each
explanation is a value that the part's own data produces; the claim matches it within one per cent,
or it has no explanation. The tolerance is never stretched.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hardware_db.errors import HardwareError, NoHardwarePath, NotDerivable
from hardware_db.figures import DTYPES, dtype_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hardware_db.figures import Figure
    from hardware_db.spec import Accelerator

TOLERANCE = 0.01
# What tools assume when they do not know a card: (FLOP/s, the part it belongs to).
_FALLBACKS = ((312e12, "nvidia-a100-sxm4-80gb"), (989.4e12, "nvidia-h100-sxm5-80gb"))
_SLIPS = {
    "unit_slip_1000x": 1e3, "unit_slip_0.001x": 1e-3, "unit_slip_1e6x": 1e6,
    "unit_slip_1e-6x": 1e-6, "decimal_slip_10x": 10.0, "decimal_slip_0.1x": 0.1,
}  # fmt: skip
_NOT_COMBINED = ("sparse", "halved", "multiply", "vector", "matrix_rate", "prelaunch", "naive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One way to arrive at the claimed number."""

    code: str  # sparse_2x, wrong_dtype:tf32, wrong_device:<id> ...; two are joined by "+"
    flop_per_second: float  # what that confusion gives
    factor: float | None  # that, over the rated peak; None where the part has no rated peak
    residual: float  # claim over it, minus 1
    text: str  # the arithmetic in words


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakCheck:
    """The answer about a claimed peak."""

    correct: bool
    claimed_flop_per_second: float
    rated: Figure | None  # None: the part has no hardware path for the format
    # Empty for a correct claim, and for one that we cannot explain.
    explanations: tuple[Explanation, ...]

    @property
    def rated_flop_per_second(self) -> float | None:
        """The sourced peak, or None where the part has no path for the format."""
        return None if self.rated is None else self.rated.flop_per_second


def explain_peak(
    claimed_flop_per_second: float,
    part: Accelerator,
    dtype: str,
    others: Iterable[Accelerator] = (),
) -> PeakCheck:
    """Say why ``claimed_flop_per_second`` is not the rated dense peak of ``part``, or that it is.

    ``others`` are the parts that it may have been confused with. Explanations are those within one
    per cent, fewest factors first; equally good ones are all kept, and no match is an answer.
    """
    claim = claimed_flop_per_second
    if not (math.isfinite(claim) and claim > 0):
        raise HardwareError(f"a peak of {claim} FLOP/s is no claim; give a positive number")
    wanted = dtype_name(dtype)
    try:
        rated = part.figure(wanted)
    except NoHardwarePath:
        rated = None
    if rated is not None and _is_right(claim, part, rated):
        return PeakCheck(correct=True, claimed_flop_per_second=claim, rated=rated, explanations=())
    values = list(_single(part, wanted, rated, list(others)))
    found = _matching(claim, values, rated)
    if not found and rated is not None:
        found = _matching(claim, _double(values, rated), rated)
    return PeakCheck(
        correct=False, claimed_flop_per_second=claim, rated=rated, explanations=tuple(found)
    )


_Value = tuple[str, float, str]  # code, FLOP/s, text


def _is_right(claim: float, part: Accelerator, rated: Figure) -> bool:
    right = [rated.flop_per_second]
    if rated.waiver is not None:
        # The print and the arithmetic disagree, and both numbers are in honest use.
        right += [v for _, v, _ in _clocked(part, rated, ("matrix_clock", "vector_clock"), "")]
    return any(abs(claim / v - 1) <= TOLERANCE or _rounds_to(v, claim) for v in right)


def _rounds_to(value: float, claim: float) -> bool:
    """Whether the claim is the value in fewer digits (at least two): 2.0e15 for 1.979e15."""
    digits = max(2, len(f"{claim:e}".split("e")[0].rstrip("0").replace(".", "")))
    return float(f"{value:.{digits - 1}e}") == float(f"{claim:.{digits - 1}e}") and digits < 5


def _single(
    part: Accelerator, dtype: str, rated: Figure | None, others: list[Accelerator]
) -> Iterator[_Value]:
    """Every value that one confusion leads to, the likeliest kinds first."""
    if rated is not None:
        yield from _accumulation(part, rated)
        yield from _sparsity(part, rated)
        yield from _engine(part, rated)
    yield from _other_dtypes(part, dtype, rated)
    if rated is not None:
        yield from _clocks(part, rated)
        yield from _packages(part, rated)
        yield from _announced(part, rated)
    yield from _other_devices(part, dtype, others)
    if rated is not None:
        yield from _capped(part, rated, others)
        yield from _halves(part, rated)
        for code, factor in _SLIPS.items():
            yield code, rated.flop_per_second * factor, f"{_t(rated)} x {factor:g}: a slip of units"


def _t(value: Figure | float) -> str:
    number = value if isinstance(value, float) else value.flop_per_second
    return f"{number / 1e12:g} TFLOP/s"


def _accumulation(part: Accelerator, rated: Figure) -> Iterator[_Value]:
    for figure in part.peaks:
        near = figure.dtype == rated.dtype or (figure.dtype, rated.dtype) == ("fp16", "bf16")
        narrow = figure.engine == "matrix" and figure.accumulate == "fp16" and not figure.sparse
        faster = figure.flop_per_second > rated.flop_per_second * (1 + TOLERANCE)
        if near and narrow and faster:
            text = f"{_t(figure)} is the rate with FP16 accumulation; training sums in FP32"
            yield "fp16_accumulate", figure.flop_per_second, text


def _sparsity(part: Accelerator, rated: Figure) -> Iterator[_Value]:
    for figure in part.peaks:
        same = (figure.dtype, figure.engine, figure.accumulate) == (
            rated.dtype, rated.engine, rated.accumulate
        )  # fmt: skip
        if same and figure.sparse:
            factor = figure.flop_per_second / rated.flop_per_second
            code = f"sparse_{factor:.0f}x" if factor > 1.6 else f"sparse_{factor:.2f}x"
            text = f"{_t(rated)} x {factor:g} = {_t(figure)}: the figure with structured sparsity"
            yield code, figure.flop_per_second, text


def _engine(part: Accelerator, rated: Figure) -> Iterator[_Value]:
    for figure in part.peaks:
        if figure.sparse or figure.engine == rated.engine:
            continue
        if rated.engine == "vector" and figure.dtype == rated.dtype:
            text = f"{_t(figure)} is the {figure.dtype} rate of the matrix engine"
            yield "matrix_rate", figure.flop_per_second, text
        elif rated.engine == "matrix" and figure.dtype in (rated.dtype, "fp32"):
            text = (
                f"{_t(figure)} is the {figure.dtype} rate of the vector units, not the tensor ones"
            )
            yield "vector_rate", figure.flop_per_second, text


def _other_dtypes(part: Accelerator, dtype: str, rated: Figure | None) -> Iterator[_Value]:
    for other in DTYPES:
        if other == dtype or not any(f.dtype == other for f in part.peaks):
            continue
        figure = part.figure(other)
        if rated is None or abs(figure.flop_per_second / rated.flop_per_second - 1) > TOLERANCE:
            text = f"{_t(figure)} is the {other} peak of {part.name}, not its {dtype} peak"
            yield f"wrong_dtype:{other}", figure.flop_per_second, text


def _clocked(
    part: Accelerator, rated: Figure, clocks: tuple[str, ...], code: str
) -> Iterator[_Value]:
    for key in clocks:
        clock = getattr(part, key)
        if clock is None:
            continue
        try:
            value = part.peak_at(
                rated.dtype, clock_mhz=clock.mhz, engine=rated.engine, accumulate=rated.accumulate
            )
        except NotDerivable:
            return
        text = (
            f"{part.compute_units} {part.unit_name} x "
            f"{value / (part.compute_units or 1) / clock.mhz / 1e6:g} FLOP x {clock.mhz:g} MHz = "
            f"{_t(value)}, where the rating clock gives {_t(rated)}"
        )
        yield code, value, text


def _clocks(part: Accelerator, rated: Figure) -> Iterator[_Value]:
    yield from _clocked(part, rated, ("max_clock", "vector_clock"), "max_clock")
    yield from _clocked(part, rated, ("base_clock",), "base_clock")


def _packages(part: Accelerator, rated: Figure) -> Iterator[_Value]:
    value = rated.flop_per_second
    for count in sorted({part.devices_per_package, part.dies_per_package} - {1}):
        text = f"{_t(rated)} / {count}: one of the {count} devices or dies in the package"
        yield f"per_core_{1 / count:g}x", value / count, text
    if (
        part.partition_of is not None
        or "superchip" in part.form_factor
        or part.dies_per_package == 2
    ):
        yield "package_2x", value * 2, f"{_t(rated)} x 2: two of them in one package"
    if part.form_factor.startswith(("SXM", "OAM")):
        yield "package_8x", value * 8, f"{_t(rated)} x 8: a node of eight"


def _announced(part: Accelerator, rated: Figure) -> Iterator[_Value]:
    for dtype, value, text in part.prelaunch:
        if dtype == rated.dtype:
            yield "prelaunch_figure", value, f"{_t(value)} was announced before launch: {text}"


def _other_devices(part: Accelerator, dtype: str, others: list[Accelerator]) -> Iterator[_Value]:
    """Siblings of the same family, and the parts that tools assume for unknown cards."""
    known = [part_id for _, part_id in _FALLBACKS]
    seen = set()
    for other in others:
        if other.same_compute_as is not None or other.id in (part.id, part.same_compute_as):
            continue
        fallback = other.id in _roots(known, others)
        if other.family != part.family and not fallback:
            continue
        try:
            value = other.peak_flop_per_second(dtype)
        except NoHardwarePath:
            continue
        code = "wrong_device" if other.family == part.family else "fallback_device"
        if (code, value) not in seen:
            seen.add((code, value))
            what = "the peak of" if code == "wrong_device" else "what tools assume if in doubt, of"
            yield f"{code}:{other.id}", value, f"{_t(value)} is {what} {other.name}"


def _roots(ids: Iterable[str], others: list[Accelerator]) -> set[str]:
    by_id = {o.id: o for o in others}
    return {by_id[i].same_compute_as or i for i in ids if i in by_id}


def _capped(part: Accelerator, rated: Figure, others: list[Accelerator]) -> Iterator[_Value]:
    parent = next((o for o in others if o.id == part.export_of), None)
    if not part.rate_capped or parent is None or not parent.compute_units or not part.compute_units:
        return
    for clock in dict.fromkeys(c.mhz for c in (parent.matrix_clock, parent.max_clock) if c):
        whole = parent.peak_at(rated.dtype, clock_mhz=clock, engine=rated.engine)
        value = whole / parent.compute_units * part.compute_units
        text = f"{part.compute_units} units x the parent's rate x {clock:g} MHz, but it is capped"
        yield "naive_arithmetic_on_capped_sku", value, text


def _halves(part: Accelerator, rated: Figure) -> Iterator[_Value]:
    value = rated.flop_per_second / 2
    if any(f.sparse for f in part.peaks if f.dtype == rated.dtype):
        yield "halved_twice", value, f"{_t(rated)} is dense already; half of it is {_t(value)}"
    else:
        yield "multiply_add_as_one", value, f"{_t(rated)} / 2: a multiply-add counted as one"


def _double(values: list[_Value], rated: Figure) -> Iterator[_Value]:
    """A second confusion on top of the first: in practice it is always the sparse figure."""
    for code, value, text in values:
        if code.startswith(_NOT_COMBINED):
            continue
        for other, sparse, why in values:
            if other.startswith("sparse"):
                factor = sparse / rated.flop_per_second
                yield f"{code}+{other}", value * factor, f"{text}; and x {factor:g}: {why}"


def _matching(claim: float, values: Iterable[_Value], rated: Figure | None) -> list[Explanation]:
    found: dict[str, Explanation] = {}
    for code, value, text in values:
        residual = claim / value - 1
        if abs(residual) <= TOLERANCE and code not in found:
            factor = None if rated is None else value / rated.flop_per_second
            found[code] = Explanation(
                code=code, flop_per_second=value, factor=factor, residual=residual, text=text
            )
    # Kinds come in order of likelihood; a clearly smaller residual still wins.
    return sorted(found.values(), key=lambda e: round(abs(e.residual), 3))
