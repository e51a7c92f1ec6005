"""What NVML says of one device, asked function by function; every answer is typed.

Each reader returns the signals that it is responsible for: a number, or the reason for its absence. A
missing symbol, a refusal and an unknown return code are readings, too. A healthy device is read by
``profilers.sources.nvml_prepared`` instead; these take over whenever anything is not as at the probe.
"""

import struct
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any

from profilers.reading import Reading, Reason, Unavailable, is_number
from profilers.sources.nvml_describe import memory_info, of_code
from profilers.sources.nvml_describe import why as told_why

ALL_LINKS = 0xFFFFFFFF
FIELDS: dict[str, tuple[int, int, int]] = {
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
FAST_FIELDS = ("energy_mj", "power_mw")
VALUE_FORMATS = ("<d", "<I4x", "<Q", "<Q", "<q", "<i4x", "<H6x")
"""How the eight bytes of a field's value are read, by NVML's value type."""
FIELD = struct.Struct("=IIqqii8s")
"""One answer: id, scope, timestamp, latency, value type, return code, value."""
FINAL = {Reason.UNSUPPORTED, Reason.FORBIDDEN}
"""Reasons that last until the source is opened again."""
NEVER = Unavailable(reason=Reason.ABSENT, detail="never asked")

Reader = Callable[[dict[str, Reading]], dict[str, Reading]]
"""Takes what is known of this sweep already; returns what it adds."""


class Readers:
    """The readers of one device or partition."""

    def __init__(self, nvml: ModuleType, handle: Any, *, is_partition: bool) -> None:
        """Nothing is asked yet. The board's sensors belong to a partition's parent."""
        self._nvml = nvml
        self.handle = handle
        self._is_partition = is_partition
        self.fast_names = [name for name in FIELDS if name in FAST_FIELDS]
        self.slow_names = [name for name in FIELDS if name not in FAST_FIELDS]
        self.fast: list[Reader] = [
            self._fast_fields, self._power, self._energy, self._utilization, self._sm_clock,
        ]  # fmt: skip
        """Readers for every sweep; after ``probe`` those that have something to say."""
        self.slow: list[Reader] = [
            self._slow_fields, self._temperature, self._memory, self._memory_clock,
            self._power_limit, self._reasons, self._ecc,
        ]  # fmt: skip
        """Readers for once a second."""

    def probe(self) -> dict[str, Reading]:
        """Try everything once; what this device does not offer is not asked again."""
        found: dict[str, Reading] = {}
        self.fast = self._answering(self.fast, found)
        self.slow = self._answering(self.slow, found)
        for name in FIELDS:
            why = found.get(name)
            if isinstance(why, Unavailable) and why.reason in FINAL:
                for names in (self.fast_names, self.slow_names):
                    if name in names:
                        names.remove(name)
        return found

    def _answering(self, readers: list[Reader], found: dict[str, Reading]) -> list[Reader]:
        kept: list[Reader] = []
        for reader in readers:
            answer = reader(found)
            found.update({n: r for n, r in answer.items() if not is_number(found.get(n, NEVER))})
            if not all(isinstance(r, Unavailable) and r.reason in FINAL for r in answer.values()):
                kept.append(reader)
        return kept

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
        return self._fields(self.fast_names)

    def _slow_fields(self, _: dict[str, Reading]) -> dict[str, Reading]:
        return self._fields(self.slow_names)

    def _fields(self, names: list[str]) -> dict[str, Reading]:
        """Ask for several fields with one call; each has its own return code."""
        if self._is_partition:
            why = Unavailable(reason=Reason.MIG, detail="a partition has no sensor of its own")
            return dict.fromkeys(names, why)
        if not names:
            return {}
        wanted = [FIELDS[name][:2] for name in names]
        try:
            values = self._nvml.nvmlDeviceGetFieldValues(self.handle, wanted)
        except self._nvml.NVMLError as error:
            return dict.fromkeys(names, told_why(error))
        except (AttributeError, TypeError) as error:
            why = Unavailable(reason=Reason.UNSUPPORTED, detail=f"binding: {error}")
            return dict.fromkeys(names, why)
        answer: dict[str, Reading] = {}
        for name, told in zip(names, FIELD.iter_unpack(memoryview(values)), strict=True):
            number, _, _, _, kind, code, raw = told
            answer[name] = self._field(number, kind, code, raw, FIELDS[name][2])
        return answer

    def _field(self, number: int, kind: int, code: int, raw: bytes, factor: int) -> Reading:
        if code:
            return of_code(self._nvml, code, f"field {number}")
        if not 0 <= kind < len(VALUE_FORMATS):
            detail = f"field {number} has the unknown type {kind}"
            return Unavailable(reason=Reason.FAILED, detail=detail)
        value = struct.unpack(VALUE_FORMATS[kind], raw)[0]
        return int(value * factor)

    def _power(self, known: dict[str, Reading]) -> dict[str, Reading]:
        if self._is_partition or is_number(known.get("power_mw", NEVER)):
            return {}
        nvml = self._nvml
        return self._ask(["power_mw"], lambda: [nvml.nvmlDeviceGetPowerUsage(self.handle)])

    def _energy(self, known: dict[str, Reading]) -> dict[str, Reading]:
        if self._is_partition or is_number(known.get("energy_mj", NEVER)):
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
        if self._is_partition:
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
        return answer or {"event_reasons": NEVER}

    def _ecc(self, _: dict[str, Reading]) -> dict[str, Reading]:
        nvml = self._nvml
        answer: dict[str, Reading] = {}
        for name, kind in (("ecc_corrected", 0), ("ecc_uncorrected", 1)):
            call = getattr(nvml, "nvmlDeviceGetTotalEccErrors", None)
            answer |= self._ask([name], partial(_one, call, self.handle, kind, 0))
        return answer


def _one(call: Any, *arguments: Any) -> list[int]:
    return [call(*arguments)]
