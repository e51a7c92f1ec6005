"""Figures in words."""

from flopledger.quantity import Interval, printed
from flopledger.text import interval


def test_the_ends_of_an_interval_never_read_like_its_figure():
    # 6.74e24 stands for 6.735e24 to 6.745e24; at three digits one end rounds onto the figure.
    assert interval(printed("6.74e24")) == "6.74e24 (6.735e24 to 6.745e24)"
    assert interval(printed("3.8e25")) == "3.8e25 (3.75e25 to 3.85e25)"
    # An end that is the figure is shown as it is.
    assert (
        interval(Interval(low=1.0e19, best=1.3016e19, high=1.3016e19))
        == "1.30e19 (1.0e19 to 1.30e19)"
    )
