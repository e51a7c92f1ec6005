"""Whole columns of figures for the bulk path, equal to the strict reading of each cell, or unsure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from profilers.importers import units
from profilers.reading import SIGNALS, Reason, Unavailable

_DISTINCT_REFUSED = 1000
_WHOLE = 0.5 / 10**units.DECIMALS

Mask = NDArray[np.bool_]
Figures = NDArray[np.float64] | NDArray[np.int64]


class UnsureError(Exception):
    """This piece needs the strict path. Never leaves the bulk path."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A column's figures, and where there is one at all."""

    values: Figures
    present: Mask


def plain(cells: pa.Array) -> Parsed:
    """Take a column that pyarrow has read; its nulls are absent figures."""
    if cells.null_count:
        present = cells.is_valid().to_numpy(zero_copy_only=False)
        filled = cells.fill_null(0).to_numpy(zero_copy_only=False)
    else:
        present, filled = np.ones(len(cells), np.bool_), cells.to_numpy()
    if filled.dtype == np.float64 and not np.isfinite(filled).all():
        raise UnsureError
    return Parsed(filled, present)


def written_alike(cells: pa.ChunkedArray, unit: str, *, whole: bool) -> pa.ChunkedArray | None:
    """Read ``123.45 W`` where every cell of the column is written like its first one, else None.

    Only whole columns go through compiled loops here: the place of the blanks, the unit and the
    length that is left are checked for all cells together. Raises ``pa.ArrowInvalid`` where what is
    left is no figure; ``whole``: no whole number.
    """
    kind = pa.int64() if whole else pa.float64()
    figures = []
    for some in cells.chunks:
        bare = _without_unit(some, unit)
        if bare is None:
            return None
        figures.append(pc.cast(bare, kind))
    return pa.chunked_array(figures, kind)


def _without_unit(cells: pa.Array, unit: str) -> pa.Array | None:
    if not len(cells):
        return cells
    first = cells[0].as_py()
    tail = f" {unit}" if first.endswith(f" {unit}") else unit
    lead = " " if first.startswith(" ") else ""
    if not pc.all(pc.ends_with(cells, tail)).as_py():
        return None
    if lead and not pc.all(pc.starts_with(cells, lead)).as_py():
        return None
    bare = pc.ascii_trim(cells, f" {unit}")
    # Each cell lost the two at least (an empty rest is no figure), so equal sums mean: and no more.
    if _bytes(cells) - _bytes(bare) != len(cells) * (len(lead) + len(tail)):
        return None
    return bare


def _bytes(cells: pa.Array) -> int:
    ends = np.frombuffer(cells.buffers()[1], np.int32)
    return int(ends[cells.offset + len(cells)] - ends[cells.offset])


def suffixed(cells: pa.Array, suffix: str, words: Sequence[str]) -> Parsed:
    """Read ``123.45 W`` however it is set: each cell ends with the unit or is a word for nothing."""
    bare = pc.utf8_trim_whitespace(cells)
    fits = pc.ends_with(bare, suffix)
    absent = pc.is_in(bare, value_set=pa.array(["", *words]))
    if not pc.all(pc.or_(fits, absent)).as_py():
        raise UnsureError
    bare = pc.if_else(absent, None, bare)
    figures = pc.utf8_rtrim_whitespace(pc.utf8_slice_codeunits(bare, 0, -len(suffix)))
    return plain(figures.cast(pa.float64()))


def multiplied(values: Figures, by: float) -> Figures:
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


def _scaled(values: NDArray[np.float64], by: float) -> Figures:
    """Multiply and keep six decimals, as ``units.scaled`` does."""
    most = float(np.abs(values).max()) if len(values) else 0.0
    if by.is_integer() and most < 2**32:
        bare = values.astype(np.int64)
        if bool((bare == values).all()):
            return bare * int(by)
    if max(most, most * by) >= 2**53:
        raise UnsureError  # a float is not exact there, and the strict path is
    product = values * by
    if most * by > 2**53 / 10**units.DECIMALS:
        whole = np.rint(product)
        if not bool((np.abs(product - whole) <= np.abs(product) * 2**-50).all()):
            raise UnsureError
        return whole.astype(np.int64)
    # Integers where every figure is whole: they compress best, and are the strict path's answer.
    near = np.rint(product)
    if bool((np.abs(product - near) < _WHOLE).all()):
        return near.astype(np.int64)
    rounded: NDArray[np.float64] = np.rint(product * 10**units.DECIMALS) / 10**units.DECIMALS
    return rounded


def refuse(
    signal: str,
    values: Figures,
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
        raise UnsureError
    palette.extend(
        Unavailable(
            reason=Reason.REJECTED,
            detail=f"{signal} outside its physical range",
            raw=int(figure) if float(figure).is_integer() else figure,
        )
        for figure in figures.tolist()
    )
    codes[bad] = back + (len(palette) - len(figures) + 1)
