"""AMD devices through AMD's own binding (``amdsmi``), where it is installed.

Its import can raise without the shared library, and whole functions are missing on some parts:
everything is asked once and then known to be there or not. Not verified on hardware (see the docs).

Names and units after ``amdsmi_interface.py``, ``amdsmi.h`` and ``amd_smi.cc`` (October 2024), read in
November 2026: activities in percent; ``current_socket_power`` (MI300 and later) and
``average_socket_power`` (before, and Radeon) in watts; ``energy_accumulator`` (``power`` in older ones)
in steps of ``counter_resolution`` microjoules; ``clk`` (``cur_clk``) in MHz; temperatures in whole
degrees; VRAM in bytes. What a part does not have is the greatest number of its type in one version and
"N/A" in another.
"""

import importlib
import math
import platform
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from profilers.checks import Guard
from profilers.reading import SIGNALS, Reading, Reason, Unavailable
from profilers.source import SourceError, Sweep
from profilers.values import Device, DeviceKey, Event, Sample

_NOT_THERE = frozenset({2**16 - 1, 2**32 - 1, 2**64 - 1})
"""What the driver's table holds where a part has no such reading."""
_NO_NAME = (None, "", "N/A")
_SIGNALS = (
    "gpu_util_permille", "memory_util_permille", "power_mw", "energy_mj", "sm_clock_mhz",
    "memory_clock_mhz", "temperature_c", "memory_used_bytes",
)  # fmt: skip


class AmdSource:
    """All AMD devices of this host."""

    def __init__(self) -> None:
        """Nothing is loaded yet."""
        self._smi: ModuleType | None = None
        self._units: list[_Unit] = []

    @property
    def name(self) -> str:
        """The word for this source."""
        return "amd"

    def open(self) -> None:
        """Load the library and probe every device. Raises ``SourceError``."""
        try:
            smi = importlib.import_module("amdsmi")
        except Exception as error:  # noqa: BLE001 - its import fails in its own ways
            raise SourceError(
                Reason.ABSENT,
                f"AMD's library cannot be loaded ({error}); install ROCm and its amdsmi package",
            ) from None
        try:
            smi.amdsmi_init()
            handles = smi.amdsmi_get_processor_handles()
        except Exception as error:  # noqa: BLE001 - its errors share no base across versions
            raise SourceError(Reason.ABSENT, f"AMD SMI does not start: {error}") from None
        self._smi = smi
        self._units = [_Unit(smi, index, handle) for index, handle in enumerate(handles)]

    def devices(self) -> Sequence[Device]:
        """Return the devices that were found."""
        return [unit.device for unit in self._units]

    def sweep(self) -> Sweep:
        """Read every device once."""
        events: list[Event] = []
        samples = [unit.sample(events) for unit in self._units]
        return Sweep(samples=tuple(samples), events=tuple(events))

    def close(self) -> None:
        """Give the library back."""
        smi, self._smi, self._units = self._smi, None, []
        if smi is not None:
            _quietly(smi.amdsmi_shut_down)


class _Unit:
    """One AMD device."""

    def __init__(self, smi: ModuleType, index: int, handle: Any) -> None:
        self._smi = smi
        self._handle = handle
        first = self._read()
        final = {Reason.UNSUPPORTED, Reason.FORBIDDEN}
        missing: dict[str, Unavailable] = {
            name: why
            for name, why in first.items()
            if isinstance(why, Unavailable) and why.reason in final
        }
        never = Unavailable(reason=Reason.UNSUPPORTED, detail="amdsmi has no such reading")
        missing |= {name: never for name in SIGNALS if name not in _SIGNALS}
        uuid = _quietly(smi.amdsmi_get_gpu_device_uuid, handle)
        asic = _quietly(smi.amdsmi_get_gpu_asic_info, handle) or {}
        node = platform.node()
        self.device = Device(
            key=DeviceKey(uuid=str(uuid) if uuid else f"{node}/amd{index}"),
            name=str(asic["market_name"]) if asic.get("market_name") not in _NO_NAME else None,
            vendor="amd",
            index=index,
            node=node,
            pci_bus_id=_quietly(smi.amdsmi_get_gpu_device_bdf, handle),
            missing=missing,
        )
        self._guard = Guard(self.device)
        self._last_ns: int | None = None

    def sample(self, events: list[Event]) -> Sample:
        stamp, wall = time.monotonic_ns(), time.time_ns()
        readings = {n: r for n, r in self._read().items() if n not in self.device.missing}
        events.extend(self._guard.check(readings, stamp))
        blind = not any(isinstance(reading, int | float) for reading in readings.values())
        period = 0 if blind or self._last_ns is None else stamp - self._last_ns
        self._last_ns = None if blind else stamp
        return Sample(
            device=self.device.key,
            monotonic_ns=stamp,
            wall_ns=wall,
            period_ns=period,
            readings=readings,
        )

    def _read(self) -> dict[str, Reading]:
        smi, handle = self._smi, self._handle

        def activity() -> list[Any]:
            found = smi.amdsmi_get_gpu_activity(handle)
            return [found["gfx_activity"], found["umc_activity"]]

        def power() -> list[Any]:
            found = smi.amdsmi_get_power_info(handle)
            socket = found.get("current_socket_power", "N/A")
            return [socket if _is_there(socket) else found["average_socket_power"]]

        def energy() -> list[Any]:
            found = smi.amdsmi_get_energy_count(handle)
            count = found.get("energy_accumulator", found.get("power"))
            if not _is_there(count):
                return [count]
            return [count * found["counter_resolution"] / 1000]  # microjoules to millijoules

        def clock(kind: str) -> list[Any]:
            found = smi.amdsmi_get_clock_info(handle, getattr(smi.AmdSmiClkType, kind))
            return [found.get("clk", found.get("cur_clk"))]

        def temperature() -> list[Any]:
            kinds, metrics = smi.AmdSmiTemperatureType, smi.AmdSmiTemperatureMetric
            return [smi.amdsmi_get_temp_metric(handle, kinds.HOTSPOT, metrics.CURRENT)]

        def memory() -> list[Any]:
            return [smi.amdsmi_get_gpu_memory_usage(handle, smi.AmdSmiMemoryType.VRAM)]

        answer = _ask(("gpu_util_permille", "memory_util_permille"), activity, 10)
        answer |= _ask(("power_mw",), power, 1000)
        answer |= _ask(("energy_mj",), energy, 1)
        answer |= _ask(("sm_clock_mhz",), lambda: clock("GFX"), 1)
        answer |= _ask(("memory_clock_mhz",), lambda: clock("MEM"), 1)
        answer |= _ask(("temperature_c",), temperature, 1)
        return answer | _ask(("memory_used_bytes",), memory, 1)


def _ask(
    names: Sequence[str], call: Callable[[], Sequence[Any]], factor: float
) -> dict[str, Reading]:
    """Call; "N/A" and every error become reasons."""
    try:
        values = call()
    except Exception as error:  # noqa: BLE001 - its errors share no base across versions
        text = str(error)
        reason = Reason.FAILED
        if "NOT_SUPPORTED" in text or isinstance(error, AttributeError | KeyError | TypeError):
            reason = Reason.UNSUPPORTED
        elif "NO_PERM" in text:
            reason = Reason.FORBIDDEN
        why = Unavailable(reason=reason, detail=f"amdsmi: {text}")
        return dict.fromkeys(names, why)
    absent = Unavailable(reason=Reason.UNSUPPORTED, detail="amdsmi answers N/A")
    return {
        name: round(value * factor) if _is_there(value) else absent
        for name, value in zip(names, values, strict=True)
    }


def _is_there(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value not in _NOT_THERE


def _quietly(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except Exception:  # noqa: BLE001 - a description that is missing is None
        return None
