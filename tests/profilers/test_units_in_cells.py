"""Figures with their unit in the cell: read at once only where every cell is written alike."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.importers import ImportFormatError, Options, bulk, collect, open_recording
from profilers.importers.bulk_figures import written_alike

CELLS = [" 612.00 W", " 70.5 W", " 3 W"]


def column(*cells: str) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(cells, pa.string())])


def test_all_alike():
    assert written_alike(column(*CELLS), "W", whole=False).to_pylist() == [612.0, 70.5, 3.0]
    assert written_alike(column("50 %", "7 %"), "%", whole=True).to_pylist() == [50, 7]
    assert written_alike(column(" 1980MHz", " 7MHz"), "MHz", whole=True).to_pylist() == [1980, 7]


@pytest.mark.parametrize(
    "cell",
    [
        " [N/A]",
        " 70.5 MHz",  # the unit of another column
        " 70.5W",  # no blank
        "70.5 W",  # none before
        "  70.5 W",  # two before
        " 70.5  W",  # two between
        " 70.5 W W",
        " W70.5 W",
        " 70.5 W ",
        " 70.5",
        " 70.5 w",
    ],
)
def test_one_cell_that_is_not(cell):
    assert written_alike(column(*CELLS, cell), "W", whole=False) is None


@pytest.mark.parametrize("cell", [" W", "  W", " ", "", " 7 0 W", " -W"])
def test_no_figure_is_none(cell):
    try:
        found = written_alike(column(*CELLS, cell), "W", whole=False)
    except pa.ArrowInvalid:
        return
    assert found is None


def test_what_one_cell_has_too_much_does_not_make_up_for_another():
    """`` W`` is one byte shorter than a unit and a blank on either side, `` 5 WW`` one longer."""
    try:
        found = written_alike(column(" 612.00 W", " W", " 5 WW"), "W", whole=False)
    except pa.ArrowInvalid:
        return
    assert found is None


@st.composite
def spoilt(draw):
    """Lines with units, mostly alike, with something else in one place at most."""
    figure = st.from_regex(r"\A-?[0-9]{1,4}(\.[0-9]{1,3})?\Z")
    rows = draw(st.integers(1, 6))
    cells = [[f" {draw(figure)} W", f" {draw(figure)} MHz"] for _ in range(rows)]
    spoil = st.sampled_from(
        ["", " ", "W", "H", "MHz", "[N/A]", "e5", "x", "\t", "-", "é", "5", "0x"]
    )
    row, place = draw(st.integers(0, rows - 1)), draw(st.integers(0, 1))
    at, cell = draw(st.integers(0, 9)), cells[row][place]
    cells[row][place] = cell[:at] + draw(spoil) + cell[at + draw(st.integers(0, 2)) :]
    return cells


@given(cells=spoilt(), few=st.sampled_from([1, 3, 1000]))
def test_the_strict_reader_says_the_same(tmp_path_factory, cells, few):
    """``few``: distinct cells up to which a column is read cell by cell, and not as a whole."""
    lines = ["timestamp, index, power.draw [W], clocks.sm [MHz]"]
    # Enough rows in order that one odd cell is no wrong header.
    good = [[" 612.00 W", " 1980 MHz"]] * 12
    for second, (watts, clock) in enumerate([*good, *cells, *good]):
        lines.append(f"2026/01/01 00:00:{second:02d}.000, 0,{watts},{clock}")
    path = tmp_path_factory.mktemp("spoilt") / "gpu.csv"
    path.write_text("\n".join(lines) + "\n")

    def outcome(*, bulk):
        try:
            (seen,) = collect([open_recording(path, Options(bulk=bulk))[1]]).devices.values()
        except ImportFormatError as error:
            return str(error)
        return [
            seen.reading(name, row)
            for name in ("power_mw", "sm_clock_mhz")
            for row in range(len(seen))
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk, "_FEW", few)
        assert outcome(bulk=True) == outcome(bulk=False)


def test_what_a_column_does_not_have_any_more_is_no_absence(tmp_path, monkeypatch):
    """Cells are remembered over pieces of a file; an absence of an earlier piece stays there."""
    monkeypatch.setattr("profilers.importers.pieces.PIECE_BYTES", 100)
    cells = ["50 %", "[N/A]", *["60 %", "0 %"] * 20]
    rows = [f"2026/01/01 00:00:{n:02d}.000, 0, {cell}" for n, cell in enumerate(cells)]
    path = tmp_path / "gpu.csv"
    path.write_text("\n".join(["timestamp, index, utilization.gpu [%]", *rows]) + "\n")
    (_, recording) = open_recording(path)
    blocks = [block.series["gpu_util_permille"] for block in recording.blocks]
    assert len(blocks) > 3
    absent = [[why.reason for why in series.palette] for series in blocks]
    assert absent[0] == ["unsupported"]
    assert not any(absent[1:])
    read = [series.at(row) for series in blocks for row in range(len(series))]
    assert read[0] == 500
    assert read[2:] == [600, 0] * 20  # permille
