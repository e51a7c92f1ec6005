"""CodeCarbon's ``emissions.csv`` in its three generations of headers.

Columns are matched by name. ``gpu_energy`` is in kWh and covers every GPU that CodeCarbon tracked,
together; ``gpu_power`` is the last sample and not read. The oldest generation has only
``energy_consumed``, which holds CPU and memory too. Rows of one run whose duration grows are
cumulative. The stamp is the end of the row, local time. Coordinates and place names are not read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from profilers.importers import identity, stamps, units
from profilers.importers.errors import ImportFormatError
from profilers.importers.opened import Opened
from profilers.importers.options import Options
from profilers.importers.recording import Block, Clock, Findings, Recording
from profilers.importers.table_cells import split
from profilers.importers.windows import Window, rows_of, whole_lines
from profilers.reading import Reading, Reason, Unavailable, is_number
from profilers.trace import Device, DeviceKey

NAME = "codecarbon"
MAX_LINES = 1_000_000
_LONGEST_S = 100 * 366 * 86_400
#: What every generation has; the place is left out by those who redact it.
_NEEDED = {"timestamp", "project_name", "duration", "emissions", "energy_consumed"}


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    end_ns: int
    dated: bool
    """The stamp is a moment: its zone is written or was stated."""
    duration: Decimal
    energy: Reading  # millijoules
    run: str
    device: Device


def recognise(opened: Opened) -> bool:
    """Say whether the first line has the columns that every generation has."""
    try:
        return bool(opened.lines) and set(_titles(opened, 1, opened.lines[0])).issuperset(_NEEDED)
    except ImportFormatError:
        return False


def _titles(opened: Opened, number: int, line: str) -> list[str]:
    return [cell.strip() for cell in split(line, ",", opened.name, number)]


def generation(titles: list[str]) -> int:
    """Return which of the three headers this is."""
    if "run_id" not in titles or "gpu_energy" not in titles:
        return 1
    return 3 if "water_consumed" in titles or "wue" in titles else 2


def read(opened: Opened, options: Options) -> Recording:
    """Open an emissions file."""
    titles = _titles(opened, 1, opened.lines[0])
    if len(set(titles)) != len(titles):
        raise ImportFormatError("a column stands twice in the header", file=opened.name, line=1)
    findings = Findings()
    which = generation(titles)
    rows = list(_rows(opened, titles, which, options, findings))
    if not rows:
        raise ImportFormatError("has a header and no rows", file=opened.name)
    if which == 1:
        findings.add("total-energy", "the energy holds CPU and memory (often modelled), not GPUs")
    dated = all(row.dated for row in rows)
    if not dated and any(row.dated for row in rows):
        raise ImportFormatError(
            "some stamps have a zone and others have none; state the zone of those (--zone)",
            file=opened.name,
        )
    if not dated:
        findings.add("zone-unknown", "local stamps without a zone; dates may be hours off")
    findings.add("host-devices", "CodeCarbon counts all GPUs of the host unless it was restricted")

    def blocks() -> Iterator[Block]:
        yield rows_of(_windows(rows, findings), findings).block()

    return Recording(
        format=NAME,
        clock=Clock.WALL if dated else Clock.LOCAL,
        blocks=blocks(),
        findings=findings,
        scope="node" if which == 1 else "devices-together",
        facts={"header_generation": str(which)},
    )


def _rows(
    opened: Opened, titles: list[str], which: int, options: Options, findings: Findings
) -> Iterator[_Row]:
    def is_header(number: int, line: str) -> bool:
        return _titles(opened, number, line) == titles

    lines = whole_lines(
        opened, len(titles), findings, is_header=is_header, most=MAX_LINES, what="row"
    )
    return (_row(number, line, opened, titles, which, options) for number, line in lines)


def _row(
    number: int, line: str, opened: Opened, titles: list[str], which: int, options: Options
) -> _Row:
    cells = split(line, ",", opened.name, number)
    if len(cells) != len(titles):
        raise ImportFormatError(
            f"has {len(cells)} cells under a header of {len(titles)}; rows of several versions in "
            "one file must be split",
            file=opened.name,
            line=number,
        )
    named = {title: cell.strip() for title, cell in zip(titles, cells, strict=True)}
    stamp = stamps.civil(named["timestamp"], options.zone)
    duration = units.number(named["duration"])
    energy = units.reading(
        "energy_mj", named["energy_consumed" if which == 1 else "gpu_energy"], "kWh"
    )
    if stamp is None or duration is None or not 0 <= duration < _LONGEST_S or energy is None:
        raise ImportFormatError(
            "the stamp, the duration or the energy does not fit its column",
            file=opened.name,
            line=number,
        )
    if is_number(energy) and energy == 0:
        energy = Unavailable(
            reason=Reason.ABSENT, detail="0 kWh: CodeCarbon writes this where it had no counter"
        )
    return _Row(
        line=number,
        end_ns=stamp[0],
        dated=stamp[1],
        duration=duration,
        energy=energy,
        run=named.get("run_id", "") or f"line {number}",
        device=_device(named, which, opened, options),
    )


def _device(named: dict[str, str], which: int, opened: Opened, options: Options) -> Device:
    mark = f"codecarbon-{opened.mark}"
    slot = "node" if which == 1 else "gpus"
    key = identity.slot_key(options.node, slot, fallback=mark)
    model = named.get("gpu_model", "")
    return Device(
        key=DeviceKey(uuid=key.uuid),
        name=model if which > 1 and model not in ("", "nan", "None") else None,
        node=options.node,
    )


def _windows(rows: list[_Row], findings: Findings) -> list[Window]:
    """Turn rows into windows; the rows of one run that grow are increments of one counter."""
    runs: dict[str, list[_Row]] = {}
    for row in rows:
        runs.setdefault(row.run, []).append(row)
    windows: list[Window] = []
    for members in runs.values():
        growing = all(a.duration < b.duration for a, b in pairwise(members))
        if len(members) > 1 and growing:
            findings.add("cumulative-rows", "rows of one run repeat its total; the last one counts")
            members = members[-1:]
        windows.extend(
            Window(
                start_ns=row.end_ns - int(row.duration * 10**9),
                end_ns=row.end_ns,
                energy=((row.device, row.energy),),
                line=row.line,
            )
            for row in members
        )
    if any(not is_number(e) for w in windows for _, e in w.energy):
        findings.add("zero-energy", "0 kWh of GPU energy means a missing counter, not no energy")
    return windows
