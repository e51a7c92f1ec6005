"""CSV of one's own: a small TOML file says which column is what. No code, no expressions.

::

    schema = "flopledger/mapping/1"
    delimiter = ","                       # optional
    header = true                         # false: columns are then named by their number, "1", "2"
    [time]
    column = "ts"
    format = "unix-s"                     # unix-s, unix-ms, unix-us, unix-ns or civil
    zone = "UTC"                          # civil stamps without a zone; left out: unknown
    [device]
    index = "gpu"                         # and/or uuid, name, node, mig: names of columns
    host = "node17"                       # the host, where no column has it
    vendor = "nvidia"
    [signals.power_mw]                    # a signal of `profilers.SIGNALS`
    column = "power"
    unit = "W"
    [missing]                             # your own words for "no figure", with the reason
    "not available" = "unsupported"
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from profilers.importers import stamps, units
from profilers.importers.bulk import bulk_rows
from profilers.importers.errors import ImportFormatError
from profilers.importers.opened import Opened
from profilers.importers.options import Options
from profilers.importers.recording import Clock, Findings, Recording
from profilers.importers.table import Column, Role, Table
from profilers.importers.table_cells import split
from profilers.importers.table_rows import rows
from profilers.reading import SIGNALS, Reason, Unavailable

NAME = "mapped-csv"
SCHEMA = "flopledger/mapping/1"
MAX_MAPPING = 64 * 1024
_LOOK_ROWS = 200
_TOP = {"schema", "delimiter", "header", "time", "device", "signals", "missing"}
_DEVICE_ROLES = {
    "uuid": Role.UUID,
    "index": Role.INDEX,
    "name": Role.NAME,
    "node": Role.NODE,
    "mig": Role.MIG,
}


def read(opened: Opened, options: Options) -> Recording:
    """Open a CSV file under ``options.mapping``."""
    assert options.mapping is not None
    mapping = load(options.mapping)
    skip = 1 if mapping.get("header", True) else 0
    table = _table(mapping, opened, options)
    findings = Findings()
    if table.only_device:
        findings.add("device-unnamed", "no device column: the rows are taken for one device")
    dated = table.stamp != "civil" or table.dated
    if not dated:
        findings.add("zone-unknown", "local stamps without a zone; dates may be hours off")
    blocks = (
        bulk_rows(table, opened, findings, skip_lines=skip)
        if options.bulk
        else rows(
            table, ((n, t) for n, t in opened.text_lines() if n > skip), findings, opened.name
        )
    )
    clock = Clock.WALL if dated else Clock.LOCAL
    return Recording(format=NAME, clock=clock, blocks=blocks, findings=findings)


def _table(mapping: dict[str, Any], opened: Opened, options: Options) -> Table:
    """Say what each column of the file is; raises where the file lacks one that is mapped."""
    assert options.mapping is not None
    delimiter = str(mapping.get("delimiter", ","))
    headed = bool(mapping.get("header", True))
    titles = _titles(opened, delimiter, headed=headed)
    wanted = _wanted(mapping, options.mapping)
    _need(wanted, titles, opened)
    told, device = mapping["time"], mapping.get("device", {})
    place = titles.index(told["column"])
    seen = [
        line.replace('"', "").split(delimiter) for line in opened.lines[int(headed) : _LOOK_ROWS]
    ]
    return Table(
        columns=tuple(
            wanted[title] if title in wanted else Column(title=title, role=Role.SKIP)
            for title in titles
        ),
        stamp=str(told.get("format")),
        delimiter=delimiter,
        zone=stamps.zone(told["zone"]) if told.get("zone") else options.zone,
        zoned=told.get("format") == "civil"
        and stamps.zoned(row[place] for row in seen if len(row) > place),
        node=options.node or device.get("host"),
        mark=f"csv-{opened.mark}",
        vendor=device.get("vendor"),
        only_device="gpu?" if not ({"uuid", "index"} & set(device)) else None,
        is_header=lambda cells: headed and [c.strip() for c in cells] == titles,
        missing=_missing(mapping),
    )


def _titles(opened: Opened, delimiter: str, *, headed: bool) -> list[str]:
    """Return the titles of the columns; without a header their numbers, from 1."""
    first = split(opened.lines[0], delimiter, opened.name, 1) if opened.lines else []
    titles = [c.strip() for c in first] if headed else [str(i + 1) for i in range(len(first))]
    if len(set(titles)) != len(titles):
        raise ImportFormatError("a column stands twice in the header", file=opened.name, line=1)
    return titles


def _need(wanted: Iterable[str], titles: Sequence[str], opened: Opened) -> None:
    lost = [column for column in wanted if column not in titles]
    if lost:
        raise ImportFormatError(
            f"lacks the mapped column{'s' if len(lost) > 1 else ''} {', '.join(map(repr, lost))}; "
            f"it has {', '.join(map(repr, titles[:20]))}",
            file=opened.name,
            line=1,
        )


def load(path: Path) -> dict[str, Any]:
    """Read and check a mapping file; unknown keys are refused with their name."""
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_MAPPING:
            raise ImportFormatError("is too large for a mapping", file=str(path))
        mapping = tomllib.loads(raw.decode("utf-8"))
    except OSError as error:
        raise ImportFormatError(
            f"the mapping file cannot be read: {error.strerror}", file=str(path)
        ) from error
    except (ValueError, RecursionError) as error:
        raise ImportFormatError(f"is no mapping file: {error}", file=str(path)) from error
    if mapping.get("schema") != SCHEMA:
        raise ImportFormatError(
            f"schema is {mapping.get('schema')!r}, expected {SCHEMA!r}", file=str(path)
        )
    _only(mapping, _TOP, "", path)
    time = mapping.get("time")
    if not isinstance(time, dict) or not isinstance(time.get("column"), str):
        raise ImportFormatError("[time] needs the name of a column", file=str(path))
    _only(time, {"column", "format", "zone"}, "time.", path)
    formats = {*stamps.EPOCH_UNITS, "civil"}
    if time.get("format") not in formats:
        raise ImportFormatError(
            f"time.format is {time.get('format')!r}, one of {', '.join(sorted(formats))}",
            file=str(path),
        )
    device = mapping.get("device", {})
    if not isinstance(device, dict) or not all(isinstance(v, str) for v in device.values()):
        raise ImportFormatError("[device] holds names of columns", file=str(path))
    _only(device, {*_DEVICE_ROLES, "host", "vendor"}, "device.", path)
    delimiter = mapping.get("delimiter", ",")
    if not isinstance(delimiter, str) or len(delimiter) != 1:
        raise ImportFormatError("delimiter is one character", file=str(path))
    return mapping


def _wanted(mapping: Mapping[str, Any], path: Path) -> dict[str, Column]:
    """Return the mapped columns by title."""
    time = mapping["time"]["column"]
    found = {time: Column(title=time, role=Role.STAMP)}

    def put(title: str, column: Column) -> None:
        if title in found:
            raise ImportFormatError(f"column {title!r} is mapped twice", file=str(path))
        found[title] = column

    for key, role in _DEVICE_ROLES.items():
        if (title := mapping.get("device", {}).get(key)) is not None:
            put(title, Column(title=title, role=role))
    signals = mapping.get("signals")
    if not isinstance(signals, dict) or not signals:
        raise ImportFormatError("[signals.NAME] maps at least one column", file=str(path))
    for signal, told in signals.items():
        if signal not in SIGNALS:
            raise ImportFormatError(
                f"signals.{signal} is unknown; known: {', '.join(SIGNALS)}", file=str(path)
            )
        if not isinstance(told, dict) or not all(isinstance(v, str) for v in told.values()):
            raise ImportFormatError(f"signals.{signal} needs column and unit", file=str(path))
        _only(told, {"column", "unit"}, f"signals.{signal}.", path)
        if set(told) != {"column", "unit"}:
            raise ImportFormatError(f"signals.{signal} needs column and unit", file=str(path))
        try:
            units.factor(signal, told["unit"])
        except KeyError as error:
            raise ImportFormatError(str(error.args[0]), file=str(path)) from error
        put(
            told["column"],
            Column(title=told["column"], role=Role.SIGNAL, signal=signal, unit=told["unit"]),
        )
    return found


def _missing(mapping: Mapping[str, Any]) -> dict[str, Unavailable]:
    found: dict[str, Unavailable] = {}
    words = mapping.get("missing", {})
    for word, reason in words.items() if isinstance(words, dict) else ():
        if reason not in set(Reason):
            raise ImportFormatError(
                f"missing.{word!r} is {reason!r}, one of {', '.join(Reason)}", file="mapping"
            )
        found[str(word).strip()] = Unavailable(reason=Reason(reason), detail=str(word))
    return found


def _only(given: Mapping[str, Any], allowed: Sequence[str] | set[str], at: str, path: Path) -> None:
    unknown = [key for key in given if key not in allowed]
    if unknown:
        raise ImportFormatError(
            f"unknown key {at}{unknown[0]}; known: {', '.join(sorted(allowed))}", file=str(path)
        )
