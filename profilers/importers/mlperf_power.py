"""MLPerf power logs: ``:::MLLOG`` lines with ``power_reading`` in watts, of one node or switch.

Node power is not GPU power: the device is the node. ``conversion_eff`` is kept as a fact and never
applied. Readings outside ``power_measurement_start`` to ``..._stop`` are kept and counted.
"""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from profilers.importers import identity, units
from profilers.importers.errors import ImportFormatError
from profilers.importers.opened import Opened
from profilers.importers.options import Options
from profilers.importers.recording import Block, Clock, Findings, Recording, Rows
from profilers.importers.stamps import epoch_ns
from profilers.reading import Reading
from profilers.trace import Device

NAME = "mlperf-power"
MARK = ":::MLLOG"
BLOCK_ROWS = 100_000


def recognise(opened: Opened) -> bool:
    """Say whether the head has a power entry of MLPerf's log (a result log has none)."""
    return any(MARK in line and '"power_' in line for line in opened.lines)


def read(opened: Opened, options: Options) -> Recording:
    """Open a node's power log."""
    findings = Findings()
    facts = _facts(opened)
    return Recording(
        format=NAME,
        clock=Clock.WALL,
        blocks=_blocks(opened, options, findings),
        findings=findings,
        scope="node",
        facts=facts,
    )


def _facts(opened: Opened) -> dict[str, str]:
    """Return what the head says about the measurement itself."""
    found: dict[str, str] = {}
    for line in opened.lines:
        entry = _entry(line)
        if entry is not None and entry.get("key") in ("conversion_eff", "measurement_type"):
            found[str(entry["key"])] = str(entry.get("value"))[:40]
    return found


def _blocks(opened: Opened, options: Options, findings: Findings) -> Iterator[Block]:
    rows = Rows()
    total = 0
    measuring: bool | None = None
    mark = f"mlperf-{opened.mark}"
    for number, line in opened.text_lines():
        if MARK not in line:
            continue
        entry = _entry(line)
        if entry is None:
            findings.add("torn-entry", "an entry is cut short or no JSON", line=number)
            continue
        key = entry.get("key")
        if key == "power_measurement_start":
            measuring = True
        elif key == "power_measurement_stop":
            measuring = False
        elif key == "interconnect_power_est":
            findings.add("estimate-unread", "interconnect power is an estimate", line=number)
        elif key == "conversion_eff":
            findings.add("conversion-unapplied", "supply efficiency is kept, not applied")
        elif key == "power_reading":
            if not measuring:
                findings.add("outside-measurement", "readings outside start and stop", line=number)
            time, reading = _reading(entry, opened, number)
            rows.add(_node(entry, options, mark), time, {"power_mw": reading})
            total += 1
            if len(rows) >= BLOCK_ROWS:
                yield rows.block()
                rows = Rows()
    if not total:
        raise ImportFormatError("holds no power_reading", file=opened.name)
    if len(rows):
        yield rows.block()


def _entry(line: str) -> Mapping[str, Any] | None:
    place = line.find(MARK)
    if place < 0:
        return None
    try:
        found = json.loads(line[place + len(MARK) :], parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _reading(entry: Mapping[str, Any], opened: Opened, number: int) -> tuple[int, Reading]:
    stamp, value = entry.get("time_ms"), entry.get("value")
    time = None
    if isinstance(stamp, int | Decimal) and not isinstance(stamp, bool):
        time = epoch_ns(Decimal(stamp), "unix-ms")
    reading = None
    if isinstance(value, int | Decimal | str) and not isinstance(value, bool):
        reading = units.reading("power_mw", str(value), "W")
    if time is None or reading is None:
        raise ImportFormatError(
            f"power_reading {str(value)[:40]!r} at {str(stamp)[:40]!r} is no figure in watts with "
            "a stamp in milliseconds",
            file=opened.name,
            line=number,
        )
    return time, reading


def _node(entry: Mapping[str, Any], options: Options, mark: str) -> Device:
    metadata = entry.get("metadata")
    told = metadata.get("host") if isinstance(metadata, dict) else None
    node = options.node or (identity.safe(told) if isinstance(told, str) and told else None)
    return Device(key=identity.slot_key(node, "node", fallback=mark), node=node)
