"""The energy route: power shares by boundary, independence, and energies that repeat the hours."""

import pytest

from flopledger.methods import energy

#: 7e9 parameters x 2e12 tokens x 6 = 8.4e22 FLOP; at 0.36 of an A100 (312e12): 207,750 hours.
WORK = """
[model.m]
parameters = 7.0e9
[[run]]
name = "r"
model = "m"
tokens = 2.0e12
precision = "bf16"
accelerator = "NVIDIA A100-SXM4-80GB"
"""


def codes(report) -> dict[str, str]:
    return {finding.code: finding.severity for finding in report.findings}


def of_method(report, method):
    return next((one for one in report.estimates if one.method == method), None)


def test_energy_becomes_time_by_the_power_of_a_node(run_audit):
    report = run_audit(f'{WORK}energy_mwh = 97.77\nenergy_boundary = "node"')
    one = of_method(report, "energy")
    prior = energy.node_share()
    # 97.77 MWh / (400 W x share) x 312e12 x U: the medians multiply.
    seconds = 97.77e6 * 3600 / (400 * prior.median)
    assert one.flop.best == pytest.approx(seconds * 312e12 * 0.3644, rel=0.03)
    assert one.independence_group == energy.GROUP
    assert not one.bound_only
    assert one.flop.low < 8.4e22 < one.flop.high
    assert str(report.verdict) == "consistent"


def test_without_amount_or_utilisation_energy_gives_no_figure(run_audit):
    text = WORK.replace("tokens = 2.0e12\n", "")
    report = run_audit(f"{text}energy_mwh = 97.77")
    bound = of_method(report, "energy")
    assert bound.bound_only
    assert (bound.flop.low, bound.flop.best, report.combined) == (None, None, None)
    assert not of_method(run_audit(f"{text}energy_mwh = 97.77\nmfu = 0.4"), "energy").bound_only


@pytest.mark.parametrize("boundary", ["device", "node", "facility", None])
def test_an_unstated_boundary_is_the_widest(run_audit, boundary):
    line = f'energy_boundary = "{boundary}"' if boundary else ""
    one = of_method(run_audit(f"{WORK}energy_mwh = 97.77\n{line}"), "energy")
    wide = of_method(run_audit(f"{WORK}energy_mwh = 97.77"), "energy")
    assert one.flop.high / one.flop.low <= wide.flop.high / wide.flop.low * 1.001


@pytest.mark.parametrize(
    "megawatt_hours, words",
    [
        (200_000 * 400 / 1e6, "x 400 W:"),  # the board's TDP
        (200_000 * 400 * 1.1 / 1e6, "x 400 W x 1.1"),  # and a round overhead
        (200_000 * 280 / 1e6, "x 280 W"),  # an assumed round power
    ],
)
def test_energy_that_is_hours_times_power_confirms_nothing(run_audit, megawatt_hours, words):
    report = run_audit(f"{WORK}accelerator_hours = 200000\nenergy_mwh = {megawatt_hours:.6g}")
    (finding,) = [one for one in report.findings if one.code == "circular-evidence"]
    assert words.rstrip(":") in finding.message
    groups = {one.independence_group for one in report.estimates if one.method == "energy"}
    assert groups == {of_method(report, "device-time").independence_group}


def test_a_metered_energy_is_its_own_witness(run_audit):
    report = run_audit(f"{WORK}accelerator_hours = 200000\nenergy_mwh = 93.17")
    assert "circular-evidence" not in codes(report)
    assert of_method(report, "energy").independence_group == energy.GROUP


def test_energy_refutes_hours_that_it_cannot_fit(run_audit):
    # 94 MWh over 40,000 h are 2,350 W a 400-W board.
    report = run_audit(
        f'{WORK}accelerator_hours = 40000\nenergy_mwh = 94.13\nenergy_boundary = "device"'
    )
    assert codes(report)["power-implausible"] == "error"
    assert str(report.runs[0].verdict) == "inconsistent"
    # Over 2,000,000 h they are 47 W: idle boards, which contradict nothing but ask for a word.
    idle = run_audit(
        f'{WORK}accelerator_hours = 2000000\nenergy_mwh = 94.13\nenergy_boundary = "device"'
    )
    assert codes(idle)["power-implausible"] == "warning"


def test_a_cost_that_is_hours_times_price_is_said_to_be(run_audit):
    report = run_audit(f"{WORK}accelerator_hours = 200000\ncost_usd = 400000")
    (finding,) = [one for one in report.findings if one.code == "circular-evidence"]
    assert "2.00 USD" in finding.message
    other = run_audit(f"{WORK}accelerator_hours = 200000\ncost_usd = 413700")
    assert "circular-evidence" not in codes(other)


def test_energy_does_not_move_the_figure_of_the_count(run_audit):
    plain = run_audit(f"{WORK}accelerator_hours = 200000")
    more = run_audit(
        f'{WORK}accelerator_hours = 200000\nenergy_mwh = 93.17\nenergy_boundary="node"'
    )
    assert more.combined.flop == plain.combined.flop


def test_an_energy_that_nothing_can_be_done_with_is_named(run_audit):
    # No board power of a GH200 is on record: its module draws 450 to 1000 W.
    text = WORK.replace("NVIDIA A100-SXM4-80GB", "NVIDIA GH200 480GB")
    report = run_audit(f"{text}accelerator_hours = 66e3\nenergy_mwh = 55")
    told = {one.code: one.message for one in report.findings}
    assert "no rated power of NVIDIA GH200" in told["energy-unused"]
    named = run_audit(f"{WORK}accelerator_hours = 208e3\nenergy_mwh = 97.77")
    assert "energy-unused" not in codes(named)
    without = WORK.replace('accelerator = "NVIDIA A100-SXM4-80GB"', "")
    assert codes(run_audit(f"{without}energy_mwh = 55"))["energy-unused"] == "info"


def test_two_witnesses_agree_and_one_agrees(run_audit):
    report = run_audit(
        f"{WORK}accelerator_hours = 208e3\nenergy_mwh = 98.3\nenergy_boundary = 'node'"
    )
    assert "device-time and energy agree within" in report.combined.rule


#: 200,000 h x 400 W x 0.9 = 72 MWh; a thousand times that is 360 kW a board.
@pytest.mark.parametrize(
    ("megawatt_hours", "slip"),
    [
        (72e3, "Wh as kWh, or mJ as J"),
        (72 / 1e3, "kWh as Wh, or kJ as J"),
        (72 * 3600, "joules read as watt-hours"),
        (72 / 3.6e6, "kWh read as joules"),
    ],
)
def test_an_energy_that_no_board_draws_moves_no_threshold_where_hours_and_work_agree(
    run_audit, megawatt_hours, slip
):
    stated = f"{WORK}accelerator_hours = 200000\n"
    plain = run_audit(stated)
    report = run_audit(f'{stated}energy_mwh = {megawatt_hours}\nenergy_boundary = "device"')
    told = {one.code: one.message for one in report.findings}
    assert str(report.runs[0].verdict) == "inconsistent"  # one of the figures is wrong all the same
    assert slip in told["power-implausible"]
    assert "does not enter the interval" in told["power-implausible"]
    assert "one of energy, tokens" in told["unit-ambiguity"]
    apart = told.get("unexplained-compute") or told["implausible-utilisation"]
    assert (
        "one of the figures is wrong" in apart
    )  # and no teacher's passes a thousand times the work
    assert of_method(report, "energy") is not None  # listed, with what it would come to
    assert report.combined.flop == plain.combined.flop
    chances = {one.regime.id: one.probability_exceeded for one in report.standings}
    assert chances["eu-systemic-risk-1e25"] == 0.0


def test_an_energy_that_may_tell_the_truth_stays_in_the_interval(run_audit):
    # Six times what the boards draw: hours and tokens may both have been divided by six.
    stated = f'{WORK}accelerator_hours = 200000\nenergy_boundary = "device"\n'
    six = run_audit(f"{stated}energy_mwh = {72 * 6.1}")
    assert six.combined.flop.high > 3 * 8.4e22
    # Hours that hold thirty times less than the work is no witness against the energy.
    torn = run_audit(f'{WORK}accelerator_hours = 2000\nenergy_boundary = "device"\nenergy_mwh = 72')
    told = {one.code: one.message for one in torn.findings}
    assert "does not enter" not in told["power-implausible"]
