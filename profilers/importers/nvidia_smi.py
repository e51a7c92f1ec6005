"""``nvidia-smi --query-gpu=... --format=csv``: with and without units, both throttle names.

The header is checked against the rows: a unit that differs between header and cells, or figures out of
range in most rows are refused, never shifted. A field that is not known here is passed over and named.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from profilers.importers import stamps
from profilers.importers.bulk import bulk_rows
from profilers.importers.errors import ImportFormatError
from profilers.importers.opened import Opened
from profilers.importers.options import Options
from profilers.importers.recording import Clock, Findings, Recording
from profilers.importers.table import Column, Role, Table
from profilers.importers.table_cells import split
from profilers.importers.table_rows import rows

NAME = "nvidia-smi-csv"
_LOOK_ROWS = 200
_PRINTED = frozenset({"%", "W", "MHz", "MiB"})

_SIGNALS: dict[str, tuple[str, str, str]] = {
    # nvidia-smi's field: our signal, unit of the figure, unit as printed
    "utilization.gpu": ("gpu_util_permille", "%", "%"),
    "utilization.memory": ("memory_util_permille", "%", "%"),
    "power.draw": ("power_mw", "W", "W"),
    "power.draw.instant": ("power_mw", "W", "W"),
    "power.draw.average": ("power_average_mw", "W", "W"),
    "gpu.power.draw.instant": ("power_mw", "W", "W"),  # names of drivers from 590 on
    "gpu.power.draw.average": ("power_average_mw", "W", "W"),
    "gpu.power.current_limit": ("power_limit_mw", "W", "W"),
    "power.limit": ("power_limit_mw", "W", "W"),
    "enforced.power.limit": ("power_limit_mw", "W", "W"),
    "clocks.sm": ("sm_clock_mhz", "MHz", "MHz"),
    "clocks.current.sm": ("sm_clock_mhz", "MHz", "MHz"),
    "clocks.mem": ("memory_clock_mhz", "MHz", "MHz"),
    "clocks.current.memory": ("memory_clock_mhz", "MHz", "MHz"),
    "memory.used": ("memory_used_bytes", "MiB", "MiB"),
    "temperature.gpu": ("temperature_c", "C", ""),
    "temperature.memory": ("memory_temperature_c", "C", ""),
    "clocks_throttle_reasons.active": ("event_reasons", "mask", ""),
    "clocks_event_reasons.active": ("event_reasons", "mask", ""),
    "ecc.errors.corrected.volatile.total": ("ecc_corrected", "count", ""),
    "ecc.errors.uncorrected.volatile.total": ("ecc_uncorrected", "count", ""),
}
_FACTS: dict[str, tuple[str, str]] = {
    "memory.total": ("memory_bytes", "MiB"),
    "clocks.max.sm": ("max_sm_clock_mhz", "MHz"),
    "clocks.max.memory": ("max_memory_clock_mhz", "MHz"),
    "driver_version": ("driver_version", ""),
}
_ROLES = {
    "timestamp": Role.STAMP,
    "index": Role.INDEX,
    "uuid": Role.UUID,
    "gpu_uuid": Role.UUID,
    "name": Role.NAME,
    "gpu_name": Role.NAME,
    "pci.bus_id": Role.BUS,
    "gpu_bus_id": Role.BUS,
    "hostname": Role.NODE,
    "host": Role.NODE,
}
"""The last two are no fields of nvidia-smi, but what people put before its rows."""
_KNOWN_BUT_UNUSED = re.compile(
    r"count|pstate|serial|vbios_version|fan\.speed|compute_cap|compute_mode|display_\w+|"
    r"persistence_mode|accounting\.\w+|inforom\.[\w.]+|gom\.[\w.]+|pci\.[\w.]+|pcie\.[\w.]+|"
    r"gpu_serial|gpu_part_number|"
    r"memory\.(?:free|reserved)|utilization\.\w+|encoder\.[\w.]+|ecc\.[\w.]+|retired_pages\.[\w.]+|"
    r"temperature\.[\w.]+|power\.[\w.]+|clocks[\w.]*|clocks_(?:throttle|event)_reasons[\w.]*|"
    r"mig\.[\w.]+|fabric\.[\w.]+|gsp\.[\w.]+|c2c\.[\w.]+|driver_model\.[\w.]+|module\.[\w.]+|"
    r"vgpu[\w.]*|protected_memory\.[\w.]+|enforced\.power\.limit|addressing_mode|"
    r"remapped_rows[\w.]*|gpu_recovery_action|platform[\w.]*|dramEncryption[\w.]*|"
    # Drivers 590 to 610.
    r"power_smoothing\.[\w.]+|gpu\.power\.[\w.]+|gpu\.base\.\w+|gpu_operation_mode\.\w+|"
    r"bbx\.\w+|edpp_multiplier|kmd_version"
)
_DELIMITERS = (",", ";", "\t")
_ROW_NUMBERS = ("", "Unnamed: 0")
_TITLE = re.compile(r"([A-Za-z0-9_.]+)(?: \[([^\]]{1,8})\])?")
#: A title of a figure, as nvidia-smi forms them: with dots, or with a unit.
_FIGURE = re.compile(
    r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)+(?: \[[^\]]{1,8}\])?|[A-Za-z0-9_]+ \[[^\]]{1,8}\]"
)
_MESSAGE = re.compile(
    r"^(?:Unable to determine|Failed to initialize NVML|NVIDIA-SMI has failed|"
    r"No devices were found|Unable to query|GPU access blocked|Terminated|\s*$)"
)


def recognise(opened: Opened) -> bool:
    """Say whether the first line with commas is a header of nvidia-smi's own field names."""
    found = _header(opened.lines)
    return found is not None


def read(opened: Opened, options: Options) -> Recording:
    """Open a recording; the header is checked at once, the rows while they are read."""
    header = _header(opened.lines)
    assert header is not None
    above, titles, delimiter = header
    findings = Findings()
    columns = _columns(titles, opened, findings)
    columns = _with_units(columns, opened, above, delimiter)
    table = Table(
        columns=_chosen(columns, findings),
        delimiter=delimiter,
        zone=options.zone,
        zoned=_zoned(columns, opened, above, delimiter),
        node=options.node,
        mark=f"nvidia-smi-{opened.mark}",
        is_header=_is_header,
        message=_MESSAGE,
    )
    if table.place(Role.STAMP) is None:
        raise ImportFormatError(
            "has no timestamp column; record with --query-gpu=timestamp,...", file=opened.name
        )
    if all(table.place(role) is None for role in (Role.INDEX, Role.UUID, Role.BUS)):
        findings.add(
            "device-unnamed", "no index, uuid or bus id: the rows are taken for one device"
        )
        table = replace(table, only_device="gpu?")
    if not table.dated:
        findings.add("zone-unknown", "local stamps without a zone; dates may be hours off")
    blocks = (
        bulk_rows(table, opened, findings, skip_lines=above + 1)
        if options.bulk
        else rows(
            table,
            ((n, text) for n, text in opened.text_lines() if n > above + 1),
            findings,
            opened.name,
        )
    )
    clock = Clock.WALL if table.dated else Clock.LOCAL
    return Recording(format=NAME, clock=clock, blocks=blocks, findings=findings)


def _header(lines: Sequence[str]) -> tuple[int, list[str], str] | None:
    """Return how many lines stand above the header, its titles, and what is between them."""
    for above, line in enumerate(lines[:20]):
        for delimiter in _DELIMITERS:
            cells = _titles(line.split(delimiter))
            if _is_header(cells):
                return above, cells, delimiter
        if "," in line and not _MESSAGE.search(line):
            return None
    return None


def _titles(cells: Sequence[str]) -> list[str]:
    return [cell.strip().strip('"').strip() for cell in cells]


def _is_header(cells: Sequence[str]) -> bool:
    """Say whether cells are titles: at least one that only nvidia-smi writes, no figures.

    The first one may be the empty title of the row numbers that pandas writes.
    """
    titles = _titles(cells)
    if titles and titles[0] in _ROW_NUMBERS:
        titles = titles[1:]
    names = [found[1] for cell in titles if (found := _TITLE.fullmatch(cell))]
    own = [n for n in names if n in _SIGNALS or n in _FACTS or n in ("pci.bus_id", "gpu_uuid")]
    return len(names) == len(titles) and bool(own)


def _columns(titles: Sequence[str], opened: Opened, findings: Findings) -> tuple[Column, ...]:
    found, unknown = [], []
    for place, title in enumerate(titles):
        if place == 0 and title in _ROW_NUMBERS:
            found.append(Column(title=title, role=Role.SKIP))
            continue
        matched = _TITLE.fullmatch(title)
        assert matched is not None
        name, printed = matched[1], matched[2] or ""
        if name in _ROLES:
            column = Column(title=title, role=_ROLES[name])
        elif name in _SIGNALS:
            signal, unit, own = _SIGNALS[name]
            if printed and own and printed != own:
                raise ImportFormatError(
                    f"column {title!r} is in {printed}, but nvidia-smi writes {name} in {own}",
                    file=opened.name,
                )
            column = Column(title=title, role=Role.SIGNAL, signal=signal, unit=unit)
        elif name in _FACTS:
            column = Column(
                title=title, role=Role.FACT, signal=_FACTS[name][0], unit=_FACTS[name][1]
            )
        elif _KNOWN_BUT_UNUSED.fullmatch(name):
            column = Column(title=title, role=Role.SKIP)
        else:
            column = Column(title=title, role=Role.SKIP)
            unknown.append(title)
        found.append(column)
    if len(set(titles)) != len(titles):
        raise ImportFormatError("a column stands twice in the header", file=opened.name)
    _pass_over(unknown, found, opened, findings)
    return tuple(found)


def _pass_over(
    unknown: Sequence[str], columns: Sequence[Column], opened: Opened, findings: Findings
) -> None:
    """Name the columns that a newer driver has; refuse one that may tell devices or hosts apart.

    A figure more costs nothing: every other column is still held to its unit, its range and the number of
    cells. A column that names a rank or a node, passed over, would make one device of several.
    """
    has_uuid = any(column.role is Role.UUID for column in columns)
    for title in unknown:
        if not has_uuid and not _FIGURE.fullmatch(title):
            raise ImportFormatError(
                f"column {title!r} is no field of nvidia-smi that is known here (drivers up to 610), and "
                "without a uuid it may tell devices apart; leave it out, or for columns of your own give a "
                "mapping file (--mapping)",
                file=opened.name,
            )
    if unknown:
        findings.add(
            "column-passed-over",
            "columns that are no field of nvidia-smi known here (drivers up to 610) were not read: "
            + ", ".join(unknown[:20]),
        )


def _with_units(
    columns: Sequence[Column], opened: Opened, above: int, delimiter: str
) -> tuple[Column, ...]:
    """Give each column the unit that its cells carry; none where they are bare (``nounits``).

    nvidia-smi prints all units or none, so a sensor that gives nothing at first has what the others have.
    """
    suffixed: set[int] = set()
    bare: set[int] = set()
    rows_seen = 0
    for line in opened.lines[above + 1 : above + 1 + _LOOK_ROWS]:
        if not line.strip() or _MESSAGE.search(line):
            continue
        rows_seen += 1
        cells = split(line, delimiter, opened.name, above + 2)
        if len(cells) == len(columns):
            suffixed |= {
                place
                for place, (column, cell) in enumerate(zip(columns, cells, strict=True))
                if column.unit in _PRINTED and cell.strip().endswith(column.unit)
            }
            bare |= {place for place, cell in enumerate(cells) if cell.strip()[-1:].isdigit()}
    if not rows_seen:
        raise ImportFormatError("has a header and no rows", file=opened.name)
    if suffixed:
        suffixed |= {
            place
            for place, column in enumerate(columns)
            if column.unit in _PRINTED and place not in bare
        }
    return tuple(
        replace(column, suffix=column.unit) if place in suffixed else column
        for place, column in enumerate(columns)
    )


def _zoned(columns: Sequence[Column], opened: Opened, above: int, delimiter: str) -> bool:
    """Say whether the stamps carry their zone, which nvidia-smi's own do not."""
    place = next((i for i, column in enumerate(columns) if column.role is Role.STAMP), None)
    lines = opened.lines[above + 1 : above + 1 + _LOOK_ROWS]
    cells = [_titles(line.split(delimiter)) for line in lines]
    return place is not None and stamps.zoned(row[place] for row in cells if len(row) > place)


def _chosen(columns: Sequence[Column], findings: Findings) -> tuple[Column, ...]:
    """Where two columns mean one signal, keep the better one; say what a power figure covers."""
    names = {column.title.split(" ")[0] for column in columns}
    demoted: dict[str, Column] = {}
    if names & {"power.draw.instant", "gpu.power.draw.instant"}:
        demoted["power.draw"] = Column(title="power.draw", role=Role.SKIP)
    elif "power.draw" in names:
        findings.add(
            "power-scope-unknown",
            "power.draw is a one-second mean on Ampere and later (GA100 apart), instant before",
        )
    if names & {"enforced.power.limit", "gpu.power.current_limit"}:
        demoted["power.limit"] = Column(title="power.limit", role=Role.SKIP)
    kept = []
    seen: set[str] = set()
    for column in columns:
        bare = column.title.split(" ")[0]
        if bare in demoted or (column.role is Role.SIGNAL and column.signal in seen):
            kept.append(replace(column, role=Role.SKIP, signal="", suffix=""))
            continue
        if column.role is Role.SIGNAL:
            seen.add(column.signal)
        kept.append(column)
    return tuple(kept)
