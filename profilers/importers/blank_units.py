"""Units in the cells of a table, checked and blanked in the bytes of a whole piece at once.

``97 %, 612.00 W`` becomes ``97  , 612.00  ``, which a CSV reader takes for the figures that they are. The
place of every delimiter says which column a cell is in, so a unit in the wrong column, a cell without
its unit or a line of another length is noticed: then nothing is blanked, and slower readers decide.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

_FIGURES = b"0123456789.-abcdef"
"""What differs from line to line: figures, and ids in hexadecimal."""

_CACHED = 256 * 1024


def blanked(
    data: bytes, width: int, delimiter: bytes, units: Sequence[tuple[int, bytes]]
) -> memoryview | None:
    """Return the piece with the units of some columns overwritten by blanks.

    ``units`` are (place, unit) of columns in which every cell must end with a blank and the unit. None
    where one does not, where a line has not ``width`` cells, or where quotes may hide a delimiter.
    """
    if b'"' in data or b"\r" in data or not data.endswith(b"\n"):
        return None
    if (uniform := _by_shape(data, width, delimiter, units)) is not None:
        return memoryview(uniform)
    text = np.frombuffer(data, np.uint8).copy()
    lines = text == ord("\n")
    rows = int(np.count_nonzero(lines))
    places = np.flatnonzero((text == delimiter[0]) | lines)
    if len(places) != rows * width:
        return None
    ends = places.reshape(rows, width)
    # As many line ends as lines, and each of them in the last place: every line has its own cells.
    if not bool((text[ends[:, -1]] == ord("\n")).all()):
        return None
    if not all(_blank(text, ends[:, place], b" " + unit) for place, unit in units):
        return None
    return text.data


def _by_shape(
    data: bytes, width: int, delimiter: bytes, units: Sequence[tuple[int, bytes]]
) -> bytes | None:
    """Do the same where all lines are alike but for their figures, which is nearly always so.

    Without its digits (and the letters of hexadecimal ids) such a line is one shape, repeated: then the
    first line speaks for all of them. Both passes are plain loops over the bytes. Where a blank stands
    before its figure rather than behind it, the figure is the same; within it, it is none to any reader.
    """
    first = data[: data.index(b"\n") + 1]
    cells = first[:-1].split(delimiter)
    if len(cells) != width or delimiter in _FIGURES:
        return None
    letters = {letter for _, unit in units for letter in unit}
    for place, unit in units:
        if not cells[place].endswith(b" " + unit):
            return None
        cells[place] = cells[place][: -len(unit)]
    if letters & {*_FIGURES, *b"".join(cells)}:
        return None  # a letter that stands elsewhere, too, must not be blanked there
    shape = first.translate(None, _FIGURES)
    repeated = shape * (_CACHED // len(shape) + 1)
    blank = bytes(ord(" ") if at in letters else at for at in range(256))
    done = []
    for some in _some_lines(data):
        bare = some.translate(None, _FIGURES)
        if len(bare) % len(shape) or not repeated.startswith(bare):
            return None
        done.append(some.translate(blank))
    return b"".join(done)


def _some_lines(data: bytes) -> Iterator[bytes]:
    """Cut a piece into whole lines that fit a processor's cache; other threads run in between."""
    start = 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + _CACHED) + 1 or data.index(b"\n", start) + 1
        yield data[start:end]
        start = end


def _blank(text: NDArray[np.uint8], ends: NDArray[np.int64], unit: bytes) -> bool:
    """Overwrite a unit before each of these places; False where one is missing."""
    if int(ends[0]) < len(unit):
        return False
    for size, kind in ((4, "<u4"), (2, "<u2"), (1, "u1")):  # several letters with one look
        while len(unit) >= size:
            # Every ``size`` bytes as one number, beginning at any byte.
            words = np.ndarray((len(text) - size + 1,), kind, text, strides=(1,))
            places = ends - len(unit)
            if not bool((words[places] == int.from_bytes(unit[:size], "little")).all()):
                return False
            words[places] = int.from_bytes(b" " * size, "little")
            unit = unit[size:]
    return True
