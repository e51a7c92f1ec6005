"""The fast path for tables: pyarrow's CSV reader block by block, the strict path where unsure.

Memory stays flat: one block of bytes is read, turned into columns and handed on. Whatever pyarrow
cannot read under the expected types (a repeated header, a word, a shifted row) sends that block,
and only that block, through the strict path, which reads it or refuses it with its line. Both
paths give equal readings; a test compares them on random tables.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from profilers.importers import units
from profilers.importers.bulk_cells import DistinctCells
from profilers.importers.bulk_devices import Devices
from profilers.importers.bulk_figures import (
    Mask,
    UnsureError,
    multiplied,
    plain,
    refuse,
    suffixed,
    written_alike,
)
from profilers.importers.opened import MAX_LINE, Opened
from profilers.importers.pieces import LinesAbove, byte_pieces
from profilers.importers.recording import Block, Findings
from profilers.importers.stamp_columns import civil_column, epoch_column, epoch_type
from profilers.importers.table import Column, Role, Table
from profilers.importers.table_rows import Fit, rows
from profilers.reading import SIGNALS, Unavailable
from profilers.trace import Series

_AHEAD = 2
"""Pieces that are parsed before their turn."""
_DICTIONARY = pa.dictionary(pa.int32(), pa.string())
_FEW = 1000
"""Distinct cells of a column, in a mebibyte, up to which they are read one by one."""
_EXACT = {"cycles", "bytes", "FLOP"}
"""Units whose figures may pass 2^53, where a float would lose their last bits."""


def bulk_rows(
    table: Table, opened: Opened, findings: Findings, *, skip_lines: int
) -> Iterator[Block]:
    """Read a table fast, with the same outcome as ``table.rows``."""
    reader = _Bulk(table, opened.name)
    above = LinesAbove(opened, skip_lines)
    offset, fit = 0, Fit(table, opened.name)
    for piece in _ahead(reader, byte_pieces(opened, skip_lines)):
        data = piece.data
        try:
            if piece.cells is None:
                raise UnsureError
            block = reader.block(data, piece.cells)
            fit.add(block)
            if len(block):
                yield block
        except (UnsureError, pa.ArrowInvalid):
            text = data.decode("utf-8", errors="replace").removesuffix("\n").split("\n")
            numbered = enumerate((line.rstrip("\r") for line in text), start=above(offset) + 1)
            name, last = opened.name, piece.last
            yield from rows(table, numbered, findings, name, torn_tail=last, fit=fit)
        offset += len(data)
    fit.check()


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
        except (UnsureError, pa.ArrowInvalid):
            return _Piece(*piece, cells=None)

    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = deque(pool.submit(following) for _ in range(_AHEAD))
        while (piece := coming.popleft().result()) is not None:
            coming.append(pool.submit(following))
            yield piece


class _Bulk:
    """Reads blocks of bytes of one table; remembers the devices that it has seen."""

    def __init__(self, table: Table, file: str) -> None:
        self.table, self.file = table, file
        self.names = [f"c{place}" for place in range(len(table.columns))]
        self.used = [i for i, column in enumerate(table.columns) if column.role is not Role.SKIP]
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
        self.with_units = [
            (self.names[i], column.suffix)
            for i, column in enumerate(table.columns)
            if column.role is Role.SIGNAL and column.suffix and column.unit != "mask"
        ]
        self.devices = Devices(table, file, self.names)
        self._fractions: set[str] = set()
        self._cells: dict[str, DistinctCells] = {}

    def _type(self, column: Column) -> pa.DataType:
        if column.role is Role.STAMP:
            return pa.binary() if self.table.stamp == "civil" else epoch_type(self.table.stamp)
        if column.role is Role.SIGNAL:
            if column.suffix or column.unit == "mask":
                return _DICTIONARY
            large = SIGNALS[column.signal].unit in _EXACT
            exact = large and units.factor(column.signal, column.unit) == 1
            return pa.int64() if exact else pa.float64()
        return _DICTIONARY

    def parse(self, data: bytes) -> pa.Table:
        """Let pyarrow split and convert a piece; raises where a cell does not fit its type."""
        if not self.possible:
            raise UnsureError
        # pyarrow reads 0x10 as sixteen where it expects a whole number: a figure that nobody wrote.
        hexadecimal = (b"x" in data or b"X" in data) and (b"0x" in data or b"0X" in data)
        if self.whole and hexadecimal:
            raise UnsureError
        table = self._figures(data, floats=hexadecimal)
        for name, unit in self.with_units:
            cells = table.column(name)
            if pa.types.is_dictionary(cells.type):
                if max(len(chunk.dictionary) for chunk in cells.chunks) <= _FEW:
                    continue  # each distinct cell will be read once, strictly
                self.types[name] = pa.string()
                cells = cells.cast(pa.string())
            bare = self._bare(name, cells, unit, floats=hexadecimal)
            cells = cells if bare is None else bare
            table = table.set_column(table.column_names.index(name), name, cells)
        return table

    def _figures(self, data: bytes, *, floats: bool) -> pa.Table:
        """Read whole numbers as such, which costs half of what floats do, and floats elsewhere.

        A column counts as whole until a piece shows otherwise; that piece is then read again.
        """
        kinds = {name for name, kind in self.types.items() if pa.types.is_float64(kind)}
        kinds |= self.whole_ids
        first = data[: data.find(b"\n", 0, MAX_LINE)].split(self.delimiter)
        if len(first) == len(self.names):
            told = {n for n, cell in zip(self.names, first, strict=True) if b"." in cell}
            self._fractions |= told & kinds
        whole = set() if floats else kinds - self._fractions
        if whole:
            try:
                return self._read(data, self.used, self.types | dict.fromkeys(whole, pa.int64()))
            except pa.ArrowInvalid:
                self._fractions |= whole
        return self._read(data, self.used, self.types)

    def _bare(
        self, name: str, cells: pa.ChunkedArray, unit: str, *, floats: bool
    ) -> pa.ChunkedArray | None:
        """Read a column of figures with their unit; None where its cells are not all alike."""
        if not floats and name not in self._fractions:
            try:
                return written_alike(cells, unit, whole=True)
            except pa.ArrowInvalid:
                self._fractions.add(name)
        return written_alike(cells, unit, whole=False)

    def block(self, data: bytes, table: pa.Table) -> Block:
        """Make a block of a parsed piece."""
        stamps = table.column(self.names[self._stamp()]).combine_chunks()
        if self.table.stamp == "civil":
            time = civil_column(stamps, self.table.zone, zoned=self.table.zoned)
        else:
            time = epoch_column(stamps, self.table.stamp)
        if time is None:
            raise UnsureError
        codes = self.devices.codes(table)
        series = {
            self.table.columns[i].signal: self._series(table, i, data)
            for i in self.used
            if self.table.columns[i].role is Role.SIGNAL
        }
        return Block(
            device=codes, devices=tuple(self.devices.described), time_ns=time, series=series
        )

    def _stamp(self) -> int:
        place = self.table.place(Role.STAMP)
        assert place is not None
        return place

    def _read(self, data: bytes, places: Sequence[int], types: dict[str, pa.DataType]) -> pa.Table:
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
        if pa.types.is_dictionary(table.column(self.names[place]).type):
            return self._words(table.column(self.names[place]), column)
        cells = table.column(self.names[place]).combine_chunks()
        if column.suffix and pa.types.is_string(cells.type):
            parsed = suffixed(cells, column.suffix, self.words)
        else:
            parsed = plain(cells)
        present = parsed.present
        by = float(units.factor(column.signal, column.unit))
        values = multiplied(parsed.values, by)
        codes = np.zeros(len(values), np.uint32)
        palette: list[Unavailable] = []
        if not present.all():
            self._absent(place, data, present, codes, palette)
        refuse(column.signal, values, present, codes, palette)
        return Series(payload=values, codes=codes, palette=tuple(palette))

    def _words(self, cells: pa.ChunkedArray, column: Column) -> Series:
        """Read a column of few distinct cells through the strict reader, each of them once."""
        seen = self._cells.setdefault(column.title, DistinctCells(self.table, column))
        return seen.series(cells)

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
                raise UnsureError
            if why not in palette:
                palette.append(why)
            table[i] = palette.index(why) + 1
        codes[~present] = table[coded.indices.to_numpy()]
