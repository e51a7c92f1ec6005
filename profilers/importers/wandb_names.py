"""Weights & Biases' names of system metrics, shared by ``.wandb`` files and event exports."""

import json
import re
from decimal import Decimal

from profilers.importers import units
from profilers.reading import Reading, Reason, Unavailable

KEY = re.compile(r"(?:system\.)?gpu\.(\d{1,4})\.([A-Za-z0-9.]{1,64})(?:/l:(.{1,64}))?")
_METRICS = {
    "gpu": ("gpu_util_permille", "%"),
    "memory": ("memory_util_permille", "%"),
    "memoryAllocatedBytes": ("memory_used_bytes", "B"),
    "temp": ("temperature_c", "C"),
    "memoryTemp": ("memory_temperature_c", "C"),
    "powerWatts": ("power_mw", "W"),
    "enforcedPowerLimitWatts": ("power_limit_mw", "W"),
    "energyJoules": ("energy_mj", "J"),
    "smClock": ("sm_clock_mhz", "MHz"),
    "memoryClock": ("memory_clock_mhz", "MHz"),
    "correctedMemoryErrors": ("ecc_corrected", "count"),
    "uncorrectedMemoryErrors": ("ecc_uncorrected", "count"),
    "smActive": ("sm_activity_permille", "%"),
    "smOccupancy": ("sm_occupancy_permille", "%"),
    "pipeTensorActive": ("tensor_activity_permille", "%"),
    "pipeTensorHmmaActive": ("hmma_activity_permille", "%"),
    "dramActive": ("dram_activity_permille", "%"),
    "pipeFp64Active": ("fp64_activity_permille", "%"),
    "pipeFp32Active": ("fp32_activity_permille", "%"),
    "pipeFp16Active": ("fp16_activity_permille", "%"),
}
PAIR = frozenset(
    {"sm_activity_permille", "tensor_activity_permille", "hmma_activity_permille"}
    | {"sm_occupancy_permille", "dram_activity_permille", "fp64_activity_permille"}
    | {"fp32_activity_permille", "fp16_activity_permille"}
)
"""Means over a pair of looks 200 ms apart, whatever the spacing of the points."""


def metric(key: str) -> tuple[int, str, str, str | None] | None:
    """Return (device number, signal, unit, node label) of a key, or None where we do not read it.

    ``gpu.process.0...`` keys repeat the device's figures for one process and are not read.
    """
    found = KEY.fullmatch(key)
    if not found or found[2] not in _METRICS:
        return None
    signal, unit = _METRICS[found[2]]
    return int(found[1]), signal, unit, found[3]


def reading(signal: str, unit: str, value_json: str) -> Reading | None:
    """Read a JSON number; None where it is something else."""
    try:
        value = json.loads(value_json, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
    return figure(signal, unit, value)


def figure(signal: str, unit: str, value: object) -> Reading | None:
    """Return a parsed JSON value as a reading; None where it is no number."""
    if value is None or value in ("NaN", "Infinity", "-Infinity"):
        return Unavailable(reason=Reason.FAILED, detail=str(value))
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    number = Decimal(str(value))
    if not number.is_finite() or number.adjusted() > 30:
        return Unavailable(reason=Reason.REJECTED, detail=str(value)[:40])
    return units.judged(signal, units.scaled(number, units.factor(signal, unit)))
