"""The fast path for tables: pyarrow's CSV reader block by block, the strict path where unsure.

Memory stays flat: one block of bytes is read, turned into columns and handed on. Whatever pyarrow
cannot read under the expected types (a repeated header, a word, a shifted row) sends that block,
and only that block, through the strict path, which reads it or refuses it with its line. Both
paths give equal readings; a test compares them on random tables.
"""

import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from profilers.importers import units
from profilers.importers.blank_units import blanked
from profilers.importers.opened import MAX_LINE, Opened
from profilers.importers.recording import Block, Findings
from profilers.importers.stamp_columns import civil_column, epoch_column, epoch_type
from profilers.importers.table import Column, Role, Table, cell_reading, device, misfit, rows
from profilers.reading import SIGNALS, Reason, Unavailable
from profilers.trace import Device, Series

BLOCK_BYTES = 4 * 1024 * 1024
_AHEAD = 2
"""Pieces that are parsed before their turn."""
_NARROW = 1 << 16
"""Combinations of identities up to which a table of them all is faster than a sort."""
_MOST_INDEX = 99_999
_EXACT = {"cycles", "bytes", "FLOP"}
"""Units whose figures may pass 2^53, where a float would lose their last bits."""
_DISTINCT_WORDS = 10_000
_DISTINCT_REFUSED = 1000
_WHOLE = 0.5 / 10**units.DECIMALS

Mask = NDArray[np.bool_]


class _UnsureError(Exception):
    """This block needs the strict path. Never leaves the module."""


def bulk_rows(
    table: Table, opened: Opened, findings: Findings, *, skip_lines: int
) -> Iterator[Block]:
    """Read a table fast, with the same outcome as ``table.rows``."""
    reader = _Bulk(table, opened.name)
    above = _LinesAbove(opened, skip_lines)
    offset = 0
    for piece in _ahead(reader, _byte_blocks(opened, skip_lines)):
        data = piece.data
        try:
            if piece.cells is None:
                raise _UnsureError
            block = reader.block(data, piece.cells)
            misfit(table, block, opened.name)
            if len(block):
                yield block
        except (_UnsureError, pa.ArrowInvalid):
            text = data.decode("utf-8", errors="replace").removesuffix("\n").split("\n")
            numbered = enumerate((line.rstrip("\r") for line in text), start=above(offset) + 1)
            yield from rows(table, numbered, findings, opened.name, torn_tail=piece.last)
        offset += len(data)


class _LinesAbove:
    """Counts lines, but only up to a place that somebody asks for, and no line twice."""

    def __init__(self, opened: Opened, skip_lines: int) -> None:
        self._opened, self._skip = opened, skip_lines
        self._until, self._lines = 0, skip_lines

    def __call__(self, until: int) -> int:
        """Return how many lines stand above a byte, counted from the end of the header."""
        with self._opened.path.open("rb") as stream:
            for _ in range(self._skip):
                stream.readline(MAX_LINE)
            stream.seek(self._until, os.SEEK_CUR)
            while self._until < until:
                data = stream.read(min(until - self._until, BLOCK_BYTES))
                if not data:
                    break  # the file was cut short meanwhile
                self._lines += data.count(b"\n")
                self._until += len(data)
        return self._lines


@dataclass(frozen=True, slots=True)
class _Piece:
    data: bytes
    last: bool
    cells: pa.Table | None
    """None: pyarrow could not read it."""


def _ahead(reader: "_Bulk", pieces: Iterator[tuple[bytes, bool]]) -> Iterator[_Piece]:
    """Read and parse the next pieces while this one becomes columns: three pieces in memory."""

    def following() -> _Piece | None:
        piece = next(pieces, None)
        if piece is None:
            return None
        try:
            return _Piece(*piece, cells=reader.parse(piece[0]))
        except (_UnsureError, pa.ArrowInvalid):
            return _Piece(*piece, cells=None)

    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = deque(pool.submit(following) for _ in range(_AHEAD))
        while (piece := coming.popleft().result()) is not None:
            coming.append(pool.submit(following))
            yield piece


def _byte_blocks(opened: Opened, skip_lines: int) -> Iterator[tuple[bytes, bool]]:
    """Yield the file in whole lines of about 4 MiB, each with whether it is the last piece."""
    with opened.path.open("rb") as stream:
        for _ in range(skip_lines):
            stream.readline(MAX_LINE)
        at = stream.tell()
        while at < opened.size:
            end = _line_end(stream, min(at + BLOCK_BYTES, opened.size), opened.size)
            stream.seek(at)
            data = stream.read(end - at)  # one read of the whole piece: nothing is put together
            if not data:
                return  # the file was cut short meanwhile
            at += len(data)
            yield data, at >= opened.size


def _line_end(stream: BinaryIO, at: int, size: int) -> int:
    """Return where the line around byte ``at`` ends; a line beyond ``MAX_LINE`` ends there."""
    stream.seek(at)
    return min(at + len(stream.readline(MAX_LINE)), size)


@dataclass(frozen=True, slots=True)
class _Parsed:
    values: NDArray[np.float64] | NDArray[np.int64]
    present: Mask


class _Bulk:
    """Reads blocks of bytes of one table; remembers the devices that it has seen."""

    def __init__(self, table: Table, file: str) -> None:
        self.table, self.file = table, file
        self.names = [f"c{place}" for place in range(len(table.columns))]
        self.used = [i for i, column in enumerate(table.columns) if column.role is not Role.SKIP]
        self.identity = [
            i
            for i in self.used
            if table.columns[i].role
            in (Role.UUID, Role.MIG, Role.INDEX, Role.NODE, Role.BUS, Role.NAME)
        ]
        self.types = {self.names[i]: self._type(table.columns[i]) for i in self.used}
        # One signal in two columns needs the strict path's choice between them, row by row.
        signals = [table.columns[i].signal for i in self.used if table.columns[i].signal]
        self.whole = any(pa.types.is_int64(kind) for kind in self.types.values())
        self.whole_ids = {
            self.names[i]
            for i in self.used
            if table.columns[i].role is Role.INDEX
            or (table.columns[i].role is Role.STAMP and table.stamp != "civil")
        }
        """Device numbers and Unix stamps: nearly always whole numbers, and then read as such."""
        self.possible = len(set(signals)) == len(signals)
        self.words = sorted({*units.MISSING, *table.missing} - {""})
        self.nulls = ["", *self.words, *(f" {word}" for word in self.words)]
        self.delimiter = table.delimiter.encode()
        self.suffixed = [(i, table.columns[i].suffix.encode()) for i in self._bare_units()]
        self._fractions: set[str] = set()
        self._devices: dict[tuple[str, ...], int] = {}
        self._described: list[Device] = []

    def _bare_units(self) -> list[int]:
        """Return the signal columns whose cells carry a unit."""
        columns = self.table.columns
        signals = [i for i in self.used if columns[i].role is Role.SIGNAL]
        return [i for i in signals if columns[i].suffix and columns[i].unit != "mask"]

    def _type(self, column: Column) -> pa.DataType:
        if column.role is Role.STAMP:
            return pa.binary() if self.table.stamp == "civil" else epoch_type(self.table.stamp)
        if column.role is Role.SIGNAL:
            if column.suffix or column.unit == "mask":
                return pa.string()
            large = SIGNALS[column.signal].unit in _EXACT
            exact = large and units.factor(column.signal, column.unit) == 1
            return pa.int64() if exact else pa.float64()
        return pa.dictionary(pa.int32(), pa.string())

    def parse(self, data: bytes) -> pa.Table:
        """Let pyarrow split and convert a piece; raises where a cell does not fit its type."""
        # pyarrow reads 0x10 as sixteen where it expects a whole number: a figure that nobody wrote.
        hexadecimal = (b"x" in data or b"X" in data) and (b"0x" in data or b"0X" in data)
        if not self.possible or (self.whole and hexadecimal):
            raise _UnsureError
        if self.suffixed and (
            bare := blanked(data, len(self.names), self.delimiter, self.suffixed)
        ):
            figures = {self.names[place]: pa.float64() for place, _ in self.suffixed}
            return self._figures(bare, self.types | figures, floats=hexadecimal)
        return self._figures(data, self.types, floats=hexadecimal)

    def _figures(
        self, data: bytes | memoryview, types: dict[str, pa.DataType], *, floats: bool
    ) -> pa.Table:
        """Read whole numbers as such, which costs half of what floats do, and floats elsewhere.

        A column counts as whole until a piece shows otherwise; that piece is then read again.
        """
        kinds = {name for name, kind in types.items() if pa.types.is_float64(kind)} | self.whole_ids
        first = bytes(data[:MAX_LINE]).split(b"\n", 1)[0].split(self.delimiter)
        if len(first) == len(self.names):
            told = {n for n, cell in zip(self.names, first, strict=True) if b"." in cell}
            self._fractions |= told & kinds
        whole = set() if floats else kinds - self._fractions
        if whole:
            try:
                return self._read(data, self.used, types | dict.fromkeys(whole, pa.int64()))
            except pa.ArrowInvalid:
                self._fractions |= whole
        return self._read(data, self.used, types)

    def block(self, data: bytes, table: pa.Table) -> Block:
        """Make a block of a parsed piece."""
        stamps = table.column(self.names[self._stamp()]).combine_chunks()
        if self.table.stamp == "civil":
            time = civil_column(stamps, self.table.zone)
        else:
            time = epoch_column(stamps, self.table.stamp)
        if time is None:
            raise _UnsureError
        codes = self._device_codes(table)
        series = {
            self.table.columns[i].signal: self._series(table, i, data)
            for i in self.used
            if self.table.columns[i].role is Role.SIGNAL
        }
        return Block(device=codes, devices=tuple(self._described), time_ns=time, series=series)

    def _stamp(self) -> int:
        place = self.table.place(Role.STAMP)
        assert place is not None
        return place

    def _read(
        self, data: bytes | memoryview, places: Sequence[int], types: dict[str, pa.DataType]
    ) -> pa.Table:
        return pacsv.read_csv(
            pa.BufferReader(data),
            read_options=pacsv.ReadOptions(column_names=self.names, block_size=1024 * 1024),
            parse_options=pacsv.ParseOptions(delimiter=self.table.delimiter),
            convert_options=pacsv.ConvertOptions(
                column_types=types,
                include_columns=[self.names[i] for i in places],
                null_values=self.nulls,
                strings_can_be_null=False,
            ),
        )

    def _series(self, table: pa.Table, place: int, data: bytes) -> Series:
        column = self.table.columns[place]
        cells = table.column(self.names[place]).combine_chunks()
        if column.suffix and pa.types.is_string(cells.type):
            parsed = _suffixed(cells, column.suffix, self.words)
        elif column.unit == "mask":
            return self._words(cells, column)
        else:
            parsed = _plain(cells)
        present = parsed.present
        by = float(units.factor(column.signal, column.unit))
        values = _multiplied(parsed.values, by)
        codes = np.zeros(len(values), np.uint32)
        palette: list[Unavailable] = []
        if not present.all():
            self._absent(place, data, present, codes, palette)
        _refuse(column.signal, values, present, codes, palette)
        return Series(payload=values, codes=codes, palette=tuple(palette))

    def _words(self, cells: pa.Array, column: Column) -> Series:
        """Read a column of few distinct words (bit masks) through the strict reader."""
        coded = cells.dictionary_encode()
        if cells.null_count or len(coded.dictionary) > _DISTINCT_WORDS:
            raise _UnsureError
        read = [cell_reading(column, word.strip()) for word in coded.dictionary.to_pylist()]
        known = [one for one in read if one is not None]
        if len(known) != len(read):
            raise _UnsureError
        return Series.of_readings(known).take(coded.indices.to_numpy().astype(np.int64))

    def _absent(
        self,
        place: int,
        data: bytes,
        present: Mask,
        codes: NDArray[np.uint32],
        palette: list[Unavailable],
    ) -> None:
        """Read the column's words again as text, to keep the reason of each absence."""
        again = self._read(data, [place], {self.names[place]: pa.string()})
        words = again.column(self.names[place]).combine_chunks().filter(pa.array(~present))
        coded = words.dictionary_encode()
        table = np.zeros(len(coded.dictionary), np.uint32)
        for i, word in enumerate(coded.dictionary.to_pylist()):
            bare = word.strip()
            why = self.table.missing.get(bare, units.missing(bare))
            if why is None:
                raise _UnsureError
            if why not in palette:
                palette.append(why)
            table[i] = palette.index(why) + 1
        codes[~present] = table[coded.indices.to_numpy()]

    def _device_codes(self, table: pa.Table) -> NDArray[np.int32]:
        rows_here = table.num_rows
        if not self.identity:
            if not self._described and rows_here:
                self._described.append(device(self.table, {}, {}, self.file, 0))
            return np.zeros(rows_here, np.int32)
        combined = np.zeros(rows_here, np.int64)
        words: list[Sequence[str]] = []
        for place in self.identity:
            coded, values = _coded(table.column(self.names[place]))
            words.append(values)
            combined = coded if len(words) == 1 else combined * max(len(values), 1) + coded
        found, first, back = _distinct(combined, math.prod(len(values) for values in words))
        places = np.zeros(len(found), np.int32)
        for slot in np.argsort(first):  # in the order of the file, as the strict path has them
            told: list[str] = []
            rest = int(found[slot])
            for values in reversed(words):
                rest, code = divmod(rest, max(len(values), 1))
                told.append(values[code])
            places[slot] = self._known(tuple(reversed(told)), table, int(first[slot]))
        codes: NDArray[np.int32] = places[back]
        return codes

    def _known(self, told: tuple[str, ...], table: pa.Table, row: int) -> int:
        place = self._devices.get(told)
        if place is None:
            titles = {self.table.columns[p].role: told[i] for i, p in enumerate(self.identity)}
            facts = {
                column: str(table.column(self.names[i])[row].as_py() or "")
                for i, column in enumerate(self.table.columns)
                if column.role is Role.FACT
            }
            place = len(self._described)
            self._described.append(device(self.table, titles, facts, self.file, 0))
            self._devices[told] = place
        return place


def _coded(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], Sequence[str]]:
    """Return a column's distinct texts and, for each row, the place of its own among them."""
    if column.null_count:
        raise _UnsureError
    if pa.types.is_int64(column.type):
        numbers: NDArray[np.int64] = column.combine_chunks().to_numpy()
        low, high = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
        if low < 0 or high > _MOST_INDEX:
            raise _UnsureError
        return numbers, [str(number) for number in range(high + 1)]
    coded = column.unify_dictionaries().combine_chunks()
    values = [value.strip() for value in coded.dictionary.to_pylist()]
    return coded.indices.to_numpy().astype(np.int64), values


def _distinct(
    codes: NDArray[np.int64], span: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct codes, the first row of each, and each row's place among them."""
    if span > _NARROW:
        found, first, back = np.unique(codes, return_index=True, return_inverse=True)
        return found, first, back
    rows = np.arange(len(codes))
    first_of = np.full(span, -1, np.int64)
    first_of[codes[::-1]] = rows[::-1]  # of several assignments to one place the last one stays
    found = np.flatnonzero(first_of >= 0)
    place_of = np.zeros(span, np.int64)
    place_of[found] = np.arange(len(found))
    return found, first_of[found], place_of[codes]


def _plain(cells: pa.Array) -> _Parsed:
    if cells.null_count:
        present = cells.is_valid().to_numpy(zero_copy_only=False)
        filled = cells.fill_null(0).to_numpy(zero_copy_only=False)
    else:
        present, filled = np.ones(len(cells), np.bool_), cells.to_numpy()
    if filled.dtype == np.float64 and not np.isfinite(filled).all():
        raise _UnsureError
    return _Parsed(filled, present)


def _suffixed(cells: pa.Array, suffix: str, words: Sequence[str]) -> _Parsed:
    """Read ``123.45 W``: every cell either ends with the unit or is a word for nothing."""
    bare = pc.utf8_trim_whitespace(cells)
    fits = pc.ends_with(bare, suffix)
    absent = pc.is_in(bare, value_set=pa.array(["", *words]))
    if not pc.all(pc.or_(fits, absent)).as_py():
        raise _UnsureError
    bare = pc.if_else(absent, None, bare)
    figures = pc.utf8_rtrim_whitespace(pc.utf8_slice_codeunits(bare, 0, -len(suffix)))
    return _plain(figures.cast(pa.float64()))


def _multiplied(
    values: NDArray[np.float64] | NDArray[np.int64], by: float
) -> NDArray[np.float64] | NDArray[np.int64]:
    """Turn figures into the signal's unit."""
    if values.dtype != np.int64:
        return _scaled(values.astype(np.float64, copy=False), by)
    if by == 1:
        return values.astype(np.int64, copy=False)
    if by.is_integer() and len(values):
        limit = 2**63 // int(by)
        if -limit < int(values.min()) and int(values.max()) < limit:
            return values.astype(np.int64, copy=False) * int(by)
    return _scaled(values.astype(np.float64), by)


def _scaled(values: NDArray[np.float64], by: float) -> NDArray[np.float64] | NDArray[np.int64]:
    """Multiply and keep six decimals, as ``units.scaled`` does."""
    most = float(np.abs(values).max()) if len(values) else 0.0
    if by.is_integer() and most < 2**32:
        bare = values.astype(np.int64)
        if bool((bare == values).all()):
            return bare * int(by)
    if max(most, most * by) >= 2**53:
        raise _UnsureError  # a float is not exact there, and the strict path is
    product = values * by
    if most * by > 2**53 / 10**units.DECIMALS:
        whole = np.rint(product)
        if not bool((np.abs(product - whole) <= np.abs(product) * 2**-50).all()):
            raise _UnsureError
        return whole.astype(np.int64)
    # Integers where every figure is whole: they compress best, and are the strict path's answer.
    near = np.rint(product)
    if bool((np.abs(product - near) < _WHOLE).all()):
        return near.astype(np.int64)
    rounded: NDArray[np.float64] = np.rint(product * 10**units.DECIMALS) / 10**units.DECIMALS
    return rounded


def _refuse(
    signal: str,
    values: NDArray[np.float64] | NDArray[np.int64],
    present: Mask,
    codes: NDArray[np.uint32],
    palette: list[Unavailable],
) -> None:
    """Mark what is physically impossible, keeping the raw figure."""
    rule = SIGNALS[signal]
    if not len(values):
        return
    fits = rule.low is None or values.min() >= rule.low
    if fits and (rule.high is None or values.max() <= rule.high):
        return  # the usual case, seen without a mask
    bad = np.zeros(len(values), np.bool_)
    if rule.low is not None:
        bad |= values < rule.low
    if rule.high is not None:
        bad |= values > rule.high
    bad &= present
    if not bad.any():
        return
    figures, back = np.unique(values[bad], return_inverse=True)
    if len(figures) > _DISTINCT_REFUSED:
        raise _UnsureError
    palette.extend(
        Unavailable(
            reason=Reason.REJECTED,
            detail=f"{signal} outside its physical range",
            raw=int(figure) if float(figure).is_integer() else figure,
        )
        for figure in figures.tolist()
    )
    codes[bad] = back + (len(palette) - len(figures) + 1)
