"""Zeus' window log: ``start_time,window_name,elapsed_time,gpu0_energy,...`` in seconds and joules.

``start_time`` is a clock of the host, most often since its boot: no date. A figure from 2001 on is
taken for Unix time. The window's name may carry a power limit; it is not interpreted.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from profilers.importers import identity, units
from profilers.importers.errors import ImportFormatError
from profilers.importers.opened import Opened
from profilers.importers.options import Options
from profilers.importers.recording import Block, Clock, Findings, Recording
from profilers.importers.table_cells import split
from profilers.importers.windows import Window, rows_of, whole_lines
from profilers.trace import Device

if TYPE_CHECKING:
    from profilers.reading import Reading

NAME = "zeus"
MAX_LINES = 2_000_000
_FIRST = ["start_time", "window_name", "elapsed_time"]
_ENERGY = re.compile(r"gpu(\d{1,4})_energy")
_UNIX_FROM_S = 10**9


def recognise(opened: Opened) -> bool:
    """Say whether the first line is Zeus' header."""
    cells = opened.lines[0].split(",") if opened.lines else []
    return cells[:3] == _FIRST and len(cells) > 3


def read(opened: Opened, options: Options) -> Recording:
    """Open a log of windows."""
    header = opened.lines[0].split(",")
    gpus = []
    for title in header[3:]:
        found = _ENERGY.fullmatch(title.strip())
        if not found:
            raise ImportFormatError(
                f"column {title!r} is none of Zeus' (gpuN_energy)", file=opened.name, line=1
            )
        gpus.append(int(found[1]))
    if len(set(gpus)) != len(gpus):
        raise ImportFormatError("a GPU stands twice in the header", file=opened.name, line=1)
    mark = f"zeus-{opened.mark}"
    devices = [identity.gpu(uuid=None, index=g, node=options.node, fallback=mark) for g in gpus]
    findings = Findings()
    windows = list(_windows(opened, header, devices, findings))
    if not windows:
        raise ImportFormatError("has a header and no windows", file=opened.name)
    wall = all(window.start_ns >= _UNIX_FROM_S * 10**9 for window in windows)
    if not wall:
        findings.add("date-unknown", "the windows carry a clock since boot, not a date")

    def blocks() -> Iterator[Block]:
        yield rows_of(windows, findings).block()

    return Recording(
        format=NAME,
        clock=Clock.WALL if wall else Clock.MONOTONIC,
        blocks=blocks(),
        findings=findings,
    )


def _windows(
    opened: Opened, header: list[str], devices: list[Device], findings: Findings
) -> Iterator[Window]:
    def is_header(_: int, line: str) -> bool:
        return line.strip() == ",".join(header)

    lines = whole_lines(
        opened, len(header), findings, is_header=is_header, most=MAX_LINES, what="window"
    )
    return (_window(number, line, opened, header, devices) for number, line in lines)


def _window(
    number: int, line: str, opened: Opened, header: list[str], devices: list[Device]
) -> Window:
    cells = split(line, ",", opened.name, number)
    if len(cells) != len(header):
        raise ImportFormatError(
            f"has {len(cells)} cells under a header of {len(header)} (a comma in a window's name "
            "must be quoted)",
            file=opened.name,
            line=number,
        )
    start, elapsed = units.number(cells[0].strip()), units.number(cells[2].strip())
    if start is None or elapsed is None or start < 0 or elapsed < 0 or start + elapsed >= 1 << 33:
        raise ImportFormatError(
            f"{cells[0]!r} and {cells[2]!r} are no start and length in seconds",
            file=opened.name,
            line=number,
        )
    energy: list[tuple[Device, Reading]] = []
    for title, device, cell in zip(header[3:], devices, cells[3:], strict=True):
        reading = units.reading("energy_mj", cell, "J")
        if reading is None:
            raise ImportFormatError(
                f"{title} is {cell[:40]!r}, no figure in joules", file=opened.name, line=number
            )
        energy.append((device, reading))
    return Window(
        start_ns=_ns(start),
        end_ns=_ns(start + elapsed),
        energy=tuple(energy),
        line=number,
    )


def _ns(seconds: Decimal) -> int:
    return int((seconds * 10**9).to_integral_value())
