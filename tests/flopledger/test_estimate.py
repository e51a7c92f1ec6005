"""Quantiles of draws, and draws that are shared by key."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopledger.estimate import Draws, quantiles
from flopledger.quantity import between


@settings(deadline=None)  # the first call imports numpy's own
@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=60), st.floats(0, 1))
def test_quantiles_are_numpys(values: list[float], level: float) -> None:
    draws = np.array(values)
    (ours,) = quantiles(draws, (level,))
    assert ours == pytest.approx(float(np.quantile(draws, level)), rel=1e-12)


def test_one_key_is_one_sample_in_any_order() -> None:
    quantity = between(1.0, 2.0)
    first, second = Draws(7, 100), Draws(7, 100)
    a = first.of("a", quantity)
    first.of("b", quantity)
    second.of("b", quantity)
    assert (second.of("a", quantity) == a).all()
    assert (first.of("b", quantity) != a).any()
    assert (Draws(8, 100).of("a", quantity) != a).any()


def test_two_quantities_of_one_key_share_the_numbers_and_not_the_figure() -> None:
    # The same amount in tokens and in sequences of 128: one draw told the other's figure once.
    draws = Draws(7, 100)
    tokens, sequences = between(128.0, 256.0), between(1.0, 2.0)
    assert draws.of("a", tokens) / 128 == pytest.approx(draws.of("a", sequences))
