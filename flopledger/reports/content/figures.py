"""Figures as the report's tables print them."""

from flopledger.quantity import Interval
from flopledger.text import interval, number


def shown(value: Interval, digits: int = 3) -> str:
    """Write an interval; where its ends print alike, so many digits are all there is to say."""
    if value.best is None or value.low is None or value.high is None:
        return interval(value, digits)
    if number(value.low, digits) == number(value.high, digits):
        return number(value.best, digits)
    return interval(value, digits)
