"""Telemetry of a part of a run bounds that part; of the whole, the whole; of who knows what, nothing.

Every recording here is of two H100 for ten minutes at 350 W, unless a test says otherwise. The model
has 1e9 parameters: 6e9 FLOP a token. The two do at most 2 x 600 s x 1.07e15 FLOP/s = 1.3e18 FLOP.
"""

import json
import re

import pytest

from flopledger import text
from flopledger.exports import render
from flopledger.quantity import Interval
from flopledger.verdict import Verdict

MODEL = "[model.m]\nparameters = 1e9\n"
RUN = (
    '[[run]]\nname = "r"\nmodel = "m"\nprecision = "bf16"\n'
    'accelerator = "NVIDIA H100 80GB HBM3"\nevidence = {files}\n'
)
MINUTES = 10
#: 40 % of the dense peak over ten minutes on two devices: 0.4 x 989.4e12 x 1200 / 6e9 tokens.
TOKENS = 0.4 * 989.4e12 * 1200 / 6e9


def smi(devices=2, seconds=60 * MINUTES, start=0, gap=(0, 0), first=0, watts=350):
    """``nvidia-smi --query-gpu`` each second, without the seconds inside ``gap``."""
    lines = ["timestamp, uuid, name, power.draw [W], utilization.gpu [%], clocks.sm [MHz]"]
    for second in range(start, start + seconds + 1):
        if gap[0] < second < gap[1]:
            continue
        stamp = f"2026/03/01 {8 + second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.000"
        for device in range(first, first + devices):
            uuid = f"GPU-11111111-2222-3333-4444-5555555555{device:02}"
            lines.append(f"{stamp}, {uuid}, NVIDIA H100 80GB HBM3, {watts}.00 W, 97 %, 1410 MHz")
    return "\n".join(lines) + "\n"


def entry(at, key, value):
    """A line of an MLPerf log, ``at`` seconds after the recordings began."""
    line = {"time_ms": 1772352000000 + 1000 * at, "key": key, "value": value, "metadata": {}}
    return f":::MLLOG {json.dumps({**line, 'event_type': 'POINT_IN_TIME'})}\n"


@pytest.fixture
def with_telemetry(run_audit, tmp_path):
    """Audit a run with these figures beside these recordings."""

    def audited(figures, *recordings, others=None):
        names = []
        for number, content in enumerate(recordings or (smi(),)):
            (tmp_path / f"smi{number}.csv").write_text(content)
            names.append(f"smi{number}.csv")
        for name, content in (others or {}).items():
            (tmp_path / name).write_text(content)
            names.append(name)
        return run_audit(MODEL + RUN.format(files=json.dumps(names)) + figures)

    return audited


def codes(report):
    return {finding.code for finding in report.findings}


def upper(report):
    """What telemetry and energy say of the whole run from above."""
    return [
        one
        for one in report.estimates
        if one.method in ("tensor-activity", "energy") and one.is_whole_run and one.flop.high
    ]


@pytest.mark.parametrize(
    "figures",
    [
        # in time: ten minutes of 2 x 1000 h
        "accelerator_hours = 2000\naccelerator_count = 2\ntokens = {thousands}",
        # the same by accelerator-hours alone, and by the clock alone
        "accelerator_hours = 2000\ntokens = {thousands}",
        "wall_clock_hours = 1000\ntokens = {thousands}",
        # in devices: two of 12,000 for as long as the run took
        "wall_clock_hours = 0.1667\naccelerator_count = 12000\ntokens = {thousands}",
        "accelerator_count = 12000\ntokens = {thousands}",
        # in both: two of 120 devices, ten minutes of 100 h
        "wall_clock_hours = 100\naccelerator_count = 120\ntokens = {thousands}",
    ],
)
def test_a_part_of_a_run_refutes_nothing(with_telemetry, figures):
    # 6,000 times the work of the recording: 2000 h against 1200 s
    report = with_telemetry(figures.format(thousands=TOKENS * 6000))
    assert report.verdict is not Verdict.INCONSISTENT
    assert report.runs[0].verdict is not Verdict.INCONSISTENT
    assert "coverage-gap" in codes(report)
    assert upper(report) == []
    assert not [one for one in report.findings if one.severity == "error"]
    # the work is the run's, untouched by the sample
    assert report.combined.flop.best == pytest.approx(6e9 * TOKENS * 6000, rel=0.01)
    energy = report.runs[0].figures.energy_joules
    assert energy.quantity.interval.low == pytest.approx(2 * 600 * 350, rel=0.01)
    assert energy.quantity.interval.high is None


def test_two_nodes_of_sixteen(with_telemetry):
    # 4 devices (two nodes of two) of 32, for all of the ten minutes
    nodes = (smi(first=0), smi(first=2))
    figures = f"accelerator_count = 32\nwall_clock_hours = {1 / 6}\ntokens = {TOKENS * 16}"
    report = with_telemetry(figures, *nodes)
    assert report.verdict is not Verdict.INCONSISTENT
    assert upper(report) == []
    told = [one.message for one in report.findings if one.code == "coverage-gap"]
    assert any(re.search("12.5% of the stated device_seconds|4 of 32 devices", one) for one in told)


@pytest.mark.parametrize(
    "figures",
    ["accelerator_hours = 0.333", f"accelerator_count = 2\nwall_clock_hours = {1 / 6}"],
)
def test_telemetry_of_the_whole_still_catches_a_lie(with_telemetry, figures):
    honest = with_telemetry(f"{figures}\ntokens = {TOKENS}")
    assert honest.verdict is not Verdict.INCONSISTENT
    assert {"coverage-gap", "coverage-unknown"} & codes(honest) == set()
    assert upper(honest)
    # three times the tokens: 120 % of the peak; six times them is beyond what either end allows
    assert with_telemetry(f"{figures}\ntokens = {3 * TOKENS}").verdict is Verdict.INCONSISTENT
    lie = with_telemetry(f"{figures}\ntokens = {6 * TOKENS}")
    assert lie.verdict is Verdict.INCONSISTENT
    assert "exceeds-physical-limit" in codes(lie)


def test_hours_understated_threefold_are_caught(with_telemetry):
    # Ten minutes were recorded of what is said to have taken a third of that.
    report = with_telemetry(f"accelerator_hours = 0.111\naccelerator_count = 2\ntokens = {TOKENS}")
    assert "device-time-mismatch" in codes(report)
    assert report.runs[0].verdict is Verdict.NEEDS_EXPLANATION


def test_hours_overstated_threefold_are_caught_where_a_log_gives_the_window(with_telemetry):
    log = entry(0, "submission_benchmark", "llama31_8b")
    log += entry(0, "run_start", None) + entry(600, "run_stop", None)
    figures = f"accelerator_hours = 1.0\naccelerator_count = 2\ntokens = {TOKENS}"
    report = with_telemetry(figures, others={"result_0.txt": log})
    assert "device-time-mismatch" in codes(report)
    # 1200 s, the evidence's, and no sample of 3600 s
    assert report.runs[0].figures.device_seconds.quantity.best == pytest.approx(1200, rel=0.01)


def test_a_recording_longer_than_the_run_bounds_it(with_telemetry):
    # Twenty minutes of two devices; the run is said to have taken ten: nothing was missed.
    figures = f"accelerator_count = 2\nwall_clock_hours = {1 / 6}\ntokens = {6 * TOKENS}"
    report = with_telemetry(figures, smi(seconds=1200))
    assert upper(report)
    assert report.verdict is Verdict.INCONSISTENT


def test_a_hole_is_no_part_that_was_left_out(with_telemetry):
    # The minutes 3 to 6 are missing: the devices may have worked at their peak in them.
    figures = f"accelerator_count = 2\nwall_clock_hours = {1 / 6}\ntokens = {TOKENS}"
    report = with_telemetry(figures, smi(gap=(180, 360)))
    (bound,) = [one for one in report.estimates if one.method == "tensor-activity"]
    assert bound.is_firm_bound
    energy = report.runs[0].figures.energy_joules.quantity.interval
    assert (energy.low, energy.high) == (pytest.approx(2 * 420 * 350, rel=0.02), None)
    assert report.verdict is not Verdict.INCONSISTENT


def test_where_nothing_tells_the_recording_asks(with_telemetry):
    # No hours, no count, no window: 6,000 times too much may be a lie, or a sample.
    report = with_telemetry(f"tokens = {6000 * TOKENS}")
    assert report.runs[0].verdict is Verdict.NEEDS_EXPLANATION
    assert "coverage-unknown" in codes(report)
    assert not [one for one in report.findings if one.severity == "error"]
    assert report.combined.flop.best == pytest.approx(6e9 * TOKENS * 6000, rel=0.01)


def test_a_claim_above_what_may_be_a_sample_is_asked_about(run_audit, tmp_path):
    (tmp_path / "smi.csv").write_text(smi())
    run = RUN.format(files='["smi.csv"]').replace('model = "m"\n', "")
    report = run_audit(f"[claim]\nflop = 1e24\n{run}mfu = 0.4")
    assert report.verdict is Verdict.NEEDS_EXPLANATION
    assert "exceeds-physical-limit" not in codes(report)
    whole = run_audit(f"[claim]\nflop = 1e24\n{run}mfu = 0.4\naccelerator_hours = 0.333")
    assert whole.verdict is Verdict.INCONSISTENT


def test_a_nodes_meter_beside_many_nodes(run_audit, tmp_path):
    """One node's power log of a job on sixteen: less energy than the work takes, and no lie."""
    power = entry(0, "power_measurement_start", None)
    power += "".join(entry(second, "power_reading", 5000.0) for second in range(601))
    power += entry(600, "power_measurement_stop", None)
    (tmp_path / "node_0.txt").write_text(power)
    run = RUN.format(files='["node_0.txt"]')
    # 128 devices, 16 nodes of eight, for ten minutes
    figures = f"accelerator_count = 128\nwall_clock_hours = {1 / 6}\ntokens = {64 * TOKENS}"
    report = run_audit(MODEL + run + figures)
    assert report.runs[0].figures.energy_joules.quantity.best == pytest.approx(3e6, rel=0.02)
    assert [one for one in report.findings if one.severity == "error"] == []
    assert report.verdict is not Verdict.INCONSISTENT
    assert "coverage-unknown" in codes(report)


@pytest.mark.parametrize(
    ("value", "words"),
    [(527_484.2, "530,000"), (3.14159, "3.14"), (137.2, "140"), (2.6e-7, "2.6e-7")],
)
def test_factors_have_the_digits_that_are_known(value, words):
    assert text.factor(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(2.5e-7, "less than 0.01%"), (0.00731, "0.73%"), (0.3333, "33.3%"), (0.9991, "99.91%")],
)
def test_shares_are_never_nought_where_something_is(value, words):
    assert text.share(value) == words


def test_far_apart_is_said_without_a_figure():
    assert text.sigmas(-40.6) == "more than 10 sigma apart"
    assert text.sigmas(3.14) == "+3.1 sigma"


def test_a_tiny_utilisation_is_not_nought():
    assert text.percent(Interval(low=None, best=2e-6, high=None)) == "< 0.01%"


def by_index(content):
    """The same recording without UUIDs."""
    return re.sub(
        "GPU-[0-9-]*5555(..),", lambda found: f"{int(found[1])},", content.replace("uuid", "index")
    )


def varying(content):
    """The same with another power in each row, as meters read."""
    count = iter(range(10**6))
    return re.sub(r"350\.00 W", lambda _: f"{330 + next(count) % 37}.00 W", content)


def test_an_older_copy_of_a_grown_log_counts_once(with_telemetry):
    grown = varying(by_index(smi()))
    old = "".join(grown.splitlines(keepends=True)[:401])
    figures = f"accelerator_hours = 0.333\ntokens = {TOKENS}"
    alone = with_telemetry(figures, grown)
    both = with_telemetry(figures, old, grown)
    for name in ("device_seconds", "energy_joules"):
        assert (
            getattr(both.runs[0].figures, name).quantity
            == getattr(alone.runs[0].figures, name).quantity
        )
    assert [one.flop for one in both.estimates] == [one.flop for one in alone.estimates]
    told = [one for one in both.findings if one.code == "device-identity-unknown"]
    assert [one.severity for one in told] == ["info"]


def test_two_hosts_by_index_stay_two(with_telemetry):
    one, two = by_index(smi()), varying(by_index(smi()))
    report = with_telemetry(f"tokens = {TOKENS}", one, two)
    assert report.runs[0].figures.device_seconds.quantity.best == pytest.approx(2400, rel=0.01)
    told = [one for one in report.findings if one.code == "device-identity-unknown"]
    assert [one.severity for one in told] == ["warning"]


def test_a_bound_on_energy_keeps_its_side_in_tables_and_documents(with_telemetry):
    pytest.importorskip("pandas")
    # two of 32 devices, 2 x 600 s x 350 W = 420 kJ at least = 0.1167 kWh
    report = with_telemetry(f"accelerator_count = 32\ntokens = {TOKENS}")
    frame = report.to_frame("runs")
    assert frame["energy_joules_low"][0] == pytest.approx(420_000, rel=0.01)
    assert frame["energy_joules_high"].isna().all()
    assert frame["energy_joules"].isna().all()
    made = json.loads(render(report, "cyclonedx"))
    card = made["metadata"]["component"]["modelCard"]
    told = {one["name"]: one["value"] for one in card["properties"]}
    assert float(told["flopledger:energy:r:at-least-kwh"]) == pytest.approx(0.1167, rel=0.01)
    assert "flopledger:energy:r:at-most-kwh" not in told


def test_more_active_parameters_than_there_are(run_audit):
    model = "[model.m]\nparameters = 8e9\nactive_parameters = 70e9\n"
    run = '[[run]]\nname = "r"\nmodel = "m"\ntokens = 1e12\n'
    report = run_audit(model + run)
    assert "active-exceeds-total" in codes(report)
    assert report.runs[0].verdict is Verdict.NEEDS_EXPLANATION
    for as_printed in ("[7e9, 9e9]", "8.03e9"):  # a card says "8B"
        honest = run_audit(model.replace("70e9", as_printed) + run)
        assert "active-exceeds-total" not in codes(honest)
