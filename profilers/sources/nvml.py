"""NVIDIA's management library through its own binding (``nvidia-ml-py``).

Every function is asked once when the source opens; what a device does not offer, or this user may
not read, is kept as such and not asked again until the source is reopened. No function is taken for
granted: a missing symbol is one more ``unsupported`` signal.
"""

import contextlib
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any

from profilers.checks import Guard
from profilers.reading import SIGNALS, Reading, Reason, Unavailable, is_number
from profilers.source import SourceError, Sweep
from profilers.sources.gpm import METRICS, GpmChain
from profilers.sources.nvml_describe import (
    describe,
    handles,
    is_lost,
    lost_device,
    maybe,
    memory_info,
    of_code,
    partitions,
    text,
)
from profilers.sources.nvml_describe import why as told_why
from profilers.values import Device, DeviceKey, Event, Sample

_FINAL = {Reason.UNSUPPORTED, Reason.FORBIDDEN}
"""Reasons that last until the source is opened again."""

ALL_LINKS = 0xFFFFFFFF
_FIELDS: dict[str, tuple[int, int, int]] = {
    # signal: field id, scope, factor into our unit
    "energy_mj": (83, 0, 1),
    "memory_temperature_c": (82, 0, 1),
    "power_average_mw": (185, 0, 1),
    "power_mw": (186, 0, 1),
    "pcie_tx_bytes": (197, 0, 1),
    "pcie_rx_bytes": (198, 0, 1),
    "nvlink_tx_bytes": (138, ALL_LINKS, 1024),
    "nvlink_rx_bytes": (139, ALL_LINKS, 1024),
}
_FAST_FIELDS = ("energy_mj", "power_mw")
_FIELD = struct.Struct("=IIqqii8s")  # id, scope, timestamp, latency, type, return code, value
_FIELD_VALUES = ("<d", "<I4x", "<Q", "<Q", "<q", "<i4x", "<H6x")  # by NVML's value type
_WHOLE = {kind: struct.Struct(_FIELD_VALUES[kind]).unpack for kind in range(1, 7)}
Reader = Callable[[dict[str, Reading]], dict[str, Reading]]

SLOW_NS = 950_000_000
"""Temperatures, memory, error and link counters are asked once a second at most: they cost most of
a sweep and change slowly. A faster sweep leaves them out, and their cells say ``pending``."""


class NvmlSource:
    """All NVIDIA devices of this host, partitions included."""

    def __init__(self, rescan_seconds: float = 5.0) -> None:
        """Look for new devices, partitions and processes every ``rescan_seconds``."""
        self._rescan_ns = round(rescan_seconds * 1e9)
        self._nvml: ModuleType | None = None
        self._units: list[_Unit] = []
        self._lost: list[Device] = []
        self._known: dict[int, Device] = {}  # place to device, also across a reopening
        self._events: list[Event] = []
        self._event_set: Any = None
        self._layout: tuple[object, ...] = ()
        self._next_scan = 0
        self._next_xids = 0

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
        return [*(unit.device for unit in self._units), *self._lost]

    def sweep(self) -> Sweep:
        """Read every device once."""
        nvml = self._nvml
        if nvml is None:
            raise SourceError(Reason.ABSENT, "the source is not open")
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
        samples += [_dark_sample(device) for device in self._lost]
        if any(unit.lost_a_signal() for unit in self._units):
            self._next_scan = 0  # MIG may have been switched: look at once
        if time.monotonic_ns() >= self._next_xids:
            self._next_xids = time.monotonic_ns() + SLOW_NS // 4
            self._take_xids(nvml)
        events, self._events = tuple(self._events), []
        return Sweep(samples=tuple(samples), events=events, devices=changed)

    def close(self) -> None:
        """Give the library back."""
        nvml, self._nvml = self._nvml, None
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
        return (count, *(len(partitions(nvml, h)) for _, h in handles(nvml, count) if h))

    def _scan(self) -> None:
        nvml = self._nvml
        assert nvml is not None
        before = {unit.device.key for unit in self._units}
        for unit in self._units:
            unit.close()
        self._units, self._lost = [], []
        found: set[DeviceKey] = set()
        for index, handle in handles(nvml, nvml.nvmlDeviceGetCount()):
            if handle is None:
                # A device that answers not even its name keeps the one that it had.
                self._lost.append(self._known.get(index) or lost_device(index))
                continue
            for unit in _units_of(nvml, index, handle):
                if unit.device.key in found:
                    self._tell("duplicate-uuid", unit.device.key, index=index)
                    unit.close()
                    continue
                found.add(unit.device.key)
                self._units.append(unit)
                if not unit.device.key.mig:
                    self._known[index] = unit.device
        if before:
            for key in found - before:
                self._tell("device-appeared", key)
            for key in before - found - {device.key for device in self._lost}:
                self._tell("device-vanished", key)
        self._layout = self._describe_layout(nvml)
        self._next_scan = time.monotonic_ns() + self._rescan_ns
        self._register_xids(nvml)

    def _tell(self, kind: str, key: DeviceKey, **detail: int) -> None:
        now = time.monotonic_ns()
        self._events.append(Event(time_ns=now, kind=kind, device=key, detail=detail))

    def _register_xids(self, nvml: ModuleType) -> None:
        try:
            if self._event_set is not None:
                nvml.nvmlEventSetFree(self._event_set)
            self._event_set = nvml.nvmlEventSetCreate()
            for unit in self._units:
                if not unit.device.key.mig:
                    nvml.nvmlDeviceRegisterEvents(
                        unit.handle, nvml.nvmlEventTypeXidCriticalError, self._event_set
                    )
        except nvml.NVMLError:
            self._event_set = None  # no permission or no support: XIDs go unseen, the rest goes on

    def _take_xids(self, nvml: ModuleType) -> None:
        if self._event_set is None:
            return
        for _ in range(64):
            try:
                data = nvml.nvmlEventSetWait(self._event_set, 0)
                uuid = text(nvml.nvmlDeviceGetUUID(data.device))
            except nvml.NVMLError:
                return  # a timeout: nothing more to tell
            self._tell("xid", DeviceKey(uuid=uuid), code=int(data.eventData))


class _Unit:
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
        self.handle = handle
        self._nvml = nvml
        self._parent = parent
        self._last_ns: int | None = None
        self._processes: tuple[int, ...] | None = None
        self._processes_final: Unavailable | None = None
        self._lost_told = False
        self._chain, gpm_missing = self._make_chain()
        self._fast_names = [name for name in _FIELDS if name in _FAST_FIELDS]
        self._slow_names = [name for name in _FIELDS if name not in _FAST_FIELDS]
        fast: list[Reader] = [self._fast_fields, self._power, self._energy, self._utilization]
        slow: list[Reader] = [self._slow_fields, self._temperature, self._memory]
        found: dict[str, Reading] = {}
        self._fast = self._answering([*fast, self._sm_clock], found)
        self._slow = self._answering(
            [*slow, self._memory_clock, self._power_limit, self._reasons, self._ecc], found
        )
        self._next_slow = 0
        self._stands_for_missing(found)
        if partitioned and not is_number(found["gpu_util_permille"]):
            # The driver says "not supported"; the truth is that the gauge is undefined now.
            undefined = Unavailable(reason=Reason.MIG, detail="undefined while partitioned")
            found |= dict.fromkeys(("gpu_util_permille", "memory_util_permille"), undefined)
        missing = {
            name: why
            for name, why in (found | gpm_missing).items()
            if isinstance(why, Unavailable) and why.reason in {*_FINAL, Reason.MIG}
        }
        never = Unavailable(reason=Reason.UNSUPPORTED, detail="NVML has no such reading")
        missing |= {name: never for name in SIGNALS if name not in _ALL}
        if parent is not None:
            missing.setdefault("power_limit_mw", never)
        self._unwanted = [name for name in _ALL if name in missing]
        self.device = replace(device, missing=missing)
        self._guard = Guard(self.device)

    def _answering(self, readers: list[Reader], found: dict[str, Reading]) -> list[Reader]:
        """Try each reader once; keep those that have something to say on this device."""
        kept: list[Reader] = []
        for reader in readers:
            answer = reader(found)
            found.update({n: r for n, r in answer.items() if not is_number(found.get(n, _NEVER))})
            if not all(isinstance(r, Unavailable) and r.reason in _FINAL for r in answer.values()):
                kept.append(reader)
        return kept

    def _stands_for_missing(self, found: dict[str, Reading]) -> None:
        """Do not ask again for a field that this device does not have."""
        for name in _FIELDS:
            why = found.get(name)
            if isinstance(why, Unavailable) and why.reason in _FINAL:
                for names in (self._fast_names, self._slow_names):
                    if name in names:
                        names.remove(name)

    def sample(self, events: list[Event]) -> Sample:
        """Read everything once."""
        readings: dict[str, Reading] = {}
        stamp, wall = time.monotonic_ns(), time.time_ns()
        slow = stamp >= self._next_slow
        lost = False
        for reader in (*self._fast, *self._slow) if slow else self._fast:
            answer = reader(readings)
            readings.update(answer)
            if answer and type(next(iter(answer.values()))) is not int:
                lost = all(map(is_lost, answer.values()))
                if lost:
                    break  # fallen off the bus: the other calls would only be slow
        if lost:
            readings = dict.fromkeys(_offered(self.device), next(iter(answer.values())))
        else:
            readings |= self._activities(stamp)
            if slow:
                self._next_slow = stamp + SLOW_NS
                readings |= self._process_count(events)
        for name in self._unwanted:
            readings.pop(name, None)
        events.extend(self._guard.check(readings, stamp))
        blind = self._guard.numbers == 0
        period = 0 if blind or self._last_ns is None else stamp - self._last_ns
        self._last_ns = None if blind else stamp
        if blind and self._chain is not None:
            self._chain.forget()
        return Sample(
            device=self.device.key,
            monotonic_ns=stamp,
            wall_ns=wall,
            period_ns=period,
            readings=readings,
        )

    def lost_a_signal(self) -> bool:
        """Say once that something the probe could read is suddenly not offered any more."""
        lost = Reason.UNSUPPORTED in self._guard.reasons
        first = lost and not self._lost_told
        self._lost_told = lost
        return first

    def close(self) -> None:
        if self._chain is not None:
            with contextlib.suppress(self._nvml.NVMLError):
                self._chain.close()
            self._chain = None

    def _ask(self, names: Sequence[str], call: Callable[[], Sequence[int]]) -> dict[str, Reading]:
        """Call the binding; its error becomes the reading of every name."""
        try:
            return dict(zip(names, call(), strict=True))
        except self._nvml.NVMLError as error:
            return dict.fromkeys(names, told_why(error))
        except (AttributeError, TypeError, ValueError, OSError) as error:
            # A binding that lacks the function, or a library that answers nonsense.
            why = Unavailable(reason=Reason.UNSUPPORTED, detail=f"binding: {error}")
            return dict.fromkeys(names, why)

    def _fast_fields(self, _: dict[str, Reading]) -> dict[str, Reading]:
        return self._fields(self._fast_names)

    def _slow_fields(self, _: dict[str, Reading]) -> dict[str, Reading]:
        return self._fields(self._slow_names)

    def _fields(self, names: list[str]) -> dict[str, Reading]:
        """Ask for several fields with one call; each has its own return code."""
        if self.device_is_partition():
            why = Unavailable(reason=Reason.MIG, detail="a partition has no sensor of its own")
            return dict.fromkeys(names, why)
        if not names:
            return {}
        wanted = [_FIELDS[name][:2] for name in names]
        try:
            values = self._nvml.nvmlDeviceGetFieldValues(self.handle, wanted)
        except self._nvml.NVMLError as error:
            return dict.fromkeys(names, told_why(error))
        except (AttributeError, TypeError) as error:
            why = Unavailable(reason=Reason.UNSUPPORTED, detail=f"binding: {error}")
            return dict.fromkeys(names, why)
        answer: dict[str, Reading] = {}
        # The binding's attribute access costs more than the call; the layout is fixed by the ABI.
        for name, told in zip(names, _FIELD.iter_unpack(memoryview(values)), strict=True):
            number, _, _, _, kind, code, raw = told
            if code == 0 and kind in _WHOLE:
                answer[name] = _WHOLE[kind](raw)[0] * _FIELDS[name][2]
            else:
                answer[name] = self._field(number, kind, code, raw, _FIELDS[name][2])
        return answer

    def _field(self, number: int, kind: int, code: int, raw: bytes, factor: int) -> Reading:
        if code:
            return of_code(self._nvml, code, f"field {number}")
        if not 0 <= kind < len(_FIELD_VALUES):
            detail = f"field {number} has the unknown type {kind}"
            return Unavailable(reason=Reason.FAILED, detail=detail)
        value = struct.unpack(_FIELD_VALUES[kind], raw)[0]
        return int(value * factor)

    def device_is_partition(self) -> bool:
        """Say whether this is a MIG partition, whose board sensors belong to its parent."""
        return self._parent is not None

    def _power(self, known: dict[str, Reading]) -> dict[str, Reading]:
        if self.device_is_partition() or is_number(known.get("power_mw", _NEVER)):
            return {}
        nvml = self._nvml
        return self._ask(["power_mw"], lambda: [nvml.nvmlDeviceGetPowerUsage(self.handle)])

    def _energy(self, known: dict[str, Reading]) -> dict[str, Reading]:
        if self.device_is_partition() or is_number(known.get("energy_mj", _NEVER)):
            return {}
        nvml = self._nvml
        return self._ask(
            ["energy_mj"], lambda: [nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle)]
        )

    def _utilization(self, _: dict[str, Reading]) -> dict[str, Reading]:
        def call() -> list[int]:
            rates = self._nvml.nvmlDeviceGetUtilizationRates(self.handle)
            return [rates.gpu * 10, rates.memory * 10]

        return self._ask(["gpu_util_permille", "memory_util_permille"], call)

    def _power_limit(self, _: dict[str, Reading]) -> dict[str, Reading]:
        if self.device_is_partition():
            return {}
        call = self._nvml.nvmlDeviceGetEnforcedPowerLimit
        return self._ask(["power_limit_mw"], partial(_one, call, self.handle))

    def _sm_clock(self, _: dict[str, Reading]) -> dict[str, Reading]:
        call, kind = self._nvml.nvmlDeviceGetClockInfo, self._nvml.NVML_CLOCK_SM
        return self._ask(["sm_clock_mhz"], partial(_one, call, self.handle, kind))

    def _memory_clock(self, _: dict[str, Reading]) -> dict[str, Reading]:
        call, kind = self._nvml.nvmlDeviceGetClockInfo, self._nvml.NVML_CLOCK_MEM
        return self._ask(["memory_clock_mhz"], partial(_one, call, self.handle, kind))

    def _temperature(self, _: dict[str, Reading]) -> dict[str, Reading]:
        nvml = self._nvml
        sensor = nvml.NVML_TEMPERATURE_GPU
        return self._ask(
            ["temperature_c"], lambda: [nvml.nvmlDeviceGetTemperature(self.handle, sensor)]
        )

    def _memory(self, _: dict[str, Reading]) -> dict[str, Reading]:
        return self._ask(["memory_used_bytes"], lambda: [memory_info(self._nvml, self.handle).used])

    def _reasons(self, _: dict[str, Reading]) -> dict[str, Reading]:
        nvml = self._nvml
        answer: dict[str, Reading] = {}
        # The symbol was renamed; a driver may have either name.
        for name in ("CurrentClocksEventReasons", "CurrentClocksThrottleReasons"):
            call = getattr(nvml, f"nvmlDeviceGet{name}", None)
            if call is None:
                continue
            answer = self._ask(["event_reasons"], partial(_one, call, self.handle))
            if is_number(answer["event_reasons"]):
                break
        return answer or {"event_reasons": _NEVER}

    def _ecc(self, _: dict[str, Reading]) -> dict[str, Reading]:
        nvml = self._nvml
        answer: dict[str, Reading] = {}
        for name, kind in (("ecc_corrected", 0), ("ecc_uncorrected", 1)):
            call = getattr(nvml, "nvmlDeviceGetTotalEccErrors", None)
            answer |= self._ask([name], partial(_one, call, self.handle, kind, 0))
        return answer

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
            if why.reason not in _FINAL:
                why = Unavailable(reason=Reason.UNSUPPORTED, detail=why.detail)
        except AttributeError as error:
            why = Unavailable(reason=Reason.UNSUPPORTED, detail=f"binding: {error}")
        return None, dict.fromkeys(METRICS.values(), why)

    def _activities(self, stamp: int) -> dict[str, Reading]:
        if self._chain is None:
            return {}
        try:
            return self._chain.read(stamp)
        except self._nvml.NVMLError as error:
            self._chain.forget()
            return dict.fromkeys(METRICS.values(), told_why(error))

    def _process_count(self, events: list[Event]) -> dict[str, Reading]:
        """Count contexts; who they are is an event whenever it changes."""
        if "process_count" in self.device.missing or self._processes_final is not None:
            return {} if self._processes_final is None else {"process_count": self._processes_final}
        found: Any = None
        try:
            found = self._nvml.nvmlDeviceGetComputeRunningProcesses(self.handle)
        except self._nvml.NVMLError as error:
            self._processes = None
            why = told_why(error)
            if why.reason in _FINAL:
                self._processes_final = why
            return {"process_count": why}
        except Exception as error:  # noqa: BLE001 - the binding's version mismatch is no NVMLError
            detail = f"the driver is older than the binding: {type(error).__name__}"
            self._processes_final = Unavailable(reason=Reason.UNSUPPORTED, detail=detail)
            return {"process_count": self._processes_final}
        pids = tuple(sorted({int(process.pid) for process in found}))
        if pids != self._processes:
            told = " ".join(map(str, pids[:256]))
            event = Event(
                time_ns=time.monotonic_ns(),
                kind="processes",
                device=self.device.key,
                detail={"pids": told},
            )
            events.append(event)
        self._processes = pids
        return {"process_count": len(pids)}


_NEVER = Unavailable(reason=Reason.ABSENT, detail="never asked")


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


def _units_of(nvml: ModuleType, index: int, handle: Any) -> list[_Unit]:
    """Return the device and its partitions."""
    whole = describe(nvml, index, handle)
    units = [_Unit(nvml, handle, device=whole, partitioned=bool(whole.mig_mode))]
    for part in partitions(nvml, handle):
        try:
            mig = text(nvml.nvmlDeviceGetUUID(part))
        except nvml.NVMLError:
            continue
        key = DeviceKey(uuid=whole.key.uuid, mig=mig)
        memory = maybe(nvml, partial(_total_memory, nvml, part))
        device = Device(
            key=key, name=whole.name, vendor="nvidia", index=index, node=whole.node,
            pci_bus_id=whole.pci_bus_id, memory_bytes=memory, mig_mode=True,
            compute_capability=whole.compute_capability, driver_version=whole.driver_version,
            max_sm_clock_mhz=whole.max_sm_clock_mhz,
        )  # fmt: skip
        units.append(_Unit(nvml, part, device=device, parent=handle))
    return units


def _one(call: Any, *arguments: Any) -> list[int]:
    return [call(*arguments)]


_ALL = (
    *_FIELDS, *METRICS.values(), "gpu_util_permille", "memory_util_permille", "sm_clock_mhz",
    "memory_clock_mhz", "temperature_c", "memory_used_bytes", "event_reasons", "ecc_corrected",
    "ecc_uncorrected", "process_count", "power_limit_mw",
)  # fmt: skip
"""Every signal that NVML has on some device."""


def _offered(device: Device) -> list[str]:
    """Return the signals that the probe found, or all of NVML's for one that never answered."""
    return [name for name in _ALL if name not in device.missing]


def _dark_sample(device: Device) -> Sample:
    why = Unavailable(reason=Reason.LOST, detail="the driver gives no handle for this device")
    return Sample(
        device=device.key,
        monotonic_ns=time.monotonic_ns(),
        wall_ns=time.time_ns(),
        period_ns=0,
        readings=dict.fromkeys(_offered(device), why),
    )


def _total_memory(nvml: ModuleType, handle: Any) -> int:
    return int(memory_info(nvml, handle).total)
