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

from profilers.checks import ABSURD_POWER_MW, Guard
from profilers.reading import SIGNALS, Kind
from profilers.sources.gpm import MIN_SPACING_NS, PreparedChain
from profilers.sources.nvml_prepared import Make, PreparedCall, calls_of
from profilers.sources.nvml_readers import FIELDS
from profilers.sources.nvml_unit import SLOW_NS, Unit

_ROOM = 4096
"""Bytes for the answers of one device besides GPM; it needs about half of it."""
ENERGY = "energy_mj"
NEVER = 1 << 63
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
        self.counters = [
            (number, place, name)
            for number, (place, name, _) in enumerate(self.readings)
            if SIGNALS[name].kind is Kind.COUNTER
        ]

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


class _Seat:
    """One device in a sweep."""

    def __init__(self, place: int, unit: Unit) -> None:
        self.place = place
        self.unit = unit
        self.fast: list[tuple[Any, tuple[Any, ...]]] = []
        self.slow: list[tuple[Any, tuple[Any, ...]]] = []
        self.chain: PreparedChain | None = None
        self.processes: _Processes | None = None

    def ask_slowly(self) -> bool:
        """Call for the slow signals; say whether every function answered as it should."""
        if any(function(*arguments) for function, arguments in self.slow):
            return False
        return self.processes is None or self.processes.ask()


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
        fast, slow = self._fast.readings, self._slow.readings
        means = self._means.readings
        self.forms = [fast, fast + means, fast + slow, fast + slow + means]
        """The readings of each form of a sweep: place of the device, signal, in percent."""
        self.form = 0
        """The form of the last reading."""
        if any(name != ENERGY for _, _, name in self._fast.counters):
            raise ValueError("a fast counter whose pace nobody knows")
        self._stamps: list[int] = []
        self._energy: list[int | float] = []
        self._moved: list[int] = []
        self._means_at = self._slow_at = 0

    def enter(self) -> bool:
        """Go on from where the units are; False where one of them is at the start of a chain."""
        stamps = [seat.unit.last_ns for seat in self._seats]
        known = [self._guard(place).last(name) for _, place, name in self._fast.counters]
        if None in stamps or None in known:
            return False
        self._stamps = [stamp for stamp in stamps if stamp is not None]
        self._moved = [pair[0] for pair in known if pair is not None]
        self._energy = [pair[1] for pair in known if pair is not None]
        self._slow_at = max(seat.unit.next_slow for seat in self._seats)
        due = [seat.chain.chain.due_at for seat in self._seats if seat.chain is not None]
        self._means_at = max(due, default=NEVER)
        return True

    def leave(self) -> None:
        """Put the units where this is: they go on by themselves."""
        for seat, stamp in zip(self._seats, self._stamps, strict=True):
            seat.unit.last_ns = stamp
        told = zip(self._fast.counters, self._moved, self._energy, strict=True)
        for (_, place, name), moved, value in told:
            self._guard(place).adopt(name, moved, value)

    def _guard(self, place: int) -> Guard:
        return self._seats[place].unit.guard

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
        means, slow = stamp >= self._means_at, stamp >= self._slow_at
        offset = time.time_ns() - time.monotonic_ns()
        stamps: list[int] = []
        for seat in self._seats:
            stamps.append(time.monotonic_ns())
            for function, arguments in seat.fast:
                if function(*arguments):
                    return None
            if means and seat.chain is not None:
                for function, arguments in seat.chain.calls():
                    if function(*arguments):
                        return None
            if slow and not seat.ask_slowly():
                return None
        view = self._buffer.view
        fast = self._fast.read(view)
        if fast is None or not self._energy_moves(fast, stamps):
            return None
        numbers = [offset, *stamps, *map(operator.sub, stamps, self._stamps), *fast]
        if slow:
            found = self._slow.read(view)
            if found is None or not self._counters_move(self._slow, found, stamps):
                return None
            numbers += found
        if means:
            found = self._means.read(view)
            if found is None:
                return None
            numbers += found
        self._stamps = stamps
        self.form = means + 2 * slow
        if slow:
            self._slow_at = stamps[-1] + SLOW_NS
            for seat in self._seats:
                seat.unit.next_slow = self._slow_at
        if means:
            self._means_at = stamps[-1] + MIN_SPACING_NS
            for seat, now in zip(self._seats, stamps, strict=True):
                if seat.chain is not None:
                    seat.chain.chain.link(now)
        return numbers

    def _energy_moves(self, values: Sequence[int | float], stamps: list[int]) -> bool:
        """Say whether every energy counter moved as a board's would."""
        now = [values[number] for number, _, _ in self._fast.counters]
        most = ABSURD_POWER_MW * (stamps[0] - self._stamps[0]) / 1e9
        rises = map(operator.sub, now, self._energy)
        if all(0 < rise <= most for rise in rises):
            self._energy = now
            self._moved = [stamps[place] for _, place, _ in self._fast.counters]
            return True
        # One that did not move yet, or too fast, is looked at alone.
        self.leave()
        return self._counters_move(self._fast, values, stamps) and self.enter()

    def _counters_move(
        self, part: _Part, values: Sequence[int | float], stamps: Sequence[int]
    ) -> bool:
        return all(
            self._guard(place).follows(name, values[number], stamps[place])
            for number, place, name in part.counters
        )


def _room(size: int) -> int:
    return size + -size % 8


def _padded(form: str, size: int) -> str:
    return f"{form}{_room(size) - struct.calcsize('=' + form)}x"
