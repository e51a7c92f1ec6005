"""Pages of ``nvidia-smi``: the table that it prints, ``-L``, ``-q``, ``-q -x``. An inventory of one moment.

They tell which parts a host has, with how much memory, whether they were cut into slices or held below their
power. They tell nothing of how long, and a host's devices are not a run's.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from flopledger.facts import Grade
from flopledger.logs import limits
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import is_placeholder, parse_positive
from flopledger.logs.reader import Reader
from flopledger.logs.smi_table import SmiTable
from flopledger.logs.stamps import short_lines

#: A page is of one host, and nobody says of how many: it bounds no run.
_ON_HOST = "host_accelerators"
_DEPTH = 32
_DEVICES = 1_024
_QUANTITY = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(MiB|W)", re.ASCII)
_PAIR = re.compile(r"^(\s{0,24})([A-Za-z][\w ./()-]{0,60}?)\s{0,60}:\s(.{0,200})$")
_SECTION = re.compile(r"^(\s{4,24})([A-Z][\w ./()-]{0,60}?)\s*$")
_GPU = re.compile(r"^GPU ([0-9A-Fa-f]{8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.\d)\s*$")


@dataclass(kw_only=True, slots=True)
class _Device:
    """What a page says of one device: the words behind the labels, by section and label."""

    place: str
    said: dict[str, str] = field(default_factory=dict)


def sniff_table(head: bytes, _name: str) -> bool:
    """Recognise the table by its first lines: a stamp may stand before it, and nothing else."""
    lines = [one for one in head[:4000].splitlines() if one.strip()][:4]
    return any(b"| NVIDIA-SMI " in one for one in lines)


def read_table(document: Document, notes: Notes) -> None:
    """Write down the devices of the table."""
    table = SmiTable()
    for number, text in short_lines(document):
        table.take(number, text)
    if not table.devices:
        raise EvidenceError(f"{document.name}: nvidia-smi's table without a device")
    table.note(notes, count=_ON_HOST)
    _note_moment(notes)


_LISTED = re.compile(r"^GPU (\d{1,3}): (\S.{0,80}?) \(UUID: GPU-[0-9a-fA-F-]{8,36}\)\s*$", re.ASCII)
_SLICE = re.compile(r"^\s{1,8}MIG \S{1,30}\s{1,20}Device\s{1,8}\d{1,3}: ", re.ASCII)


def sniff_list(head: bytes, _name: str) -> bool:
    """Recognise ``nvidia-smi -L`` by its first line, which is of the first device."""
    return re.match(rb"\s*GPU \d{1,3}: [^\n]{1,80} \(UUID: GPU-", head) is not None


def read_list(document: Document, notes: Notes) -> None:
    """Write down the devices of the list."""
    devices: dict[str, _Device] = {}
    for number, text in short_lines(document):
        if match := _LISTED.match(text):
            devices.setdefault(match[1], _Device(place=line(number), said={"name": match[2]}))
            if len(devices) > _DEVICES:
                raise EvidenceError(f"{document.name}: more than {_DEVICES} devices on one page")
        elif devices and _SLICE.match(text):
            list(devices.values())[-1].said["mig"] = "enabled"
    keys = {key: key for key in ("name", "memory", "mig", "limit", "usual")}
    _note_devices(list(devices.values()), keys, document.name, notes)


def sniff_query(head: bytes, _name: str) -> bool:
    """Recognise ``nvidia-smi -q`` by its rule."""
    return re.search(rb"(?m)^=+NVSMI LOG=+\s*$", head[:4000]) is not None


def read_query(document: Document, notes: Notes) -> None:
    """Write down the devices of ``nvidia-smi -q``, whose sections are told by how far they are set in."""
    devices: dict[str, _Device] = {}
    current: _Device | None = None
    section = ""
    for number, text in short_lines(document):
        if match := _GPU.match(text):
            current = devices.setdefault(match[1], _Device(place=line(number)))
            section = ""
            if len(devices) > _DEVICES:
                raise EvidenceError(f"{document.name}: more than {_DEVICES} devices on one page")
        elif current is None:
            continue
        elif match := _PAIR.match(text):
            inside = f"{section}/" if len(match[1]) > 4 else ""
            current.said.setdefault(f"{inside}{match[2].strip()}", match[3].strip())
        elif (match := _SECTION.match(text)) and len(match[1]) <= 4:
            section = match[2]
    _note_devices(
        list(devices.values()),
        {
            "name": "Product Name",
            "memory": "FB Memory Usage/Total",
            "mig": "MIG Mode/Current",
            "limit": ("GPU Power Readings/Current Power Limit", "Power Readings/Power Limit"),
            "usual": (
                "GPU Power Readings/Default Power Limit",
                "Power Readings/Default Power Limit",
            ),
        },
        document.name,
        notes,
    )


def sniff_xml(head: bytes, _name: str) -> bool:
    """Recognise ``nvidia-smi -q -x`` by its root; page after page is a recording, and no inventory."""
    beginning = head[:4000].lstrip()
    is_page = beginning[:1] == b"<" and b"<nvidia_smi_log>" in beginning
    return is_page and head.count(b"<nvidia_smi_log>") == 1


class _Tree:
    """Collects the leaves below each ``<gpu>``; declares nothing, resolves nothing, goes to no depth."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.devices: list[_Device] = []
        self._path: list[str] = []
        self._text = ""
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._words
        self.parser.EntityDeclHandler = self._entity

    def _entity(self, *_: object) -> None:
        raise EvidenceError(f"{self.name}: XML that declares entities is not read")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._path.append(tag)
        self._text = ""
        if len(self._path) > _DEPTH:
            raise EvidenceError(f"{self.name}: XML nested too deep")
        if self._path == ["nvidia_smi_log", "gpu"]:
            self.devices.append(_Device(place=f"gpu {attributes.get('id', '')[:40]}"))
            if len(self.devices) > _DEVICES:
                raise EvidenceError(f"{self.name}: more than {_DEVICES} devices on one page")

    def _words(self, text: str) -> None:
        if len(self._text) < limits.NUMBER_CHARACTERS * 4:
            self._text += text

    def _end(self, _tag: str) -> None:
        if self.devices and self._path[:2] == ["nvidia_smi_log", "gpu"]:
            self.devices[-1].said.setdefault("/".join(self._path[2:]), self._text.strip())
        self._path.pop()
        self._text = ""


def read_xml(document: Document, notes: Notes) -> None:
    """Write down the devices of ``nvidia-smi -q -x``."""
    tree = _Tree(document.name)
    try:
        tree.parser.Parse(document.bytes(limits.SMALL_BYTES), True)  # noqa: FBT003 - expat's own signature
    except expat.ExpatError as error:
        raise EvidenceError(f"{document.name}: not valid XML ({error})") from None
    _note_devices(
        tree.devices,
        {
            "name": "product_name",
            "memory": "fb_memory_usage/total",
            "mig": "mig_mode/current_mig",
            "limit": ("gpu_power_readings/current_power_limit", "power_readings/power_limit"),
            "usual": (
                "gpu_power_readings/default_power_limit",
                "power_readings/default_power_limit",
            ),
        },
        document.name,
        notes,
    )


def _note_devices(
    devices: list[_Device],
    keys: Mapping[str, str | tuple[str, ...]],
    name: str,
    notes: Notes,
) -> None:
    if not devices:
        raise EvidenceError(f"{name}: nvidia-smi's page without a device")
    for part in dict.fromkeys(_said(one, keys["name"]) for one in devices):
        if part is not None and not is_placeholder(part):
            notes.fact("accelerator", part, devices[0].place, grade=Grade.INSTRUMENT)
    notes.fact(_ON_HOST, len(devices), devices[0].place)
    memory = _number(_said(devices[0], keys["memory"]), "MiB")
    if memory is not None:
        notes.fact("accelerator_memory_bytes", int(memory) << 20, devices[0].place)
    _note_caps(devices, keys, notes)
    if any((_said(one, keys["mig"]) or "").lower() == "enabled" for one in devices):
        notes.finding(
            "unit-ambiguity",
            "warning",
            "MIG is enabled: what a program calls a device may be a slice of one, and the peak of the whole "
            "part is an upper bound for it",
            devices[0].place,
        )
    _note_moment(notes)


def _note_caps(
    devices: list[_Device], keys: Mapping[str, str | tuple[str, ...]], notes: Notes
) -> None:
    """Say where devices were held below their usual power."""
    held = []
    for one in devices:
        limit = _number(_said(one, keys["limit"]), "W")
        usual = _number(_said(one, keys["usual"]), "W")
        if limit is not None and usual is not None and limit < usual:
            held.append((limit, usual, one.place))
    if held:
        limit, usual, place = held[0]
        words = f"{len(held)} of {len(devices)} devices were held to {limit:g} W of {usual:g} W"
        notes.fact("hardware_notes", words, place)


def _said(device: _Device, keys: str | tuple[str, ...]) -> str | None:
    names = (keys,) if isinstance(keys, str) else keys
    return next((device.said[name] for name in names if name in device.said), None)


def _number(text: str | None, unit: str) -> float | None:
    match = _QUANTITY.fullmatch((text or "").strip())
    if match is None or match[2] != unit:
        return None
    found = parse_positive(match[1])
    return None if found is None else float(found)


def _note_moment(notes: Notes) -> None:
    notes.finding(
        "not-evidence-alone",
        "info",
        "nvidia-smi's page is an inventory of one moment on one host: it tells no time, and the run may have "
        "used fewer devices; a recording is `nvidia-smi --query-gpu=... --format=csv -l 1`",
        "the file",
    )


TABLE = Reader(format="nvidia-smi-table", sniff=sniff_table, read=read_table)
LIST = Reader(format="nvidia-smi-list", sniff=sniff_list, read=read_list)
QUERY = Reader(format="nvidia-smi-q", sniff=sniff_query, read=read_query)
XML = Reader(format="nvidia-smi-xml", sniff=sniff_xml, read=read_xml)
