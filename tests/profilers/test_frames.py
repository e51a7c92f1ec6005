"""Frames: what a calm sweep says in few bytes is what it would have said in words."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profilers.clocks import Axis, ClockPair
from profilers.frames import Layout, line_of, message_of_frame
from profilers.spool import SPOOL, Spool, read_spool

ROOT = Path(__file__).parents[2]
COLUMNS = ["power_mw", "energy_mj", "tensor_activity_permille"]
# Two devices; the second has no tensor activity.
READINGS = [(0, "power_mw", False), (1, "power_mw", False), (0, "energy_mj", False),
            (1, "energy_mj", False), (0, "tensor_activity_permille", True)]  # fmt: skip
LAYOUT = Layout.of(COLUMNS, [4, 7], READINGS)
ANCHOR = ClockPair(monotonic_ns=0, wall_ns=10**18)
counts = st.integers(-(2**62), 2**62)


def test_a_frame_says_what_the_layout_promises():
    # Wall minus monotonic; two stamps; two periods; 612 W and 70 W; joules; 41.26 percent.
    frame = LAYOUT.pack([1000, 50, 51, 9, 8, 612_000, 70_000, 5, 6, 41.26])
    assert LAYOUT.rows(frame) == [
        [4, 50, 1050, 9, [612_000, 5, 413], {}],
        [7, 51, 1051, 8, [70_000, 6, None], {}],
    ]


@given(st.lists(counts, min_size=9, max_size=9), st.floats(0, 100))
def test_round_trip_by_line_and_json(numbers, percent):
    layout = Layout.from_json(json.loads(json.dumps(LAYOUT.as_json())))
    assert layout == LAYOUT
    line = line_of(0, LAYOUT.pack([*numbers, percent]))
    assert b"\n" not in line
    (first, second) = message_of_frame(line, [layout])["rows"]
    offset, one, two, *_ = numbers
    assert (first[1:3], second[1:3]) == ([one, one + offset], [two, two + offset])
    assert first[4] == [numbers[5], numbers[7], int(percent * 10 + 0.5)]
    assert second[4] == [numbers[6], numbers[8], None]


@given(st.binary(max_size=200) | st.integers(-3, 3).map(lambda n: b"#%d AAAA" % n))
def test_nonsense_is_refused(line):
    with pytest.raises(ValueError, match="no frame"):
        message_of_frame(b"#" + line.removeprefix(b"#"), [LAYOUT])


@pytest.mark.parametrize(
    "change",
    [
        {"cells": [[0, 9, -1], [0, 1, 2]]},  # a ninth reading of five
        {"cells": [[0, -2, 1], [0, 1, 2]]},
        {"cells": [[0, 1, 2]]},
        {"devices": ["a", "b"]},
        {"percent": [False] * 70_000},
        {"percent": 5},
    ],
)
def test_a_layout_from_a_stranger_is_checked(change):
    with pytest.raises((ValueError, TypeError)):
        Layout.from_json({**LAYOUT.as_json(), **change})


@given(tail=st.integers(0, 60), count=st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_a_torn_spool_of_frames_costs_the_last_sweep(tmp_path_factory, tail, count):
    folder = tmp_path_factory.mktemp("spool")
    spool = Spool(folder)
    spool.describe(COLUMNS, list("abcdefgh"), [LAYOUT])
    for at in range(1, count + 1):
        frame = LAYOUT.pack([0, at * 1000, at * 1000 + 1000, 0, 0, at, at, at, at, 1.0])
        assert spool.keep(line_of(0, frame))
    path = folder / SPOOL
    path.write_bytes(path.read_bytes()[: -tail or None])
    columns, rows, torn = read_spool(folder, Axis(ANCHOR))
    assert columns == COLUMNS
    assert len(rows) == 2 * (count - (tail > 0))
    assert (torn is None) == (tail == 0)
    assert [row[0] for row in rows[:2]] == (["e", "h"] if rows else [])


CHILD = """
import json, sys, time
from pathlib import Path
from profilers.sources.nvml import NvmlSource
from profilers.frames import Layout
from profilers.reading import SIGNALS, is_number

source = NvmlSource()
source.open()
if len(sys.argv) > 2:  # the script's time 0 is now, however late a loaded machine began this
    draft = Path(sys.argv[2] + ".part")
    draft.write_text(str(time.monotonic_ns()))
    draft.rename(sys.argv[2])
names = [device.key for device in source.devices()]
columns = list(SIGNALS)
told = []
for number in range(int(sys.argv[1])):
    time.sleep(0.06)
    found = source.frame_pass()
    numbers = None if found is None else found.read(time.monotonic_ns())
    if found is not None and numbers is None:
        source.spoil_pass()
    if numbers is not None:
        layout = Layout.of(columns, range(len(names)), found.forms[found.form])
        rows = layout.rows(layout.pack(numbers))
        cells = [dict(zip(columns, row[4])) for row in rows]
        told.append({"form": found.form, "periods": [row[3] for row in rows], "cells": cells})
        continue
    sweep = source.sweep()
    cells = [
        {n: r if is_number(r) else r.reason.value for n, r in s.readings.items()}
        for s in sweep.samples
    ]
    periods = [s.period_ns for s in sweep.samples]
    events = [e.kind for e in sweep.events]
    told.append({"form": None, "periods": periods, "cells": cells, "events": events})
print(json.dumps(told))
"""


def sweeps(count: int, clock: Path | None = None) -> list[dict]:
    words = [
        sys.executable,
        "-c",
        textwrap.dedent(CHILD),
        str(count),
        *([str(clock)] if clock else []),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


STILL = "set * util 97\nset * tensor 41\nset * sm 80\nset * power 612000\nset * temp 55\n"


def test_frames_read_what_sweeps_read(nvml):
    """A still scene: every gauge and mean is the same however it was read; periods are seamless."""
    nvml("device model=h100\ndevice model=a100\n" + STILL)
    told = sweeps(40)
    forms = [sweep["form"] for sweep in told]
    assert {0, 1} <= set(forms)
    assert {2, 3} & set(forms)  # the slow ones, once in 0.95 s
    words = [sweep for sweep in told if sweep["form"] is None]
    assert len(words) <= 5  # the rest are frames
    for place in (0, 1):
        known: dict[str, set] = {}
        for sweep in told[2:]:
            for name, value in sweep["cells"][place].items():
                if isinstance(value, (int, float)):
                    known.setdefault(name, set()).add(value)
        for name, values in known.items():
            if name not in {"energy_mj", "pcie_tx_bytes", "pcie_rx_bytes", "nvlink_tx_bytes",
                            "nvlink_rx_bytes"}:  # fmt: skip
                assert len(values) == 1, (name, values)
        assert known["power_mw"] == {612_000}
        assert known["gpu_util_permille"] == {970}
        energy = [sweep["cells"][place]["energy_mj"] for sweep in told]
        assert energy == sorted(energy)
        assert all(period > 50_000_000 for sweep in told[1:] for period in sweep["periods"][place:])
    assert known.keys() & {"tensor_activity_permille"} == set()  # an A100 has no GPM


@pytest.mark.parametrize(
    ("fault", "signal", "reason"),
    [
        ("fault 0 nvmlDeviceGetUtilizationRates code=999 call=12", None, None),
        ("energy_reset 0 1.5", "energy_mj", "reset"),
        ("set 0 util 255 1.0", "gpu_util_permille", "rejected"),
        ("set 0 tensor 140 1.0", "tensor_activity_permille", "rejected"),
        ("fault 0 * code=15 from=1.0", "power_mw", "lost"),
    ],
)
def test_what_is_unusual_is_told_in_words(nvml, tmp_path, fault, signal, reason):
    nvml(f"device model=h100\n{STILL}{fault}")
    told = sweeps(45, tmp_path / "epoch")
    assert any(sweep["form"] is not None for sweep in told)
    for sweep in told:
        if sweep["form"] is not None:  # a frame never carries what is not a number within physics
            cells = sweep["cells"][0]
            assert cells["gpu_util_permille"] in (None, 970)
            # A mean over the moment of the change lies between 410 and what is impossible.
            tensor = cells["tensor_activity_permille"]
            assert tensor is None or 410 <= tensor <= 1000
    if signal is not None:
        reasons = {s["cells"][0].get(signal) for s in told if s["form"] is None}
        assert reason in reasons
