"""The readings of a healthy device, by calls whose arguments are laid out once.

The binding builds its arguments anew for every call, and reads structures attribute by attribute:
ten to thirty times the cost of the C function itself, on every device in every sweep. Here the same
function pointers, which the binding resolves, are called with buffers that stay. Nothing is decided
here: at the first sign that something is not as the probe found it (a return code, another value
type), ``read`` returns None and the readers of ``nvml_readers`` ask again, one by one.
"""

import ctypes
import struct
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Protocol

from profilers.sources.nvml_readers import FIELDS, VALUE_FORMATS, Readers

_WHOLE_TYPES = range(1, len(VALUE_FORMATS))
"""Value types that are whole numbers."""


class Call(Protocol):
    """One C function with its arguments."""

    @property
    def names(self) -> tuple[str, ...]:
        """The signals that it answers."""
        ...

    def read(self) -> Sequence[int] | None:
        """Call it; None when anything is out of the ordinary."""
        ...


class _Number:
    """A function that writes one number behind its last argument."""

    def __init__(self, function: Any, name: str, cell: Any, *arguments: Any) -> None:
        self.names: tuple[str, ...] = (name,)
        self._function = function
        self._cell = cell
        self._arguments = (*arguments, ctypes.byref(cell))

    def read(self) -> Sequence[int] | None:
        return None if self._function(*self._arguments) else (self._cell.value,)


class _Utilization:
    """Two whole percents in one structure."""

    names = ("gpu_util_permille", "memory_util_permille")

    def __init__(self, function: Any, handle: Any) -> None:
        self._function = function
        self._cells = (ctypes.c_uint * 2)()
        self._arguments = (handle, ctypes.byref(self._cells))

    def read(self) -> Sequence[int] | None:
        if self._function(*self._arguments):
            return None
        gpu, memory = self._cells
        return gpu * 10, memory * 10


class _Memory:
    """The second version of the structure, which does not count the driver's reserve as used."""

    names = ("memory_used_bytes",)

    def __init__(self, nvml: ModuleType, handle: Any) -> None:
        self._function = nvml._nvmlGetFunctionPointer("nvmlDeviceGetMemoryInfo_v2")
        self._answer = nvml.c_nvmlMemory_v2_t()
        self._answer.version = nvml.nvmlMemory_v2
        self._arguments = (handle, ctypes.byref(self._answer))

    def read(self) -> Sequence[int] | None:
        return None if self._function(*self._arguments) else (self._answer.used,)


class _Fields:
    """Several fields with one call."""

    def __init__(self, nvml: ModuleType, handle: Any, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._function = nvml._nvmlGetFunctionPointer("nvmlDeviceGetFieldValues")
        array = (nvml.c_nvmlFieldValue_t * len(names))()
        for place, name in enumerate(names):
            array[place].fieldId, array[place].scopeId, _ = FIELDS[name]
        self._arguments = (handle, ctypes.c_int32(len(names)), ctypes.byref(array))
        self._answer = memoryview(array).cast("B")
        self._heads = struct.Struct("=" + "24xii8x" * len(names))  # value type, return code
        self._expected: tuple[int, ...] = ()
        self._values = struct.Struct("")
        self._factors = [FIELDS[name][2] for name in names]
        self._scaled = any(factor != 1 for factor in self._factors)

    def read(self) -> Sequence[int] | None:
        if self._function(*self._arguments):
            return None
        heads = self._heads.unpack(self._answer)
        if heads != self._expected and not self._learn(heads):
            return None
        values = self._values.unpack(self._answer)
        if self._scaled:
            return [value * by for value, by in zip(values, self._factors, strict=True)]
        return values

    def _learn(self, heads: tuple[int, ...]) -> bool:
        """Lay out the values for these types; say whether all of them are there and whole."""
        types, codes = heads[::2], heads[1::2]
        if any(codes) or not all(kind in _WHOLE_TYPES for kind in types):
            return False
        self._values = struct.Struct("=" + "".join("32x" + VALUE_FORMATS[t][1:] for t in types))
        self._expected = heads
        return True


class Prepared:
    """All calls of one pass over a device."""

    def __init__(self, calls: Sequence[Call]) -> None:
        """Keep the calls in order."""
        self._reads: list[Callable[[], Sequence[int] | None]] = [call.read for call in calls]
        self._names = tuple(name for call in calls for name in call.names)

    def read(self) -> dict[str, Any] | None:
        """Return every signal's number; None when any call has anything else to say."""
        values: list[int] = []
        for read in self._reads:
            found = read()
            if found is None:
                return None
            values += found
        return dict(zip(self._names, values, strict=True))


def prepare(nvml: ModuleType, readers: Readers, *, fast: bool) -> Prepared | None:
    """Prepare what the probe kept for fast or for slow sweeps.

    None where the binding or the driver lacks something: the readers then do all of the work.
    """
    kept = readers.fast if fast else readers.slow
    try:
        return Prepared([call for reader in kept for call in _calls(nvml, readers, _word(reader))])
    except (AttributeError, LookupError, TypeError, ValueError, nvml.NVMLError):
        return None


def _word(reader: Any) -> str:
    return str(reader.__name__).lstrip("_")


def _calls(nvml: ModuleType, readers: Readers, word: str) -> list[Call]:
    """Return the calls that stand for one reader. Raises ``KeyError`` for one that has none."""
    handle, uint, ulong = readers.handle, ctypes.c_uint, ctypes.c_ulonglong
    pointer = nvml._nvmlGetFunctionPointer
    if word in {"fast_fields", "slow_fields"}:
        names = readers.fast_names if word == "fast_fields" else readers.slow_names
        return [_Fields(nvml, handle, names)] if names else []
    if word == "utilization":
        return [_Utilization(pointer("nvmlDeviceGetUtilizationRates"), handle)]
    if word == "memory":
        return [_Memory(nvml, handle)]
    if word == "ecc":
        errors = pointer("nvmlDeviceGetTotalEccErrors")
        kinds = (("ecc_corrected", 0), ("ecc_uncorrected", 1))
        return [_Number(errors, name, ulong(), handle, uint(k), uint(0)) for name, k in kinds]
    if word == "reasons":
        return [_Number(_event_reasons(nvml), "event_reasons", ulong(), handle)]
    function, name, cell, arguments = {
        "power": ("PowerUsage", "power_mw", uint(), ()),
        "energy": ("TotalEnergyConsumption", "energy_mj", ulong(), ()),
        "power_limit": ("EnforcedPowerLimit", "power_limit_mw", uint(), ()),
        "sm_clock": ("ClockInfo", "sm_clock_mhz", uint(), (uint(nvml.NVML_CLOCK_SM),)),
        "memory_clock": ("ClockInfo", "memory_clock_mhz", uint(), (uint(nvml.NVML_CLOCK_MEM),)),
        "temperature": (
            "Temperature", "temperature_c", uint(), (uint(nvml.NVML_TEMPERATURE_GPU),)
        ),
    }[word]  # fmt: skip
    return [_Number(pointer(f"nvmlDeviceGet{function}"), name, cell, handle, *arguments)]


def _event_reasons(nvml: ModuleType) -> Any:
    """Return the function under its newer or its older name."""
    try:
        return nvml._nvmlGetFunctionPointer("nvmlDeviceGetCurrentClocksEventReasons")
    except nvml.NVMLError:
        return nvml._nvmlGetFunctionPointer("nvmlDeviceGetCurrentClocksThrottleReasons")
