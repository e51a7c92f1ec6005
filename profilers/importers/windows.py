"""Energy of stretches of time (Zeus windows, CodeCarbon rows) as readings of a counter.

A window becomes two rows: the counter at 0 where it begins and at its energy where it ends. The
next window begins at 0 again, a decrease, so that nobody takes the time between for measured.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from profilers.importers.errors import ImportFormatError
from profilers.importers.opened import Opened
from profilers.importers.recording import Findings, Rows
from profilers.importers.table_cells import split
from profilers.reading import Reading, Reason, Unavailable, is_number
from profilers.trace import Device

_STEP_NS = 1000
"""The record's axis is in microseconds: windows that touch are kept this far apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A stretch of time with the energy of each device in it."""

    start_ns: int
    end_ns: int
    energy: tuple[tuple[Device, Reading], ...]
    """Millijoules by device."""
    line: int | None = None


def whole_lines(
    opened: Opened,
    width: int,
    findings: Findings,
    *,
    is_header: Callable[[int, str], bool],
    most: int,
    what: str,
) -> Iterator[tuple[int, str]]:
    """Give the lines below the header with their numbers, whatever a crash did to the file.

    A repeated header is passed over, and a last line of fewer than ``width`` cells was cut short;
    both are told. Raises ``ImportFormatError`` for more than ``most`` lines of ``what`` ("row").
    """
    pending: tuple[int, str] | None = None
    for number, line in opened.text_lines():
        if number > most:
            raise ImportFormatError(f"more than {most} {what}s", file=opened.name)
        if number == 1 or not line.strip():
            continue
        if is_header(number, line):
            findings.add("repeated-header", "the header is repeated", line=number)
            continue
        if pending is not None:
            yield pending
        pending = (number, line)
    if pending is None:
        return
    if len(split(pending[1], ",", opened.name, pending[0])) < width:
        findings.add("torn-tail", f"the last {what} is cut short", line=pending[0])
        return
    yield pending


def rows_of(windows: Sequence[Window], findings: Findings) -> Rows:
    """Return the rows of windows that do not overlap; of nested windows the outermost."""
    rows = Rows()
    last_end: int | None = None
    for window in sorted(windows, key=lambda w: (w.start_ns, -w.end_ns)):
        if last_end is not None and window.start_ns < last_end - _STEP_NS:
            findings.add(
                "overlapping-windows",
                "a window lies within or across another one; its energy is already counted",
                line=window.line,
            )
            continue
        start = window.start_ns
        if last_end is not None and start <= last_end:
            start = last_end + _STEP_NS
        if window.end_ns - start < _STEP_NS:
            findings.add("empty-window", "a window without a length", line=window.line)
            continue
        _add(rows, window, start, findings)
        last_end = window.end_ns
    return rows


def _add(rows: Rows, window: Window, start: int, findings: Findings) -> None:
    for device, energy in window.energy:
        if is_number(energy) and energy == 0:
            energy = Unavailable(
                reason=Reason.STALE, detail="0 J over the window: the counter did not move"
            )
            findings.add("zero-energy", "a window of 0 J is a counter that did not move")
        begin: Reading = 0 if is_number(energy) else energy
        rows.add(device, start, {"energy_mj": begin}, period_ns=0)
        rows.add(device, window.end_ns, {"energy_mj": energy}, period_ns=window.end_ns - start)
