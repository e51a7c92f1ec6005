"""``nvidia-smi dmon`` and ``dcgmi dmon``: lines of names and units, repeated, and rows of figures.

With ``-o DT`` rows carry date and local time; with ``-o T`` only the time of day; without either
there is no time at all, and the user must state when it began and how far apart the rows are.
``dcgmi dmon`` never writes one; its columns are DCGM's short names, its figures DCGM's units.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from profilers.importers import identity, stamps, units
from profilers.importers.errors import ImportFormatError
from profilers.importers.opened import Opened
from profilers.importers.options import Options
from profilers.importers.recording import Block, Clock, Findings, Recording, Rows
from profilers.reading import Reading
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


@dataclass(slots=True)
class _State:
    names: list[str] | None = None
    day: int = 0
    last_of_day: int | None = None
    sweep: int = -1
    seen: frozenset[int] = frozenset()


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
    rows = Rows()
    state = _State()
    devices: dict[int, Device] = {}
    mark = f"dmon-{opened.mark}"
    pending: tuple[int, str] | None = None
    for number, line in _ended(opened):
        if number > 0 and not line.strip():
            continue
        if pending is not None:
            _line(*pending, rows, state, devices, opened, options, findings, mark, number < 0)
            if len(rows) >= BLOCK_ROWS:
                yield rows.block()
                rows = Rows()
        pending = (number, line)
    if len(rows):
        yield rows.block()


def _ended(opened: Opened) -> Iterator[tuple[int, str]]:
    yield from opened.text_lines()
    yield -1, ""


def _line(
    number: int,
    line: str,
    rows: Rows,
    state: _State,
    devices: dict[int, Device],
    opened: Opened,
    options: Options,
    findings: Findings,
    mark: str,
    last: bool,
) -> None:
    if line.lstrip().startswith("#"):
        _header(number, line, state, opened, findings)
        return
    if state.names is None:
        findings.add("tool-message", line.strip()[:200], line=number)
        return
    words = _words(line)
    if words[0].upper() in {
        "GPU",
        "ID",
    }:  # `dcgmi`: the rows' own prefix, and the header's second line
        words = words[1:]
        if not words:
            return
    if len(words) != len(state.names):
        if last and len(words) < len(state.names):
            findings.add("torn-tail", "the last row is cut short", line=number)
            return
        raise ImportFormatError(
            f"has {len(words)} figures under {len(state.names)} names",
            file=opened.name,
            line=number,
        )
    named = dict(zip(state.names, words, strict=True))
    if not re.fullmatch(r"\d{1,4}", named["gpu"]):
        raise ImportFormatError(
            f"{named['gpu'][:20]!r} is no device number", file=opened.name, line=number
        )
    index = int(named["gpu"])
    time = _time(named, index, state, options)
    if time is None:
        raise ImportFormatError(
            f"{named.get('date', '')} {named.get('time', '')} is no date and time",
            file=opened.name,
            line=number,
        )
    if index not in devices:
        devices[index] = identity.gpu(uuid=None, index=index, node=options.node, fallback=mark)
    rows.add(devices[index], time, _readings(named, opened, number))


def _header(number: int, line: str, state: _State, opened: Opened, findings: Findings) -> None:
    names = _names(line)
    if names is not None:
        if len(set(names)) != len(names):
            raise ImportFormatError("a name stands twice", file=opened.name, line=number)
        # Later drivers add columns (and GPM metrics by their own names): passed over, and said so.
        if state.names is None and (left := [n for n in names if _signal(n) is None]):
            findings.add("metric-unread", f"no reader for {', '.join(left)[:200]}", line=number)
        state.names = names
        return
    words = _words(line.lstrip("# \t"))
    if state.names is not None and len(words) == len(state.names) and "Idx" in words:
        for name, unit in zip(state.names, words, strict=True):
            wanted = _SIGNALS.get(name)
            if wanted is not None and unit != wanted[1]:
                raise ImportFormatError(
                    f"{name} is in {unit}, expected {wanted[1]}", file=opened.name, line=number
                )


def _time(named: dict[str, str], index: int, state: _State, options: Options) -> int | None:
    if "time" not in named:
        if index in state.seen or not state.seen:
            state.sweep += 1
            state.seen = frozenset()
        state.seen |= {index}
        assert options.started_ns is not None
        assert options.period_ns is not None
        return options.started_ns + state.sweep * options.period_ns
    date = named.get("date", "19700101")
    if not re.fullmatch(r"\d{8}", date):
        return None
    text = f"{date[:4]}-{date[4:6]}-{date[6:]} {named['time']}"
    found = stamps.civil(text, options.zone)
    if found is None or "date" in named:
        return None if found is None else found[0]
    if state.last_of_day is not None and found[0] < state.last_of_day - _DAY_NS // 2:
        state.day += 1
    state.last_of_day = found[0]
    return found[0] + state.day * _DAY_NS


def _signal(name: str) -> tuple[str, str] | None:
    """Return what a column means; an empty pair for those that say where and when."""
    return ("", "") if name in _OF_PLACE else _SIGNALS.get(name) or _DCGM.get(name)


def _readings(named: dict[str, str], opened: Opened, number: int) -> dict[str, Reading]:
    readings: dict[str, Reading] = {}
    for name, word in named.items():
        if name not in _SIGNALS and name not in _DCGM:
            continue
        signal, printed = _SIGNALS.get(name) or _DCGM[name]
        reading = units.reading(signal, word, _PRINTED.get(printed, printed))
        if reading is None:
            raise ImportFormatError(
                f"{name} is {word[:40]!r}, no figure in {printed}", file=opened.name, line=number
            )
        readings[signal] = reading
    return readings
