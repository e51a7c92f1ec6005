"""From counts of a few sizes to the count of every size: exactly, or not at all.

A training run meets sequences of many lengths. Each is counted until a polynomial through the
first counts predicts at least two further ones to the last FLOP; from then on sizes are computed,
and every now and then, and whenever a size lies far outside of what was counted, one is counted
again to see whether the polynomial still holds. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations_with_replacement
from math import gcd
from typing import Any

Sizes = tuple[int, ...]
Figures = Mapping[Any, int]
"""Parts of a count by any key, e.g. phase and dtype."""
Monomial = tuple[int, ...]
"""How often each variable is multiplied."""

SPARE = 2
"""Counts beyond those that fix the polynomial: they check it."""
REACH = 2
"""A size may exceed the counted ones by this factor before it is counted itself; none may be less."""
MOST_KEPT = 64


@dataclass(slots=True)
class Fit:
    """Counts of one kind of call at different sizes, and the polynomial through them."""

    counted: list[tuple[Sizes, dict[Any, int]]] = field(default_factory=list)
    refuted: bool = False
    """A prediction was wrong: every size is counted from now on."""
    uses: int = 0
    """Sizes that were predicted."""
    _model: _Model | None = None

    def predict(self, sizes: Sizes) -> dict[Any, int] | None:
        """Return the figures at a size; None where it has to be counted."""
        for known, figures in self.counted:
            if known == sizes:
                return dict(figures)
        if self._model is None or self.refuted:
            return None
        if self.uses + 1 in (1, 4, 16, 64, 256, 1024, 4096):
            self.uses += 1
            return None  # have it counted, to see whether the polynomial holds
        answer = self._model.at(sizes)
        if answer is not None:
            self.uses += 1
        return answer

    def add(self, sizes: Sizes, figures: Figures) -> bool:
        """Take a count; False where it contradicts what would have been predicted."""
        predicted = self._model.inside(sizes) if self._model is not None else None
        right = predicted is None or _same(predicted, figures)
        if not right:
            self.refuted = True
        self.counted.append((sizes, dict(figures)))
        if len(self.counted) > MOST_KEPT:
            del self.counted[1]
        if not self.refuted:
            self._model = _fitted(self.counted)
        return right

    def between(self, sizes: Sizes) -> tuple[int, int | None]:
        """Bounds of the total at a size, from counts of smaller and larger sizes."""
        below = [
            sum(figures.values())
            for known, figures in self.counted
            if all(a <= b for a, b in zip(known, sizes, strict=True))
        ]
        above = [
            sum(figures.values())
            for known, figures in self.counted
            if all(a >= b for a, b in zip(known, sizes, strict=True))
        ]
        return max(below, default=0), min(above, default=None)


def _same(one: Figures, other: Figures) -> bool:
    keys = {*one, *other}
    return all(one.get(key, 0) == other.get(key, 0) for key in keys)


@dataclass(frozen=True, slots=True)
class _Variables:
    """Which places of the sizes change, and which of them change together."""

    constant: dict[int, int]
    leaders: tuple[int, ...]
    offsets: dict[int, tuple[int, int]]
    """Place -> place of its variable and the difference to it."""

    @classmethod
    def of(cls, rows: Sequence[Sizes]) -> _Variables:
        constant: dict[int, int] = {}
        leaders: list[int] = []
        offsets: dict[int, tuple[int, int]] = {}
        for place in range(len(rows[0])):
            column = [row[place] for row in rows]
            if len(set(column)) == 1:
                constant[place] = column[0]
                continue
            for leader in leaders:
                if len({row[place] - row[leader] for row in rows}) == 1:
                    offsets[place] = (leader, column[0] - rows[0][leader])
                    break
            else:
                leaders.append(place)
        return cls(constant, tuple(leaders), offsets)

    def values(self, sizes: Sizes) -> tuple[int, ...] | None:
        """The variables at a size; None for a size that changes in another way."""
        if any(sizes[place] != value for place, value in self.constant.items()):
            return None
        if any(sizes[p] - sizes[leader] != gap for p, (leader, gap) in self.offsets.items()):
            return None
        return tuple(sizes[place] for place in self.leaders)


@dataclass(frozen=True, slots=True)
class _Model:
    variables: _Variables
    basis: tuple[Monomial, ...]
    coefficients: dict[Any, tuple[Fraction, ...]]
    least: tuple[int, ...]
    greatest: tuple[int, ...]
    strides: tuple[int, ...]
    """All counted values of a variable lie whole strides apart."""

    def at(self, sizes: Sizes) -> dict[Any, int] | None:
        """The figures, where the size is like the counted ones.

        Not far above them, not below (a window may be longer than the sequence there), and between
        them only at their own distance: what is padded to multiples of 8 costs nothing more at 8, 16
        and 24, and something at 9.
        """
        values = self.variables.values(sizes) if self._fits(sizes) else None
        if values is None:
            return None
        limits = zip(values, self.least, self.greatest, self.strides, strict=True)
        if any(v < low or v > REACH * top or (v - low) % stride for v, low, top, stride in limits):
            return None
        return self._figures(values)

    def inside(self, sizes: Sizes) -> dict[Any, int] | None:
        """The figures that the polynomial gives, however far away."""
        values = self.variables.values(sizes) if self._fits(sizes) else None
        return None if values is None else self._figures(values)

    def _fits(self, sizes: Sizes) -> bool:
        return len(sizes) == len(self.variables.constant) + len(self.variables.leaders) + len(
            self.variables.offsets
        )

    def _figures(self, values: tuple[int, ...]) -> dict[Any, int] | None:
        row = _row(self.basis, values)
        figures: dict[Any, int] = {}
        for key, coefficients in self.coefficients.items():
            total = sum((c * r for c, r in zip(coefficients, row, strict=True)), Fraction(0))
            if total.denominator != 1 or total < 0:
                return None
            figures[key] = int(total)
        return figures


def _fitted(counted: Sequence[tuple[Sizes, dict[Any, int]]]) -> _Model | None:
    """The smallest polynomial that passes through every count, with counts to spare."""
    rows = [sizes for sizes, _ in counted]
    variables = _Variables.of(rows)
    if not 1 <= len(variables.leaders) <= 3:
        return None
    points = [variables.values(row) or () for row in rows]
    keys = sorted({key for _, figures in counted for key in figures}, key=repr)
    for basis in _bases(len(variables.leaders)):
        if len(points) < len(basis) + SPARE:
            continue
        columns = [[figures.get(key, 0) for _, figures in counted] for key in keys]
        solved = _solve([_row(basis, point) for point in points], columns)
        if solved is not None:
            ranges = list(zip(*points, strict=True))
            least = tuple(map(min, ranges))
            return _Model(
                variables=variables,
                basis=basis,
                coefficients=dict(zip(keys, map(tuple, solved), strict=True)),
                least=least,
                greatest=tuple(map(max, ranges)),
                strides=tuple(
                    gcd(*(value - low for value in column))
                    for column, low in zip(ranges, least, strict=True)
                ),
            )
    return None


def _bases(variables: int) -> Iterator[tuple[Monomial, ...]]:
    """Sets of monomials, small ones first: a batch is linear, a length at most quadratic."""
    if variables == 1:
        yield ((0,), (1,))
        yield ((0,), (1,), (2,))
        return
    for batch in range(variables):
        others = [place for place in range(variables) if place != batch]
        for degree in (1, 2):
            plain = [
                tuple(chosen.count(place) for place in range(variables))
                for power in range(degree + 1)
                for chosen in combinations_with_replacement(others, power)
            ]
            with_batch = [
                tuple(p + (place == batch) for place, p in enumerate(item)) for item in plain
            ]
            yield (*plain, *with_batch)


def _row(basis: tuple[Monomial, ...], values: tuple[int, ...]) -> list[int]:
    row = []
    for powers in basis:
        term = 1
        for value, power in zip(values, powers, strict=True):
            term *= value**power
        row.append(term)
    return row


def _solve(rows: list[list[int]], columns: list[list[int]]) -> list[list[Fraction]] | None:
    """Solve an overdetermined system exactly; None where it is contradictory or leaves a choice."""
    width = len(rows[0])
    table = [
        [Fraction(value) for value in row] + [Fraction(column[i]) for column in columns]
        for i, row in enumerate(rows)
    ]
    for pivot in range(width):
        chosen = next((i for i in range(pivot, len(table)) if table[i][pivot]), None)
        if chosen is None:
            return None  # the sizes so far cannot tell two terms apart
        table[pivot], table[chosen] = table[chosen], table[pivot]
        head = table[pivot]
        scale = head[pivot]
        table[pivot] = head = [value / scale for value in head]
        for i, row in enumerate(table):
            if i != pivot and row[pivot]:
                factor = row[pivot]
                table[i] = [a - factor * b for a, b in zip(row, head, strict=True)]
    if any(any(row[width:]) for row in table[width:]):
        return None
    return [[table[i][width + j] for i in range(width)] for j in range(len(columns))]
