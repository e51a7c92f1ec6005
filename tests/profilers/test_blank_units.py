"""Units are blanked only where every cell of their column carries them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.importers import ImportFormatError, Options, collect, open_recording
from profilers.importers.blank_units import _by_shape, blanked

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


@st.composite
def tables(draw):
    """Lines of three cells, mostly of one shape, with something else in one place at most."""
    rows = draw(st.integers(1, 6))
    figure = st.from_regex(r"-?[0-9]{1,4}(\.[0-9]{1,3})?", fullmatch=True)
    lines = [f"{row % 2}, {draw(figure)} W, {draw(figure)} MHz" for row in range(rows)]
    spoil = st.sampled_from(["", " ", "W", "H", "[N/A]", "e5", "abc", ",", "\t", "-", "é"])
    row, at = draw(st.integers(0, rows - 1)), draw(st.integers(0, 20))
    lines[row] = lines[row][:at] + draw(spoil) + lines[row][at + draw(st.integers(0, 2)) :]
    return of(*lines)


@given(tables())
def test_lines_of_one_shape_are_blanked_as_cell_by_cell(data):
    """The two ways agree wherever the quick one answers at all."""
    quick = _by_shape(data, 3, b",", UNITS)
    if quick is None:
        return
    expected = []
    for line in data.decode().splitlines():
        cells = line.split(",")
        assert len(cells) == 3
        for place, unit in ((1, " W"), (2, " MHz")):
            whole = cells[place].endswith(unit)
            cells[place] = cells[place].translate(dict.fromkeys(map(ord, unit), " "))
            # Figures behind or between the letters: no figure, so the reader that follows refuses it.
            assert whole or " " in cells[place].strip()
        expected.append(",".join(cells))
    assert bytes(quick) == of(*expected)


@pytest.mark.parametrize("cell", ["  70.5W", "   W", " W", " 7 0W", " 7 0 W", "70.5 W", " -W"])
def test_blanks_in_other_places_never_make_another_figure(tmp_path, cell):
    """Lines of one shape whose blanks stand elsewhere: read as the strict reader does, or refused."""
    path = tmp_path / "gpu.csv"
    rows = [f"2026/01/01 00:00:{second:02d}.000, 0, 612.00 W" for second in range(20)]
    rows[7] = rows[7].replace(" 612.00 W", cell)
    path.write_text("\n".join(["timestamp, index, power.draw [W]", *rows]) + "\n")

    def outcome(*, bulk):
        try:
            (seen,) = collect([open_recording(path, Options(bulk=bulk))[1]]).devices.values()
        except ImportFormatError as error:
            return str(error)
        return [seen.reading("power_mw", row) for row in range(len(seen))]

    assert outcome(bulk=True) == outcome(bulk=False)


def test_a_name_with_a_units_letter_is_left_whole():
    """``H`` stands in MHz and in the name: the quick way must not blank it there."""
    data = of("H100, 612.00 W, 1980 MHz", "H100, 70.5 W, 210 MHz")
    assert _by_shape(data, 3, b",", UNITS) is None
    assert bytes(blanked(data, 3, b",", UNITS)) == of(
        "H100, 612.00  , 1980    ", "H100, 70.5  , 210    "
    )
