"""Rows of cells under a checked header: the strict path that every CSV-like format shares.

Walks the lines, refuses what does not fit with its line and reason, and hands over blocks.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from profilers.importers import stamps
from profilers.importers.errors import ImportFormatError
from profilers.importers.recording import Block, Findings, Rows
from profilers.importers.table import IDENTITY, Column, Role, Table
from profilers.importers.table_cells import split, table_reading
from profilers.importers.table_devices import device
from profilers.reading import Reading, is_number
from profilers.trace import Device

BLOCK_ROWS = 50_000
MAX_DEVICES = 100_000
_DECIMAL_COMMA = re.compile(r"[+-]?[\d.]*\d,\d")


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
