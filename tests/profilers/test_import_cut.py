"""A table that ends in a digit may have been cut there, 3 W of 321 W: the figure is told."""

from datetime import UTC

import pytest

from profilers.importers import Options, collect, open_recording

UUID = "GPU-0a1b2c3d-0000-1111-2222-333344445550"
STAMP = "2026/07/23 12:00:{second:02d}.000"
TABLES = {
    "nvidia-smi, no units": (
        "timestamp, index, uuid, power.draw\n",
        f"{STAMP}, 0, {UUID}, 32{{second}}\n",
    ),
    "dmon": (
        "#Date Time gpu pwr\n#YYYYMMDD HH:MM:SS Idx W\n",
        "20260723 12:00:0{second} 0 32{second}\n",
    ),
    "Zeus": (
        "start_time,window_name,elapsed_time,gpu0_energy\n",
        "1{second}0.5,w,9.5,32{second}\n",
    ),
}


def told(tmp_path, text):
    path = tmp_path / "file"
    path.write_text(text)
    _, recording = open_recording(path, Options(zone=UTC))
    trace = collect([recording])
    return recording.findings.codes(), sum(len(seen) for seen in trace.devices.values())


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_table_that_ends_in_a_digit(tmp_path, name, cut):
    head, row = TABLES[name]
    whole = head + "".join(row.format(second=second) for second in range(3))
    codes, rows = told(tmp_path, whole)
    assert "torn-tail" not in codes
    # "322\n" without its last one to three characters still is a figure: 322, 32 and 3
    codes, as_many = told(tmp_path, whole[:-cut])
    assert "torn-tail" in codes
    assert as_many == rows, "the row is kept, for many tables simply lack a last line end"


def test_a_unit_behind_the_figure_shows_it_whole(tmp_path):
    head = f"timestamp, index, uuid, power.draw [W]\n{STAMP.format(second=1)}, 0, {UUID}, "
    assert "torn-tail" not in told(tmp_path, f"{head}321.12 W")[0]
    assert "torn-tail" in told(tmp_path, f"{head}321.1")[0]
