"""Which device each row of a piece is of, for the bulk path: identities are read once, not per row."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from profilers.importers.bulk_figures import UnsureError
from profilers.importers.errors import ImportFormatError
from profilers.importers.table import IDENTITY, Role, Table
from profilers.importers.table_devices import device

if TYPE_CHECKING:
    from profilers.trace import Device, DeviceKey

_NARROW = 1 << 16
"""Combinations of identities up to which a table of them all is faster than a sort."""
_MOST_INDEX = 99_999


class Devices:
    """Remembers the devices of one table, in the order of the file."""

    def __init__(self, table: Table, file: str, names: Sequence[str]) -> None:
        self._table, self._file, self._names = table, file, names
        self._identity = [i for i, column in enumerate(table.columns) if column.role in IDENTITY]
        self._places: dict[tuple[str, ...], int] = {}
        self._by_key: dict[DeviceKey, int] = {}
        self.described: list[Device] = []

    def codes(self, cells: pa.Table) -> NDArray[np.int32]:
        """Return for each row the place of its device in ``described``."""
        rows_here = cells.num_rows
        if not self._identity:
            if not self.described and rows_here:
                self.described.append(device(self._table, {}, {}, self._file, 0))
            return np.zeros(rows_here, np.int32)
        combined = np.zeros(rows_here, np.int64)
        words: list[Sequence[str]] = []
        for place in self._identity:
            coded, values = _coded(cells.column(self._names[place]))
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
            places[slot] = self._known(tuple(reversed(told)), cells, int(first[slot]))
        codes: NDArray[np.int32] = places[back]
        return codes

    def _known(self, told: tuple[str, ...], cells: pa.Table, row: int) -> int:
        place = self._places.get(told)
        if place is None:
            columns = self._table.columns
            titles = {columns[p].role: told[i] for i, p in enumerate(self._identity)}
            facts = {
                column: str(cells.column(self._names[i])[row].as_py() or "")
                for i, column in enumerate(columns)
                if column.role is Role.FACT
            }
            try:
                found = device(self._table, titles, facts, self._file, 0)
            except ImportFormatError as error:
                raise UnsureError from error  # the strict path knows the line
            # One UUID under two numbers (a renumbering, files put together) is one device.
            place = self._by_key.setdefault(found.key, len(self.described))
            if place == len(self.described):
                self.described.append(found)
            self._places[told] = place
        return place


def _coded(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], Sequence[str]]:
    """Return a column's distinct texts and, for each row, the place of its own among them."""
    if column.null_count:
        raise UnsureError
    if pa.types.is_int64(column.type):
        numbers: NDArray[np.int64] = column.combine_chunks().to_numpy()
        low, high = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
        if low < 0 or high > _MOST_INDEX:
            raise UnsureError
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
