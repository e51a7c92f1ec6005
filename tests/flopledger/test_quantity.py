import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopledger.quantity import (
    Interval,
    QuantityError,
    at_least,
    at_most,
    between,
    exact,
    lognormal,
    point,
    printed,
    relative,
)

positive = st.floats(min_value=1e-30, max_value=1e30)
intervals = st.tuples(positive, positive).map(
    lambda ends: Interval(low=min(ends), best=None, high=max(ends))
)


@given(intervals, intervals, st.floats(0, 1), st.floats(0, 1))
def test_products_and_quotients_hold_every_member(
    a: Interval, b: Interval, at: float, bt: float
) -> None:
    x = a.low + at * (a.high - a.low)
    y = b.low + bt * (b.high - b.low)
    slack = 1 + 1e-9
    product, quotient, total = a * b, a / b, a + b
    assert product.low / slack <= x * y <= product.high * slack
    assert quotient.low / slack <= x / y <= quotient.high * slack
    assert total.low / slack <= x + y <= total.high * slack


def test_open_ends_stay_open() -> None:
    tokens = at_least(15e12).interval
    assert (tokens * point(6 * 8e9)) == Interval(low=15e12 * 6 * 8e9, best=None, high=None)
    # A divisor without an upper end leaves the quotient without a lower one.
    assert (point(1.0) / tokens).low is None


def test_bounds_cannot_be_drawn() -> None:
    for bound in (at_least(1.0), at_most(1.0)):
        with pytest.raises(QuantityError, match="no distribution"):
            bound.sample(np.random.default_rng(0), 10)


def test_draws_lie_where_the_words_say() -> None:
    generator = np.random.default_rng(0)
    ranged = between(1e12, 2e12).sample(generator, 10_000)
    assert ranged.min() >= 1e12
    assert ranged.max() <= 2e12
    # log-uniform: the median is the geometric mean, sqrt(2) = 1.41421
    assert np.median(ranged) == pytest.approx(math.sqrt(2) * 1e12, rel=0.02)
    near = relative(100.0, 0.05).sample(generator, 100_000)
    inside = np.mean((near >= 100 / 1.05) & (near <= 105))
    assert inside == pytest.approx(0.90, abs=0.01)
    spread = lognormal(1.0, 0.2).sample(generator, 100_000)
    assert np.std(np.log(spread)) == pytest.approx(0.2, rel=0.02)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("3.8e25", 3.75e25, 3.85e25),  # half of 0.1e25 each way
        ("2.5272e+24", 2.52715e24, 2.52725e24),
        ("1e25", 0.5e25, 1.5e25),  # one digit: half of 1e25
        ("38_000_000", 37.5e6, 38.5e6),  # padding zeros are no digits
        ("7.85e24", 7.845e24, 7.855e24),
        ("40.0", 39.95, 40.05),  # zeros after a point are digits
    ],
)
def test_printed_digits_are_an_interval(text: str, low: float, high: float) -> None:
    interval = printed(text)
    assert interval.low == pytest.approx(low, rel=1e-12)
    assert interval.high == pytest.approx(high, rel=1e-12)


@given(positive)
def test_a_printed_figure_lies_in_its_own_interval(value: float) -> None:
    assert printed(repr(value)).contains(value)


@pytest.mark.parametrize("text", ["", "abc", "nan", "inf", "-3", "0", "1e", "3,8e25"])
def test_what_is_not_a_printed_number(text: str) -> None:
    with pytest.raises(QuantityError):
        printed(text)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_impossible_quantities_are_refused(bad: float) -> None:
    for make in (exact, at_least, at_most):
        with pytest.raises(QuantityError):
            make(bad)
    with pytest.raises(QuantityError):
        between(1.0, bad)


def test_a_range_runs_upward() -> None:
    with pytest.raises(QuantityError, match="low to high"):
        between(2.0, 1.0)
    with pytest.raises(QuantityError, match="ascend"):
        Interval(low=2.0, best=1.0, high=3.0)
