"""Sweeps between two batches: kept as they came, one write each, until there are enough of them.

An Arrow batch for every sweep would cost a fast sampler most of its time. So calm sweeps wait here, in
the probe's own words, and become one batch a second. Each is on its way to the disk with one system
call before it counts as taken: a killed recorder loses the sweep in flight, as without the spool.

``spool.jsonl`` begins with a line that names columns and devices. After a crash the next recorder of
the node takes the rest over, and so does a reader. A sealed record has none.
"""

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from profilers.clocks import Axis
from profilers.frames import MARK, Layout, message_of_frame
from profilers.ledger import open_regular
from profilers.segment import Row, period_us
from profilers.wire import absence_text

SPOOL = "spool.jsonl"
MAX_BYTES = 64 << 20
"""Nobody but a forger leaves more behind: it holds a second of sweeps."""


class Spool:
    """The writing end."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; no file is made before the first sweep is kept."""
        self._path = folder / SPOOL
        self._descriptor = -1
        self._head = b""
        self._size = 0
        self.waiting: list[bytes] = []
        """The sweeps that are kept, oldest first."""

    def describe(
        self, columns: Sequence[str], names: Sequence[str], layouts: Sequence[Layout] = ()
    ) -> None:
        """Say what the cells of the next sweeps are. Only while none is waiting."""
        head: dict[str, Any] = {"columns": list(columns), "devices": list(names)}
        if layouts:
            head["layouts"] = [layout.as_json() for layout in layouts]
        self._head = json.dumps(head).encode() + b"\n"
        self.close()

    def keep(self, line: bytes) -> bool:
        """Keep one sweep; False where the disk refuses it, and then it is not kept."""
        data = line + b"\n"
        try:
            if self._descriptor < 0:
                self._open()
            if os.write(self._descriptor, data) < len(data):
                os.ftruncate(self._descriptor, self._size)
                return False
        except OSError:
            return False
        self._size += len(data)
        self.waiting.append(line)
        return True

    def clear(self) -> None:
        """Forget what is kept: it is in the journal now."""
        self.waiting = []
        if self._descriptor >= 0:
            # Where that fails, a reader finds these sweeps twice, under one stamp.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, len(self._head))
                self._size = len(self._head)

    def close(self) -> None:
        """Remove the file, or empty it where the folder lets nobody. Only while nothing is waiting."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o644)
        self._size = os.write(self._descriptor, self._head)
        if self._size < len(self._head):
            os.close(self._descriptor)
            self._descriptor = -1
            raise OSError("the disk is full")


def read_spool(folder: Path, axis: Axis) -> tuple[Sequence[str], list[Row], int | None]:
    """Return the columns and rows that wait in a folder, and the offset of a torn end, if any.

    The file may come from anybody: what is not a sweep of these columns and devices ends the reading. It may
    go at any moment, too, when its recorder has put it into the journal.
    """
    try:
        with open_regular(folder / SPOOL) as file:
            lines = file.read(MAX_BYTES).splitlines(keepends=True)
    except FileNotFoundError:
        return (), [], None
    except OSError:
        return (), [], 0
    columns: Sequence[str] = ()
    rows: list[Row] = []
    offset = 0
    names: list[str] = []
    layouts: list[Layout] = []
    for number, line in enumerate(lines):
        try:
            if not line.endswith(b"\n"):
                return columns, rows, offset
            entry = message_of(line, layouts)
            if number == 0:
                columns, names = [str(c) for c in entry["columns"]], list(entry["devices"])
                layouts = [Layout.from_json(told) for told in entry.get("layouts", ())]
            else:
                rows += rows_of(entry, names, axis, width=len(columns))
        except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
            return columns, rows, offset
        offset += len(line)
    return columns, rows, None


def message_of(line: bytes, layouts: Sequence[Layout]) -> dict[str, Any]:
    """Return what a line of the probe says. Raises ``ValueError`` where it says nothing."""
    if line.startswith(MARK):
        return message_of_frame(line.rstrip(b"\n"), layouts)
    message: dict[str, Any] = json.loads(line)
    return message


def rows_of(message: Mapping[str, Any], names: Sequence[str], axis: Axis, width: int) -> list[Row]:
    """Turn a probe's sweep into journal rows. Raises ``ValueError`` where it is none."""
    found: list[Row] = []
    for number, mono, wall, period, cells, absent in message["rows"]:
        if len(cells) != width:
            raise ValueError(f"a row of {len(cells)} cells for {width} columns")
        at = axis.at(mono) // 1000
        told = absence_text(absent) if absent else None
        found.append((names[number], at, wall // 1000 - at, period_us(period), cells, told))
    return found
