"""Whole columns of stamps at once, for the bulk path. None wherever the strict path should look."""

from datetime import UTC, datetime, timedelta, tzinfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from profilers.importers.stamps import COARSER_NS, EPOCH_UNITS, zone_behind
from profilers.importers.stamps import zone as named_zone

Ints = NDArray[np.int64]
_PLACES = {"Y": (0, 4), "m": (5, 7), "d": (8, 10), "H": (11, 13), "M": (14, 16)}
_SLOT_S = 900
"""Zone offsets change at quarter hours at the earliest."""
_LATEST_NS = (1 << 33) * 10**9 - 1


def epoch_type(unit: str) -> pa.DataType:
    """Return the exact decimal type whose unscaled figure is nanoseconds."""
    return {
        "unix-s": pa.decimal128(20, 9),
        "unix-ms": pa.decimal128(20, 6),
        "unix-us": pa.decimal128(20, 3),
        "unix-ns": pa.int64(),
    }[unit]


def epoch_column(cells: pa.Array, unit: str) -> Ints | None:
    """Return Unix nanoseconds of a column read as ``epoch_type``, or as whole numbers of ``unit``."""
    if cells.null_count:
        return None
    if pa.types.is_decimal(cells.type):
        words = np.frombuffer(cells.buffers()[1], np.int64)[2 * cells.offset :]
        low = words[0 : 2 * len(cells) : 2]
        high = words[1 : 2 * len(cells) : 2]
        if bool((high != 0).any()):
            return None
        time: Ints = low.astype(np.int64)
    else:
        factor = EPOCH_UNITS[unit]
        told: Ints = cells.to_numpy()
        if not _plausible(told, _LATEST_NS // factor):
            return None
        time = told * factor
    return time if _plausible(time) and not (unit != "unix-s" and _coarser(time)) else None


def civil_column(cells: pa.Array, zone: tzinfo | None, *, zoned: bool = False) -> Ints | None:
    """Return nanoseconds of ``YYYY/MM/DD HH:MM:SS.fff`` in one fixed width, or None.

    ``zoned``: a zone stands behind each stamp, and all have the same one.
    """
    raw = _one_width(cells)
    if raw is None or not 19 <= raw.shape[1] <= 40:
        return None
    width = raw.shape[1]
    behind = zone_behind(raw[0].tobytes().decode("ascii", errors="replace"))
    if zoned != bool(behind):
        return None
    if behind:
        written = raw[:, width - len(behind) :]
        if not bool((written == written[0]).all()):
            return None
        raw, width = raw[:, : width - len(behind)], width - len(behind)
        zone = UTC if behind.strip() == "Z" else named_zone(behind.strip())
    blank = 0
    while blank < width - 19 and bool((raw[:, blank] == ord(" ")).all()):
        blank += 1
    time = _moments(raw[:, blank:], zone)
    return time if time is not None and _plausible(time) else None


def _moments(raw: NDArray[np.uint8], zone: tzinfo | None) -> Ints | None:
    """Return nanoseconds of stamps, a stamp a row; None where one is none.

    Rows of one second follow each other in most logs, so that a run of them is read once.
    """
    width = raw.shape[1]
    if width not in (19, *range(21, 30)):
        return None
    starts = _runs(raw)
    # One row a place: each place of the stamp becomes a contiguous run of bytes.
    text = np.ascontiguousarray(raw[starts, :19].T)
    minutes = _minutes(text) if _separated(text) else None
    second = _figure(text[17:19])
    if minutes is None or second is None or bool((second > 59).any()):
        return None
    if zone is not None:
        minutes = minutes - _offsets(minutes * 60, zone) // 60
    seconds = minutes * 60 + second
    if not _plausible(seconds, _LATEST_NS // 10**9):
        return None  # before nanoseconds of it leave their 64 bits
    time: Ints = np.repeat(seconds * 10**9, np.diff(np.append(starts, len(raw))))
    if width == 19:
        return time
    point = raw[:, 19]
    fraction = _figure(np.ascontiguousarray(raw[:, 20:].T))
    if fraction is None or point[0] not in b".," or not bool((point == point[0]).all()):
        return None
    time += fraction * 10 ** (29 - width)
    return time


def _runs(raw: NDArray[np.uint8]) -> Ints:
    """Return the first rows of runs that have one second."""
    changed = np.zeros(len(raw), np.bool_)
    changed[0] = True
    for at in (0, 8, 11):  # three overlapping words of eight bytes cover the nineteen
        word = raw[:, at : at + 8].view(np.uint64)[:, 0].copy()
        changed[1:] |= word[1:] != word[:-1]
    return np.flatnonzero(changed)


def _one_width(cells: pa.Array) -> NDArray[np.uint8] | None:
    """Return the cells as a table of bytes, a cell a row; None where they are not of one length."""
    if not len(cells) or cells.null_count:
        return None
    if pa.types.is_fixed_size_binary(cells.type):
        width = cells.type.byte_width
        flat = np.frombuffer(cells.buffers()[1], np.uint8)
        return flat[cells.offset * width : (cells.offset + len(cells)) * width].reshape(-1, width)
    ends = np.frombuffer(cells.buffers()[1], np.int32)[cells.offset : cells.offset + len(cells) + 1]
    widths = np.diff(ends)
    if not bool((widths == widths[0]).all()):
        return None
    flat = np.frombuffer(cells.buffers()[2], np.uint8)[ends[0] : ends[-1]]
    return flat.reshape(-1, int(widths[0])) if widths[0] else None


def _minutes(text: NDArray[np.uint8]) -> Ints | None:
    """Return minutes since 1970 of each row."""
    parts = {name: _figure(text[a:b]) for name, (a, b) in _PLACES.items()}
    known = {name: part for name, part in parts.items() if part is not None}
    days = _days(known) if len(known) == len(parts) else None
    if days is None or not bool(((known["H"] < 24) & (known["M"] < 60)).all()):
        return None
    minutes: Ints = days * 1440 + known["H"] * 60 + known["M"]
    return minutes


def _plausible(time: Ints, latest: int = _LATEST_NS) -> bool:
    return not len(time) or bool(time.min() >= 0 and time.max() <= latest)


def _coarser(time: Ints) -> bool:
    """Say whether stamps may be of a coarser unit, for the strict path to judge one by one."""
    return bool(len(time)) and bool(time.min() < COARSER_NS * 100 and time.max() >= COARSER_NS)


def _separated(text: NDArray[np.uint8]) -> bool:
    """Check that the separators stand where they should, the same ones in every row."""
    return all(
        text[place, 0] in allowed and bool((text[place] == text[place, 0]).all())
        for place, allowed in ((4, b"-/"), (7, b"-/"), (10, b" T"), (13, b":"), (16, b":"))
    )


def _figure(digits: NDArray[np.uint8]) -> Ints | None:
    """Read places of digits (at most nine) as one number a row; None where one is no digit."""
    total = np.zeros(digits.shape[1], np.int32)
    for place in digits:
        value = place - np.uint8(ord("0"))  # wraps below zero, so one comparison is enough
        if bool((value > 9).any()):
            return None
        total *= 10
        total += value
    return total.astype(np.int64)


def _days(parts: dict[str, Ints]) -> Ints | None:
    """Return days since 1970 (the civil calendar in March-based years); None: no such date."""
    year, month, day = parts["Y"], parts["m"], parts["d"]
    if not bool(((month >= 1) & (month <= 12) & (day >= 1) & (year >= 1970)).all()):
        return None
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    lengths = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    if bool((day > lengths[month] + (leap & (month == 2))).any()):
        return None
    shifted = year - (month <= 2)
    era, in_era = shifted // 400, shifted % 400
    in_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days: Ints = era * 146_097 + in_era * 365 + in_era // 4 - in_era // 100 + in_year - 719_468
    return days


def _offsets(local: Ints, zone: tzinfo) -> Ints:
    """Return the zone's offset in seconds at each local time."""
    slots, back = np.unique(local // _SLOT_S, return_inverse=True)
    offsets = np.zeros(len(slots), np.int64)
    for place, slot in enumerate(slots.tolist()):
        naive = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=slot * _SLOT_S)
        offset = naive.replace(tzinfo=zone).utcoffset()
        offsets[place] = 0 if offset is None else int(offset.total_seconds())
    found: Ints = offsets[back]
    return found
