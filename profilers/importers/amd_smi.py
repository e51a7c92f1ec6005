"""``amd-smi metric --csv`` and ``amd-smi monitor --csv`` with the watch option (Unix stamps).

Both flatten their answer into lower-case columns; which there are depends on version and options,
so columns that we do not read are passed over and those that we read are checked by their cells.
"""

import re
from collections.abc import Sequence

from profilers.importers.bulk import bulk_rows
from profilers.importers.errors import ImportFormatError
from profilers.importers.opened import Opened
from profilers.importers.options import Options
from profilers.importers.recording import Clock, Findings, Recording
from profilers.importers.table import Column, Role, Table
from profilers.importers.table_rows import rows

NAME = "amd-smi-csv"

_SIGNALS = {
    "gfx_activity": ("gpu_util_permille", "%"),
    "umc_activity": ("memory_util_permille", "%"),
    "socket_power": ("power_mw", "W"),
    "current_socket_power": ("power_mw", "W"),
    "average_socket_power": ("power_average_mw", "W"),
    "gfx_0_clk": ("sm_clock_mhz", "MHz"),
    "mem_0_clk": ("memory_clock_mhz", "MHz"),
    "hotspot": ("temperature_c", "C"),
    "total_energy_consumption": ("energy_mj", "J"),
}
_MONITOR = {
    "power_usage": ("power_mw", "W"),
    "hotspot_temperature": ("temperature_c", "C"),
    "memory_temperature": ("memory_temperature_c", "C"),
    "gfx_clk": ("sm_clock_mhz", "MHz"),
    "gfx_clock": ("sm_clock_mhz", "MHz"),
    "gfx": ("gpu_util_permille", "%"),
    "gfx_util": ("gpu_util_permille", "%"),
    "mem_clock": ("memory_clock_mhz", "MHz"),
}
_OWN = {"gfx_activity", "umc_activity", "socket_power", "gfx_0_clk", "power_usage", "gfx_clk"}
_TITLE = re.compile(r"[a-z0-9_.]{1,80}")


def recognise(opened: Opened) -> bool:
    """Say whether the first line is a header of amd-smi."""
    return bool(opened.lines) and _is_header(opened.lines[0].split(","))


def _is_header(cells: Sequence[str]) -> bool:
    titles = [cell.strip() for cell in cells]
    return "gpu" in titles and bool(_OWN & set(titles)) and all(map(_TITLE.fullmatch, titles))


def read(opened: Opened, options: Options) -> Recording:
    """Open a recording."""
    titles = [cell.strip() for cell in opened.lines[0].split(",")]
    if len(set(titles)) != len(titles):
        raise ImportFormatError("a column stands twice in the header", file=opened.name, line=1)
    if "timestamp" not in titles:
        raise ImportFormatError(
            "has no timestamp column; record with amd-smi metric --csv --watch 1", file=opened.name
        )
    findings = Findings()
    known = dict(_MONITOR if "power_usage" in titles else _SIGNALS)
    if "edge" in titles and "hotspot" in titles:
        known["mem"] = ("memory_temperature_c", "C")  # beside the other temperatures
    if "gfx_activity" in titles:
        findings.add(
            "activity-unproven", "gfx activity is constant at 100% on some parts; upper bound only"
        )
    table = Table(
        columns=tuple(_column(title, known) for title in titles),
        stamp="unix-s",
        node=options.node,
        mark=f"amd-smi-{opened.mark}",
        vendor="amd",
        is_header=_is_header,
    )
    blocks = (
        bulk_rows(table, opened, findings, skip_lines=1)
        if options.bulk
        else rows(table, ((n, t) for n, t in opened.text_lines() if n > 1), findings, opened.name)
    )
    return Recording(format=NAME, clock=Clock.WALL, blocks=blocks, findings=findings)


def _column(title: str, known: dict[str, tuple[str, str]]) -> Column:
    if title == "timestamp":
        return Column(title=title, role=Role.STAMP)
    if title == "gpu":
        return Column(title=title, role=Role.INDEX)
    if title in known:
        signal, unit = known[title]
        return Column(title=title, role=Role.SIGNAL, signal=signal, unit=unit)
    return Column(title=title, role=Role.SKIP)
