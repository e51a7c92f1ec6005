"""Figures in words."""

from flopledger.quantity import printed
from flopledger.text import interval


def test_the_ends_of_an_interval_never_read_like_its_figure():
    # 6.74e24 stands for 6.735e24 to 6.745e24; at three digits one end rounds onto the figure.
    assert interval(printed("6.74e24")) == "6.74e24 (6.735e24 to 6.745e24)"
    assert interval(printed("3.8e25")) == "3.8e25 (3.75e25 to 3.85e25)"
