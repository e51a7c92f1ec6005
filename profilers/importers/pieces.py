"""A long file of lines in pieces of whole lines, and what number the lines of a piece have."""

import os
from collections.abc import Iterator
from typing import BinaryIO

from profilers.importers.opened import MAX_LINE, Opened

PIECE_BYTES = 4 * 1024 * 1024


class LinesAbove:
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
                data = stream.read(min(until - self._until, PIECE_BYTES))
                if not data:
                    break  # the file was cut short meanwhile
                self._lines += data.count(b"\n")
                self._until += len(data)
        return self._lines


def byte_pieces(opened: Opened, skip_lines: int) -> Iterator[tuple[bytes, bool]]:
    """Yield the file in whole lines of about 4 MiB, each with whether it is the last piece."""
    with opened.path.open("rb") as stream:
        for _ in range(skip_lines):
            stream.readline(MAX_LINE)
        at = stream.tell()
        while at < opened.size:
            end = _line_end(stream, min(at + PIECE_BYTES, opened.size), opened.size)
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
