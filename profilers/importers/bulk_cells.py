"""A column of few distinct cells: each of them goes once through the strict reader.

Gauges with a unit behind each figure (``73 %``, ``1980 MHz``) have some hundred distinct cells in
millions of rows. To tell cells apart costs less than to take the units off, and nothing can be read
differently from the strict path, because it is the strict path.
"""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from profilers.importers.bulk_figures import UnsureError
from profilers.importers.table import Column, Table
from profilers.importers.table_cells import table_reading
from profilers.trace import Series

if TYPE_CHECKING:
    from profilers.reading import Reading

_MOST = 10_000
"""A column of more distinct cells than this, in one stretch of a file, is none of words."""


class DistinctCells:
    """Remembers how the cells of one column were read."""

    def __init__(self, table: Table, column: Column) -> None:
        """Nothing was read yet."""
        self._table, self._column = table, column
        self._places: dict[str, int] = {}
        self._readings: list[Reading] = []
        self._known = Series.of_readings([])

    def series(self, cells: pa.ChunkedArray) -> Series:
        """Read a dictionary-encoded column. Raises ``UnsureError`` where a cell does not fit."""
        if len(self._readings) > _MOST:
            self._places, self._readings, self._known = {}, [], Series.of_readings([])
        found = [self._chunk(chunk) for chunk in cells.chunks]
        if len(self._known) != len(self._readings):
            self._known = Series.of_readings(self._readings)
        known, places = self._known, np.concatenate(found)
        if known.palette and known.codes[places].any():
            return known.take(places)
        return Series.of_numbers(known.payload[places])

    def _chunk(self, chunk: pa.DictionaryArray) -> NDArray[np.int64]:
        """Return for each cell of a chunk its place among all cells seen."""
        if chunk.null_count or len(chunk.dictionary) > _MOST:
            raise UnsureError
        texts = chunk.dictionary.to_pylist()
        places = np.array([self._place(text) for text in texts], np.int64)
        placed: NDArray[np.int64] = places[chunk.indices.to_numpy()]
        return placed

    def _place(self, text: str) -> int:
        place = self._places.get(text)
        if place is None:
            reading = table_reading(self._table, self._column, text.strip())
            if reading is None:
                raise UnsureError
            place = self._places[text] = len(self._readings)
            self._readings.append(reading)
        return place
