"""An accelerator: what it is, what it can do, and at which clock."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from hardware_db.errors import HardwareError, NoHardwarePath, NotDerivable
from hardware_db.figures import Figure, Rate, dtype_name, engine_name, select


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """A clock and how it is known."""

    mhz: float
    basis: str  # published | back-solved | observed


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One part, as its vendor sells it: every figure is per part, not per device.

    ``devices_per_package`` says how many devices a framework counts on it; :meth:`device` is one of
    them. None always means "not known", never "none".
    """

    id: str
    name: str
    vendor: str
    family: str  # generation, in lower case: hopper, ampere, cdna3, tpu ...
    architecture: str  # key of the rates: architecture and tier
    form_factor: str
    status: str  # announced | shipping | eol
    released: str | None  # YYYY-MM
    unit: str  # what one part is: GPU, chip, OAM (2 GCDs) ...
    unit_name: str | None  # what ``compute_units`` counts: SM, CU, MXU ...
    compute_units: int | None
    dies_per_package: int
    devices_per_package: int
    device_kind: str  # what a framework counts as one device: GPU, GCD, core, chip
    matrix_clock: Clock | None
    vector_clock: Clock | None
    max_clock: Clock | None  # highest clock that the device can be set to
    base_clock: Clock | None  # the guaranteed clock; no figure is rated at it
    rate_capped: bool  # an export cap: units x rate x clock does not hold
    memory_gb: float | None
    memory_kind: str | None
    memory_bus_bits: int | None
    memory_data_rate_gtps: float | None  # giga-transfers per second and pin
    bandwidth_gb_per_s: float | None
    tdp_w: float | None
    interconnect: str | None
    interconnect_gb_per_s: float | None  # both directions together, as vendors print it
    export_of: str | None  # id of the part that this one is the export variant of
    restriction: str | None
    same_compute_as: str | None  # id of the part whose compute figures these are
    # Not in the repr, which a notebook prints: these are pages long. `hardware show` has them.
    peaks: tuple[Figure, ...] = field(repr=False)
    rates: tuple[Rate, ...] = field(repr=False)
    note: str | None = field(repr=False)
    # dtype, announced FLOP/s, what became of it
    prelaunch: tuple[tuple[str, float, str], ...] = field(default=(), repr=False)
    partition_of: str | None = None  # id of the whole part, for a slice, a core, a GCD
    vgpu: bool = False  # time-sliced: the peaks are the board's and only an upper bound
    stands_for: tuple[str, ...] = ()  # ids, when this is what several parts have in common

    def figure(
        self,
        dtype: str,
        *,
        sparse: bool = False,
        engine: str | None = None,
        accumulate: str | None = None,
    ) -> Figure:
        """The rated peak with its source.

        Unless told otherwise it is dense, accumulates in FP32 (FP64, INT32 for those formats), and
        runs on the matrix engine, except FP64 and FP32: those names mean the vector rate, as
        datasheets print them. A format with a single path takes that one.
        Raises UnknownDtype, or NoHardwarePath where the part has no such unit.
        """
        wanted = dtype_name(dtype)
        engine = None if engine is None else engine_name(engine)
        accumulate = None if accumulate is None else dtype_name_of_sum(accumulate)
        paths = [f for f in self.peaks if f.dtype == wanted and f.sparse == sparse]
        found = select(paths, engine=engine, accumulate=accumulate, dtype=wanted)
        if found is None:
            raise NoHardwarePath(self._no_path(wanted, sparse, engine, accumulate))
        return found

    def peak_flop_per_second(
        self,
        dtype: str,
        sparse: bool = False,
        engine: str | None = None,
        accumulate: str | None = None,
    ) -> float:
        """Rated peak in FLOP/s: the conventional denominator of MFU, not an upper bound."""
        found = self.figure(dtype, sparse=sparse, engine=engine, accumulate=accumulate)
        return found.flop_per_second

    def peak_at(
        self,
        dtype: str,
        *,
        clock_mhz: float,
        sparse: bool = False,
        engine: str | None = None,
        accumulate: str | None = None,
    ) -> float:
        """FLOP/s at a given clock: units x FLOP per clock x clock.

        Raises NotDerivable on capped parts and where the rate is not public, NoHardwarePath as
        :meth:`figure` does, HardwareError for a clock that is not positive and finite.
        """
        if not (math.isfinite(clock_mhz) and 0 < clock_mhz < 1e5):
            raise HardwareError(f"{self.id}: a clock of {clock_mhz} MHz is not a clock")
        figure = self.figure(dtype, sparse=sparse, engine=engine, accumulate=accumulate)
        dense = figure
        if sparse:
            dense = self.figure(dtype, engine=figure.engine, accumulate=figure.accumulate)
        sparsity = figure.flop_per_second / dense.flop_per_second
        return self._flop_per_clock(dense) * sparsity * clock_mhz * 1e6

    def ceiling_flop_per_second(
        self,
        dtype: str,
        *,
        sparse: bool = False,
        engine: str | None = None,
        max_clock_mhz: float | None = None,
    ) -> float:
        """The most FLOP/s that the part can reach at its highest clock: a hard bound.

        Without ``engine`` the faster one counts, and of two accumulation types the faster, since a
        bound must hold whichever was used: GeForce cards sum FP16 and FP8 at twice the rate in FP16.
        ``max_clock_mhz`` is what the device itself reports, which on a board maker's own edition
        may lie above the reference card's.
        Raises NotDerivable on capped parts and where the highest clock is not known.
        """
        if max_clock_mhz is None and self.max_clock is None and not self.rate_capped:
            raise NotDerivable(
                f"{self.id}: the highest clock is not known, so no ceiling follows; log the clock "
                "and use peak_at, or use the rated peak with a caveat"
            )
        clock = max_clock_mhz or (self.max_clock.mhz if self.max_clock else 1.0)
        return max(
            self.peak_at(dtype, clock_mhz=clock, sparse=sparse, engine=e, accumulate=a)
            for e, a in self._paths(dtype, sparse, engine)
        )

    def device(self) -> Accelerator:
        """One device as a framework counts it; the part itself where that is one and the same."""
        count = self.devices_per_package
        return self if count == 1 else self.fraction(1, count, name=self.device_kind.lower())

    def fraction(self, part: int, whole: int, *, name: str) -> Accelerator:
        """``part`` / ``whole`` of this part's units, memory and peaks, under the id "<id>-name"."""
        share = part / whole
        units = None if self.compute_units is None else self.compute_units * part // whole
        dies = max(1, self.dies_per_package * part // whole)
        return replace(
            self,
            id=f"{self.id}-{name}",
            name=f"{self.name}, {name}",
            unit=name,
            compute_units=units,
            dies_per_package=dies,
            devices_per_package=1,
            memory_gb=_scaled(self.memory_gb, share),
            bandwidth_gb_per_s=_scaled(self.bandwidth_gb_per_s, share),
            memory_bus_bits=None,
            tdp_w=None,
            interconnect_gb_per_s=None,
            peaks=tuple(scaled_figure(f, share, name) for f in self.peaks),
            partition_of=self.id,
        )

    def _paths(self, dtype: str, sparse: bool, engine: str | None) -> set[tuple[str, str]]:
        """Engine and accumulation type of every figure in this format; raises as ``figure``."""
        usual = self.figure(dtype, sparse=sparse, engine=engine)
        return {
            (f.engine, f.accumulate)
            for f in self.peaks
            if (f.dtype, f.sparse) == (usual.dtype, sparse)
            and (engine is None or f.engine == usual.engine)
        }

    def _flop_per_clock(self, figure: Figure) -> float:
        if self.rate_capped:
            raise NotDerivable(
                f"{self.id}: {self.restriction or 'its rate is capped'}; units x rate x clock "
                "overstates it several times, so only its published figures are used"
            )
        rates = [r for r in self.rates if r.dtype == figure.dtype]
        rate = select(rates, engine=figure.engine, accumulate=figure.accumulate, dtype=figure.dtype)
        if rate is None or self.compute_units is None:
            raise NotDerivable(
                f"{self.id}: no public {figure.dtype} rate per clock, so no peak at another clock"
            )
        return rate.flop_per_clock * self.compute_units

    def _no_path(self, dtype: str, sparse: bool, engine: str | None, accumulate: str | None) -> str:
        asked = ["sparse" if sparse else "dense", dtype]
        asked += [f"on the {engine} engine"] if engine else []
        asked += [f"with {accumulate} accumulation"] if accumulate else []
        has = sorted({f"{f.dtype} ({f.engine})" for f in self.peaks if f.sparse == sparse})
        return (
            f"{self.name} ({self.id}) has no hardware path for {' '.join(asked)}, or none "
            f"with a sourced figure; "
            f"it has {', '.join(has) or 'no such figures at all'}"
        )


def dtype_name_of_sum(written: str) -> str:
    """Name of an accumulation type, which may also be int32."""
    return "int32" if written.casefold() in ("int32", "i32") else dtype_name(written)


def scaled_figure(figure: Figure, share: float, name: str) -> Figure:
    """The same figure for a share of the part, saying so."""
    return replace(
        figure,
        flop_per_second=figure.flop_per_second * share,
        printed=None,
        printed_as=None,
        basis="derived",
        locator=f"{figure.locator}; times {share:.4g} for one {name}",
    )


def _scaled(value: float | None, share: float) -> float | None:
    return None if value is None else value * share
