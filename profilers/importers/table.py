"""Rows of cells under a checked header: the strict path that every CSV-like format shares.

A format says what each column is (``Table``); this module walks the lines, refuses what does not
fit with its line and reason, and hands over blocks. ``bulk.py`` reads the same ``Table`` fast and
falls back on this path wherever it is not sure.
"""

import csv
import enum
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo

from profilers.importers import identity, stamps, units
from profilers.importers.errors import ImportFormatError
from profilers.importers.recording import Block, Findings, Rows
from profilers.reading import Reading, Unavailable, is_number
from profilers.trace import Device

BLOCK_ROWS = 50_000
MAX_DEVICES = 100_000
_DECIMAL_COMMA = re.compile(r"[+-]?[\d.]*\d,\d")


class Role(enum.StrEnum):
    """What a column is for."""

    STAMP = "stamp"
    INDEX = "index"
    UUID = "uuid"
    MIG = "mig"
    NAME = "name"
    NODE = "node"
    BUS = "bus"
    SIGNAL = "signal"
    FACT = "fact"
    SKIP = "skip"


IDENTITY = frozenset({Role.UUID, Role.MIG, Role.INDEX, Role.NODE, Role.BUS, Role.NAME})
"""Roles of the columns that tell devices apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column: what it is for and how its cells are written."""

    title: str
    """As the header has it, for messages."""
    role: Role
    signal: str = ""
    """The signal that its cells are readings of (role signal), or the device's field (fact)."""
    unit: str = ""
    """Unit of the figures."""
    suffix: str = ""
    """Unit as written behind each figure; empty where cells are bare figures."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table's columns and how its stamps and devices are to be read."""

    columns: tuple[Column, ...]
    stamp: str = "civil"
    """``civil`` or an epoch unit (``unix-s`` ...)."""
    delimiter: str = ","
    zone: tzinfo | None = None
    """Zone of stamps that carry none; None: unknown."""
    zoned: bool = False
    """The stamps carry their zone; then each of them must."""
    node: str | None = None
    """Host, where no column names it."""
    mark: str = "recording"
    """Stands for the host where nobody names it."""
    vendor: str | None = "nvidia"
    only_device: str | None = None
    """The slot of the one device that a table without device columns is about."""
    is_header: Callable[[Sequence[str]], bool] = field(default=lambda _: False)
    """Recognises a repeated header among the rows."""
    message: re.Pattern[str] | None = None
    """Lines that the tool itself prints between the rows."""
    missing: Mapping[str, Unavailable] = field(default_factory=dict)
    """The format's own words for a missing figure, beside the usual ones."""

    @property
    def dated(self) -> bool:
        """True where civil stamps are moments: their zone is written or was stated."""
        return self.zoned or self.zone is not None

    def place(self, role: Role) -> int | None:
        """Return the position of the first column with a role."""
        return next((i for i, column in enumerate(self.columns) if column.role is role), None)


class Fit:
    """Whether a header fits its columns: a shifted one puts most of a column out of its range.

    Judged over the whole file, for a block of it may be a single row.
    """

    def __init__(self, table: Table, file: str) -> None:
        self._table, self._file = table, file
        self._counts: dict[str, tuple[int, int]] = {}
        """By signal, how many of its figures are out of its range, and of how many rows."""

    def add(self, block: Block) -> None:
        """Take the next rows."""
        for column in self._table.columns:
            series = block.series.get(column.signal) if column.role is Role.SIGNAL else None
            if series is None:
                continue
            refused = [i + 1 for i, why in enumerate(series.palette) if why.raw is not None]
            bad, rows = self._counts.get(column.signal, (0, 0))
            bad += int(sum((series.codes == code).sum() for code in refused))
            self._counts[column.signal] = bad, rows + len(series)

    def check(self) -> None:
        """The file is over.

        Raises:
            ImportFormatError: a column is out of its range in most rows.

        """
        for column in self._table.columns:
            bad, rows = self._counts.get(column.signal, (0, 0))
            if column.role is Role.SIGNAL and bad * 2 > rows:
                raise ImportFormatError(
                    f"column {column.title!r} is outside its physical range in {bad} of {rows} "
                    "rows; the header does not fit the columns",
                    file=self._file,
                )


def rows(
    table: Table,
    lines: Iterable[tuple[int, str]],
    findings: Findings,
    file: str,
    *,
    torn_tail: bool = True,
    fit: Fit | None = None,
) -> Iterator[Block]:
    """Read the lines below the header, strictly.

    Args:
        table: The header, understood.
        lines: With their numbers.
        findings: What is worth saying joins them.
        file: Its name, for errors.
        torn_tail: The last line may be cut short.
        fit: Of a whole file of which these lines are a part; whoever reads it checks it.

    """
    seen = fit or Fit(table, file)
    reader = _Strict(table, findings, seen, file)
    pending: tuple[int, str] | None = None
    for line in lines:
        if pending is not None:
            reader.line(*pending, last=False)
            if len(reader.rows) >= BLOCK_ROWS:
                yield reader.flush()
        pending = line
    if pending is not None:
        reader.line(*pending, last=torn_tail)
    if len(reader.rows):
        yield reader.flush()
    if fit is None:
        seen.check()


class _Strict:
    def __init__(self, table: Table, findings: Findings, fit: Fit, file: str) -> None:
        self.table, self.findings, self.fit, self.file = table, findings, fit, file
        self.rows = Rows()
        self._devices: dict[tuple[str, ...], Device] = {}
        self._identity = [i for i, column in enumerate(table.columns) if column.role in IDENTITY]
        self._signals = [i for i, c in enumerate(table.columns) if c.role is Role.SIGNAL]
        self._facts = [i for i, c in enumerate(table.columns) if c.role is Role.FACT]
        self._stamp = table.place(Role.STAMP)

    def flush(self) -> Block:
        block = self.rows.block()
        self.fit.add(block)
        self.rows = Rows()
        return block

    def line(self, number: int, text: str, *, last: bool) -> None:
        if not text.strip():
            return
        if self.table.message is not None and self.table.message.search(text):
            self.findings.add("tool-message", text.strip()[:200], line=number)
            return
        cells = split(text, self.table.delimiter, self.file, number)
        if self.table.is_header(cells):
            self._same_header(number, cells)
            self.findings.add("repeated-header", "the header is repeated", line=number)
            return
        if len(cells) != len(self.table.columns):
            if last and len(cells) < len(self.table.columns):
                self.findings.add("torn-tail", "the last row is cut short", line=number)
                return
            raise ImportFormatError(
                f"has {len(cells)} cells under a header of {len(self.table.columns)}; "
                "correct the header or the row",
                file=self.file,
                line=number,
            )
        try:
            self._row(number, cells)
        except ImportFormatError:
            if last and number != 1 and self._cut(cells):
                self.findings.add("torn-tail", "the last row is cut short", line=number)
                return
            raise

    def _cut(self, cells: Sequence[str]) -> bool:
        """Say whether only the last cell is in the way: a row cut inside it."""
        column = self.table.columns[-1]
        return column.role is Role.SIGNAL and self._reading(column, cells[-1]) is None

    def _row(self, number: int, cells: list[str]) -> None:
        time = self._time(number, cells)
        readings: dict[str, Reading] = {}
        for place in self._signals:
            column = self.table.columns[place]
            value = self._reading(column, cells[place])
            if value is None:
                raise self._misfit(number, column, cells[place])
            if column.signal not in readings or not is_number(readings[column.signal]):
                readings[column.signal] = value
        self.rows.add(self._device(number, cells), time, readings)

    def _reading(self, column: Column, cell: str) -> Reading | None:
        return table_reading(self.table, column, cell.strip())

    def _time(self, number: int, cells: Sequence[str]) -> int:
        assert self._stamp is not None
        cell = cells[self._stamp].strip()
        if self.table.stamp == "civil":
            found = stamps.civil(cell, self.table.zone)
            time = None if found is None else found[0]
            if found is not None and found[1] != self.table.dated:
                raise self._half_zoned(number, cell)
        else:
            time = stamps.epoch(cell, self.table.stamp)
        if time is None:
            raise self._misfit(number, self.table.columns[self._stamp], cell)
        return time

    def _device(self, number: int, cells: Sequence[str]) -> Device:
        told = tuple(cells[place].strip() for place in self._identity)
        known = self._devices.get(told)
        if known is None:
            if len(self._devices) >= MAX_DEVICES:
                raise ImportFormatError(
                    f"more than {MAX_DEVICES} devices; a device column changes with each row",
                    file=self.file,
                    line=number,
                )
            titles = {self.table.columns[p].role: told[i] for i, p in enumerate(self._identity)}
            facts = {self.table.columns[p]: cells[p] for p in self._facts}
            known = device(self.table, titles, facts, self.file, number)
            self._devices[told] = known
        return known

    def _same_header(self, number: int, cells: Sequence[str]) -> None:
        """Refuse a header that is not the first one again: rows below it would be misread."""
        titles = [column.title for column in self.table.columns]
        found = [cell.strip().strip('"').strip() for cell in cells]
        if found != titles:
            place = next((i for i, t in enumerate(found) if titles[i : i + 1] != [t]), len(found))
            here = repr(found[place]) if place < len(found) else "nothing"
            there = repr(titles[place]) if place < len(titles) else "nothing"
            raise ImportFormatError(
                f"another header begins here (column {place + 1} is {here}, in the first one {there}); "
                "split the file at this line and import the parts with --append",
                file=self.file,
                line=number,
            )

    def _half_zoned(self, number: int, cell: str) -> ImportFormatError:
        here, there = ("no zone", "one") if self.table.zoned else ("a zone", "none")
        return ImportFormatError(
            f"the stamp {cell[:40]!r} has {here} and those above have {there}; state the zone of those "
            "without one (--zone)",
            file=self.file,
            line=number,
        )

    def _misfit(self, number: int, column: Column, cell: str) -> ImportFormatError:
        wanted = {Role.STAMP: "a stamp", Role.SIGNAL: f"a figure in {column.unit}"}
        if column.role is Role.SIGNAL and _DECIMAL_COMMA.match(cell.strip()):
            return ImportFormatError(
                f"column {column.title!r} holds {cell.strip()[:60]!r}, a decimal comma, which might as well "
                "part thousands; write figures with a point (LC_ALL=C)",
                file=self.file,
                line=number,
            )
        return ImportFormatError(
            f"column {column.title!r} holds {cell.strip()[:60]!r}, which is not "
            f"{wanted.get(column.role, column.role.value)}; the header does not fit this row",
            file=self.file,
            line=number,
        )


def split(text: str, delimiter: str, file: str, number: int) -> list[str]:
    """Split a line into cells; quotes are those of CSV."""
    if '"' not in text:
        return text.split(delimiter)
    try:
        return next(csv.reader([text], delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise ImportFormatError(f"is no CSV row: {error}", file=file, line=number) from error


def table_reading(table: Table, column: Column, bare: str) -> Reading | None:
    """Read one trimmed cell, the format's own words for a missing figure included."""
    return table.missing[bare] if bare in table.missing else cell_reading(column, bare)


def cell_reading(column: Column, bare: str) -> Reading | None:
    """Read one trimmed cell; None where it does not fit the column."""
    if column.suffix and bare not in units.MISSING:
        if not bare.endswith(column.suffix):
            return None
        bare = bare[: -len(column.suffix)].rstrip()
        return (
            None if units.number(bare) is None else units.reading(column.signal, bare, column.unit)
        )
    if column.unit == "mask" and re.fullmatch(r"0x[0-9a-fA-F]{1,16}", bare):
        mask = int(bare, 16)
        return mask if mask < 2**63 else None
    return units.reading(column.signal, bare, column.unit)


def device(
    table: Table,
    told: Mapping[Role, str],
    facts: Mapping[Column, str],
    file: str,
    number: int,
) -> Device:
    """Return the device that a row's identifying cells speak of."""
    index: int | None = None
    if (text := told.get(Role.INDEX)) is not None:
        if not re.fullmatch(r"\d{1,5}", text):
            raise ImportFormatError(
                f"the device number is {text[:40]!r}; the header does not fit this row",
                file=file,
                line=number,
            )
        index = int(text)
    uuid = told.get(Role.UUID)
    if uuid is not None and table.vendor == "nvidia" and not identity.is_uuid(uuid):
        raise ImportFormatError(
            f"the UUID is {uuid[:60]!r}, which is none; the header does not fit this row",
            file=file,
            line=number,
        )
    node = told.get(Role.NODE) or table.node
    slot = table.only_device or told.get(Role.BUS)
    if uuid is None and index is None and slot:
        key = identity.slot_key(node, slot, fallback=table.mark)
        found = Device(key=key, node=node, vendor=table.vendor, name=told.get(Role.NAME))
    else:
        found = identity.gpu(
            uuid=uuid,
            index=index,
            node=node,
            fallback=table.mark,
            mig=told.get(Role.MIG, ""),
            name=told.get(Role.NAME),
            vendor=table.vendor,
        )
    found = replace(found, pci_bus_id=told.get(Role.BUS))
    return replace(found, **_facts(facts))  # type: ignore[arg-type]


_FACT_UNITS = {
    "memory_bytes": "memory_used_bytes",
    "max_sm_clock_mhz": "sm_clock_mhz",
    "max_memory_clock_mhz": "memory_clock_mhz",
    "power_limit_mw": "power_limit_mw",
}


def _facts(cells: Mapping[Column, str]) -> dict[str, int | str]:
    """Return what a device's first row says about the device itself."""
    found: dict[str, int | str] = {}
    for column, cell in cells.items():
        if column.signal == "driver_version":
            found["driver_version"] = identity.safe(cell)
            continue
        like = replace(column, signal=_FACT_UNITS[column.signal])
        value = cell_reading(like, cell.strip())
        if value is not None and is_number(value):
            found[column.signal] = round(value)
    return found
