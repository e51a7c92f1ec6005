"""Hours of the clock that are stated as device-hours, and the other way round."""

import pytest

# 6 * 7e9 * 1e12 = 4.2e22 FLOP: 57.6 h of 512 H100 at 0.4 of 989e12 FLOP/s come to 4.2e22.
MODEL = "[claim]\nflop = 4.2e22\n[model.m]\nparameters = 7e9\n"
RUN = (
    "[[run]]\nname = 'r'\nmodel = 'm'\ntokens = 1e12\nprecision = 'bf16'\n"
    "accelerator = 'NVIDIA H100 80GB HBM3'\n"
)
CLOCK = "accelerator_count = 512\naccelerator_hours = 57.6\n"
HOURS = 57.6 * 512


def again(report):
    return [one for one in report.findings if one.code == "hours-of-the-clock"]


@pytest.mark.parametrize(
    ("more", "witness"),
    [
        ("wall_clock_hours = 57.6\n", "by the clock are the very same figure"),
        ("mfu = 0.45\n", "stated pace"),
        # 1e12 tokens over 29,491 h are 9,419 a second and device.
        ("tokens_per_second_per_accelerator = 10000\n", "stated pace"),
        # 700 W * 1.18 * 29,491 h = 24.4 MWh
        ("energy_mwh = 24\nenergy_boundary = 'node'\n", "energy"),
    ],
)
def test_what_only_the_clock_explains_is_read_so_and_asked_about(run_audit, more, witness):
    report = run_audit(MODEL + RUN + CLOCK + more)
    assert report.verdict == "needs-explanation"
    (finding,) = again(report)
    assert witness in finding.message
    assert report.runs[0].figures.device_seconds.quantity.best == pytest.approx(HOURS * 3600)
    assert "read the other way" in report.runs[0].figures.device_seconds.source
    assert report.combined.flop.low > 3e22
    assert report.combined.flop.high < 5.5e22


@pytest.mark.parametrize(
    "text",
    [
        # Nothing but the amount speaks for it: it may be the amount that is wrong.
        CLOCK,
        # Ten times the tokens on eight devices look like the clock, too.
        "accelerator_count = 8\naccelerator_hours = 3686\nmfu = 0.4\n",
        # The energy is that of the stated hours: 57.6 h * 826 W = 0.048 MWh.
        CLOCK + "mfu = 0.4\nenergy_mwh = 0.048\nenergy_boundary = 'node'\n",
        # The clock says something else.
        CLOCK + "mfu = 0.4\nwall_clock_hours = 0.1125\n",
        # The pace is a tenth of what the other reading takes.
        CLOCK + "mfu = 0.04\n",
    ],
)
def test_a_reading_that_a_lie_would_fit_as_well_is_not_taken(run_audit, text):
    report = run_audit(MODEL + RUN + text)
    assert again(report) == []
    assert report.verdict == "inconsistent"


def test_of_the_amount_alone_the_slip_is_named_first(run_audit):
    report = run_audit(MODEL + RUN + CLOCK)
    (slip,) = [one for one in report.findings if one.code == "unit-ambiguity"]
    assert "likeliest: hours of the clock written as device-hours (the run had 512" in slip.message
    # Both readings stay.
    assert report.combined.flop.low < 1e20
    assert report.combined.flop.high > 4.2e22


@pytest.mark.parametrize(
    "text",
    [
        f"accelerator_count = 512\naccelerator_hours = {HOURS}\nwall_clock_hours = 57.6\nmfu = 0.45\n",
        "accelerator_count = 512\nwall_clock_hours = 57.6\nmfu = 0.45\n",
        "accelerator_count = 1\naccelerator_hours = 57.6\n",
    ],
)
def test_honest_hours_are_left_alone(run_audit, text):
    assert again(run_audit(MODEL + RUN + text)) == []


def test_a_clock_that_runs_for_years_is_of_all_devices(run_audit):
    report = run_audit(
        f"{MODEL}{RUN}accelerator_count = 512\nwall_clock_hours = {HOURS}\nmfu = 0.45\n"
    )
    (finding,) = again(report)
    assert "3.4 years" in finding.message
    assert report.verdict == "needs-explanation"
    assert report.runs[0].figures.device_seconds.quantity.best == pytest.approx(HOURS * 3600)
    assert report.runs[0].figures.wall_seconds is None


def test_tokens_by_throughput_follow_the_hours_as_they_are_read(run_audit):
    text = RUN.replace("tokens = 1e12\n", "") + CLOCK + "wall_clock_hours = 57.6\n"
    report = run_audit(f"{MODEL}{text}tokens_per_second_per_accelerator = 10000\n")
    assert again(report)
    # 1e4 * 29,491 h * 3600 / 1.18 = 9.0e11
    assert report.runs[0].figures.tokens.quantity.best == pytest.approx(9.0e11, rel=0.02)
    assert len([one for one in report.findings if one.code == "amount-by-throughput"]) == 1


def test_a_claim_of_all_devices_over_hours_of_the_clock_is_named(run_audit):
    # No tokens: 57.6 h * 3600 * 989e12 * 0.4 = 8.2e19, and the claim is 512 times that.
    text = RUN.replace("tokens = 1e12\n", "") + CLOCK + "mfu = 0.4\n"
    report = run_audit(MODEL + text)
    assert report.verdict == "inconsistent"
    assert [one for one in report.findings if "the claim holds all devices" in one.message]


def test_a_claim_of_one_device_over_the_clock_is_named(run_audit):
    text = RUN + "accelerator_count = 512\nwall_clock_hours = 57.6\nmfu = 0.4\n"
    report = run_audit(MODEL.replace("4.2e22", "8.2e19") + text)
    assert report.verdict == "inconsistent"
    assert [one for one in report.findings if "stand for those of all devices" in one.message]
