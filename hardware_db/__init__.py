"""What could the machine do? Accelerators, their peaks, and where each figure comes from."""

from __future__ import annotations

from hardware_db.database import PATH_VARIABLE, Database, default_database
from hardware_db.errors import (
    AmbiguousAccelerator,
    DataError,
    HardwareError,
    NoHardwarePath,
    NotDerivable,
    UnknownAccelerator,
    UnknownDtype,
    UnknownInstance,
)
from hardware_db.explain import Explanation, PeakCheck
from hardware_db.figures import DTYPES, Figure, Rate, Source, dtype_name
from hardware_db.instances import Instance
from hardware_db.spec import Accelerator, Clock

__all__ = [
    "DTYPES",
    "PATH_VARIABLE",
    "Accelerator",
    "AmbiguousAccelerator",
    "Clock",
    "DataError",
    "Database",
    "Explanation",
    "Figure",
    "HardwareError",
    "Instance",
    "NoHardwarePath",
    "NotDerivable",
    "PeakCheck",
    "Rate",
    "Source",
    "UnknownAccelerator",
    "UnknownDtype",
    "UnknownInstance",
    "accelerators",
    "database_digest",
    "dtype_name",
    "explain_peak",
    "identify",
    "identify_compute",
    "instance",
]


def identify(
    name: str, *, memory_gb: float | None = None, compute_units: int | None = None
) -> Accelerator:
    """Exactly one part, or UnknownAccelerator, or AmbiguousAccelerator: never a guess.

    ``memory_gb`` and ``compute_units`` are what the device itself reports; they decide between
    parts that share a name, and contradict a name that cannot be right.
    """
    return default_database().identify(name, memory_gb=memory_gb, compute_units=compute_units)


def identify_compute(name: str) -> Accelerator:
    """As :func:`identify`, but parts that compute alike need not be told apart.

    "A100 SXM" has 40 GB or 80 GB, and either way the same units, rates and clocks: the answer then
    stands for both (``stands_for``), and what differs between them is None.
    """
    return default_database().identify_compute(name)


def accelerators() -> tuple[Accelerator, ...]:
    """All parts: the shipped ones, and those that FLOPLEDGER_HARDWARE_PATH adds."""
    return default_database().accelerators()


def database_digest() -> str:
    """SHA-256 over all hardware data: every report that used a peak prints it."""
    return default_database().digest()


def instance(name: str) -> Instance:
    """The accelerators in one cloud instance of this type; raises UnknownInstance."""
    return default_database().instance(name)


def explain_peak(
    claimed_flop_per_second: float, device: Accelerator | str, dtype: str
) -> PeakCheck:
    """Why a claimed peak is not the sourced one: sparse, another format, another part ..."""
    return default_database().explain_peak(claimed_flop_per_second, device, dtype)
