"""What exporters call things: DCGM's two generations of names, and nvidia_gpu_exporter's.

The names that the live source reads are taken from there (``profilers.sources.dcgm``), each with the
unit that its factor stands for; recordings may hold a few more.
"""

from collections.abc import Mapping
from decimal import Decimal

from profilers.importers.units import SCALES
from profilers.reading import SIGNALS
from profilers.sources.dcgm import FIELDS

_MORE = {
    "DEV_CLOCK_THROTTLE_REASONS": ("event_reasons", "mask"),
    "DEV_CLOCKS_EVENT_REASONS": ("event_reasons", "mask"),
    "DEV_POWER_USAGE_INSTANT": ("power_mw", "W"),
    "DEV_BOARD_POWER_RAW_WATTS": ("power_mw", "W"),
    "DEV_ENFORCED_POWER_LIMIT": ("power_limit_mw", "W"),
    "DEV_BOARD_POWER_LIMIT_ENFORCED_WATTS": ("power_limit_mw", "W"),
    "DEV_ECC_SBE_VOL_TOTAL": ("ecc_corrected", "count"),
    "DEV_ECC_DBE_VOL_TOTAL": ("ecc_uncorrected", "count"),
}
_EXPORTER = {
    # nvidia_gpu_exporter: nvidia-smi's fields in base units
    "nvidia_smi_utilization_gpu_ratio": ("gpu_util_permille", "ratio"),
    "nvidia_smi_utilization_memory_ratio": ("memory_util_permille", "ratio"),
    "nvidia_smi_power_draw_watts": ("power_mw", "W"),
    "nvidia_smi_power_draw_average_watts": ("power_average_mw", "W"),
    "nvidia_smi_enforced_power_limit_watts": ("power_limit_mw", "W"),
    "nvidia_smi_clocks_current_sm_clock_hz": ("sm_clock_mhz", "Hz"),
    "nvidia_smi_clocks_current_memory_clock_hz": ("memory_clock_mhz", "Hz"),
    "nvidia_smi_memory_used_bytes": ("memory_used_bytes", "B"),
    "nvidia_smi_temperature_gpu": ("temperature_c", "C"),
    "nvidia_smi_temperature_memory": ("memory_temperature_c", "C"),
}


def _unit(signal: str, factor: float) -> str:
    """Return the unit from which a factor leads to the signal's own."""
    scales = SCALES[SIGNALS[signal].unit]
    return next(unit for unit, scale in scales.items() if scale == Decimal(factor))


METRICS: Mapping[str, tuple[str, str]] = {
    **{f"DCGM_FI_{name}": (s, _unit(s, factor)) for name, (s, factor) in FIELDS.items()},
    **{f"DCGM_FI_{name}": known for name, known in _MORE.items()},
    **_EXPORTER,
}
"""Metric name to our signal and the unit of its figures."""

UNDEFINED_UNDER_MIG = frozenset({"gpu_util_permille", "memory_util_permille"})
"""Gauges that exporters write as 0 for a partitioned device."""

_BLANKS = (
    range(0x7FFFFFF0, 0x80000000),  # 32-bit integers
    range(0x7FFFFFFFFFFFFFF0, 0x8000000000000000),  # 64-bit integers
    range(2**47, 2**47 + 4),  # doubles
)


def is_blank(name: str, value: Decimal) -> bool:
    """Say whether a figure is one of DCGM's codes for "no value"."""
    if not name.startswith("DCGM_FI_") or value != value.to_integral_value():
        return False
    # A cycle or energy counter passes the 32-bit codes honestly.
    blanks = _BLANKS[1:] if name.endswith(("_TOTAL", "_CONSUMPTION")) else _BLANKS
    return any(int(value) in blank for blank in blanks)
