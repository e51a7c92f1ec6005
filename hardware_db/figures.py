"""One peak figure, the rate behind it, and the publication that it was taken from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from hardware_db.errors import HardwareError, UnknownDtype

if TYPE_CHECKING:
    from collections.abc import Iterable

DTYPES = ("fp64", "fp32", "tf32", "fp16", "bf16", "fp8", "fp6", "fp4", "int8", "int4")

_SPELLINGS = {
    "double": "fp64", "float64": "fp64", "f64": "fp64",
    "float": "fp32", "float32": "fp32", "single": "fp32", "f32": "fp32",
    "tensorfloat32": "tf32", "tensorfloat": "tf32", "xf32": "tf32",
    "half": "fp16", "float16": "fp16", "f16": "fp16",
    "bfloat16": "bf16", "bfloat": "bf16",
    "float8": "fp8", "fp8e4m3": "fp8", "fp8e5m2": "fp8", "e4m3": "fp8", "e5m2": "fp8",
    "float8e4m3fn": "fp8", "float8e5m2": "fp8", "mxfp8": "fp8",
    "mxfp6": "fp6", "float4": "fp4", "nvfp4": "fp4", "mxfp4": "fp4",
    "i8": "int8", "i4": "int4",
}  # fmt: skip

_ENGINES = {"matrix": "matrix", "tensor": "matrix", "vector": "vector"}


def dtype_name(written: str) -> str:
    """Our name of a number format ("bfloat16" -> "bf16"); raises UnknownDtype."""
    key = "".join(c for c in written.casefold() if c.isalnum())
    name = key if key in DTYPES else _SPELLINGS.get(key)
    if name is None:
        raise UnknownDtype(f"unknown number format {written[:40]!r}; known: {', '.join(DTYPES)}")
    return name


def engine_name(written: str) -> str:
    """ "matrix" (NVIDIA says tensor) or "vector"; raises HardwareError for anything else."""
    try:
        return _ENGINES[written.casefold()]
    except KeyError:
        raise HardwareError(
            f"unknown engine {written[:40]!r}; say 'matrix' (or 'tensor') or 'vector'"
        ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A publication. Nothing here claims that it was opened unless ``accessed`` says when."""

    id: str
    title: str
    publisher: str
    edition: str | None  # None: the publication names no edition
    date: str | None  # YYYY or YYYY-MM of publication; None: undated
    tier: str  # datasheet > whitepaper > documentation > oem > third-party > measured
    accessed: str  # YYYY-MM-DD when it was read, or "recalled": known, but not opened for this
    locator: str | None  # where it was read (repository and commit, page address)
    licence: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What one unit of an architecture does in one clock, dense; a multiply-add counts 2."""

    dtype: str
    engine: str  # matrix | vector
    accumulate: str
    flop_per_clock: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Rates per unit and clock for one generation and tier of it."""

    key: str
    family: str
    unit_name: str
    rates: tuple[Rate, ...]
    sparsity: float | None  # printed sparse figure / dense figure; None: no sparse units
    sparse_dtypes: tuple[str, ...]
    origin: str  # source id
    locator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One peak of one part, per part as its vendor sells it."""

    dtype: str
    engine: str  # matrix | vector
    accumulate: str  # the type that sums are kept in
    sparse: bool  # True: with structured sparsity, which no ordinary training step uses
    flop_per_second: float  # operations per second for integer formats
    printed: str | None  # the number as the source prints it; None: not printed, see ``basis``
    printed_as: str | None  # "dense", "with sparsity", "per package of 2" ...
    basis: str  # datasheet | derived (units x rate x clock) | back-solved | measured-bound
    clock: str | None  # matrix | vector: which of the part's clocks it is rated at; None: unknown
    origin: Source
    locator: str  # page, table or row within the source
    waiver: str | None  # why the arithmetic may disagree with the print; None: it agrees

    @property
    def source(self) -> str:
        """Title of the publication."""
        return self.origin.title

    @property
    def edition(self) -> str | None:
        """Edition of the publication, if it names one."""
        return self.origin.edition

    @property
    def date(self) -> str | None:
        """Date of the publication."""
        return self.origin.date

    @property
    def tier(self) -> str:
        """How near to the vendor's datasheet the publication stands."""
        return self.origin.tier

    @property
    def accessed(self) -> str:
        """When the publication was opened, or "recalled"."""
        return self.origin.accessed


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A matrix product that somebody timed: a check on what we call a ceiling."""

    part: str  # id
    dtype: str
    flop_per_second: float
    source: str  # title and place, for people


def accumulate_default(dtype: str) -> str:
    """What sums are kept in unless a figure says otherwise."""
    return {"fp64": "fp64", "int8": "int32", "int4": "int32"}.get(dtype, "fp32")


_Known = TypeVar("_Known", Figure, Rate)


def customary_engine(dtype: str) -> str:
    """The engine that a bare format name means: datasheets print FP64 and FP32 as vector rates."""
    return "vector" if dtype in ("fp64", "fp32") else "matrix"


def select(
    found: Iterable[_Known], *, engine: str | None, accumulate: str | None, dtype: str
) -> _Known | None:
    """The figure that is meant: as asked, else the customary engine and FP32 accumulation."""
    fits = [
        f
        for f in found
        if (engine is None or f.engine == engine)
        and (accumulate is None or f.accumulate == accumulate)
    ]
    wide = accumulate_default(dtype)
    fits.sort(key=lambda f: (f.engine != customary_engine(dtype), f.accumulate != wide))
    return fits[0] if fits else None
