"""One NVIDIA device or partition: what the probe found, and a sample of it whenever asked."""

import contextlib
import ctypes
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any

from profilers.checks import Guard
from profilers.reading import SIGNALS, Reading, Reason, Unavailable, is_number
from profilers.sources.gpm import METRICS, GpmChain
from profilers.sources.nvml_describe import describe, is_lost, maybe, memory_info, partitions, text
from profilers.sources.nvml_describe import why as told_why
from profilers.sources.nvml_prepared import prepare
from profilers.sources.nvml_readers import FIELDS, FINAL, Readers
from profilers.values import Device, DeviceKey, Event, Sample

SLOW_NS = 950_000_000
"""Temperatures, memory, error and link counters are asked once a second at most: they cost most of
a sweep and change slowly. A faster sweep leaves them out, and their cells say ``pending``."""

_ALL = (
    *FIELDS, *METRICS.values(), "gpu_util_permille", "memory_util_permille", "sm_clock_mhz",
    "memory_clock_mhz", "temperature_c", "memory_used_bytes", "event_reasons", "ecc_corrected",
    "ecc_uncorrected", "process_count", "power_limit_mw",
)  # fmt: skip
"""Every signal that NVML has on some device."""


class Unit:
    """One device or partition: its handle, its readers, what the probe found."""

    def __init__(
        self,
        nvml: ModuleType,
        handle: Any,
        *,
        device: Device,
        parent: Any = None,
        partitioned: bool = False,
    ) -> None:
        """Probe it. ``parent`` is the handle of the whole device, for a partition."""
        self.handle = handle
        self._nvml = nvml
        self._parent = parent
        self.last_ns: int | None = None
        """The stamp of the last sample; None when the next one is the first of a chain."""
        self.processes: tuple[int, ...] | None = None
        """The ids of the processes with a context here, sorted; None where that is not known."""
        self._processes_final: Unavailable | None = None
        self._lost_told = False
        self.next_slow = 0
        """From when on the slow signals are due again."""
        self._trouble_until = 0
        self.chain, gpm_missing = self._make_chain()
        self.readers = Readers(nvml, handle, is_partition=parent is not None)
        found = self.readers.probe()
        self._fast = prepare(nvml, self.readers, fast=True)
        self._slow = prepare(nvml, self.readers, fast=False)
        if partitioned and not is_number(found["gpu_util_permille"]):
            # The driver says "not supported"; the truth is that the gauge is undefined now.
            undefined = Unavailable(reason=Reason.MIG, detail="undefined while partitioned")
            found |= dict.fromkeys(("gpu_util_permille", "memory_util_permille"), undefined)
        missing = {
            name: why
            for name, why in (found | gpm_missing).items()
            if isinstance(why, Unavailable) and why.reason in {*FINAL, Reason.MIG}
        }
        never = Unavailable(reason=Reason.UNSUPPORTED, detail="NVML has no such reading")
        missing |= {name: never for name in SIGNALS if name not in _ALL}
        if parent is not None:
            missing.setdefault("power_limit_mw", never)
        self._unwanted = [name for name in _ALL if name in missing]
        self.device = replace(device, missing=missing)
        self.guard = Guard(self.device)

    def sample(self, events: list[Event]) -> Sample:
        """Read everything once."""
        stamp, wall = time.monotonic_ns(), time.time_ns()
        slow = stamp >= self.next_slow
        readings = self._healthy(stamp, slow=slow)
        lost = None
        if readings is None:
            readings, lost = self._one_by_one(slow=slow)
        if lost is not None:
            readings = dict.fromkeys(offered(self.device), lost)
        else:
            readings |= self._activities(stamp)
            if slow:
                self.next_slow = stamp + SLOW_NS
                readings |= self._process_count(events)
        for name in self._unwanted:
            readings.pop(name, None)
        events.extend(self.guard.check(readings, stamp))
        blind = self.guard.numbers == 0
        period = 0 if blind or self.last_ns is None else stamp - self.last_ns
        self.last_ns = None if blind else stamp
        if blind and self.chain is not None:
            self.chain.forget()
        return Sample(
            device=self.device.key,
            monotonic_ns=stamp,
            wall_ns=wall,
            period_ns=period,
            readings=readings,
        )

    def _healthy(self, stamp: int, *, slow: bool) -> dict[str, Reading] | None:
        """Read by prepared calls; None where the readers must ask, for a second after trouble."""
        if stamp < self._trouble_until:
            return None
        readings: dict[str, Reading] = {}
        for calls in (self._fast, self._slow) if slow else (self._fast,):
            found = None if calls is None else calls.read()
            if found is None:
                self._trouble_until = stamp + SLOW_NS
                return None
            readings |= found
        return readings

    def _one_by_one(self, *, slow: bool) -> tuple[dict[str, Reading], Unavailable | None]:
        """Read by asking each function; the second answer is why all of the device is lost."""
        readings: dict[str, Reading] = {}
        for reader in (*self.readers.fast, *self.readers.slow) if slow else self.readers.fast:
            answer = reader(readings)
            readings.update(answer)
            if answer and all(map(is_lost, answer.values())):
                # Fallen off the bus: the other calls would only be slow.
                why = next(iter(answer.values()))
                assert isinstance(why, Unavailable)
                return readings, why
        return readings, None

    def stands_for(self, device: Device, handle: Any) -> bool:
        """Say whether this unit still reads that device as its probe found it."""
        same = device.index == self.device.index and device.mig_mode == self.device.mig_mode
        return same and not self._lost_told and _address(handle) == _address(self.handle)

    @property
    def calm(self) -> bool:
        """True when the last sample came by prepared calls and lacked nothing."""
        prepared = self._fast is not None and self._trouble_until <= (self.last_ns or 0)
        return prepared and self.last_ns is not None and self.guard.calm

    def lost_a_signal(self) -> bool:
        """Say once that something the probe could read is suddenly not offered any more."""
        lost = Reason.UNSUPPORTED in self.guard.reasons
        first = lost and not self._lost_told
        self._lost_told = lost
        return first

    def close(self) -> None:
        """Give back what the driver lent."""
        if self.chain is not None:
            with contextlib.suppress(self._nvml.NVMLError):
                self.chain.close()
            self.chain = None

    def _make_chain(self) -> tuple[GpmChain | None, dict[str, Reading]]:
        nvml = self._nvml
        try:
            if self._parent is None:
                chain = GpmChain(nvml, self.handle)
            else:
                instance = nvml.nvmlDeviceGetGpuInstanceId(self.handle)
                chain = GpmChain(nvml, self._parent, instance)
            if chain.supported():
                chain.read(time.monotonic_ns())  # may be refused only here; and the chain begins
                return chain, {}
            chain.close()
            why = Unavailable(reason=Reason.UNSUPPORTED, detail="GPM needs Hopper or later")
        except nvml.NVMLError as error:
            why = told_why(error)
            if why.reason not in FINAL:
                why = Unavailable(reason=Reason.UNSUPPORTED, detail=why.detail)
        except AttributeError as error:
            why = Unavailable(reason=Reason.UNSUPPORTED, detail=f"binding: {error}")
        return None, dict.fromkeys(METRICS.values(), why)

    def _activities(self, stamp: int) -> dict[str, Reading]:
        if self.chain is None:
            return {}
        try:
            return self.chain.read(stamp)
        except self._nvml.NVMLError as error:
            self.chain.forget()
            return dict.fromkeys(METRICS.values(), told_why(error))

    def _process_count(self, events: list[Event]) -> dict[str, Reading]:
        """Count contexts; who they are is an event whenever it changes."""
        if "process_count" in self.device.missing or self._processes_final is not None:
            return {} if self._processes_final is None else {"process_count": self._processes_final}
        found: Any = None
        try:
            found = self._nvml.nvmlDeviceGetComputeRunningProcesses(self.handle)
        except self._nvml.NVMLError as error:
            self.processes = None
            why = told_why(error)
            if why.reason in FINAL:
                self._processes_final = why
            return {"process_count": why}
        except Exception as error:  # noqa: BLE001 - the binding's version mismatch is no NVMLError
            detail = f"the driver is older than the binding: {type(error).__name__}"
            self._processes_final = Unavailable(reason=Reason.UNSUPPORTED, detail=detail)
            return {"process_count": self._processes_final}
        pids = tuple(sorted({int(process.pid) for process in found}))
        if pids != self.processes:
            told = " ".join(map(str, pids[:256]))
            event = Event(
                time_ns=time.monotonic_ns(),
                kind="processes",
                device=self.device.key,
                detail={"pids": told},
            )
            events.append(event)
        self.processes = pids
        return {"process_count": len(pids)}


def units_of(
    nvml: ModuleType, index: int, handle: Any, known: Mapping[DeviceKey, Unit]
) -> list[Unit]:
    """Return the device and its partitions; what is as it was keeps its unit, and so its coverage."""
    whole = describe(nvml, index, handle)
    units = [_unit(nvml, handle, whole, known, partitioned=bool(whole.mig_mode))]
    for part in partitions(nvml, handle):
        try:
            mig = text(nvml.nvmlDeviceGetUUID(part))
        except nvml.NVMLError:
            continue
        key = DeviceKey(uuid=whole.key.uuid, mig=mig)
        memory = maybe(nvml, partial(_total_memory, nvml, part))
        device = Device(
            key=key, name=whole.name, vendor="nvidia", index=index, node=whole.node,
            file_number=whole.file_number,
            pci_bus_id=whole.pci_bus_id, memory_bytes=memory, mig_mode=True,
            compute_capability=whole.compute_capability, driver_version=whole.driver_version,
            max_sm_clock_mhz=whole.max_sm_clock_mhz,
        )  # fmt: skip
        units.append(_unit(nvml, part, device, known, parent=handle))
    return units


def _unit(
    nvml: ModuleType, handle: Any, device: Device, known: Mapping[DeviceKey, Unit], **more: Any
) -> Unit:
    before = known.get(device.key)
    if before is not None and before.stands_for(device, handle):
        return before
    return Unit(nvml, handle, device=device, **more)


def offered(device: Device) -> list[str]:
    """Return the signals that the probe found, or all of NVML's for one that never answered."""
    return [name for name in _ALL if name not in device.missing]


def dark_sample(device: Device, why: Unavailable) -> Sample:
    """Return a sample of a device that has no handle, or none any more, and why."""
    return Sample(
        device=device.key,
        monotonic_ns=time.monotonic_ns(),
        wall_ns=time.time_ns(),
        period_ns=0,
        readings=dict.fromkeys(offered(device), why),
    )


def _total_memory(nvml: ModuleType, handle: Any) -> int:
    return int(memory_info(nvml, handle).total)


def _address(handle: Any) -> int | None:
    return ctypes.cast(handle, ctypes.c_void_p).value
