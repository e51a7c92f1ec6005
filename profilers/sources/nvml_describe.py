"""What NVML says about a device once: identity, limits, partitions; and its errors as reasons.

The binding is passed in: ``profilers.sources.nvml`` alone imports it.
"""

import platform
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, TypeVar

from profilers.reading import Reading, Reason, Unavailable
from profilers.values import Device, DeviceKey

T = TypeVar("T")

REASONS: Mapping[int, Reason] = {
    3: Reason.UNSUPPORTED,  # NOT_SUPPORTED
    4: Reason.FORBIDDEN,  # NO_PERMISSION
    6: Reason.ABSENT,  # NOT_FOUND
    9: Reason.ABSENT,  # DRIVER_NOT_LOADED
    10: Reason.TIMED_OUT,  # TIMEOUT
    12: Reason.ABSENT,  # LIBRARY_NOT_FOUND
    13: Reason.UNSUPPORTED,  # FUNCTION_NOT_FOUND
    15: Reason.LOST,  # GPU_IS_LOST
}


def of_code(nvml: ModuleType, code: int, where: str) -> Unavailable:
    """Turn a return code of one field into a reason."""
    reason = REASONS.get(code, Reason.FAILED)
    try:
        told = text(nvml.nvmlErrorString(code))
    except nvml.NVMLError:
        told = "unknown"
    return Unavailable(reason=reason, detail=f"{where}: NVML error {code} ({told})")


def why(error: Any) -> Unavailable:
    """Turn the binding's error into a reason. Its classes are not hashable: only codes compare."""
    code = int(error.value)
    reason = REASONS.get(code, Reason.FAILED)
    return Unavailable(reason=reason, detail=f"NVML error {code} ({error})")


def is_lost(reading: Reading) -> bool:
    """Say whether a reading is missing because the device fell off the bus."""
    return isinstance(reading, Unavailable) and reading.reason is Reason.LOST


def text(value: str | bytes) -> str:
    """Return a name as text, whichever of the two the binding gives."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def handles(nvml: ModuleType, count: int) -> list[tuple[int, Any]]:
    """Return (index, handle), or (index, ``Unavailable``) for a device that gives none.

    Such a device is ``forbidden`` where the driver says that this user may not, and ``lost`` with
    any other word: it is counted, so it is there.
    """
    found: list[tuple[int, Any]] = []
    for index in range(count):
        try:
            found.append((index, nvml.nvmlDeviceGetHandleByIndex(index)))
        except nvml.NVMLError as error:
            told = why(error)
            reason = Reason.FORBIDDEN if told.reason is Reason.FORBIDDEN else Reason.LOST
            detail = f"the driver gives no handle for this device: {told.detail}"
            found.append((index, Unavailable(reason=reason, detail=detail)))
    return found


def partitions(nvml: ModuleType, handle: Any) -> list[Any]:
    """Return the handles of a device's MIG partitions."""
    try:
        if nvml.nvmlDeviceGetMigMode(handle)[0] != 1:
            return []
        room = nvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except (nvml.NVMLError, AttributeError):
        return []
    found = []
    for place in range(room):
        try:
            found.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place))
        except nvml.NVMLError:
            continue
    return found


def mig_mode(nvml: ModuleType, handle: Any) -> bool | None:
    """Say whether the device is partitioned; None where it cannot be."""
    try:
        return bool(nvml.nvmlDeviceGetMigMode(handle)[0])
    except (nvml.NVMLError, AttributeError):
        return None


def memory_info(nvml: ModuleType, handle: Any) -> Any:
    """Prefer the second version, which does not count the driver's reserve as used."""
    try:
        return nvml.nvmlDeviceGetMemoryInfo(handle, nvml.nvmlMemory_v2)
    except (nvml.NVMLError, AttributeError) as error:
        if getattr(error, "value", 13) not in {3, 13, 25}:
            raise
        return nvml.nvmlDeviceGetMemoryInfo(handle)


def maybe(nvml: ModuleType, call: Callable[[], T]) -> T | None:
    """Return the answer, or None where the driver has none."""
    try:
        return call()
    except (nvml.NVMLError, AttributeError, TypeError, ValueError):
        return None


def describe(nvml: ModuleType, index: int, handle: Any) -> Device:
    """Ask a device everything that does not change while it runs."""
    node = platform.node()
    uuid = maybe(nvml, lambda: text(nvml.nvmlDeviceGetUUID(handle)))
    pci = maybe(nvml, lambda: nvml.nvmlDeviceGetPciInfo(handle))
    capability = maybe(nvml, lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle))
    sm, memory_clock = nvml.NVML_CLOCK_SM, nvml.NVML_CLOCK_MEM
    return Device(
        key=DeviceKey(uuid=uuid or f"{node}/{index}"),
        name=maybe(nvml, lambda: text(nvml.nvmlDeviceGetName(handle))),
        vendor="nvidia",
        index=index,
        file_number=maybe(nvml, lambda: int(nvml.nvmlDeviceGetMinorNumber(handle))),
        node=node,
        pci_bus_id=None if pci is None else text(pci.busId),
        pci_device_id=None if pci is None else int(pci.pciDeviceId),
        pci_subsystem_id=None if pci is None else int(pci.pciSubSystemId),
        memory_bytes=maybe(nvml, lambda: int(memory_info(nvml, handle).total)),
        compute_capability=None if capability is None else (capability[0], capability[1]),
        core_count=maybe(nvml, lambda: int(nvml.nvmlDeviceGetNumGpuCores(handle))),
        max_sm_clock_mhz=maybe(nvml, lambda: int(nvml.nvmlDeviceGetMaxClockInfo(handle, sm))),
        max_memory_clock_mhz=maybe(
            nvml, lambda: int(nvml.nvmlDeviceGetMaxClockInfo(handle, memory_clock))
        ),
        power_limit_mw=maybe(nvml, lambda: int(nvml.nvmlDeviceGetEnforcedPowerLimit(handle))),
        driver_version=maybe(nvml, lambda: text(nvml.nvmlSystemGetDriverVersion())),
        mig_mode=mig_mode(nvml, handle),
    )


def lost_device(index: int) -> Device:
    """A device that answers not even its name: known by its place only."""
    node = platform.node()
    return Device(key=DeviceKey(uuid=f"{node}/{index}"), vendor="nvidia", index=index, node=node)
