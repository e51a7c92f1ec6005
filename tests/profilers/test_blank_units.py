"""Units are blanked only where every cell of their column carries them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.importers.blank_units import blanked

UNITS = [(1, b"W"), (2, b"MHz")]


def of(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def test_units_become_blanks_in_place():
    bare = blanked(of("0, 612.00 W, 1980 MHz", "1, 70.5 W, 210 MHz"), 3, b",", UNITS)
    assert bytes(bare) == of("0, 612.00  , 1980    ", "1, 70.5  , 210    ")


@pytest.mark.parametrize(
    "line",
    [
        "1, [N/A], 210 MHz",  # a cell without its unit
        "1, 70.5 MHz, 210 W",  # units in each other's columns
        "1, 70.5W, 210 MHz",  # no blank
        "1, 70.5, 210 W MHz",  # the first column's unit in the second
        "1, 70.5 W, 210 MHz, 5",  # a longer line
        "1, 70.5 W",  # a shorter one
        "70.5 W, 210 MHz, 1",  # shifted
        '1, "70.5 W", 210 MHz',  # quotes
        "",
        "1, 70.5 W, 210 MHz\r",
    ],
)
def test_anything_else_is_left_to_the_strict_reader(line):
    assert blanked(of("0, 612.00 W, 1980 MHz", line), 3, b",", UNITS) is None
    assert blanked(of(line, "0, 612.00 W, 1980 MHz"), 3, b",", UNITS) is None


def test_a_long_and_a_short_line_do_not_make_up_for_each_other():
    data = of("0, 1 W", "0, 1 W, 2 MHz, 3", "0, 1 W, 2 MHz")
    assert blanked(data, 3, b",", UNITS) is None


@given(st.binary(max_size=60))
def test_any_bytes_are_survived(data):
    found = blanked(data, 3, b",", UNITS)
    assert found is None or len(found) == len(data)
