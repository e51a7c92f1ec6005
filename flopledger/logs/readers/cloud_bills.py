"""Bills of cloud providers: hours of instances, and so of the devices in them.

AWS' Cost and Usage Report in both forms, Azure's cost details, Google's billing export. A bill says what was
held and paid for, not what it was used for; the devices of an instance type are the hardware database's word.
"""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import blake2b

import hardware_db
from flopledger import foreign_json
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes
from flopledger.logs.numbers import parse_number
from flopledger.logs.reader import Reader
from flopledger.text import number

Row = dict[str, str]
_COLUMNS = 2_000
_NOT_WORD = re.compile(r"[^a-z0-9]+")
_HOURS = {
    "hrs": 3600.0, "hr": 3600.0, "hour": 3600.0, "hours": 3600.0, "h": 3600.0,
    "second": 1.0, "seconds": 1.0, "sec": 1.0, "s": 1.0, "minute": 60.0, "minutes": 60.0,
}  # fmt: skip
#: Lines of AWS that are usage; the others are fees, credits, taxes, and savings told a second time.
_AWS_USAGE = frozenset({"usage", "discountedusage", "savingsplancoveredusage"})
_AWS_TYPE = re.compile(
    r"(?:^|-)(?:Host|Dedicated|Spot|Heavy)?(?:BoxUsage|Usage|Train|Cluster):(?:ml\.)?"
    r"([a-z][a-z0-9-]{1,20}\.[a-z0-9-]{2,20})",
    re.I,
)
_AWS_UNUSED = re.compile(r"Unused", re.I)
#: "1 Hour"; of "10 Hours" and "100 Hours" nobody knows what the quantity counts.
_PACK = re.compile(r"(\d{1,6})?\s*([A-Za-z]{1,10})", re.ASCII)
_GOOGLE_GPU = re.compile(
    r"\bNvidia (?:Tesla )?([A-Za-z0-9 -]{1,30}?) GPU\b(?! .{0,40}(?:commitment|reserv))", re.I
)
_GOOGLE_TPU = re.compile(r"\bTPU", re.I)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Held:
    """Devices held for a time: one line of a bill."""

    part: str
    seconds: float  #: of devices


@dataclass(kw_only=True, slots=True)
class _Sum:
    """What a bill comes to."""

    seconds: dict[str, float] = field(default_factory=dict)  #: of devices, by part
    lines: int = 0
    left_out: dict[str, int] = field(default_factory=dict)  #: lines that cannot be counted, by why
    unused: int = 0  #: lines of reserved capacity that nobody used

    def leave_out(self, why: str) -> None:
        """Remember a line that speaks of machines and enters no sum."""
        self.left_out[why[:60]] = self.left_out.get(why[:60], 0) + 1


def _normal(name: str) -> str:
    """Spell a column's name one way: ``lineItem/UsageType`` as ``lineitem_usagetype``."""
    return _NOT_WORD.sub("_", name.strip().lower()).strip("_")


def _header(head: bytes) -> set[str]:
    first = head.split(b"\n", 1)[0].decode("utf-8-sig", "replace")
    try:
        cells = next(csv.reader([first.rstrip("\r")]), [])
    except csv.Error:
        return set()
    return {_normal(cell) for cell in cells[:_COLUMNS]}


def _compact(names: set[str]) -> set[str]:
    return {name.replace("_", "") for name in names}


def sniff_aws(head: bytes, _name: str) -> bool:
    """Recognise the report's columns, in the older and the newer spelling."""
    wanted = {"lineitemusageamount", "lineitemusagetype", "lineitemlineitemtype"}
    return wanted <= _compact(_header(head))


def sniff_azure(head: bytes, _name: str) -> bool:
    """Recognise the columns of the cost details of every kind of contract."""
    found = _compact(_header(head))
    return {"metercategory", "additionalinfo"} <= found and bool(
        found & {"quantity", "usagequantity"}
    )


def sniff_google(head: bytes, _name: str) -> bool:
    """Recognise the export's columns, as BigQuery or the console flattens them."""
    return {"skudescription", "usageamount", "usageunit"} <= _compact(_header(head))


def _rows(document: Document) -> Iterator[tuple[int, Row]]:
    reader = csv.reader(text for _, text in document.lines())
    try:
        header = [_normal(cell).replace("_", "") for cell in next(reader)]
        repeated = sorted({cell for cell in header if cell and header.count(cell) > 1})
        if repeated:
            raise EvidenceError(f"{document.name}: column {repeated[0]!r} stands twice")
        for count, row in enumerate(reader, start=2):
            if len(row) > len(header):
                raise EvidenceError(
                    f"{document.name}: row {count} has {len(row)} cells, the header {len(header)}"
                )
            yield count, dict(zip(header, (cell.strip() for cell in row), strict=False))
    except (csv.Error, StopIteration) as error:
        raise EvidenceError(f"{document.name}: not a readable table ({error})") from None


def _of_aws(row: Row, found: _Sum) -> _Held | None:
    if row.get("lineitemlineitemtype", "").lower() not in _AWS_USAGE:
        return None
    usage = row.get("lineitemusagetype", "")
    match = _AWS_TYPE.search(usage)
    if match is None:
        found.unused += _AWS_UNUSED.search(usage) is not None and _is_known(row, usage)
        return None
    unit = row.get("pricingunit", "") or "Hrs"
    return _instance(match[1], row.get("lineitemusageamount"), unit, found)


def _is_known(row: Row, usage: str) -> bool:
    name = row.get("productinstancetype", "") or usage.rpartition(":")[2]
    try:
        hardware_db.instance(name)
    except hardware_db.HardwareError:
        return False
    return True


def _of_azure(row: Row, found: _Sum) -> _Held | None:
    if row.get("metercategory", "").lower() != "virtual machines":
        return None
    if row.get("chargetype", "usage").lower() not in ("usage", ""):
        return None
    kind = (foreign_json.table(row.get("additionalinfo", "")) or {}).get("ServiceType")
    if not isinstance(kind, str):
        return None
    amount = row.get("quantity", "") or row.get("usagequantity", "")
    unit = row.get("unitofmeasure", "") or "1 Hour"
    pack = _PACK.fullmatch(unit)
    if pack is None or pack[1] not in (None, "1"):
        # Whether the quantity is in packs or in hours, contracts say differently.
        found.leave_out(f"{kind[:40]} in {unit[:18]}")
        return None
    return _instance(kind, amount, unit, found)


def _of_google(row: Row, found: _Sum) -> _Held | None:
    if row.get("costtype", "regular").lower() not in ("regular", "usage", ""):
        return None
    sku = row.get("skudescription", "")
    match = _GOOGLE_GPU.search(sku)
    if match is None:
        if _GOOGLE_TPU.search(sku):
            found.leave_out(sku)
        return None
    name = " ".join(match[1].split()).upper()
    seconds = _seconds(row.get("usageamount"), row.get("usageunit", ""), name, found)
    return None if seconds is None else _Held(part=_google_part(name), seconds=seconds)


#: Google's word for a GPU -> a machine type that has it: Google offers one form of each.
_GOOGLE_MACHINES = {
    "A100": "a2-highgpu-1g",
    "A100 40GB": "a2-highgpu-1g",
    "A100 80GB": "a2-ultragpu-1g",
    "H100 80GB": "a3-highgpu-8g",
    "H100": "a3-highgpu-8g",
    "H100 MEGA 80GB": "a3-megagpu-8g",
    "H100 80GB MEGA": "a3-megagpu-8g",
    "H100 PLUS 80GB": "a3-megagpu-8g",
    "H200 141GB": "a3-ultragpu-8g",
    "H200": "a3-ultragpu-8g",
}


def _google_part(name: str) -> str:
    machine = _GOOGLE_MACHINES.get(name)
    if machine is None:
        return name
    try:
        return hardware_db.instance(machine).accelerator.id
    except hardware_db.HardwareError:
        return name


def _instance(kind: str, amount: object, unit: str, found: _Sum) -> _Held | None:
    """Give the device-seconds of instance-hours; a kind without known devices is counted by its name."""
    try:
        instance = hardware_db.instance(kind)
    except hardware_db.HardwareError:
        found.leave_out(kind)
        return None
    seconds = _seconds(amount, unit, kind, found)
    if seconds is None:
        return None
    return _Held(part=instance.accelerator.id, seconds=seconds * float(Fraction(instance.count)))


def _seconds(amount: object, unit: str, kind: str, found: _Sum) -> float | None:
    """Give a line's seconds; one that cannot be read, or is negative (a refund), is left out and said."""
    value, match = parse_number(amount), _PACK.fullmatch(unit.strip())
    if value is None or value < 0 or match is None or match[2].lower() not in _HOURS:
        found.leave_out(f"{kind[:30]}: {str(amount)[:14]!r} {unit[:12]}")
        return None
    return float(value) * _HOURS[match[2].lower()] or None  # of nothing, nothing is to be said


_Take = Callable[[Row, _Sum], _Held | None]


def _reads(take: _Take, key: str) -> Callable[[Document, Notes], None]:
    """Make the reader of one provider's bill; ``key`` tells a line that stands twice."""

    def read(document: Document, notes: Notes) -> None:
        found, twice, rows = _Sum(), 0, 0
        seen: set[bytes] = set()
        for _, row in _rows(document):
            rows += 1
            held = take(row, found)
            if held is None:
                continue
            if row.get(key):
                # A month of a cluster is millions of cells: their digest tells a line that stands twice.
                mark = blake2b("\x1f".join(row.values()).encode(), digest_size=16).digest()
                if mark in seen:
                    twice += 1
                    continue
                seen.add(mark)
            found.lines += 1
            found.seconds[held.part] = found.seconds.get(held.part, 0.0) + held.seconds
        _note(found, twice, rows, notes)

    return read


def _note(found: _Sum, twice: int, rows: int, notes: Notes) -> None:
    if twice:
        notes.finding(
            "duplicate-lines",
            "info",
            f"{twice} lines of the bill repeat another to the letter; each was counted once",
            "the table",
        )
    if found.left_out:
        shown = ", ".join(list(found.left_out)[:6])
        notes.finding(
            "bill-lines-left-out",
            "info",
            f"{sum(found.left_out.values())} lines are of kinds without a known accelerator, or of amounts "
            f"that are none ({shown}): they are not counted",
            "the table",
        )
    if not found.seconds:
        notes.finding(
            "no-facts",
            "warning",
            f"none of {rows} lines of the bill is of an instance or device with a known accelerator",
            "the table",
        )
    elif len(found.seconds) > 1:
        shown = ", ".join(
            f"{part} {number(seconds / 3600)} h"
            for part, seconds in sorted(found.seconds.items())[:6]
        )
        notes.finding(
            "several-runs",
            "warning",
            f"the bill holds device-hours of several parts ({shown}): whose are the run's, nobody says, and "
            "none is taken; hand in the lines of this run",
            "the table",
        )
    else:
        ((part, seconds),) = found.seconds.items()
        place = f"sum of {found.lines} lines"
        notes.fact("accelerator", part, place)
        notes.fact("accelerator_seconds", seconds, place)
        unused = (
            f", of which {found.unused} lines of unused reservations are not"
            if found.unused
            else ""
        )
        notes.finding(
            "billed-not-used",
            "info",
            f"{number(seconds / 3600)} device-hours of {part} were billed{unused}: held and paid for, which "
            "is not used, and the bill may hold other work or lack an account of it",
            place,
        )


AWS = Reader(format="aws-bill", sniff=sniff_aws, read=_reads(_of_aws, "identitylineitemid"))
AZURE = Reader(format="azure-bill", sniff=sniff_azure, read=_reads(_of_azure, ""))
GOOGLE = Reader(format="google-bill", sniff=sniff_google, read=_reads(_of_google, ""))
