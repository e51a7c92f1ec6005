"""Sets of whole numbers as intervals: a million steps are one interval, not a million entries."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain

FEW = 16
"""So many intervals are added one by one, more of them all at once."""


class Ranges:
    """A set of whole numbers that remembers intervals. Ends are exclusive."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    @classmethod
    def of(cls, intervals: Iterable[tuple[int, int]]) -> "Ranges":
        """Return the union of many intervals; quicker than adding them one by one."""
        made = cls()
        for start, end in sorted(pair for pair in intervals if pair[0] < pair[1]):
            if made._ends and start <= made._ends[-1]:
                made._ends[-1] = max(made._ends[-1], end)
            else:
                made._starts.append(start)
                made._ends.append(end)
        return made

    def copy(self) -> "Ranges":
        """Return another set of the same numbers."""
        made = Ranges()
        made._starts, made._ends = self._starts.copy(), self._ends.copy()
        return made

    def add(self, start: int, end: int) -> None:
        """Add all numbers from ``start`` up to, but without, ``end``."""
        if start >= end:
            return
        # Intervals that touch the new one melt into it.
        left = bisect_left(self._ends, start)
        right = bisect_right(self._starts, end)
        if left < right:
            start = min(start, self._starts[left])
            end = max(end, self._ends[right - 1])
        self._starts[left:right] = [start]
        self._ends[left:right] = [end]

    def cut(self, end: int) -> None:
        """Leave out all numbers from ``end`` on."""
        whole = bisect_left(self._starts, end)
        del self._starts[whole:], self._ends[whole:]
        if self._ends:
            self._ends[-1] = min(self._ends[-1], end)

    def within(self, start: int, end: int) -> int:
        """Return how many numbers of ``[start, end)`` are in the set."""
        return max(0, end - start) - sum(high - low for low, high in self.gaps(start, end))

    def gaps(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Walk over the parts of ``[start, end)`` that are not in the set."""
        for place in range(bisect_right(self._ends, start), len(self._ends)):
            if self._starts[place] >= end:
                break
            if start < self._starts[place]:
                yield start, self._starts[place]
            start = self._ends[place]
        if start < end:
            yield start, end

    def update(self, other: "Ranges") -> None:
        """Add everything that is in ``other``."""
        if len(other._starts) < FEW:
            for start, end in other:
                self.add(start, end)
            return
        made = Ranges.of(chain(self, other))
        self._starts, self._ends = made._starts, made._ends

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Walk over the intervals, in order."""
        return iter(zip(self._starts, self._ends, strict=True))

    @property
    def size(self) -> int:
        """How many numbers are in the set."""
        return sum(end - start for start, end in self)

    def __contains__(self, number: int) -> bool:
        return self.within(number, number + 1) == 1
