"""Iterators that a model keeps: a count's forward reads from copies of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from typing import Any

import pytest
from torch import nn

from flopcount.errors import CountError
from flopcount.live.iterators import lent_iterators

KEPT: list[Callable[[], Iterator[Any]]] = [
    lambda: iter([1, 2, 3, 4]),
    lambda: iter(range(9)),
    lambda: itertools.count(),
    lambda: itertools.count(5, -2),
    lambda: itertools.count(10**30),
    lambda: itertools.count(0.5, -0.25),
    lambda: itertools.repeat("a"),
    lambda: itertools.repeat([1], 4),
]


@pytest.mark.parametrize("make", KEPT)
def test_a_copy_goes_on_where_the_iterator_is_and_leaves_it_there(
    make: Callable[[], Iterator[Any]],
) -> None:
    model: Any = nn.Identity()
    model.kept = kept = make()
    _, *expected = islice(make(), 3)
    next(kept)
    with lent_iterators(model):
        assert list(islice(model.kept, 2)) == expected
    assert model.kept is kept
    assert list(islice(kept, 2)) == expected


@pytest.mark.parametrize(
    "kept", [(n for n in range(3)), map(abs, [1]), itertools.count(Fraction(1, 2))]
)
def test_what_cannot_be_copied_says_so_and_is_not_read(kept: Iterator[Any]) -> None:
    model: Any = nn.Identity()
    model.kept = kept
    with lent_iterators(model), pytest.raises(CountError, match="cannot be read once more"):
        next(model.kept)
    assert next(kept) in (0, 1, Fraction(1, 2))
