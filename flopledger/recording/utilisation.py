"""FLOP against what the devices could have done: MFU, HFU, and which peak they stand on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from flopledger.recording.totals import RunFinding, RunTotals

if TYPE_CHECKING:
    from hardware_db import Accelerator


@dataclass(frozen=True, kw_only=True, slots=True)
class Utilisation:
    """Model and hardware FLOP over peak FLOP/s times device-seconds. None where unknown."""

    mfu: float | None
    hfu: float | None
    device: str | None
    """Id of the part in ``hardware_db``."""
    name: str | None
    """Its name for people."""
    device_count: int | None
    dtype: str | None
    """The precision of the peak: the one of most model FLOP."""
    peak_flop_per_second: float | None
    """Of one device, dense."""
    findings: tuple[RunFinding, ...] = ()


UNKNOWN = Utilisation(
    mfu=None,
    hfu=None,
    device=None,
    name=None,
    device_count=None,
    dtype=None,
    peak_flop_per_second=None,
)


def utilisation(totals: RunTotals, telemetry: Sequence[Mapping[str, Any]] = ()) -> Utilisation:
    """Return the utilisation of a run.

    Args:
        totals: The run's totals.
        telemetry: The devices of ``summary.json`` (``name``, ``uuid``), used where the training
            processes themselves did not say what they computed on.

    """
    dtype = max(totals.by_dtype, key=lambda name: totals.by_dtype[name], default=None)
    names = _names(totals, telemetry)
    if dtype is None or not names:
        return UNKNOWN
    if totals.on_processor:
        told = "no MFU: a part of the work was computed on the processor"
        return _without("mixed-devices", told)
    if len(names) > 1:
        told = ", ".join(sorted(name for name, _ in names))
        return _without("mixed-devices", f"no MFU: the run used different devices ({told})")
    (name, memory), count = next(iter(names.items()))
    part = identified(name, memory)
    if isinstance(part, str):
        return _without("unknown-accelerator", f"no MFU: {part}")
    peak = peak_of(part, dtype)
    if peak is None:
        return _without("peak-unknown", f"no MFU: {part.id} has no known peak in {dtype}")
    seconds = totals.device_seconds if totals.devices else totals.duration_seconds * count
    found = Utilisation(
        mfu=_over(totals.model_flop, peak * seconds),
        hfu=_over(totals.hardware_flop, peak * seconds),
        device=part.id,
        name=part.name,
        device_count=count,
        dtype=dtype,
        peak_flop_per_second=peak,
    )
    return replace(found, findings=tuple(_too_much(found)))


def _too_much(found: Utilisation) -> Iterator[RunFinding]:
    """Name work that the devices cannot have done at that peak: one of the two is not what it seems."""
    most = max(found.mfu or 0.0, found.hfu or 0.0)
    if most > 1:
        yield RunFinding(
            code="implausible-utilisation",
            severity="warning",
            message=f"the work is {most:.3g} times what {found.device_count} × {found.name} can do in that "
            f"time in {found.dtype} (rated, dense): another precision, other or more devices than the "
            "processes named, or sparse matrices",
        )


def identified(name: str, memory_gb: float | None) -> "Accelerator | str":
    """Return the part of a driver's name, or why it is not known."""
    import hardware_db

    try:
        return hardware_db.identify(name, memory_gb=memory_gb).device()
    except hardware_db.HardwareError as first:
        try:
            # Parts that compute alike need not be told apart for a peak.
            return hardware_db.identify_compute(name).device()
        except hardware_db.HardwareError:
            return str(first)


def peak_of(part: "Accelerator", dtype: str) -> float | None:
    """Return the dense peak in a precision (FLOP/s); None where the part has none."""
    import hardware_db

    try:
        return part.peak_flop_per_second(dtype)
    except hardware_db.HardwareError:
        return None


def _names(
    totals: RunTotals, telemetry: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, float | None], int]:
    """Return how many devices of which name (and memory in GB) the run trained on."""
    found: dict[tuple[str, float | None], int] = {}
    said = [device for device in totals.devices if device.type != "cpu"]
    for device in said:
        if device.name is None:
            return {}
        memory = None if device.memory_bytes is None else device.memory_bytes / 1e9
        key = (device.name, memory)
        found[key] = found.get(key, 0) + 1
    if found or any(device.type == "cpu" for device in totals.devices):
        return found  # a training on the processor uses no device, whatever is in the machine
    for entry in telemetry:
        if entry.get("mig") or not isinstance(entry.get("name"), str):
            return {}
        key = (entry["name"], None)
        found[key] = found.get(key, 0) + 1
    return found


def _over(flop: int | None, possible: float) -> float | None:
    return None if flop is None or possible <= 0 else flop / possible


def _without(code: str, message: str) -> Utilisation:
    finding = RunFinding(code=code, severity="info", message=message)
    return replace(UNKNOWN, findings=(finding,))
