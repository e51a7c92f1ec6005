"""Figures as a hostile party writes them: ranges, bounds, odd pairs. No confident verdict may be wrong."""

import pytest

from flopledger.errors import CaseError
from flopledger.verdict import Verdict

MODEL = "[model.m]\nparameters = 7e9\n"
RUN = '[[run]]\nname = "r"\nmodel = "m"\n'
ON_A100 = 'accelerator = "NVIDIA A100 SXM"\nprecision = "bf16"\n'


def codes(report):
    return {one.code: one.severity for one in report.findings if one.severity != "info"}


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        # 6 x 7e9 x 1e12 = 4.2e22
        ("[1e22, 1e25]", Verdict.CONSISTENT),
        ("[4e22, 5e22]", Verdict.CONSISTENT),
        ("{ value = 6e22, relative = 0.5 }", Verdict.CONSISTENT),
        (
            "[4.9e22, 1e25]",
            Verdict.CONSISTENT,
        ),  # 4.9 / 4.2 = 1.17, 1.03 after the estimate's own 14 %
        ("[1e23, 1e25]", Verdict.INCONSISTENT),
        # one digit, 1.5 to 2.5 as people round, and no range: 4.2 / 2 = 2.1 times too little
        ("2e22", Verdict.INCONSISTENT),
        ("[1e20, 1e22]", Verdict.INCONSISTENT),
        ("{ at_least = 1e22 }", Verdict.CONSISTENT),
        ("{ at_most = 1e22 }", Verdict.INCONSISTENT),
    ],
)
def test_a_claimed_range_is_held_as_a_range(run_audit, claim, verdict):
    report = run_audit(f"[claim]\nflop = {claim}\n{MODEL}{RUN}tokens = 1e12\n")
    assert report.verdict is verdict


@pytest.mark.parametrize(
    ("pace", "tokens", "caught"),
    [
        # 1e5 h x 3600 s x 3,000 tokens/s = 1.08e12 tokens
        ("3000", "1e12", False),
        ("{ at_most = 3000 }", "{ at_least = 1e12 }", False),
        ("{ at_least = 3000 }", "{ at_least = 1e12 }", False),
        ("{ at_most = 300 }", "{ at_least = 1e12 }", True),
        ("{ at_most = 3 }", "1e12", True),
        ("{ at_least = 30000 }", "{ at_most = 1e12 }", True),
        ("30000", "{ at_most = 1e12 }", True),
    ],
)
def test_bounds_that_exclude_one_another(run_audit, pace, tokens, caught):
    report = run_audit(
        f"{MODEL}{RUN}{ON_A100}accelerator_hours = 1e5\ntokens = {tokens}\n"
        f"tokens_per_second_per_accelerator = {pace}\n"
    )
    assert ("throughput-mismatch" in codes(report)) is caught
    if caught:
        assert report.runs[0].verdict is not Verdict.CONSISTENT


def test_less_than_one_device(run_audit):
    figures = f"{RUN}{ON_A100}tokens = 1e12\naccelerator_hours = 82\nwall_clock_hours = 504\n"
    report = run_audit(MODEL + figures)
    (told,) = [one for one in report.findings if one.code == "device-time-mismatch"]
    assert "less than one device" in told.message
    honest = run_audit(MODEL + figures.replace("= 82\n", "= 82e3\n"))
    assert "device-time-mismatch" not in codes(honest)


def test_energy_alone_bounds_a_claim(run_audit):
    # 0.3 MWh x 3.6e9 J / (0.3 x 400 W) = 9e6 device-seconds; x 312e12 x some headroom of the clock: 3e21
    run = f'[[run]]\nname = "r"\n{ON_A100}energy_mwh = 0.3\n'
    report = run_audit("[claim]\nflop = 1e23\n" + run)
    assert report.verdict is Verdict.INCONSISTENT
    assert codes(report)["exceeds-physical-limit"] == "error"
    (bound,) = report.estimates
    assert bound.bound_only
    assert 2.8e21 <= bound.flop.high <= 3.6e21
    below = run_audit("[claim]\nflop = 1e21\n" + run)
    assert below.verdict is Verdict.UNDETERMINED
    # What the energy is of may be more than the devices, never less: a bound from above stays one.
    assert run_audit(
        "[claim]\nflop = 1e21\n" + run.replace("0.3\n", "{ at_most = 0.3 }\n")
    ).estimates


def test_more_trained_than_there_is(run_audit):
    report = run_audit(f"{MODEL}{RUN}tokens = 1e12\ntrainable_parameters = 7e12\n")
    assert codes(report)["active-exceeds-total"] == "warning"
    assert report.runs[0].verdict is Verdict.NEEDS_EXPLANATION


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (
            "accelerator_count = 16384\naccelerator_hours = 390\ntokens = 15e12",
            "hours of the clock",
        ),
        ("accelerator_hours = 6400\ntokens = 15e12", "hours in thousands"),
        ("accelerator_hours = 6.4e6\ntokens = 15", "tokens in trillions"),
        ("accelerator_hours = 6.4e6\ntokens = 15000", "tokens in billions"),
        ("accelerator_hours = 6.4e6\ntokens = 1.83e9", "samples of 8,192 tokens"),
        ("accelerator_hours = 2.3e10\ntokens = 15e12", "seconds written as hours"),
    ],
)
def test_slips_of_units_are_named(run_audit, figures, words):
    run = (
        '[model.m]\nparameters = 70e9\n[[run]]\nname = "r"\nmodel = "m"\nsequence_length = 8192\n'
        f'accelerator = "NVIDIA H100 80GB HBM3"\nprecision = "bf16"\n{figures}\n'
    )
    report = run_audit(run)
    (told,) = [one for one in report.findings if "no utilisation explains" in one.message]
    assert told.code == "unit-ambiguity"
    assert f"likeliest: {words}" in told.message
    for one in report.findings:
        assert "000%" not in one.message


@pytest.mark.parametrize(
    ("figures", "code"),
    [
        # 373 kW a device: near a round number as every large one is, and no rating of anything
        ("accelerator_hours = 8e4\nenergy_mwh = 29840", "power-implausible"),
        ("accelerator_hours = 8e4\nenergy_mwh = 89.6", "power-implausible"),  # 1,120 W, 2.8 x 400
        # 2e6 tokens/s x 4.2e10 FLOP = 8.4e16 FLOP/s on a part of 3.1e14
        ("tokens_per_second_per_accelerator = 2e6", "throughput-mismatch"),
        ("tokens_per_second_per_accelerator = 3", "throughput-mismatch"),
        ("accelerator_hours = 8e4\ncost_usd = 150", "unit-ambiguity"),  # 0.2 cents an hour
        ("accelerator_hours = 8e4\ncost_usd = 1.5e8", "unit-ambiguity"),  # 1,900 USD an hour
        ("accelerator_hours = 8e4\nwall_clock_hours = 0.05", "device-time-mismatch"),
    ],
)
def test_figures_that_no_device_has(run_audit, figures, code):
    report = run_audit(f"{MODEL}{RUN}{ON_A100}tokens = 1e12\n{figures}\n")
    assert code in codes(report)
    assert report.runs[0].verdict in (Verdict.NEEDS_EXPLANATION, Verdict.INCONSISTENT)


@pytest.mark.parametrize(
    "figures",
    [
        "accelerator_hours = 8e4\nenergy_mwh = 30\ncost_usd = 1.5e5\nwall_clock_hours = 100",
        "accelerator_hours = 8e4\ntokens_per_second_per_accelerator = 4000",
        "tokens_per_second_per_accelerator = 4000",
    ],
)
def test_ordinary_figures_are_left_in_peace(run_audit, figures):
    report = run_audit(f"{MODEL}{RUN}{ON_A100}tokens = 1e12\n{figures}\n")
    assert codes(report) == {}


@pytest.mark.parametrize("hours", [1e4, 1e5, 1e6])
def test_an_amount_that_came_from_the_hours_does_not_confirm_them(run_audit, hours):
    report = run_audit(
        f"{MODEL}{RUN}{ON_A100}accelerator_hours = {hours}\ntokens_per_second_per_accelerator = 3000\n"
    )
    assert report.combined is not None
    assert report.verdict is Verdict.UNDETERMINED


@pytest.mark.parametrize(
    "line, words",
    [
        ("pue = 0.9", "at least 1"),
        ("pue = [0.5, 0.8]", "at least 1"),
        ("accelerator_count = 0.5", "accelerator_hours"),
        ("accelerator_count = { at_most = 0.9 }", "at least 1"),
    ],
)
def test_what_nothing_has_is_refused(run_audit, line, words):
    with pytest.raises(CaseError, match=words):
        run_audit(f'[model.m]\nparameters = 1e9\n[[run]]\nname = "r"\nmodel = "m"\n{line}\n')


def test_fewer_tokens_than_a_sequence_has_are_asked_about(run_audit):
    report = run_audit(
        '[claim]\nflop = 9e10\n[model.m]\nparameters = 1e9\n[[run]]\nname = "r"\nmodel = "m"\n'
        "tokens = 15\nsequence_length = 4096\n"
    )
    assert "amount-mismatch" in {one.code for one in report.findings}
    assert str(report.verdict) == "needs-explanation"


@pytest.mark.parametrize(
    "hours, verdict",
    # 100 devices x 100 h are 10,000 device-hours by the clock.
    [(10_000, "undetermined"), (7_000, "undetermined"), (4_000, "mismatch"), (11_000, "mismatch")],
)
def test_hours_devices_and_the_clock_are_of_one_run(run_audit, hours, verdict):
    report = run_audit(
        f'[[run]]\nname = "r"\naccelerator_hours = {hours}\naccelerator_count = 100\n'
        "wall_clock_hours = 100\n"
    )
    found = "device-time-mismatch" in {one.code for one in report.findings}
    assert found is (verdict == "mismatch")


@pytest.mark.parametrize(
    "line",
    ["accelerator_count = 3072", "cost_usd = 1e6", "energy_mwh = 100"],
)
def test_what_nothing_stands_beside_confirms_nothing(run_audit, line):
    report = run_audit(
        f'[claim]\nflop = 6e21\n[[run]]\nname = "r"\n{line}\n'
        'accelerator = "NVIDIA H100 80GB HBM3"\n'
    )
    assert str(report.verdict) == "undetermined"
    assert any("would allow" in one for one in report.would_change)


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        # 800e12 / 0.40 = 2.0e15, and H100's dense bf16 peak is 9.89e14, its sparse one 1.979e15
        ("mfu = 0.40\nflop_per_second_per_accelerator = 800e12", "sparse bf16 peak"),
        # 800 / 989 = 0.81
        ("flop_per_second_per_accelerator = 800e12", "0.809 times the dense bf16 peak"),
        ("mfu = 0.41\nflop_per_second_per_accelerator = 400e12", None),
        ("hfu = 0.52\nflop_per_second_per_accelerator = 500e12", None),
        ("flop_per_second_per_accelerator = 500e12", None),
    ],
)
def test_a_rate_is_held_against_the_peak_and_the_utilisation(run_audit, figures, words):
    run = (
        '[[run]]\nname = "r"\naccelerator = "NVIDIA H100 80GB HBM3"\nprecision = "bf16"\n'
        f"accelerator_count = 256\nwall_clock_hours = 240\n{figures}\n"
    )
    report = run_audit(run)
    told = [one.message for one in report.findings if one.code == "wrong-peak"]
    if words is None:
        assert told == []
    else:
        assert words in told[0]
        assert report.runs[0].verdict is Verdict.NEEDS_EXPLANATION
