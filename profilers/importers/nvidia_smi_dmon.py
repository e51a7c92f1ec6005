"""``nvidia-smi dmon`` and ``dcgmi dmon``: lines of names and units, repeated, and rows of figures.

With ``-o DT`` rows carry date and local time; with ``-o T`` only the time of day; without either
there is no time at all, and the user must state when it began and how far apart the rows are.
``dcgmi dmon`` never writes one; its columns are DCGM's short names, its figures DCGM's units.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from profilers.importers import identity, stamps, units
from profilers.importers.errors import ImportFormatError
from profilers.importers.opened import Opened
from profilers.importers.options import Options
from profilers.importers.recording import Block, Clock, Findings, Recording, Rows
from profilers.reading import Reading

if TYPE_CHECKING:
    from profilers.trace import Device

NAME = "nvidia-smi-dmon"
BLOCK_ROWS = 50_000
_DAY_NS = 86_400 * 10**9

_SIGNALS = {
    "pwr": ("power_mw", "W"),
    "gtemp": ("temperature_c", "C"),
    "temp": ("temperature_c", "C"),
    "mtemp": ("memory_temperature_c", "C"),
    "sm": ("gpu_util_permille", "%"),
    "mem": ("memory_util_permille", "%"),
    "mclk": ("memory_clock_mhz", "MHz"),
    "pclk": ("sm_clock_mhz", "MHz"),
    "fb": ("memory_used_bytes", "MB"),
    "sbecc": ("ecc_corrected", "errs"),
    "dbecc": ("ecc_uncorrected", "errs"),
}
_PRINTED = {"MB": "MiB", "errs": "count"}
"""dmon prints MB for 2^20 bytes."""


_DCGM = {
    # Short names and units as in dcgmlib/src/dcgm_fields.cpp of DCGM (July 2026).
    "power": ("power_mw", "W"),
    "totec": ("energy_mj", "mJ"),
    "tmptr": ("temperature_c", "C"),
    "mmtmp": ("memory_temperature_c", "C"),
    "gputl": ("gpu_util_permille", "%"),
    "mcutl": ("memory_util_permille", "%"),
    "smclk": ("sm_clock_mhz", "MHz"),
    "mmclk": ("memory_clock_mhz", "MHz"),
    "fbusd": ("memory_used_bytes", "MiB"),
    "gract": ("graphics_activity_permille", "ratio"),
    "smact": ("sm_activity_permille", "ratio"),
    "smocc": ("sm_occupancy_permille", "ratio"),
    "tenso": ("tensor_activity_permille", "ratio"),
    "drama": ("dram_activity_permille", "ratio"),
    "fp64a": ("fp64_activity_permille", "ratio"),
    "fp32a": ("fp32_activity_permille", "ratio"),
    "fp16a": ("fp16_activity_permille", "ratio"),
}
_OF_PLACE = frozenset({"gpu", "date", "time"})


def recognise(opened: Opened) -> bool:
    """Say whether a line of the head is dmon's line of names."""
    return any(_names(line) is not None for line in opened.lines[:20])


def _names(line: str) -> list[str] | None:
    """Return the names of a header line in small letters, the device's as ``gpu``."""
    if not line.lstrip().startswith("#"):
        return None
    names = [word.lower() for word in _words(line.lstrip().lstrip("#"))]
    if names[:1] == ["entity"]:
        return ["gpu", *names[1:]] if _DCGM.keys() & set(names) else None
    # `pmon` has rows of processes, not of devices.
    if "gpu" not in names[:3] or "pid" in names:
        return None
    return names if {"pwr", "sm", "mclk", "pclk", "fb", "gtemp"} & set(names) else None


def _words(line: str) -> list[str]:
    """Split a row; ``--format csv`` puts commas between the words."""
    return line.replace(",", " ").split()


def read(opened: Opened, options: Options) -> Recording:
    """Open dmon's output."""
    findings = Findings()
    header = next(found for line in opened.lines[:20] if (found := _names(line)) is not None)
    dated = "date" in header and "time" in header
    timed = "time" in header
    if not timed and (options.started_ns is None or options.period_ns is None):
        raise ImportFormatError(
            "carries no time (record with `dmon -o DT`); state --start and --step",
            file=opened.name,
        )
    if not timed:
        findings.add("time-stated", "the stamps are the user's statement, not the file's")
    elif not dated:
        findings.add("date-unknown", "the rows carry a time of day and no date")
    if options.zone is None and timed:
        findings.add("zone-unknown", "local stamps without a zone; dates may be hours off")
    wall = not timed or (dated and options.zone is not None)
    return Recording(
        format=NAME,
        clock=Clock.WALL if wall else Clock.LOCAL,
        blocks=_blocks(opened, options, findings),
        findings=findings,
    )


def _blocks(opened: Opened, options: Options, findings: Findings) -> Iterator[Block]:
    reader = _Reader(opened, options, findings)
    pending: tuple[int, str] | None = None
    for number, line in opened.text_lines():
        if not line.strip():
            continue
        if pending is not None:
            reader.line(*pending)
            if len(reader.rows) >= BLOCK_ROWS:
                yield reader.rows.block()
                reader.rows = Rows()
        pending = (number, line)
    if pending is not None:
        reader.line(*pending, last=True)
    if len(reader.rows):
        yield reader.rows.block()


class _Reader:
    """Reads one file from its top: names, devices and days are as the lines before left them."""

    def __init__(self, opened: Opened, options: Options, findings: Findings) -> None:
        self.rows = Rows()
        self._file = opened.name
        self._mark = f"dmon-{opened.mark}"
        self._options = options
        self._findings = findings
        self._names: list[str] | None = None
        self._devices: dict[int, Device] = {}
        self._clock = _Clock(options)

    def line(self, number: int, line: str, *, last: bool = False) -> None:
        """Take one line that is not empty; the last one may be cut short."""
        if line.lstrip().startswith("#"):
            self._header(number, line)
            return
        if self._names is None:
            self._findings.add("tool-message", line.strip()[:200], line=number)
            return
        words = _words(line)
        if words[0].upper() in {"GPU", "ID"}:
            words = words[1:]  # `dcgmi`: the rows' own prefix, and the header's second line
            if not words:
                return
        if last and len(words) < len(self._names):
            self._findings.add("torn-tail", "the last row is cut short", line=number)
            return
        if len(words) != len(self._names):
            text = f"has {len(words)} figures under {len(self._names)} names"
            raise self._error(text, number)
        self._row(dict(zip(self._names, words, strict=True)), number)

    def _row(self, named: dict[str, str], number: int) -> None:
        if not re.fullmatch(r"\d{1,4}", named["gpu"]):
            raise self._error(f"{named['gpu'][:20]!r} is no device number", number)
        index = int(named["gpu"])
        time = self._clock.time(named, index)
        if time is None:
            text = f"{named.get('date', '')} {named.get('time', '')} is no date and time"
            raise self._error(text, number)
        if index not in self._devices:
            self._devices[index] = identity.gpu(
                uuid=None, index=index, node=self._options.node, fallback=self._mark
            )
        self.rows.add(self._devices[index], time, self._readings(named, number))

    def _header(self, number: int, line: str) -> None:
        names = _names(line)
        if names is not None:
            if len(set(names)) != len(names):
                raise self._error("a name stands twice", number)
            # Later drivers add columns (and GPM metrics by their own names): passed over, and said so.
            if self._names is None and (left := [n for n in names if _signal(n) is None]):
                text = f"no reader for {', '.join(left)[:200]}"
                self._findings.add("metric-unread", text, line=number)
            self._names = names
            return
        words = _words(line.lstrip("# \t"))
        if self._names is not None and len(words) == len(self._names) and "Idx" in words:
            for name, unit in zip(self._names, words, strict=True):
                wanted = _SIGNALS.get(name)
                if wanted is not None and unit != wanted[1]:
                    raise self._error(f"{name} is in {unit}, expected {wanted[1]}", number)

    def _readings(self, named: dict[str, str], number: int) -> dict[str, Reading]:
        readings: dict[str, Reading] = {}
        for name, word in named.items():
            if name not in _SIGNALS and name not in _DCGM:
                continue
            signal, printed = _SIGNALS.get(name) or _DCGM[name]
            reading = units.reading(signal, word, _PRINTED.get(printed, printed))
            if reading is None:
                raise self._error(f"{name} is {word[:40]!r}, no figure in {printed}", number)
            readings[signal] = reading
        return readings

    def _error(self, text: str, number: int) -> ImportFormatError:
        return ImportFormatError(text, file=self._file, line=number)


class _Clock:
    """When a row was taken: by its date and time, its time of day, or the user's word alone."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._day = 0
        self._last_of_day: int | None = None
        self._sweep = -1
        self._seen: set[int] = set()
        """Devices of this sweep so far."""

    def time(self, named: dict[str, str], index: int) -> int | None:
        """Return the nanoseconds of a device's row; None where date or time cannot be read."""
        if "time" not in named:
            return self._by_sweep(index)
        date = named.get("date", "19700101")
        if not re.fullmatch(r"\d{8}", date):
            return None
        text = f"{date[:4]}-{date[4:6]}-{date[6:]} {named['time']}"
        found = stamps.civil(text, self._options.zone)
        if found is None or "date" in named:
            return None if found is None else found[0]
        if self._last_of_day is not None and found[0] < self._last_of_day - _DAY_NS // 2:
            self._day += 1
        self._last_of_day = found[0]
        return found[0] + self._day * _DAY_NS

    def _by_sweep(self, index: int) -> int:
        """Without any time: a device that comes again begins the next sweep."""
        if index in self._seen or not self._seen:
            self._sweep += 1
            self._seen = set()
        self._seen.add(index)
        assert self._options.started_ns is not None
        assert self._options.period_ns is not None
        return self._options.started_ns + self._sweep * self._options.period_ns


def _signal(name: str) -> tuple[str, str] | None:
    """Return what a column means; an empty pair for those that say where and when."""
    return ("", "") if name in _OF_PLACE else _SIGNALS.get(name) or _DCGM.get(name)
