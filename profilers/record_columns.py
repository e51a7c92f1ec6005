"""The journal's columns (see ``profilers.journal``) into traces, and its rows into columns."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from profilers.reading import SIGNALS, Reason, Unavailable
from profilers.segment import Row, cells_of
from profilers.trace import Device, DeviceTrace, Ints, Series
from profilers.wire import absences_from_text

if TYPE_CHECKING:
    import pyarrow as pa

NOT_ASKED = Unavailable(reason=Reason.PENDING, detail="not asked in this sweep")
"""A null without a word in ``unavailable``: the signal was not due; its next number covers this."""

_CLOCKS = ("device", "time_us", "wall_offset_us", "period_us", "unavailable")


def device_trace_of(
    table: "pa.Table",
    device: Device,
    described: Sequence[tuple[int, Mapping[str, Unavailable]]] = (),
) -> DeviceTrace:
    """Turn one device's rows of a segment (see ``profilers.journal``) into columns with reasons.

    ``described`` is what it missed from which time on, where that changed: a signal that was not
    there yet is no pending one, whose time the next number would cover.
    """
    times = np.asarray(table.column("time_us").to_numpy(), np.int64)
    # A stamp that two segments repeat (a recorder that was restarted within it) counts once.
    _, rows = np.unique(times, return_index=True)
    table = table.take(rows)
    times = times[rows] * 1000
    texts = table.column("unavailable").to_pylist()
    told = _told_absences(texts)
    offsets = table.column("wall_offset_us")
    series = {
        name: _series_of(
            table.column(name), told.get(name, {}), _general(name, device, described, times)
        )
        for name in table.schema.names
        if name not in _CLOCKS
    }
    period = np.asarray(table.column("period_us").to_numpy(), np.int64) * 1000
    wall = None
    if offsets.null_count == 0:
        wall = times + np.asarray(offsets.to_numpy(), np.int64) * 1000
    return DeviceTrace(device=device, time_ns=times, period_ns=period, series=series, wall_ns=wall)


def _told_absences(texts: Sequence[str | None]) -> dict[str, dict[int, Unavailable]]:
    """Signal to row to reason, from the ``unavailable`` column."""
    parsed = {text: absences_from_text(text) for text in set(texts) if text}
    told: dict[str, dict[int, Unavailable]] = {}
    for row, text in enumerate(texts):
        if text:
            for name, why in parsed[text].items():
                told.setdefault(name, {})[row] = why
    return told


def _general(
    name: str,
    device: Device,
    described: Sequence[tuple[int, Mapping[str, Unavailable]]],
    times: Ints,
) -> Callable[[int], Unavailable]:
    """Return why a cell without a word of its own is empty, by its row."""
    reasons = [missing.get(name, NOT_ASKED) for _, missing in described]
    if len(set(reasons)) < 2:
        always = reasons[0] if reasons else device.missing.get(name, NOT_ASKED)
        return lambda _: always
    since = np.array([at for at, _ in described], np.int64) // 1000 * 1000  # as stamps are kept
    which = np.maximum(np.searchsorted(since, times, "right") - 1, 0)
    return lambda row: reasons[which[row]]


def _series_of(
    column: "pa.ChunkedArray",
    told: Mapping[int, Unavailable],
    general: Callable[[int], Unavailable],
) -> Series:
    import pyarrow as pa
    import pyarrow.compute as pc

    missing = column.is_null().to_numpy()
    whole = not pa.types.is_floating(column.type)
    filled = pc.fill_null(column, 0 if whole else 0.0).to_numpy()
    codes = np.zeros(len(missing), np.uint32)
    palette: dict[Unavailable, int] = {}
    for row in np.flatnonzero(missing).tolist():
        why = told[row] if row in told else general(row)
        codes[row] = palette.setdefault(why, len(palette) + 1)
    payload: Any = filled.astype(np.int64 if whole else np.float64)
    return Series(payload=payload, codes=codes, palette=tuple(palette))


def table_of_rows(columns: Sequence[str], rows: Sequence[Row]) -> "pa.Table":
    """Turn journal rows whose cells are in the order of ``columns`` into the journal's columns."""
    import pyarrow as pa

    cells = cells_of(columns, rows, [name for name in columns if name in SIGNALS])
    words = {"device", "unavailable"}
    kinds = {name: pa.string() if name in words else pa.int64() for name in cells}
    return pa.table({name: pa.array(cell, kinds[name]) for name, cell in cells.items()})
