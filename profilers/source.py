"""What every instrument offers to the sampler: open, describe devices, sweep, close."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from profilers.errors import ProfilersError
from profilers.reading import Reason, Unavailable
from profilers.values import Device, DeviceKey, Event, Sample


class SourceError(ProfilersError):
    """An instrument that cannot be opened, or that stopped as a whole. Carries the typed reason."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.unavailable = Unavailable(reason=reason, detail=detail)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sweep:
    """One look at all devices of one instrument."""

    samples: tuple[Sample, ...]
    """At most one a device. A device that did not answer still has its sample, with the reasons."""
    events: tuple[Event, ...] = ()
    """What the instrument reported beside the numbers (XID, new device, MIG change ...). Their
    times are monotonic nanoseconds here; the recorder lays them onto the axis."""
    devices: tuple[Device, ...] | None = None
    """The whole list again when it changed (a device appeared, MIG was switched); None: as before.
    """
    finished: bool = False
    """True when the instrument has nothing more to say (the end of a replay)."""


class Source(Protocol):
    """One instrument. Used by one process at a time and never shared across a fork.

    ``open`` may be called again after ``close``: capabilities are then probed anew.
    """

    @property
    def name(self) -> str:
        """A short stable word: ``nvml``, ``dcgm``, ``replay`` ..."""
        ...

    def open(self) -> None:
        """Load the library, probe each device and function once. Raises ``SourceError``."""
        ...

    def devices(self) -> Sequence[Device]:
        """Describe the devices as the probe found them, missing signals with their reasons."""
        ...

    def sweep(self) -> Sweep:
        """Read every device once. Raises ``SourceError`` only when nothing at all can be read."""
        ...

    def close(self) -> None:
        """Give everything back. Never raises, and may be called twice."""
        ...


class FramePass(Protocol):
    """A way to read all devices of an instrument at once while everything is ordinary."""

    devices: Sequence[DeviceKey]
    """The devices, in the order in which it reads them."""
    forms: Sequence[Sequence[tuple[int, str, bool]]]
    """The readings of each form of a sweep: place of the device, signal, whether the number is in
    percent or a whole number in the signal's unit."""
    form: int
    """The form of the last reading."""

    def read(self, stamp: int) -> Sequence[int | float] | None:
        """Return the numbers of a frame (see ``profilers.frames``); None: something is unusual."""
        ...


@runtime_checkable
class FrameSource(Source, Protocol):
    """A source that can also give frames."""

    def frame_pass(self) -> FramePass | None:
        """Return what reads the next sweep, or None where only ``sweep`` may."""
        ...

    def spoil_pass(self) -> None:
        """The pass found something unusual: the next sweeps are ordinary ones."""
        ...


@runtime_checkable
class VersionedSource(Source, Protocol):
    """A source that knows the versions of the library behind it."""

    def library(self) -> str | None:
        """Return names and versions in one line; None where the library tells none."""
        ...
