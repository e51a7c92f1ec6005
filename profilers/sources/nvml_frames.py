"""A whole sweep of healthy devices in one go: all answers in one place, looked at all at once.

The prepared calls of all devices leave their answers in one buffer. Two structures over it give all
return codes, which must be as at the probe, and all numbers, which must lie within physics; what
remains is to write them down as a frame (``profilers.frames``). Nothing is decided here: wherever
something is not ordinary, ``read`` returns None, and the units look themselves, one by one.
"""

import ctypes
import operator
import struct
import time
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from profilers.reading import SIGNALS, Kind
from profilers.sources.gpm import PreparedChain
from profilers.sources.nvml_prepared import Make, PreparedCall, calls_of
from profilers.sources.nvml_readers import FIELDS
from profilers.sources.nvml_unit import Unit

_ROOM = 4096
"""Bytes for the answers of one device besides GPM; it needs about half of it."""
_PROCESSES = 64
"""A device with more processes is read the ordinary way."""


class _Buffer:
    """One piece of memory in which all answers stand, each at a multiple of eight bytes."""

    def __init__(self, size: int) -> None:
        self._memory = (ctypes.c_char * size)()
        self.view = memoryview(self._memory).cast("B")
        self.used = 0

    def make(self, kind: Any) -> Any:
        """Give the next place to a C type. Raises ``ValueError`` where there is no room."""
        made = kind.from_buffer(self._memory, self.used)
        self.used += _room(ctypes.sizeof(kind))
        return made


class _Part:
    """Some answers that are read together: their codes, their numbers, and what those may be."""

    def __init__(self, start: int) -> None:
        self._codes = self._values = f"={start}x"
        self._expected: tuple[int, ...] = ()
        self._lows: list[float] = []
        self._highs: list[float] = []
        self._factors: list[int] = []
        self.readings: list[tuple[int, str, bool]] = []
        """Place of the device, signal, whether the number is in percent."""

    def add(self, seat: "_Seat", call: "PreparedCall | PreparedChain", size: int) -> None:
        """Add what one call leaves in its next ``size`` bytes."""
        missing = seat.unit.device.missing
        if any(name in missing for name in call.names):
            raise ValueError("a signal that is read and not wanted")
        self._codes += _padded(call.codes, size)
        self._values += _padded(call.values, size)
        self._expected += call.expected
        for name in call.names:
            low, high = seat.unit.guard.limits(name)
            # A percentage is rounded to permille afterwards; a factor is applied afterwards, too.
            factor = FIELDS[name][2] if name in FIELDS else 1
            self._lows.append(low / 10 if call.percent else low / factor)
            self._highs.append((high + 0.49) / 10 if call.percent else high / factor)
            self._factors.append(factor)
            self.readings.append((seat.place, name, call.percent))

    def close(self) -> None:
        """Everything was added: lay out how it is read."""
        self._code_form, self._value_form = struct.Struct(self._codes), struct.Struct(self._values)
        self._scaled = any(factor != 1 for factor in self._factors)
        self.whole = [(place, name) for place, name, percent in self.readings if not percent]
        self.percent = [(place, name) for place, name, percent in self.readings if percent]
        self.counters = [
            (number, place, name)
            for number, (place, name, _) in enumerate(self.readings)
            if SIGNALS[name].kind is Kind.COUNTER
        ]
        numbers = range(len(self.readings))
        self._whole_at = [number for number in numbers if not self.readings[number][2]]
        self._percent_at = [number for number in numbers if self.readings[number][2]]

    def read(self, view: memoryview) -> Sequence[int | float] | None:
        """Return the numbers; None where a code or a number is not as it should be."""
        if self._code_form.unpack_from(view) != self._expected:
            return None
        values = self._value_form.unpack_from(view)
        if not all(map(operator.le, self._lows, values)):
            return None
        if not all(map(operator.ge, self._highs, values)):
            return None
        return list(map(operator.mul, values, self._factors)) if self._scaled else values

    def parted(self, values: Sequence[int | float]) -> tuple[list[int | float], list[int | float]]:
        """Return the whole numbers and the percentages."""
        if not self._percent_at:
            return list(values), []
        if not self._whole_at:
            return [], list(values)
        return [values[n] for n in self._whole_at], [values[n] for n in self._percent_at]


class _Seat:
    """One device in a sweep."""

    def __init__(self, place: int, unit: Unit) -> None:
        self.place = place
        self.unit = unit
        self.fast: list[tuple[Any, tuple[Any, ...]]] = []
        self.slow: list[tuple[Any, tuple[Any, ...]]] = []
        self.chain: PreparedChain | None = None
        self.processes: _Processes | None = None


class _Processes:
    """The list of contexts on a device: how many, and whether they are who they were."""

    def __init__(self, nvml: ModuleType, unit: Unit, make: Make) -> None:
        self._count = make(ctypes.c_uint)
        entries = make(nvml.c_nvmlProcessInfo_v3_t * _PROCESSES)
        self.size = _room(ctypes.sizeof(self._count)) + ctypes.sizeof(entries)
        self._view = memoryview(entries).cast("B")
        self._entry = ctypes.sizeof(entries) // _PROCESSES
        self._unit = unit
        self.names: tuple[str, ...] = ("process_count",)
        self.percent = False
        self.expected: tuple[int, ...] = ()
        self.codes, self.values = "", "I"
        self.function = nvml._nvmlGetFunctionPointer("nvmlDeviceGetComputeRunningProcesses_v3")
        self.arguments = (unit.handle, ctypes.byref(self._count), entries)

    def ask(self) -> bool:
        """Call; say whether the processes are the known ones."""
        self._count.value = _PROCESSES
        if self.function(*self.arguments):
            return False
        count = self._count.value
        pids = struct.unpack_from("=" + f"I{self._entry - 4}x" * count, self._view)
        return count == len(set(pids)) and tuple(sorted(pids)) == self._unit.processes


class FramePass:
    """All readings of all devices: the fast ones, the means of GPM, the slow ones."""

    def __init__(self, nvml: ModuleType, units: Sequence[Unit]) -> None:
        """Lay everything out. Raises ``AttributeError``, ``LookupError``, ``TypeError``,
        ``ValueError`` or the binding's ``NVMLError`` where something is missing for it."""
        chains = sum(unit.chain is not None for unit in units)
        request = _room(ctypes.sizeof(nvml.c_nvmlGpmMetricsGet_t)) if chains else 0
        self._buffer = _Buffer(_ROOM * len(units) + request * chains)
        self._seats = [_Seat(place, unit) for place, unit in enumerate(units)]
        self._fast = self._part(lambda seat, part: self._lay_out(nvml, seat, part, fast=True))
        self._slow = self._part(lambda seat, part: self._lay_out(nvml, seat, part, fast=False))
        self._means = self._part(lambda seat, part: self._lay_out_chain(nvml, seat, part))
        self.devices = [unit.device.key for unit in units]
        """The devices in their order."""
        fast, slow, means = self._fast, self._slow, self._means
        self.forms = [
            (fast.whole, fast.percent),
            (fast.whole, fast.percent + means.percent),
            (fast.whole + slow.whole, fast.percent),
            (fast.whole + slow.whole, fast.percent + means.percent),
        ]
        """The readings of each form of a sweep: whole-numbered ones, and those in percent."""
        self.form = 0
        """The form of the last reading."""

    def _part(self, lay_out: Any) -> _Part:
        part = _Part(self._buffer.used)
        for seat in self._seats:
            lay_out(seat, part)
        part.close()
        return part

    def _lay_out(self, nvml: ModuleType, seat: _Seat, part: _Part, *, fast: bool) -> None:
        readers, make = seat.unit.readers, self._buffer.make
        for call in calls_of(nvml, readers, readers.fast if fast else readers.slow, make):
            if call.function(*call.arguments) or call.answer() is None:
                raise ValueError("a call that does not answer as at the probe")
            part.add(seat, call, ctypes.sizeof(call.arguments[-1]._obj))
            (seat.fast if fast else seat.slow).append((call.function, call.arguments))
        if not fast and seat.unit.processes is not None:
            seat.processes = _Processes(nvml, seat.unit, make)
            part.add(seat, seat.processes, seat.processes.size)

    def _lay_out_chain(self, nvml: ModuleType, seat: _Seat, part: _Part) -> None:
        chain = seat.unit.chain
        if chain is not None:
            request = self._buffer.make(nvml.c_nvmlGpmMetricsGet_t)
            seat.chain = PreparedChain(nvml, chain, request)
            part.add(seat, seat.chain, ctypes.sizeof(request))

    def read(self, stamp: int) -> list[int | float] | None:
        """Return a frame's numbers (see ``profilers.frames``); None where something is unusual."""
        due = {seat.chain.chain.is_due(stamp) for seat in self._seats if seat.chain is not None}
        late = {stamp >= seat.unit.next_slow for seat in self._seats}
        if len(due) > 1 or len(late) > 1:
            return None
        means, slow = True in due, True in late
        stamps: list[int] = []
        offset = time.time_ns() - time.monotonic_ns()
        for seat in self._seats:
            stamps.append(time.monotonic_ns())
            for function, arguments in seat.fast:
                if function(*arguments):
                    return None
            if means and seat.chain is not None and not _done(seat.chain.calls()):
                return None
            if slow and not _done(seat.slow):
                return None
            if slow and seat.processes is not None and not seat.processes.ask():
                return None
        found = self._checked(stamps, means=means, slow=slow)
        if found is None:
            return None
        self.form = means + 2 * slow
        return [offset, *self._told(stamps, means=means, slow=slow), *found]

    def _checked(
        self, stamps: Sequence[int], *, means: bool, slow: bool
    ) -> list[int | float] | None:
        """Return what the calls left, whole numbers first; None where any of it is unusual."""
        whole: list[int | float] = []
        percent: list[int | float] = []
        wanted = ((self._fast, True), (self._slow, slow), (self._means, means))
        for part, asked in wanted:
            if not asked:
                continue
            values = part.read(self._buffer.view)
            if values is None:
                return None
            for number, place, name in part.counters:
                guard = self._seats[place].unit.guard
                if not guard.follows(name, values[number], stamps[place]):
                    return None
            some, more = part.parted(values)
            whole += some
            percent += more
        return whole + percent

    def _told(self, stamps: Sequence[int], *, means: bool, slow: bool) -> list[int]:
        """Tell the units that they were read; return each one's stamp and period."""
        clocks: list[int] = []
        for seat, now in zip(self._seats, stamps, strict=True):
            clocks += (now, seat.unit.was_read(now, slow=slow))
            if means and seat.chain is not None:
                seat.chain.chain.link(now)
        return clocks


def _done(calls: Sequence[tuple[Any, tuple[Any, ...]]]) -> bool:
    """Call; say whether every function answered that it succeeded."""
    return not any(function(*arguments) for function, arguments in calls)


def _room(size: int) -> int:
    return size + -size % 8


def _padded(form: str, size: int) -> str:
    return f"{form}{_room(size) - struct.calcsize('=' + form)}x"
