"""``nvidia-smi -q -x -l 5 > gpu.xml``: page after page of XML, each one moment of all devices.

A page alone is an inventory and no recording. Nothing is declared or resolved: a page with entities of
its own is refused. Stamps have whole seconds and no zone.
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from xml.parsers import expat

from profilers.importers import identity, stamps
from profilers.importers.errors import ImportFormatError, LimitError
from profilers.importers.opened import Opened
from profilers.importers.options import Options
from profilers.importers.recording import Block, Clock, Findings, Recording, Rows
from profilers.importers.table import Column, Role
from profilers.importers.table_cells import cell_reading
from profilers.reading import Reading, is_number
from profilers.trace import Device

NAME = "nvidia-smi-xml"
BLOCK_ROWS = 50_000
_END = "</nvidia_smi_log>"
_PAGE_CHARACTERS = 8 * 1024**2
_DEPTH, _DEVICES, _TEXT = 32, 1024, 256
_STAMP = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d:\d\d:\d\d) (\d{4})")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
#: Signal: where pages of newer and of older drivers have it, and its unit as printed.
_SIGNALS: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    (
        "power_mw",
        (
            "gpu_power_readings/instant_power_draw",
            "gpu_power_readings/power_draw",
            "power_readings/power_draw",
        ),
        "W",
        "W",
    ),
    ("power_average_mw", ("gpu_power_readings/average_power_draw",), "W", "W"),
    (
        "power_limit_mw",
        (
            "gpu_power_readings/current_power_limit",
            "power_readings/enforced_power_limit",
            "power_readings/power_limit",
        ),
        "W",
        "W",
    ),
    ("gpu_util_permille", ("utilization/gpu_util",), "%", "%"),
    ("memory_util_permille", ("utilization/memory_util",), "%", "%"),
    ("sm_clock_mhz", ("clocks/sm_clock",), "MHz", "MHz"),
    ("memory_clock_mhz", ("clocks/mem_clock",), "MHz", "MHz"),
    ("memory_used_bytes", ("fb_memory_usage/used",), "MiB", "MiB"),
    ("temperature_c", ("temperature/gpu_temp",), "C", "C"),
    ("memory_temperature_c", ("temperature/memory_temp",), "C", "C"),
)
_COLUMNS = {
    name: Column(title=name, role=Role.SIGNAL, signal=name, unit=unit, suffix=suffix)
    for name, _, unit, suffix in _SIGNALS
}
_MEMORY = Column(
    title="memory", role=Role.FACT, signal="memory_used_bytes", unit="MiB", suffix="MiB"
)
_Leaves = dict[str, str]


def recognise(opened: Opened) -> bool:
    """Say whether the head is a page of nvidia-smi's XML."""
    start = opened.head[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    return start.startswith(b"<") and b"<nvidia_smi_log>" in start


def read(opened: Opened, options: Options) -> Recording:
    """Open a recording; one page alone is refused."""
    findings = Findings()
    pages = _pages(opened, findings)
    first = list(itertools.islice(pages, 2))
    if len(first) < 2:
        raise ImportFormatError(
            "is one page of nvidia-smi's XML, which is one moment; record it in a loop (`-l 5`), or "
            "`nvidia-smi --query-gpu=... -l 1`",
            file=opened.name,
        )
    if options.zone is None:
        findings.add("zone-unknown", "local stamps without a zone; dates may be hours off")
    clock = Clock.LOCAL if options.zone is None else Clock.WALL
    blocks = _blocks(itertools.chain(first, pages), opened, options, findings)
    return Recording(format=NAME, clock=clock, blocks=blocks, findings=findings)


def _pages(opened: Opened, findings: Findings) -> Iterator[tuple[int, str]]:
    """Cut the file behind each page; give the line of its end and its text."""
    kept: list[str] = []
    size = number = 0
    for number, text in opened.text_lines():
        before, end, text = text.partition(_END)
        kept.append(before + end)
        size += len(before) + 1
        if size > _PAGE_CHARACTERS:
            raise LimitError("a page of more than 8 MiB is none", file=opened.name, line=number)
        if end:
            yield number, "\n".join(kept).strip()
            kept, size = [text], len(text)
    if "".join(kept).strip():
        findings.add("torn-tail", "the last page is cut short", line=number)


def _blocks(
    pages: Iterable[tuple[int, str]], opened: Opened, options: Options, findings: Findings
) -> Iterator[Block]:
    rows = Rows()
    known: dict[str, Device] = {}
    for number, text in pages:
        page = _Page(opened.name, number)
        page.parse(text)
        time = _time(page.top.get("timestamp", ""), options, opened.name, number)
        for place, leaves in page.devices:
            if place not in known:
                known[place] = _device(place, leaves, page.top, opened, options)
            rows.add(known[place], time, _readings(leaves, findings, opened.name, number))
        if len(rows) >= BLOCK_ROWS:
            yield rows.block()
            rows = Rows()
    if len(rows):
        yield rows.block()


class _Page:
    """The leaves of one page: its own, and those below each ``<gpu>``."""

    def __init__(self, file: str, line: int) -> None:
        self.file, self.line = file, line
        self.top: _Leaves = {}
        self.devices: list[tuple[str, _Leaves]] = []
        self._path: list[str] = []
        self._text = ""

    def parse(self, text: str) -> None:
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._words
        parser.EntityDeclHandler = self._entity
        try:
            parser.Parse(text.encode(), True)  # noqa: FBT003 - expat's own signature
        except expat.ExpatError as error:
            raise self._wrong(f"a page is not valid XML ({error})") from None

    def _wrong(self, said: str) -> ImportFormatError:
        return ImportFormatError(said, file=self.file, line=self.line)

    def _entity(self, *_: object) -> None:
        raise self._wrong("XML that declares entities is not read")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._path.append(tag)
        self._text = ""
        if len(self._path) > _DEPTH:
            raise self._wrong("XML nested too deep")
        if self._path == ["nvidia_smi_log", "gpu"]:
            if len(self.devices) >= _DEVICES:
                raise self._wrong(f"more than {_DEVICES} devices on one page")
            self.devices.append((attributes.get("id", "")[:64] or f"{len(self.devices)}", {}))

    def _words(self, text: str) -> None:
        if len(self._text) < _TEXT:
            self._text += text

    def _end(self, _tag: str) -> None:
        if self.devices and self._path[:2] == ["nvidia_smi_log", "gpu"]:
            self.devices[-1][1].setdefault("/".join(self._path[2:]), self._text.strip())
        elif len(self._path) == 2:
            self.top.setdefault(self._path[1], self._text.strip())
        self._path.pop()
        self._text = ""


def _time(text: str, options: Options, file: str, line: int) -> int:
    """Read ``Fri Oct 11 18:24:09 2024``."""
    match = _STAMP.fullmatch(text)
    found = None
    if match is not None and match[1] in _MONTHS:
        month = _MONTHS.index(match[1]) + 1
        found = stamps.civil(f"{match[4]}-{month:02d}-{int(match[2]):02d} {match[3]}", options.zone)
    if found is None:
        raise ImportFormatError(
            f"the page's stamp is {text[:60]!r}, which is none of nvidia-smi's (LC_ALL=C)",
            file=file,
            line=line,
        )
    return found[0]


def _device(place: str, leaves: _Leaves, top: _Leaves, opened: Opened, options: Options) -> Device:
    uuid = leaves.get("uuid", "")
    memory = cell_reading(_MEMORY, leaves.get("fb_memory_usage/total", ""))
    driver = top.get("driver_version")
    name = leaves.get("product_name") or None
    mark = f"nvidia-smi-{opened.mark}"
    known = identity.is_uuid(uuid)
    return Device(
        key=identity.gpu(uuid=uuid, index=None, node=None, fallback=mark).key
        if known
        else identity.slot_key(options.node, place, fallback=mark),
        name=name,
        vendor="nvidia",
        node=options.node,
        pci_bus_id=place,
        memory_bytes=round(memory) if memory is not None and is_number(memory) else None,
        driver_version=identity.safe(driver) if driver else None,
    )


def _readings(leaves: _Leaves, findings: Findings, file: str, line: int) -> dict[str, Reading]:
    """Read the figures of one device; what a page does not have is not in its row."""
    found: dict[str, Reading] = {}
    for signal, places, _, _ in _SIGNALS:
        place = next((one for one in places if one in leaves), None)
        if place is None:
            continue
        if place.endswith("/power_draw"):
            findings.add(
                "power-scope-unknown",
                "power_draw is a one-second mean on Ampere and later (GA100 apart), instant before",
            )
        reading = cell_reading(_COLUMNS[signal], leaves[place])
        if reading is None:
            raise ImportFormatError(
                f"{place} is {leaves[place][:60]!r}, which is no figure in {_COLUMNS[signal].unit}",
                file=file,
                line=line,
            )
        found[signal] = reading
    return found
