"""Parts as plain values, for JSON and CSV."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hardware_db.figures import Figure
    from hardware_db.spec import Accelerator, Clock

_PART_COLUMNS = (
    "id", "name", "vendor", "family", "architecture", "form_factor", "status", "released", "unit",
    "unit_name", "compute_units", "dies_per_package", "devices_per_package", "device_kind",
    "memory_gb", "memory_kind", "memory_bus_bits", "memory_data_rate_gtps", "bandwidth_gb_per_s",
    "tdp_w", "interconnect", "interconnect_gb_per_s", "export_of", "restriction", "rate_capped",
    "same_compute_as", "partition_of", "vgpu", "note",
)  # fmt: skip
_CLOCK_COLUMNS = ("matrix_clock", "vector_clock", "max_clock", "base_clock")
_FIGURE_COLUMNS = (
    "dtype", "engine", "accumulate", "sparse", "flop_per_second", "printed", "printed_as", "basis",
    "clock", "source", "edition", "date", "locator", "tier", "accessed", "waiver",
)  # fmt: skip


def plain_part(part: Accelerator) -> dict[str, Any]:
    """A part with all its figures as JSON values; None stands for what is not known."""
    values = {key: getattr(part, key) for key in _PART_COLUMNS}
    clocks = {f"{key}_mhz": _mhz(getattr(part, key)) for key in _CLOCK_COLUMNS}
    bases = {f"{key}_basis": _basis(getattr(part, key)) for key in _CLOCK_COLUMNS}
    return (
        values
        | clocks
        | bases
        | {
            "stands_for": list(part.stands_for),
            "peaks": [plain_figure(f) for f in part.peaks],
            "rates": [
                {
                    "dtype": r.dtype,
                    "engine": r.engine,
                    "accumulate": r.accumulate,
                    "flop_per_clock_per_unit": r.flop_per_clock,
                }
                for r in part.rates
            ],
        }
    )


def plain_figure(figure: Figure) -> dict[str, Any]:
    """One peak with its source."""
    return {key: getattr(figure, key) for key in _FIGURE_COLUMNS}


def to_csv(parts: Iterable[Accelerator]) -> str:
    """The whole database as CSV: one line a figure, the part's own columns repeated."""
    out = io.StringIO()
    columns = (*_PART_COLUMNS, *(f"{key}_mhz" for key in _CLOCK_COLUMNS), *_FIGURE_COLUMNS)
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for part in parts:
        values = plain_part(part)
        for figure in values["peaks"]:
            writer.writerow(values | figure)
    return out.getvalue()


def _mhz(clock: Clock | None) -> float | None:
    return None if clock is None else clock.mhz


def _basis(clock: Clock | None) -> str | None:
    return None if clock is None else clock.basis
