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

from profilers.sources.nvml_readers import FIELDS, VALUE_FORMATS, Reader, Readers

_WHOLE_TYPES = range(1, len(VALUE_FORMATS))
"""Value types that are whole numbers."""


Make = Callable[[Any], Any]
"""Gives a buffer of a C type: a new one, or a place in a larger one (see ``nvml_frames``)."""


class PreparedCall(Protocol):
    """What a C function answers, and where its buffer holds that."""

    names: tuple[str, ...]
    """The signals that it answers."""
    percent: bool
    """True when it answers in percent, for signals in permille."""
    codes: str
    """Where its buffer holds return codes and value types, as a format of ``struct``."""
    expected: tuple[int, ...]
    """What stands there when all is well."""
    values: str
    """Where its buffer holds the numbers."""


class Call(PreparedCall, Protocol):
    """One C function with its arguments, and what it leaves in its buffer."""

    function: Any
    arguments: tuple[Any, ...]

    def answer(self) -> Sequence[int] | None:
        """Read the buffer after a call that succeeded; None when it holds anything unusual."""
        ...


class _Number:
    """A function that writes one number behind its last argument."""

    def __init__(self, function: Any, name: str, cell: Any, *arguments: Any) -> None:
        self.names: tuple[str, ...] = (name,)
        self.percent = False
        size = ctypes.sizeof(cell)
        self.codes = f"{size}x"
        self.expected: tuple[int, ...] = ()
        self.values = "Q" if size == 8 else "I"
        self.function = function
        self.arguments = (*arguments, ctypes.byref(cell))
        self._cell = cell

    def answer(self) -> Sequence[int] | None:
        return (self._cell.value,)


class _Utilization:
    """Two whole percents in one structure."""

    _LAYOUT = struct.Struct("=II")

    def __init__(self, function: Any, handle: Any, make: Make) -> None:
        self.names: tuple[str, ...] = ("gpu_util_permille", "memory_util_permille")
        self.percent = True
        self.codes, self.values = "8x", "II"
        self.expected: tuple[int, ...] = ()
        cells = make(ctypes.c_uint * 2)
        self.function = function
        self.arguments = (handle, ctypes.byref(cells))
        self._view = memoryview(cells).cast("B")

    def answer(self) -> Sequence[int] | None:
        gpu, memory = self._LAYOUT.unpack(self._view)
        return gpu * 10, memory * 10


class _Memory:
    """The second version of the structure, which does not count the driver's reserve as used."""

    def __init__(self, nvml: ModuleType, handle: Any, make: Make) -> None:
        self.names: tuple[str, ...] = ("memory_used_bytes",)
        self.percent = False
        # Of version, total, reserved, free, used the last one.
        self.codes, self.values = "40x", "32xQ"
        self.expected: tuple[int, ...] = ()
        self._cells = make(nvml.c_nvmlMemory_v2_t)
        self._cells.version = nvml.nvmlMemory_v2
        self.function = nvml._nvmlGetFunctionPointer("nvmlDeviceGetMemoryInfo_v2")
        self.arguments = (handle, ctypes.byref(self._cells))

    def answer(self) -> Sequence[int] | None:
        return (self._cells.used,)


class _Fields:
    """Several fields with one call."""

    def __init__(self, nvml: ModuleType, handle: Any, names: Sequence[str], make: Make) -> None:
        self.names: tuple[str, ...] = tuple(names)
        self.percent = False
        self.function = nvml._nvmlGetFunctionPointer("nvmlDeviceGetFieldValues")
        array = make(nvml.c_nvmlFieldValue_t * len(names))
        for place, name in enumerate(names):
            array[place].fieldId, array[place].scopeId, _ = FIELDS[name]
        self.arguments = (handle, ctypes.c_int32(len(names)), ctypes.byref(array))
        self._view = memoryview(array).cast("B")
        self.codes = "24xii8x" * len(names)  # value type, return code
        self._heads = struct.Struct("=" + self.codes)
        self.expected: tuple[int, ...] = ()
        self.values = ""
        self._values = struct.Struct("")
        self._factors = [FIELDS[name][2] for name in names]
        self._scaled = any(factor != 1 for factor in self._factors)

    def answer(self) -> Sequence[int] | None:
        heads = self._heads.unpack(self._view)
        if heads != self.expected and not self._learn(heads):
            return None
        values = self._values.unpack(self._view)
        if self._scaled:
            return [value * by for value, by in zip(values, self._factors, strict=True)]
        return values

    def _learn(self, heads: tuple[int, ...]) -> bool:
        """Lay out the values for these types; say whether all of them are there and whole."""
        types, codes = heads[::2], heads[1::2]
        if any(codes) or not all(kind in _WHOLE_TYPES for kind in types):
            return False
        self.values = "".join("32x" + VALUE_FORMATS[t][1:] for t in types)
        self._values = struct.Struct("=" + self.values)
        self.expected = heads
        return True


class Prepared:
    """All calls of one pass over a device."""

    def __init__(self, calls: Sequence[Call]) -> None:
        """Keep the calls in order."""
        self._calls = [(call.function, call.arguments, call.answer) for call in calls]
        self._names = tuple(name for call in calls for name in call.names)

    def read(self) -> dict[str, Any] | None:
        """Return every signal's number; None when any call has anything else to say."""
        values: list[int] = []
        for function, arguments, answer in self._calls:
            if function(*arguments) or (found := answer()) is None:
                return None
            values += found
        return dict(zip(self._names, values, strict=True))


def prepare(nvml: ModuleType, readers: Readers, *, fast: bool) -> Prepared | None:
    """Prepare what the probe kept for fast or for slow sweeps.

    None where the binding or the driver lacks something: the readers then do all of the work.
    """
    try:
        return Prepared(calls_of(nvml, readers, readers.fast if fast else readers.slow))
    except (AttributeError, LookupError, TypeError, ValueError, nvml.NVMLError):
        return None


def _new(kind: Any) -> Any:
    return kind()


def calls_of(
    nvml: ModuleType, readers: Readers, kept: Sequence[Reader], make: Make = _new
) -> list[Call]:
    """Return the calls that stand for some readers.

    Raises what a binding or a driver that lacks something raises (see ``prepare``).
    """
    return [call for reader in kept for call in _calls(nvml, readers, _word(reader), make)]


def _word(reader: Any) -> str:
    return str(reader.__name__).lstrip("_")


def _calls(nvml: ModuleType, readers: Readers, word: str, make: Make) -> list[Call]:
    """Return the calls that stand for one reader. Raises ``KeyError`` for one that has none."""
    handle, uint, ulong = readers.handle, ctypes.c_uint, ctypes.c_ulonglong
    pointer = nvml._nvmlGetFunctionPointer
    if word in {"fast_fields", "slow_fields"}:
        names = readers.fast_names if word == "fast_fields" else readers.slow_names
        return [_Fields(nvml, handle, names, make)] if names else []
    if word == "utilization":
        return [_Utilization(pointer("nvmlDeviceGetUtilizationRates"), handle, make)]
    if word == "memory":
        return [_Memory(nvml, handle, make)]
    if word == "ecc":
        errors = pointer("nvmlDeviceGetTotalEccErrors")
        kinds = (("ecc_corrected", 0), ("ecc_uncorrected", 1))
        return [_Number(errors, n, make(ulong), handle, uint(k), uint(0)) for n, k in kinds]
    if word == "reasons":
        return [_Number(_event_reasons(nvml), "event_reasons", make(ulong), handle)]
    function, name, cell, arguments = {
        "power": ("PowerUsage", "power_mw", uint, ()),
        "energy": ("TotalEnergyConsumption", "energy_mj", ulong, ()),
        "power_limit": ("EnforcedPowerLimit", "power_limit_mw", uint, ()),
        "sm_clock": ("ClockInfo", "sm_clock_mhz", uint, (uint(nvml.NVML_CLOCK_SM),)),
        "memory_clock": ("ClockInfo", "memory_clock_mhz", uint, (uint(nvml.NVML_CLOCK_MEM),)),
        "temperature": (
            "Temperature", "temperature_c", uint, (uint(nvml.NVML_TEMPERATURE_GPU),)
        ),
    }[word]  # fmt: skip
    return [_Number(pointer(f"nvmlDeviceGet{function}"), name, make(cell), handle, *arguments)]


def _event_reasons(nvml: ModuleType) -> Any:
    """Return the function under its newer or its older name."""
    try:
        return nvml._nvmlGetFunctionPointer("nvmlDeviceGetCurrentClocksEventReasons")
    except nvml.NVMLError:
        return nvml._nvmlGetFunctionPointer("nvmlDeviceGetCurrentClocksThrottleReasons")
