"""A calm sweep in few bytes and with little work: numbers whose layout is told once.

A probe that reads ten times a second would spend most of its time on writing JSON. While every
reading of every device is a number within physics, it sends a *frame* instead: one line, ``#``, the
layout's number, a space, and the numbers in base64. The layout itself is a message of its own before
the first frame (``Layout.as_json``). Whatever is not that ordinary is told in words, as before.

A frame holds, as little-endian 64-bit values: wall clock minus monotonic clock (read once a sweep);
the stamps of the devices; their periods; the readings.
"""

import binascii
import operator
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from profilers.wire import sweep_message

MARK = b"#"
"""How the line of a frame begins; all other lines are JSON and begin with a brace."""
MAX_VALUES = 1 << 16
"""More than any node has; whoever claims more means harm."""

_FAULTS = (ValueError, LookupError, TypeError, OverflowError, struct.error)


@dataclass(frozen=True, slots=True)
class Layout:
    """What the numbers of a frame are."""

    devices: tuple[int, ...]
    """The probe's numbers of the devices, in the order of the stamps."""
    percent: tuple[bool, ...]
    """For each reading: whether it is in percent, for a signal in permille; else it is a whole number
    in the signal's unit."""
    cells: tuple[tuple[int, ...], ...]
    """For each device and each of the probe's columns: which reading it is; -1 for none."""
    _form: struct.Struct = field(init=False, repr=False, compare=False)
    _pick: tuple[Callable[[Sequence[int | None]], Any], ...] = field(
        init=False, repr=False, compare=False
    )
    _rounded: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare for the frames. Raises ``ValueError`` for a layout that cannot be."""
        readings = len(self.percent)
        if len(self.cells) != len(self.devices):
            raise ValueError("a layout that contradicts itself")
        if readings + 2 * len(self.devices) + sum(map(len, self.cells)) > MAX_VALUES:
            raise ValueError(f"a layout of {readings} readings")
        if any(not -1 <= place < readings for row in self.cells for place in row):
            raise ValueError("a layout with a cell outside of its readings")
        kinds = "".join("d" if percent else "q" for percent in self.percent)
        form = struct.Struct(f"<q{2 * len(self.devices)}q{kinds}")
        rounded = tuple(place for place, percent in enumerate(self.percent) if percent)
        object.__setattr__(self, "_form", form)
        object.__setattr__(self, "_pick", tuple(_picker(row) for row in self.cells))
        object.__setattr__(self, "_rounded", rounded)

    @classmethod
    def of(
        cls,
        columns: Sequence[str],
        devices: Sequence[int],
        readings: Sequence[tuple[int, str, bool]],
    ) -> "Layout":
        """Lay out readings: place of the device, signal, whether the number is in percent."""
        places = {(place, name): at for at, (place, name, _) in enumerate(readings)}
        cells = tuple(
            tuple(places.get((device, name), -1) for name in columns)
            for device in range(len(devices))
        )
        return cls(tuple(devices), tuple(percent for _, _, percent in readings), cells)

    def as_json(self) -> dict[str, Any]:
        """Return it for the pipe and for the spool."""
        cells = [list(row) for row in self.cells]
        return {"devices": list(self.devices), "percent": list(self.percent), "cells": cells}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "Layout":
        """Read it back. Raises ``ValueError``, ``LookupError`` or ``TypeError`` for nonsense."""
        return cls(
            tuple(map(operator.index, entry["devices"])),
            tuple(map(bool, entry["percent"])),
            tuple(tuple(map(operator.index, row)) for row in entry["cells"]),
        )

    def pack(self, numbers: Iterable[int | float]) -> bytes:
        """Return the bytes of a frame."""
        return self._form.pack(*numbers)

    def rows(self, frame: bytes) -> list[list[Any]]:
        """Return a frame's rows as the probe's other messages have them.

        Raises one of ``ValueError``, ``OverflowError`` and ``struct.error`` where it is none.
        """
        offset, *numbers = self._form.unpack(frame)
        count = len(self.devices)
        readings = [*numbers[2 * count :], None]
        for place in self._rounded:
            readings[place] = int(readings[place] * 10 + 0.5)
        clocks = zip(numbers, numbers[count:], strict=False)
        return [
            [device, stamp, stamp + offset, period, list(pick(readings)), {}]
            for device, (stamp, period), pick in zip(self.devices, clocks, self._pick, strict=False)
        ]


def line_of(number: int, frame: bytes) -> bytes:
    """Return the line that carries a frame, without its end."""
    return b"#%d " % number + binascii.b2a_base64(frame, newline=False)


def message_of_frame(line: bytes, layouts: Sequence[Layout]) -> dict[str, Any]:
    """Return a frame's line as the message that it stands for. Raises ``ValueError`` for nonsense."""
    try:
        number, _, text = line.removeprefix(MARK).partition(b" ")
        place = int(number)
        if place < 0:
            raise ValueError("a layout of a negative number")
        rows = layouts[place].rows(binascii.a2b_base64(text, strict_mode=True))
    except _FAULTS as error:
        raise ValueError(f"this is no frame: {error}") from None
    return sweep_message(rows)


def _picker(places: Sequence[int]) -> Callable[[Sequence[int | None]], Any]:
    if len(places) < 2:
        return lambda readings: [readings[place] for place in places]
    return operator.itemgetter(*places)
