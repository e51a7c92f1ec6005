"""The report of a run: the page, the series behind its plots, and what a hostile record can do."""

import html
import json
import re
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from flopledger.errors import FlopledgerError
from flopledger.logs import run_records
from flopledger.logs.notes import Notes
from flopledger.profiling.telemetry_view import _envelope
from flopledger.recording.series import StepSeries, read_series
from flopledger.recording.steps_summary import pace, steps_section
from flopledger.recording.totals import read_totals
from flopledger.reports import interactive
from flopledger.reports.charts import Stretch, TimeChart
from flopledger.reports.html import render_document
from flopledger.reports.run_charts import beside, caption, steps_chart
from flopledger.reports.run_document import document
from flopledger.reports.run_imports import with_imports
from flopledger.reports.run_report import read_run
from profilers import Device, DeviceKey, Sample
from profilers.clocks import ClockPair
from profilers.journal import Journal
from profilers.ledger import Ledger
from profilers.steps.record.ledger import StepLedger, read_steps
from tests.command_line import flopledger
from tests.injection.ledgers import SECOND, START, process


def test_rates_over_time_are_exact_in_area(tmp_path):
    # Forty steps of 110 ms, 64 tokens and 300 FLOP each; a restart after a pause of ten seconds.
    process(tmp_path, steps=40, seal=None)
    process(tmp_path, at=14.4, first=41, steps=40, resume=40)
    series = read_series(read_steps(tmp_path))
    assert series.steps == 80
    assert series.moments == 20
    assert series.seconds == pytest.approx(14.4 + 4.4)
    width = series.seconds / series.moments
    tokens = sum(rate * width for rate in series.tokens_per_second if rate is not None)
    assert tokens == pytest.approx(80 * 64)
    flop = sum(rate * width for rate in series.flop_per_second if rate is not None)
    assert flop == pytest.approx(80 * 300)
    assert series.flop_total[-1] == pytest.approx(80 * 300)
    for low, mean, high in series.step_seconds:
        assert (low is None) == (mean is None) == (high is None)
        assert mean is None or low == pytest.approx(0.1) == high
    # Moments 5 to 14 lie wholly in the pause (4.4 s to 14.4 s, 0.94 s each).
    assert all(rate is None for rate in series.flop_per_second[5:15])
    assert [band.what for band in series.bands] == ["nobody trained"]
    # 100 of 110 ms are inside a step.
    assert series.step_share[1] == pytest.approx(100 / 110, abs=0.05)


def test_a_step_longer_than_a_moment_stands_in_each_that_it_spans(tmp_path):
    # Three steps of 990 ms and a wait of 10 ms each: 3 s as twenty moments of 0.15 s, of which three
    # hold a step's end and all others lie in a step.
    process(tmp_path, steps=3, step_us=990_000)
    series = read_series(read_steps(tmp_path))
    assert series.moments == 20
    assert series.step_seconds == ((pytest.approx(0.99),) * 3,) * 20
    assert [rate * 0.15 * 20 / 3 for rate in series.flop_per_second] == pytest.approx([300] * 20)
    assert caption(series).startswith("3 steps of all processes over 3 seconds")


def test_one_step_is_drawn(tmp_path):
    process(tmp_path, steps=1, step_us=990_000)
    series = read_series(read_steps(tmp_path))
    assert [mean for _, mean, _ in series.step_seconds] == pytest.approx([0.99] * 20)
    assert caption(series).startswith("1 step over 1 second")


def test_waiting_is_no_step(tmp_path):
    # Ten steps of 0.1 s, each after 0.9 s of waiting: 10 s in moments of 0.5 s, and the first half
    # of each second has no step.
    process(tmp_path, steps=10, step_us=100_000, wait_us=900_000)
    series = read_series(read_steps(tmp_path))
    means = [mean for _, mean, _ in series.step_seconds]
    assert means == [None, pytest.approx(0.1)] * 10


def test_a_moment_between_two_gaps_is_drawn():
    """A line through one point is nothing to see."""
    series = replace(_series(3), step_seconds=(((None,) * 3), (1.0, 1.0, 1.0), ((None,) * 3)))
    drawn = interactive.figure(steps_chart(series, None))["data"][1]
    assert drawn["mode"] == "lines+markers"
    assert drawn["marker"]["size"] == [0, 5, 0]


def _series(moments):
    flat = (1.0,) * moments
    return StepSeries(
        start_ns=0, seconds=3.0, moments=moments, steps=moments, step_seconds=((1.0,) * 3,) * moments,
        tokens_per_second=None, flop_per_second=flat, flop_total=flat, loss=None, losses=0,
        losses_not_finite=0, step_share=flat, bands=(),
    )  # fmt: skip


def test_more_seconds_of_steps_than_passed_are_a_contradiction(tmp_path):
    # A forged ledger: a hundred steps end 0.11 s apart and last 0.5 s each, 50 s in 11 s.
    folder = process(tmp_path / "forged", steps=100, seal=None)
    ledger = StepLedger(folder, Ledger.open(folder / "ledger.jsonl"))
    ledger.steps(
        first=101, end_us=[16_000_000 + 110_000 * n for n in range(100)], duration_us=[500_000] * 100,
        wait_us=[0] * 100, optimizer=["SGD"] * 100, tokens=[64] * 100, tokens_from=["inputs"] * 100,
        samples=[4] * 100, calls=[[(0, 1)]] * 100,
    )  # fmt: skip
    ledger.seal("finished", 200)
    (found,) = [f for f in read_totals(tmp_path / "forged").findings if f.code == "steps-overlap"]
    assert found.severity == "error"
    # 100 x 0.1 s and 100 x 0.5 s; from 5 s of the clock, at which it began, to 26.89 s.
    assert "60 s of steps, of 21.89 s" in found.message
    process(tmp_path / "honest", steps=100)
    assert "steps-overlap" not in {f.code for f in read_totals(tmp_path / "honest").findings}


def test_the_section_of_the_summary(tmp_path):
    process(tmp_path, steps=10, evaluate=2, device=("cuda", "GPU-1"))
    board = {"uuid": "GPU-1", "name": None, "energy_joules": 60.0}
    section, _ = steps_section(read_totals(tmp_path), telemetry=[board], energy_joules=60.0)
    # 1.1 s of steps and 0.5 s of evaluation.
    assert section["duration_seconds"] == pytest.approx(1.6)
    assert section["tokens_per_second"] == pytest.approx(640 / 1.6)
    assert section["model_flop_per_joule"] == pytest.approx(3000 / 60)
    assert section["joules_per_model_flop"] == pytest.approx(60 / 3000)
    shares = section["time_shares"]
    assert shares["steps"] == pytest.approx(1.0 / 1.6)
    assert shares["evaluation"] == pytest.approx(0.5 / 1.6)
    assert shares["waiting"] == pytest.approx(0.1 / 1.6)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert section["goodput"] == shares["steps"]
    assert section["span_flop"] == {"evaluation": 200}
    assert section["mfu"] is None
    json.dumps(section, allow_nan=False)


def test_what_the_recorder_took_is_no_waiting_of_the_program(tmp_path):
    ledger = StepLedger.create(tmp_path)
    flop = {"forward": 1, "backward": 2, "recompute": 0}
    cost = ledger.cost(model="M", mode="train", inputs=[], how="meta", flop=flop)
    from profilers.steps.record.ledger import read_process

    begin = read_process(ledger.folder).monotonic_ns // 1000
    ledger.steps(
        # Ends 2, 5 and 6 s. Before the steps lie 1.5, 2.5 and 0.5 s, of these the program's own 0.5,
        # 0.5 and 0.5 s. The last one was only said, long after: what lies before it is no counting.
        first=1, end_us=[begin + s * 1_000_000 for s in (2, 5, 6, 10)],
        duration_us=[500_000] * 3 + [0], wait_us=[500_000] * 3 + [0],
        optimizer=["A"] * 3 + [None], tokens=[8] * 4, tokens_from=["inputs"] * 4, samples=[1] * 4,
        calls=[[(cost, 1)]] * 4,
    )  # fmt: skip
    # Spans of ours and of the program may bear one name.
    ledger.span("waiting", start_us=begin + 6_000_000, end_us=begin + 7_000_000)
    ledger.seal("finished", 4)
    section, _ = steps_section(read_totals(tmp_path))
    shares = section["time_shares"]
    assert shares["steps"] == pytest.approx(1.5 / 10)
    assert shares["recorder"] == pytest.approx(3.0 / 10)  # 1.5 - 0.5 and 2.5 - 0.5
    assert shares["span waiting"] == pytest.approx(1 / 10)
    assert shares["waiting"] == pytest.approx(4.5 / 10)  # three halves, and 3 s before the last
    assert section["goodput"] == shares["steps"]


def test_utilisation_stands_on_the_device_that_the_ledger_names(tmp_path):
    ledger = StepLedger.create(tmp_path)
    ledger.device("cuda", name="NVIDIA H100 80GB HBM3", uuid="GPU-1", memory_bytes=85 << 30)
    flop = {"forward": 10**15, "backward": 2 * 10**15, "recompute": 10**15}
    cost = ledger.cost(
        model="M", mode="train", inputs=[], how="meta", flop=flop, by_dtype={"bf16": 3 * 10**15}
    )
    start = ledger.steps
    from profilers.steps.record.ledger import read_process

    begin = read_process(ledger.folder).monotonic_ns // 1000
    start(
        first=1, end_us=[begin + 10_000_000], duration_us=[9_000_000], wait_us=[1_000_000],
        optimizer=["A"], tokens=[8], tokens_from=["inputs"], samples=[1], calls=[[(cost, 1)]],
    )  # fmt: skip
    ledger.seal("finished", 1)
    section, _ = steps_section(read_totals(tmp_path))
    # 989.4 TFLOP/s dense for 10 s.
    assert section["mfu"] == pytest.approx(3e15 / 989.4e13, rel=1e-5)
    assert section["hfu"] == pytest.approx(4e15 / 989.4e13, rel=1e-5)
    assert section["mfu_basis"]["count"] == 1


def test_an_unknown_device_has_no_utilisation_and_says_so(tmp_path):
    process(tmp_path)
    section, findings = steps_section(
        read_totals(tmp_path), telemetry=[{"name": "Imaginary 9000", "uuid": "x", "mig": None}]
    )
    assert section["mfu"] is None
    assert "unknown-accelerator" in {finding.code for finding in findings}


def test_pace(tmp_path):
    process(tmp_path, steps=10, step_us=90_000)
    process(tmp_path, at=100, first=11, steps=10, resume=10, step_us=40_000)
    # Twenty steps of 300 FLOP in 10 x 0.1 s and 10 x 0.05 s of training.
    assert pace(tmp_path) == pytest.approx(6000 / 1.5 * 86400)
    # The last quarter second holds five whole steps.
    assert pace(tmp_path, last_seconds=0.25) == pytest.approx(5 * 300 / 0.25 * 86400)
    assert pace(tmp_path / "nothing") is None


def _told(run, losses, **options):
    """Write forty steps from 5 s to 9.4 s of the clock, and losses at seconds of that clock."""
    folder = process(run, steps=40, seal=None, **options)
    ledger = StepLedger(folder, Ledger.open(folder / "ledger.jsonl"))
    ledger.losses([(round(at * 1e6), value) for at, value in losses])
    ledger.close()


def test_losses_over_time(tmp_path):
    # Twenty moments of 0.22 s. Two losses in the second moment, one in the sixth: the moments
    # between lie on the line from their mean (4 + 2) / 2 = 3 to 1.
    _told(tmp_path, [(5.23, 4.0), (5.33, 2.0), (6.2, 1.0), (7.0, None), (8.0, -1.0)])
    series = read_series(read_steps(tmp_path))
    assert series.moments == 20
    assert series.loss[0] == (None, None, None)
    assert series.loss[1] == (2.0, 3.0, 4.0)
    assert [mean for _, mean, _ in series.loss[1:6]] == pytest.approx([3.0, 2.5, 2.0, 1.5, 1.0])
    # No line leads through what was not finite (7.0 s: the tenth moment).
    assert [mean for _, mean, _ in series.loss[6:13]] == [None] * 7
    assert series.loss[13] == (-1.0, -1.0, -1.0)
    assert (series.losses, series.losses_not_finite) == (5, 1)
    panel = steps_chart(series, None).panels[0]
    assert (panel.label, panel.bottom, panel.top) == ("loss", -1.0, 4.0)
    words = caption(series)
    assert "as the program told it, 5 times, 1 of them not finite" in words
    assert "as the program told it, once; no" in caption(
        replace(series, losses=1, losses_not_finite=0)
    )


@pytest.mark.parametrize(
    ("losses", "scale"),
    [
        # Mostly far above 0: 0.2 between the ends, of which half is 0.1, from a multiple of that on.
        ((6.35, 6.25, 6.15), (6.1, 6.4)),
        # Twice its least or more: from 0.
        ((4.0, 3.0, 2.0), (0.0, 4.0)),
        # The same all the time: 1% of it, 0.05, is half of the scale.
        ((5.0, 5.0, 5.0), (5.0, 5.1)),
    ],
)
def test_a_loss_is_drawn_so_that_its_changes_show(losses, scale):
    series = replace(_series(3), loss=tuple((value,) * 3 for value in losses))
    panel = steps_chart(series, None).panels[0]
    assert (panel.bottom, panel.top) == pytest.approx(scale)


def test_no_loss_is_no_panel_and_no_line_crosses_a_pause(tmp_path):
    process(tmp_path / "none", steps=40)
    series = read_series(read_steps(tmp_path / "none"))
    assert series.loss is None
    assert "loss" not in {panel.label for panel in steps_chart(series, None).panels}
    assert "oss:" not in caption(series)
    # Rounding may leave a share a hair below 0 or above 100 %; the axis does not follow it.
    odd = replace(series, step_share=(-1e-16, 1 + 1e-9, *series.step_share[2:]))
    inside = steps_chart(odd, None).panels[-1]
    assert (inside.bottom, inside.top) == (0.0, 100.0)
    _told(tmp_path / "paused", [(9.3, 2.0)])
    _told(tmp_path / "paused", [(9.3, 1.0)], at=14.4, up=5.0, first=41, resume=40)
    series = read_series(read_steps(tmp_path / "paused"))
    means = [mean for _, mean, _ in series.loss]
    assert [mean for mean in means if mean is not None] == [2.0, 1.0]


def test_steps_that_two_ledgers_of_one_process_tell_are_drawn_once(tmp_path):
    process(tmp_path, steps=40)
    process(tmp_path, at=0.01, steps=40)
    series = read_series(read_steps(tmp_path))
    assert series.steps == 40
    assert series.flop_total[-1] == pytest.approx(40 * 300)


def test_the_page_is_whole_offline_and_the_same_each_time(tmp_path):
    process(tmp_path / "run", steps=60, evaluate=2)
    one = render_document(document(read_run(tmp_path / "run")))
    other = render_document(document(read_run(tmp_path / "run")))
    assert one == other
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', one)[1]
    assert "default-src 'none'" in html.unescape(policy)
    page = re.sub(r"<script>.*?</script>", "", one, flags=re.DOTALL)
    assert page.count("<svg") == 3  # wide, narrow and for paper, without any script
    assert "step time" in page
    assert not re.search(r"(src|href)=\"(?!#)", page)
    # 60 steps of 0.11 s, and the evaluation of 0.5 s after the last of them.
    assert "60 steps of all processes over 7.1 seconds" in page
    assert "shown as 30 moments" in page


def test_hostile_words_stay_words(tmp_path):
    bad = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    run = tmp_path / "run"
    process(run, steps=20, model=bad, flop=None, node="n<b>o</b>")
    process(run, at=60, steps=20, model=bad, seal=bad)
    (run / "summary.json").write_text(
        json.dumps(
            {
                "command": [bad, 7], "exit_code": bad, "energy_joules": "many",
                "devices": [{"name": bad, "energy_joules": bad}, 3, None],
                "findings": [{"code": bad, "severity": bad, "message": bad, "evidence": [bad]}, 5],
                "processes": {"python": bad}, "started": bad,
            }
        )
    )  # fmt: skip
    page = render_document(document(read_run(run)))
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "<b>o" not in page
    assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize("text", ["[]", "{", "nul", '{"energy_joules": NaN}', "[" * 100_000])
def test_a_damaged_summary_is_said(tmp_path, text):
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(FlopledgerError, match=r"summary\.json"):
        read_run(tmp_path)


def test_the_verb(tmp_path):
    process(tmp_path / "run", steps=30)
    page = tmp_path / "page.html"
    done = flopledger("report", tmp_path / "run", "--html", page)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "30 steps" in page.read_text()
    told = json.loads(flopledger("report", tmp_path / "run", "--json").stdout)
    assert told["steps"]["model_flop"] == 30 * 300
    assert told["schema"] == "flopledger/run-report/1"
    short = flopledger("report", tmp_path / "run")
    assert "30 steps" in short.stdout
    (tmp_path / "empty").mkdir()
    wrong = flopledger("report", tmp_path / "empty")
    assert wrong.returncode == 2
    assert "holds no run record" in wrong.stderr


def test_a_long_run_is_quick_to_read(tmp_path):
    process(tmp_path, steps=200_000, block=512)
    began = time.process_time()
    made = read_run(tmp_path)
    assert made.section["count"] == 200_000
    assert made.series.moments == 240
    assert time.process_time() - began < 12


def test_steps_and_devices_share_one_time_axis():
    # Ten moments of 1 s, that began 110 s after a record of 240 s: 4 minutes in all.
    chart = TimeChart(
        title="", times=tuple(n + 0.5 for n in range(10)), span=10.0, panels=(), unit="s",
        axis_title="", stretches=(Stretch(label="evaluation", start=4.0, end=10.0),),
    )  # fmt: skip
    moved = beside(chart, 10.0, after=110.0, whole=240.0)
    assert (moved.unit, moved.span) == ("min", 4.0)
    assert moved.times[0] == pytest.approx(110.5 / 60)
    assert moved.times[-1] == pytest.approx(119.5 / 60)
    assert moved.stretches[0].start == pytest.approx(114 / 60)
    assert moved.stretches[0].end == pytest.approx(2.0)
    # And from minutes of its own.
    long = replace(chart, times=(1.0,), span=2.5, unit="min", stretches=())
    assert beside(long, 150.0, after=0.0, whole=150.0).times == (1.0,)
    assert beside(long, 150.0, after=3600.0, whole=4 * 3600.0).times == (
        pytest.approx(3660 / 3600),
    )


def test_a_signal_that_is_read_seldom_holds_and_a_gap_stays_a_gap():
    stamps = np.arange(0, 400) * SECOND // 10  # 40 s at 10 Hz, then nothing until 60 s
    stamps = np.concatenate([stamps, stamps[:100] + 60 * SECOND])
    seldom = np.arange(len(stamps)) % 20 == 0  # each 2 s
    power = SimpleNamespace(
        payload=np.full(len(stamps), 400_000), present=np.ones(len(stamps), bool)
    )
    heat = SimpleNamespace(payload=np.full(len(stamps), 60), present=seldom)
    device = SimpleNamespace(time_ns=stamps, series={"power_mw": power, "temperature_c": heat})
    found = {name: _envelope(name, [device], 0, int(stamps[-1]), 140) for name in device.series}
    for name, value in (("power_mw", 400.0), ("temperature_c", 60.0)):
        mean = found[name].mean
        # 70 s in 140 moments: recorded in the first 40 s and the last 10 s.
        assert set(mean[:77]) == set(mean[122:135]) == {value}
        assert set(mean[82:119]) == {None}


def test_a_sitecustomize_that_prints_does_not_disturb_the_sampler(tmp_path, monkeypatch, capfd):
    from flopledger.commands import main

    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("print('hello from the site')\n")
    monkeypatch.setenv("PYTHONPATH", str(site))
    nowhere = "dcgm=http://127.0.0.1:9/metrics"
    words = ["run", "-q", "--source", nowhere, "--out", str(tmp_path / "rec"), "--", "true"]
    assert main(words) == 0, capfd.readouterr().err
    summary = json.loads((tmp_path / "rec" / "summary.json").read_text())
    codes = [one["code"] for one in summary["findings"]]
    # The probe was understood as well: the source that is not there was asked, and no probe ended.
    assert "source-unavailable" in codes
    (journal,) = (tmp_path / "rec" / "telemetry").glob("node=*/journal.jsonl")
    assert "probe-ended" not in journal.read_text()


def _beside(run):
    """Telemetry of one GPU at 200 W."""
    anchor = ClockPair(monotonic_ns=5 * SECOND, wall_ns=START)
    gpu = DeviceKey(uuid="GPU-1")
    book = Journal.open(run, node="node", boot="b00tb00t-1", anchor=anchor)
    book.describe([Device(key=gpu, name="NVIDIA H100 80GB HBM3", node="node")])
    for at in range(12):
        moment = {"monotonic_ns": (5 + at) * SECOND, "wall_ns": START + at * SECOND}
        readings = {"energy_mj": 7_000 + 200_000 * at}
        book.sweep([Sample(device=gpu, period_ns=SECOND, readings=readings, **moment)])
    book.seal("end")


@pytest.mark.parametrize(
    ("devices", "attributed", "joules", "of"),
    [
        # Two boards of the node drew 60 and 40 J; 10 steps of 300 FLOP were done.
        ([("cuda", "GPU-1")], False, 60.0, ["GPU-1"]),
        ([("cuda", "GPU-1"), ("cuda", "GPU-2")], False, 100.0, ["GPU-1", "GPU-2"]),
        ([("cuda", "GPU-1")], True, 60.0, ["GPU-1"]),
        ([("cpu", None)], False, None, []),
        ([("cpu", None)], True, None, []),
        (
            [("cpu", None), ("cuda", "GPU-1")],
            False,
            None,
            [],
        ),  # what the processor drew, nobody knows
        ([("cuda", "GPU-9")], True, None, []),  # of another host
        ([("cuda", None)], False, None, []),  # one of the two
        ([("cuda", None)], True, 100.0, ["GPU-1", "GPU-2"]),
        ([("cuda", None), ("cuda", None)], False, 100.0, ["GPU-1", "GPU-2"]),  # all that there are
        ([None], False, None, []),
        ([None], True, 100.0, ["GPU-1", "GPU-2"]),
    ],
)
def test_energy_is_of_the_devices_that_did_the_work(tmp_path, devices, attributed, joules, of):
    for rank, device in enumerate(devices):
        process(tmp_path, rank=rank, world=len(devices), pid=rank, device=device)
    boards = [
        {"uuid": "GPU-1", "name": None, "energy_joules": 60.0},
        {"uuid": "GPU-2", "name": None, "energy_joules": 40.0},
    ]
    section, told = steps_section(
        read_totals(tmp_path), telemetry=boards, energy_joules=100.0, attributed=attributed
    )
    assert (section["energy_joules"], section["energy_devices"]) == (joules, of)
    expected = None if joules is None else pytest.approx(len(devices) * 3000 / joules)
    assert section["model_flop_per_joule"] == expected
    assert ("energy-of-others" in {one.code for one in told}) is (joules is None)


def test_a_training_on_the_processor_has_no_energy_of_the_gpus_beside_it(tmp_path):
    from flopledger.recording.summary import summarised

    process(tmp_path, steps=10, step_us=1_000_000, wait_us=0, device=("cpu", None))
    _beside(tmp_path)
    summary = summarised(tmp_path)
    assert summary["model_flop"] == 3000
    assert (summary["energy_joules"], summary["devices"]) == (None, None)
    assert "energy-of-others" in {one["code"] for one in summary["findings"]}
    notes = Notes("rec")
    record = run_records.read(tmp_path, notes)
    assert record.trace is None
    assert "energy-of-others" in {one.code for one in notes.findings}
    assert not [fact for fact in notes.facts if "accelerator" in fact.name]


def test_energy_of_a_record_that_no_wrapper_summed_up(tmp_path):
    """A loop that records itself leaves no summary.json: ten steps of 1 s beside a GPU of 200 W."""
    process(tmp_path, steps=10, step_us=1_000_000, wait_us=0, device=("cuda", "GPU-1"))
    _beside(tmp_path)
    made = read_run(tmp_path)
    # 200 W x 10 s = 2,000 J; 10 steps of 300 FLOP on them.
    assert made.summary["energy_joules"] == pytest.approx(2000)
    assert made.section["model_flop_per_joule"] == pytest.approx(3000 / 2000)
    page = render_document(document(made))
    assert "2 kJ" in page
    assert "GPU-1" in page


def test_what_a_page_has_no_room_for_is_counted():
    from flopledger.reports import markdown
    from flopledger.reports.document import Section, Table, columns, row
    from flopledger.reports.run_report import RunReport

    devices = [{"uuid": f"GPU-{number}", "status": "sealed"} for number in range(70)]
    made = RunReport(
        name="r", summary={"devices": devices}, totals=None, section=None, series=None,
        telemetry=None, findings=(),
    )  # fmt: skip
    text = markdown.render(document(made))
    assert text.count("| not named |") == 64
    assert "The first 64 of 70 devices; --json lists all." in text

    # A launcher that restarts for ever has as many attempts as it likes; a table has 500 rows.
    rows = tuple(row(str(number)) for number in range(700))
    table = Table(caption="c", columns=columns("Attempt"), rows=rows)
    long = Section(key="attempts", title="Attempts", blocks=(table,))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("flopledger.reports.run_sections.attempts", lambda _: long)
        text = markdown.render(document(made))
    assert "200 more rows are left out here; the record holds all of them." in text


def test_an_imported_recording_shows_its_energy_and_what_it_leaves_open(tmp_path):
    # Readings a second apart, joined by lines: (100 + 200) / 2 + (200 + 300) / 2 = 400 J.
    rows = [f"2026/01/01 00:00:0{at}.000, 0, {watts} W" for at, watts in enumerate((100, 200, 300))]
    (tmp_path / "smi.csv").write_text("\n".join(["timestamp, index, power.draw [W]", *rows, ""]))
    assert flopledger("import", tmp_path / "smi.csv", "--out", tmp_path / "run").returncode == 0
    page = render_document(document(read_run(tmp_path / "run")))
    words = html.unescape(re.sub(r"<[^>]+>", " ", page))
    assert "400 J" in words
    assert "smi.csv: local stamps without a zone" in words
    assert "smi.csv (nvidia-smi-csv)" in words
    assert "00:00:00 UTC" not in words
    short = flopledger("report", tmp_path / "run").stdout
    assert "\n  energy 400 J\n" in short


def test_what_devices_executed_stands_on_the_page(tmp_path):
    ends = {"low": 1e14, "high": 4e14}
    bounds = {
        **ends, "grade": "sampled-counter",
        "by_precision": {"bf16": ends, "fp64": {"low": 2e13, "high": None}, "odd": 7, "none": {}},
    }  # fmt: skip
    summary = {"command": ["./train"], "exit_code": 0, "flop_bounds": bounds, "devices": []}
    (tmp_path / "summary.json").write_text(
        json.dumps({**summary, "started": "2026-11-23T15:25:55.643+01:00"})
    )
    words = re.sub(r"<[^>]+>|\s+", " ", render_document(document(read_run(tmp_path))))
    words = re.sub(" +", " ", words)
    assert "Executed FLOP 1.0e14 to 4.0e14" in words
    assert "If all of it was At least At most bf16 1.0e14 4.0e14 fp64 2.0e13 not known" in words
    assert "none" not in words.split("If all of it was")[1].split("Of the matrix units")[0]
    # As everywhere on the page: UTC, an hour before the stamp's own zone.
    assert "Started 2026-11-23 14:25:55 UTC" in words


def test_energy_of_a_node_and_of_its_devices_is_not_added(tmp_path):
    found = with_imports(
        {"energy_joules": 7.0, "findings": []}, _imported(tmp_path, "device", "node")
    )
    assert found["energy_joules"] is None
    assert [one["code"] for one in found["findings"]] == ["energy-boundary-mixed"]
    alone = with_imports(
        {"energy_joules": 7.0, "findings": []}, _imported(tmp_path, "node", "node")
    )
    assert (alone["energy_joules"], alone["findings"]) == (7.0, [])


def _imported(folder, *scopes):
    lines = [json.dumps({"file": "a", "scope": scope, "findings": []}) for scope in scopes]
    (folder / "imports.jsonl").write_text("\n".join([*lines, "not json", "[]", ""]))
    return folder


def test_a_process_that_recorded_and_left_nothing_is_named(tmp_path):
    """Two made an optimizer; one of them has a ledger."""
    from flopledger.profiling.steps import add_steps

    process(tmp_path, pid=7)
    (tmp_path / "processes").mkdir()
    lines = [json.dumps({"event": "recording", "pid": pid}) for pid in (7, 8)]
    (tmp_path / "processes" / "node-a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    summary = {"findings": [], "devices": [], "energy_joules": None, "attribution": "none"}
    add_steps(summary, tmp_path, None)
    (found,) = [each for each in summary["findings"] if each["code"] == "ledger-missing"]
    assert found["message"].startswith("1 process made an optimizer and left no step ledger")
    assert found["evidence"] == ["node-a: process 8"]
