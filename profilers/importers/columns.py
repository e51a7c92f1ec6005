"""A block in the columns of the run record (see ``profilers.journal``), all devices at once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from profilers.importers.assemble import Stretch
from profilers.importers.recording import Block, Clock
from profilers.reading import SIGNALS
from profilers.trace import Series
from profilers.wire import absences

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEXT = pa.dictionary(pa.int32(), pa.string())


def table_of_block(block: Block, parts: Sequence[Stretch], clock: Clock) -> pa.Table:
    """Return the block's rows by device and time in the record's columns.

    Times are whole microseconds, as everywhere in the record. Texts come as dictionaries, as they are
    stored; a reader of the file sees plain text. The wall clock is the axis itself
    where the recording's stamps are Unix time, and unknown (null) otherwise.
    """
    rows = np.concatenate([part.rows for part in parts])
    codes = np.repeat(
        np.array([part.place for part in parts], np.int32), [len(part.rows) for part in parts]
    )
    names = pa.array([str(device.key) for device in block.devices], pa.string())
    columns = {
        "device": pa.DictionaryArray.from_arrays(codes, names),
        "time_us": pa.array(np.concatenate([part.time_ns for part in parts]) // 1000),
        "wall_offset_us": pa.array(np.zeros(len(rows), np.int64))
        if clock is Clock.WALL
        else pa.nulls(len(rows), pa.int64()),
        "period_us": pa.array(np.concatenate([part.period_ns for part in parts]) // 1000),
    }
    partial: dict[str, Series] = {}
    for name in (n for n in SIGNALS if n in block.series):
        series = block.series[name]
        if series.palette:
            taken = series.take(rows)
            columns[name] = pa.array(taken.payload, mask=~taken.present)
            partial[name] = taken
        else:
            columns[name] = pa.array(series.payload[rows])
    columns["unavailable"] = _absences(partial, len(rows))
    return pa.table(columns)


def _absences(partial: dict[str, Series], rows: int) -> pa.Array:
    """Return one text a row; rows that lack the same for the same reasons share it."""
    if not partial:
        return pa.nulls(rows, TEXT)
    which: NDArray[np.int64] = np.zeros(rows, np.int64)
    kinds: list[dict[str, int]] = [{}]
    for name, series in partial.items():
        combined = which * (len(series.palette) + 1) + series.codes
        found, which = np.unique(combined, return_inverse=True)
        kinds = [
            kinds[old] | ({name: code} if code else {})
            for old, code in (divmod(int(k), len(series.palette) + 1) for k in found)
        ]
    texts = [
        absences({name: partial[name].palette[code - 1] for name, code in kind.items()})
        for kind in kinds
    ]
    # What lacks nothing is no text: a null among the places, because one among the texts is not stored.
    places = pa.array(
        which.astype(np.int32), mask=np.array([text is None for text in texts])[which]
    )
    whole = pa.array([text or "" for text in texts], pa.string())
    return pa.DictionaryArray.from_arrays(places, whole)
