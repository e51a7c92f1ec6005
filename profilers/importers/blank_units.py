"""Units in the cells of a table, checked and blanked in the bytes of a whole piece at once.

``97 %, 612.00 W`` becomes ``97  , 612.00  ``, which a CSV reader takes for the figures that they are. The
place of every delimiter says which column a cell is in, so a unit in the wrong column, a cell without
its unit or a line of another length is noticed: then nothing is blanked, and slower readers decide.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BLANK = ord(" ")


def blanked(
    data: bytes, width: int, delimiter: bytes, units: Sequence[tuple[int, bytes]]
) -> memoryview | None:
    """Return the piece with the units of some columns overwritten by blanks.

    ``units`` are (place, unit) of columns in which every cell must end with the unit. None where one
    does not, where a line has not ``width`` cells, or where quotes may hide a delimiter.
    """
    if b'"' in data or b"\r" in data or not data.endswith(b"\n"):
        return None
    text = np.frombuffer(data, np.uint8).copy()
    lines = np.flatnonzero(text == ord("\n"))
    marks = np.flatnonzero(text == delimiter[0])
    if len(marks) != len(lines) * (width - 1) or width < 2:
        return None
    inside = marks.reshape(len(lines), width - 1)
    # As many delimiters as lines ask for: each line has its own if they lie between its ends.
    if not (bool((inside[:, -1] < lines).all()) and bool((inside[1:, 0] > lines[:-1]).all())):
        return None
    for place, unit in units:
        ends = lines if place == width - 1 else inside[:, place]
        if not _blank(text, ends, unit):
            return None
    return text.data


def _blank(text: NDArray[np.uint8], ends: NDArray[np.int64], unit: bytes) -> bool:
    """Overwrite a unit before each of these places; False where one is missing."""
    if int(ends[0]) < len(unit):
        return False
    for back, byte in enumerate(reversed(unit), start=1):
        if not bool((text[ends - back] == byte).all()):
            return False
        text[ends - back] = BLANK
    return True
