"""NVIDIA's management library through its own binding (``nvidia-ml-py``).

Every function is asked once when the source opens; what a device does not offer, or this user may
not read, is kept as such and not asked again until the source is reopened. No function is taken for
granted: a missing symbol is one more ``unsupported`` signal.
"""

import contextlib
import time
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from profilers.reading import Reason, Unavailable
from profilers.source import SourceError, Sweep
from profilers.sources.nvml_describe import handles, lost_device, maybe, partitions, text
from profilers.sources.nvml_describe import why as told_why
from profilers.sources.nvml_frames import FramePass
from profilers.sources.nvml_unit import SLOW_NS, Unit, dark_sample, units_of
from profilers.values import Device, DeviceKey, Event


class NvmlSource:
    """All NVIDIA devices of this host, partitions included."""

    def __init__(self, rescan_seconds: float = 5.0) -> None:
        """Look for new devices, partitions and processes every ``rescan_seconds``."""
        self._rescan_ns = round(rescan_seconds * 1e9)
        self._nvml: ModuleType | None = None
        self._units: list[Unit] = []
        self._lost: list[tuple[Device, Unavailable]] = []
        self._known: dict[int, Device] = {}  # place to device, also across a reopening
        self._events: list[Event] = []
        self._event_set: Any = None
        self._layout: tuple[object, ...] = ()
        self._next_scan = 0
        self._next_xids = 0
        self._pass: FramePass | None = None
        self._pass_after = 0

    @property
    def name(self) -> str:
        """The word for this source."""
        return "nvml"

    def open(self) -> None:
        """Load the library and probe every device. Raises ``SourceError``."""
        nvml = _binding()
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            why = told_why(error)
            raise SourceError(why.reason, f"NVML does not start: {why.detail}") from None
        self._nvml = nvml
        try:
            self._scan()
        except nvml.NVMLError as error:
            self.close()
            why = told_why(error)
            raise SourceError(why.reason, f"NVML lists no devices: {why.detail}") from None

    def devices(self) -> Sequence[Device]:
        """Return what the last scan found."""
        return [*(unit.device for unit in self._units), *(device for device, _ in self._lost)]

    def library(self) -> str | None:
        """Return the versions of driver, NVML and CUDA; None where none of them answers."""
        nvml = self._nvml
        if nvml is None:
            return None
        cuda = maybe(nvml, lambda: int(nvml.nvmlSystemGetCudaDriverVersion()))
        told = {
            "driver": maybe(nvml, lambda: text(nvml.nvmlSystemGetDriverVersion())),
            "NVML": maybe(nvml, lambda: text(nvml.nvmlSystemGetNVMLVersion())),
            "CUDA": None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
        }
        return ", ".join(f"{name} {value}" for name, value in told.items() if value) or None

    def sweep(self) -> Sweep:
        """Read every device once."""
        nvml = self._nvml
        if nvml is None:
            raise SourceError(Reason.ABSENT, "the source is not open")
        if self._pass is not None:
            self._pass.leave()
        changed = None
        if time.monotonic_ns() >= self._next_scan:
            try:
                if self._describe_layout(nvml) != self._layout:
                    self._scan()
                    changed = tuple(self.devices())
            except nvml.NVMLError as error:
                why = told_why(error)
                if why.reason is not Reason.LOST:
                    raise SourceError(why.reason, f"NVML lists no devices: {why.detail}") from None
            self._next_scan = time.monotonic_ns() + self._rescan_ns
        samples = [unit.sample(self._events) for unit in self._units]
        samples += [dark_sample(device, why) for device, why in self._lost]
        if any(unit.lost_a_signal() for unit in self._units):
            self._next_scan = 0  # MIG may have been switched: look at once
        if time.monotonic_ns() >= self._next_xids:
            self._look_for_xids()
        events, self._events = tuple(self._events), []
        self._prepare_pass(nvml)
        return Sweep(samples=tuple(samples), events=events, devices=changed)

    def frame_pass(self) -> FramePass | None:
        """Return what reads all devices at once, while nothing else has to be looked at."""
        now = time.monotonic_ns()
        nvml = self._nvml
        if self._pass is None or nvml is None:
            return None
        if now >= self._next_scan:
            try:
                if self._describe_layout(nvml) != self._layout:
                    return None  # the sweep looks closer
            except nvml.NVMLError:
                return None
            self._next_scan = now + self._rescan_ns
        if now >= self._next_xids:
            self._look_for_xids()
        return None if self._events else self._pass

    def spoil_pass(self) -> None:
        """Something was unusual: only sweeps for a second, and then all laid out anew."""
        if self._pass is not None:
            self._pass.leave()
        self._pass = None
        self._pass_after = time.monotonic_ns() + SLOW_NS

    def _prepare_pass(self, nvml: ModuleType) -> None:
        """After a sweep: see whether the next ones may be frames."""
        if self._lost or not self._units or not all(unit.calm for unit in self._units):
            self._pass = None
            return
        if self._pass is None and time.monotonic_ns() >= self._pass_after:
            try:
                self._pass = FramePass(nvml, self._units)
            except (AttributeError, LookupError, TypeError, ValueError, nvml.NVMLError):
                self.spoil_pass()
        if self._pass is not None and not self._pass.enter():
            self._pass = None

    def close(self) -> None:
        """Give the library back."""
        nvml, self._nvml = self._nvml, None
        self._pass = None
        if nvml is None:
            return
        for unit in self._units:
            unit.close()
        self._units = []
        try:
            if self._event_set is not None:
                nvml.nvmlEventSetFree(self._event_set)
            nvml.nvmlShutdown()
        except nvml.NVMLError:
            pass  # a driver that is gone cannot be shut down
        self._event_set = None

    def _describe_layout(self, nvml: ModuleType) -> tuple[object, ...]:
        """Return what changes when a device appears, goes, or is partitioned."""
        count = nvml.nvmlDeviceGetCount()
        found = (handle for _, handle in handles(nvml, count))
        return (count, *(len(partitions(nvml, h)) for h in found if not isinstance(h, Unavailable)))

    def _scan(self) -> None:
        nvml = self._nvml
        assert nvml is not None
        old = {unit.device.key: unit for unit in self._units}
        before = set(old)
        self._units, self._lost, self._pass = [], [], None
        found: set[DeviceKey] = set()
        for index, handle in handles(nvml, nvml.nvmlDeviceGetCount()):
            if isinstance(handle, Unavailable):
                # A device that answers not even its name keeps the one that it had.
                self._lost.append((self._known.get(index) or lost_device(index), handle))
                continue
            for unit in units_of(nvml, index, handle, old):
                if unit.device.key in found:
                    self._tell("duplicate-uuid", unit.device.key, index=index)
                    if unit not in self._units:
                        unit.close()
                    continue
                found.add(unit.device.key)
                self._units.append(unit)
                if not unit.device.key.mig:
                    self._known[index] = unit.device
        for unit in old.values():
            if unit not in self._units:
                unit.close()
        if before:
            for key in found - before:
                self._tell("device-appeared", key)
            for key in before - found - {device.key for device, _ in self._lost}:
                self._tell("device-vanished", key)
        self._layout = self._describe_layout(nvml)
        self._next_scan = time.monotonic_ns() + self._rescan_ns
        self._register_xids(nvml)

    def _tell(self, kind: str, key: DeviceKey, **detail: int) -> None:
        now = time.monotonic_ns()
        self._events.append(Event(time_ns=now, kind=kind, device=key, detail=detail))

    def _register_xids(self, nvml: ModuleType) -> None:
        before, self._event_set = self._event_set, None
        try:
            if before is not None:
                nvml.nvmlEventSetFree(before)
            self._event_set = nvml.nvmlEventSetCreate()
        except nvml.NVMLError:
            return  # no support: XIDs go unseen, the rest goes on
        for unit in self._units:
            if not unit.device.key.mig:
                # One device without permission or support costs its own XIDs, not the others'.
                with contextlib.suppress(nvml.NVMLError):
                    nvml.nvmlDeviceRegisterEvents(
                        unit.handle, nvml.nvmlEventTypeXidCriticalError, self._event_set
                    )

    def _look_for_xids(self) -> None:
        self._next_xids = time.monotonic_ns() + SLOW_NS // 4
        nvml = self._nvml
        if nvml is None or self._event_set is None:
            return
        for _ in range(64):
            try:
                data = nvml.nvmlEventSetWait(self._event_set, 0)
                uuid = text(nvml.nvmlDeviceGetUUID(data.device))
            except nvml.NVMLError:
                return  # a timeout: nothing more to tell
            self._tell("xid", DeviceKey(uuid=uuid), code=int(data.eventData))


def _binding() -> ModuleType:
    """Import NVIDIA's binding, and refuse the deprecated fork of the same module name."""
    try:
        import pynvml
    except ImportError as error:
        raise SourceError(
            Reason.ABSENT, f"the NVML binding is not installed ({error}); pip install nvidia-ml-py"
        ) from None
    if not hasattr(pynvml, "nvmlDeviceGetFieldValues") or not hasattr(pynvml, "NVMLError"):
        raise SourceError(
            Reason.ABSENT,
            f"{pynvml.__file__} is not NVIDIA's binding; "
            "pip uninstall pynvml && pip install nvidia-ml-py",
        )
    module: ModuleType = pynvml
    return module
