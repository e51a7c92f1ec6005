"""Uncertain positive quantities: exact, a range, a relative error, or known on one side only.

Everything an audit multiplies (tokens, hours, utilisation, FLOP) is positive, so products are taken
as products of ends and spreads live in log space. A one-sided quantity has no distribution: it can
bound a product but never be sampled.
"""

import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TYPE_CHECKING

from flopledger.errors import FlopledgerError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float64]

#: Half-width of a central 90% interval of the normal distribution, in standard deviations.
Z90 = 1.6448536269514722


class QuantityError(FlopledgerError):
    """A quantity that cannot exist (not finite, not positive, ends crossed) or be sampled."""


class Spread(StrEnum):
    """How probability lies between the ends."""

    EXACT = "exact"
    UNIFORM = "uniform in the logarithm"
    LOGNORMAL = "lognormal, ends are the central 90%"
    BOUND = "a bound only"


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A closed interval of positive numbers; ``None`` at an open end.

    ``best`` is the figure to quote, ``None`` where only bounds are known.
    """

    low: float | None
    best: float | None
    high: float | None

    def __post_init__(self) -> None:
        ends = [end for end in (self.low, self.best, self.high) if end is not None]
        if any(not math.isfinite(end) or end < 0 for end in ends):
            raise QuantityError(f"an interval needs finite ends of at least 0, found {ends}")
        if ends != sorted(ends):
            raise QuantityError(f"the ends of an interval must ascend, found {ends}")

    def __mul__(self, other: "Interval | float") -> "Interval":
        """Multiply end by end (all values are positive)."""
        factor = other if isinstance(other, Interval) else point(other)
        return Interval(
            low=_product(self.low, factor.low),
            best=_product(self.best, factor.best),
            high=_product(self.high, factor.high),
        )

    def __truediv__(self, other: "Interval | float") -> "Interval":
        """Divide by a positive interval: the low end comes from the divisor's high end."""
        divisor = other if isinstance(other, Interval) else point(other)
        return self * Interval(
            low=_reciprocal(divisor.high),
            best=_reciprocal(divisor.best),
            high=_reciprocal(divisor.low),
        )

    def __add__(self, other: "Interval") -> "Interval":
        """Add end by end; an end that is open in either stays open."""
        return Interval(
            low=_sum(self.low, other.low),
            best=_sum(self.best, other.best),
            high=_sum(self.high, other.high),
        )

    def contains(self, value: float) -> bool:
        """Say whether ``value`` lies inside, ends included."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantity:
    """A positive quantity and how sure it is."""

    interval: Interval
    spread: Spread

    @property
    def is_two_sided(self) -> bool:
        """Whether it can be sampled; a bound cannot."""
        return self.spread is not Spread.BOUND

    @property
    def best(self) -> float | None:
        """The figure to quote; ``None`` for a bound."""
        return self.interval.best

    def sample(self, generator: "np.random.Generator", count: int) -> "Samples":
        """Draw ``count`` values, or raise ``QuantityError`` for a bound."""
        import numpy as np

        low, best, high = self.interval.low, self.interval.best, self.interval.high
        if self.spread is Spread.BOUND or low is None or best is None or high is None:
            raise QuantityError("a bound has no distribution to draw from")
        if self.spread is Spread.EXACT:
            return np.full(count, best)
        if self.spread is Spread.UNIFORM:
            return np.exp(generator.uniform(math.log(low), math.log(high), count))
        sigma = (math.log(high) - math.log(best)) / Z90
        return best * np.exp(sigma * generator.standard_normal(count))


def point(value: float) -> Interval:
    """Give the interval that is one number."""
    return Interval(low=value, best=value, high=value)


def exact(value: float) -> Quantity:
    """Give a quantity without doubt."""
    _require_positive(value)
    return Quantity(interval=point(value), spread=Spread.EXACT)


def between(low: float, high: float) -> Quantity:
    """Give a range without a favourite; the best figure is the geometric mean of its ends."""
    _require_positive(low, high)
    if low > high:
        raise QuantityError(f"a range runs from low to high, found [{low:g}, {high:g}]")
    if low == high:
        return exact(low)
    best = math.sqrt(low) * math.sqrt(high)
    return Quantity(interval=Interval(low=low, best=best, high=high), spread=Spread.UNIFORM)


def relative(value: float, error: float) -> Quantity:
    """Give ``value`` with a relative error: 90% lies between value / (1 + e) and value (1 + e)."""
    _require_positive(value)
    if not 0 <= error < 10:
        raise QuantityError(f"a relative error lies between 0 and 10, found {error:g}")
    if error == 0:
        return exact(value)
    ends = Interval(low=value / (1 + error), best=value, high=value * (1 + error))
    return Quantity(interval=ends, spread=Spread.LOGNORMAL)


def lognormal(median: float, sigma: float) -> Quantity:
    """Give a lognormal quantity by its median and the standard deviation of its logarithm."""
    _require_positive(median)
    return relative(median, math.expm1(Z90 * sigma))


def at_least(value: float) -> Quantity:
    """Give a lower bound, such as "15T+ tokens"."""
    _require_positive(value)
    return Quantity(interval=Interval(low=value, best=None, high=None), spread=Spread.BOUND)


def at_most(value: float) -> Quantity:
    """Give an upper bound, such as "up to 2048 GPUs"."""
    _require_positive(value)
    return Quantity(interval=Interval(low=None, best=None, high=value), spread=Spread.BOUND)


def printed(text: str) -> Interval:
    """Give the interval that a printed figure stands for: half a unit of its last digit each way.

    ``"3.8e25"`` is 3.75e25 to 3.85e25. Trailing zeros before a decimal point are taken as padding,
    since ``3800000`` is how people write 3.8 million: the wider reading is the safe one.
    """
    try:
        number = Decimal(text.replace("_", ""))
    except InvalidOperation:
        raise QuantityError(f"{text!r} is not a printed number") from None
    if not number.is_finite() or number <= 0:
        raise QuantityError(f"a printed figure must be finite and positive, found {text}")
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    if "." not in text:
        while len(digits) > 1 and digits[-1] == 0:
            digits, exponent = digits[:-1], exponent + 1
    half = Decimal(5).scaleb(exponent - 1)
    return Interval(low=float(number - half), best=float(number), high=float(number + half))


def _require_positive(*values: float) -> None:
    for value in values:
        if not (math.isfinite(value) and value > 0):
            raise QuantityError(f"a quantity must be finite and above 0, found {value:g}")


def _product(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left * right


def _sum(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left + right


def _reciprocal(value: float | None) -> float | None:
    return None if value is None or value == 0 else 1 / value
