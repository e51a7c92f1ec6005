"""What the recorded devices of a part drew: idle boards trained nothing, none draws ten times its rating."""

import datetime as dt

import pytest

from flopledger.auditing import audit
from flopledger.cases.case import AuditCase

# 64 H100 for 50 h at 0.4 of 989e12 FLOP/s do 4.56e21: 6 * 7e9 * 1.085e11.
CASE = """\
schema = "flopledger/case/1"
title = "t"
[claim]
flop = 4.6e21
[model.m]
parameters = 7e9
[[run]]
name = "r"
model = "m"
tokens = 1.085e11
precision = "bf16"
accelerator = "NVIDIA H100 80GB HBM3"
accelerator_count = 64
wall_clock_hours = 50
evidence = ["sacct.txt", "node1.csv"]
"""
SACCT = (
    "JobIDRaw|State|ElapsedRaw|AllocTRES\n"
    "1|COMPLETED|180000|billing=512,cpu=512,gres/gpu:h100=64,gres/gpu=64,node=8\n"
)
BEGIN = dt.datetime(2025, 3, 10, 12)


def recording(watts, *, first=""):
    """One node of eight GPUs, a sample each half hour; ``first`` stands in for the first 30 readings."""
    rows = ["timestamp, index, name, utilization.gpu [%], power.draw [W]"]
    for sample in range(101):
        stamp = (BEGIN + dt.timedelta(minutes=30 * sample)).strftime("%Y/%m/%d %H:%M:%S.000")
        reading = first if first and sample < 30 else f"{watts:.2f} W"
        rows += [f"{stamp}, {index}, NVIDIA H100 80GB HBM3, 99 %, {reading}" for index in range(8)]
    return "\n".join(rows) + "\n"


@pytest.fixture
def told(tmp_path):
    def audited(text):
        (tmp_path / "case.toml").write_text(CASE)
        (tmp_path / "sacct.txt").write_text(SACCT)
        (tmp_path / "node1.csv").write_text(text)
        return audit(AuditCase.load(tmp_path / "case.toml"), trace=False)

    return audited


def found(report, code):
    return [one for one in report.findings if one.code == code]


@pytest.mark.parametrize(
    ("watts", "asked"),
    # 700 W is rated: 0.8 of it is training, 0.1 is idle, and 10 times it is milliwatts in the wrong place.
    [(560, False), (70, True), (7_000, True)],
)
def test_a_part_is_held_against_its_own_seconds(told, watts, asked):
    report = told(recording(watts))
    assert report.verdict == ("needs-explanation" if asked else "consistent")
    assert [one.severity for one in found(report, "power-implausible")] == ["warning"] * asked
    assert report.combined.flop.best == pytest.approx(4.557e21, rel=0.01)
    (unused,) = found(report, "energy-unused")
    assert "lower end alone" in unused.message


def test_a_sensor_that_gives_nothing_at_first_has_the_unit_of_the_others(told):
    # Of 101 samples 71 are left: 560 W for 0.7 of the time is 0.56 of the rated power.
    report = told(recording(560, first="[N/A]"))
    assert found(report, "evidence-unreadable") == []
    assert report.runs[0].figures.energy_joules is not None
    assert report.verdict == "consistent"


def test_an_unreadable_recording_is_named_as_the_case_names_it(told, tmp_path):
    report = told(recording(560).replace("560.00 W", "560,00 W").replace(", ", "; "))
    (one,) = found(report, "evidence-unreadable")
    assert "node1.csv:2" in one.message
    assert str(tmp_path) not in one.message
