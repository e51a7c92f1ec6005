"""Figures in words."""

from flopledger.quantity import Interval, printed
from flopledger.text import energy, interval, number, round_number


def test_the_ends_of_an_interval_never_read_like_its_figure():
    # 6.74e24 stands for 6.735e24 to 6.745e24; at three digits one end rounds onto the figure.
    assert interval(printed("6.74e24")) == "6.74e24 (6.735e24 to 6.745e24)"
    assert interval(printed("3.8e25")) == "3.8e25 (3.75e25 to 3.85e25)"
    # An end that is the figure is shown as it is.
    assert (
        interval(Interval(low=1.0e19, best=1.3016e19, high=1.3016e19))
        == "1.30e19 (1.0e19 to 1.30e19)"
    )


def test_figures_below_a_million_are_written_without_exponents():
    # At three digits 999.7 is 1,000 and at two 234.5 is 230: no "1e+03", no "2.3e+02".
    assert number(999.7) == "1,000"
    assert number(234.5, 2) == "230"
    assert number(-999.7) == "-1,000"
    assert energy(999.7) == "1,000 J"
    assert number(0.5) == "0.5"


def test_a_figure_below_a_threshold_does_not_read_like_the_threshold():
    # Three digits of 9.996e25 would be 1.00e26, which the rule "> 1e26" is about.
    assert number(9.996e25) == "9.996e25"
    assert number(9.96e24, 2) == "9.96e24"
    assert round_number(9.96e24) == "9.96e24"
    assert interval(Interval(low=9.2e25, best=9.996e25, high=1.08e26)) == (
        "9.996e25 (9.2e25 to 1.08e26)"
    )
    # What differs in the eighth digit is rounding.
    assert number(9.9999999e25) == "1.00e26"
    assert number(1.004e26) == "1.00e26"
