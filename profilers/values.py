"""Devices, samples, gaps and events as plain values.

They stand apart from ``profilers.trace`` so that the sampler's processes never import numpy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from profilers.errors import ProfilersError
from profilers.reading import Reading, Unavailable


class TraceError(ProfilersError):
    """A trace that contradicts its own rules (times out of order, columns of unequal length)."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class DeviceKey:
    """What a device is, whatever number a process calls it by."""

    uuid: str
    """The vendor's unique id, as the driver prints it (``GPU-...``), or ``node/slot`` where a
    recording has none."""
    mig: str = ""
    """The partition's id (``MIG-...``, or ``gi/ci`` numbers); empty for a whole device."""

    def __str__(self) -> str:
        return f"{self.uuid}/{self.mig}" if self.mig else self.uuid

    @classmethod
    def parse(cls, text: str) -> "DeviceKey":
        """Read the printed form back. A UUID holds no slash unless it is ``node/slot``."""
        head, slash, tail = text.rpartition("/MIG-")
        if slash:
            return cls(uuid=head, mig=f"MIG-{tail}")
        return cls(uuid=text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """A device as its instrument describes it. None: the instrument does not say."""

    key: DeviceKey
    name: str | None = None
    """The product name, verbatim."""
    vendor: str | None = None
    """``nvidia``, ``amd``, ``intel``, ``cpu`` ..."""
    index: int | None = None
    """The number on its host; a hint for people, never an identity."""
    file_number: int | None = None
    """N of its file, ``/dev/nvidiaN``. In a container with some of a host's devices it is not ``index``."""
    node: str | None = None
    """The host that it sits in."""
    pci_bus_id: str | None = None
    pci_device_id: int | None = None
    """Device id << 16 | vendor id, as NVML gives it."""
    pci_subsystem_id: int | None = None
    memory_bytes: int | None = None
    """Total device memory."""
    compute_capability: tuple[int, int] | None = None
    core_count: int | None = None
    max_sm_clock_mhz: int | None = None
    max_memory_clock_mhz: int | None = None
    power_limit_mw: int | None = None
    """Enforced limit when the device was described."""
    driver_version: str | None = None
    mig_mode: bool | None = None
    missing: Mapping[str, Unavailable] = field(default_factory=dict)
    """Signals that the probe found missing, with the reason; all others answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One look at one device."""

    device: DeviceKey
    monotonic_ns: int | None
    """The recording host's monotonic clock; None for an import that has none."""
    wall_ns: int | None
    """Unix nanoseconds of the recording host's wall clock; None where unknown."""
    period_ns: int
    """The time that this sample speaks for, ending at its stamp; 0 for the first of a chain."""
    readings: Mapping[str, Reading]
    """Signal name to number (in the signal's unit) or ``Unavailable``. A signal that the device
    offers and that is left out here was not asked in this sweep (``pending``)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """A stretch of time of which nothing is known. Not an absence of work: an absence of sight."""

    start_ns: int
    """Axis nanoseconds (see the module)."""
    end_ns: int
    reason: str
    """``timed_out``, ``crashed``, ``lost``, ``late``, ``disk_full``, ``missing`` ... (kebab or
    snake words of the recorder; unknown words are kept)."""
    device: DeviceKey | None = None
    """The device that was not seen; None for all devices of the node."""
    node: str | None = None
    detail: str = ""

    def __post_init__(self) -> None:
        if self.end_ns < self.start_ns:
            raise TraceError(f"a gap ends at {self.end_ns} before its start {self.start_ns}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened: an XID, a restart, a clock step, a counter reset ..."""

    time_ns: int
    """Axis nanoseconds."""
    kind: str
    """``xid``, ``sampler-restart``, ``clock-step``, ``counter-reset``, ``rejected`` ..."""
    device: DeviceKey | None = None
    node: str | None = None
    detail: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
