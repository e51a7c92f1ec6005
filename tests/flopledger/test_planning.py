"""Where a run crosses a threshold, and how results are reported at several levels."""

import json
from types import SimpleNamespace

import pytest

from flopledger import planning
from flopledger.combine import at_levels
from flopledger.commands import main
from flopledger.facts import Fact, Grade


def _crossings(report) -> dict:
    return {one.regime: one for one in report.crossings}


def test_the_crossing_is_a_share_of_the_run(run_audit) -> None:
    # 6 * 1e10 * 5e12 = 3e23; 1e23 is a third of it: 1.667e12 tokens, 333 of 1000 hours
    report = run_audit(
        '[model.m]\nparameters = 1e10\n[[run]]\nname = "r"\nmodel = "m"\ntokens = 5e12\n'
        "wall_clock_hours = 1000\n"
    )
    one = _crossings(report)["eu-gpai-1e23"]
    assert one.share_of_run == pytest.approx(1 / 3, rel=0.01)
    assert one.tokens == pytest.approx(5e12 / 3, rel=0.01)
    assert one.wall_clock_hours == pytest.approx(1000 / 3, rel=0.01)
    assert any("eu-gpai-1e23" in line and "crossed after" in line for line in report.would_change)


def test_a_run_below_says_how_far_it_could_go(run_audit) -> None:
    # 3e22 of 1e23: 3.33 times the run
    report = run_audit(
        '[model.m]\nparameters = 1e10\n[[run]]\nname = "r"\nmodel = "m"\ntokens = 5e11\n'
    )
    assert _crossings(report)["eu-gpai-1e23"].share_of_run == pytest.approx(10 / 3, rel=0.01)


def test_earlier_runs_and_the_original_come_first(run_audit) -> None:
    # cumulative: original 9e24 + first 0.5e24; the second needs 0.5e24 of its 1e24
    report = run_audit(
        "[base_model]\nflop = 9e24\n[model.m]\nparameters = 1e11\n"
        '[[run]]\nname = "a"\nkind = "continued"\nmodel = "m"\ntokens = 8.333333e11\n'
        '[[run]]\nname = "b"\nkind = "rl"\nmodel = "m"\ntokens = 1.6666667e12\n'
    )
    one = _crossings(report)["eu-systemic-risk-1e25"]
    assert one.run == "b"
    assert one.share_of_run == pytest.approx(0.5, rel=0.03)


def test_what_others_had_crossed_before_is_said(run_audit) -> None:
    report = run_audit(
        "[base_model]\nflop = 2e25\n[model.m]\nparameters = 4e11\n"
        '[[run]]\nname = "r"\nkind = "continued"\nmodel = "m"\ntokens = 1e12\n'
    )
    assert _crossings(report)["eu-systemic-risk-1e25"].share_of_run is None
    assert any(
        "eu-systemic-risk-1e25" in one and "before run r" in one for one in report.would_change
    )


def test_a_threshold_in_the_first_percent_is_in_the_answer(run_audit) -> None:
    # 6 * 2e12 * 1e14 = 1.2e27; 1e23 after 8.33e9 tokens
    report = run_audit(
        '[model.m]\nparameters = 2e12\n[[run]]\nname = "r"\nmodel = "m"\ntokens = 1e14\n'
    )
    assert _crossings(report)["eu-gpai-1e23"].tokens == pytest.approx(8.33e9, rel=0.01)
    assert not any("eu-gpai-1e23" in one for one in report.would_change)


def test_intervals_nest(run_audit) -> None:
    report = run_audit(
        '[model.m]\nparameters = 1e9\n[[run]]\nname = "r"\nmodel = "m"\ntokens = 1e9\n'
    )
    levels = at_levels(report.combined)
    assert levels[0.95][0] < levels[0.9][0] < levels[0.5][0]
    assert levels[0.5][1] < levels[0.9][1] < levels[0.95][1]
    # lognormal with sigma 0.08: 50 % lies within exp(+-0.674 * 0.08)
    assert levels[0.5][1] / levels[0.5][0] == pytest.approx(1.114, abs=0.01)


def test_hours_per_trillion_tokens_are_recognised(run_audit) -> None:
    # DeepSeek-V3's 2.664e6 h for 14.8 T tokens are 180e3 h a trillion
    report = run_audit(
        '[model.m]\nparameters = 671e9\nactive_parameters = 37e9\n[[run]]\nname = "r"\nmodel = "m"\n'
        'tokens = 14.8e12\naccelerator = "NVIDIA H800 SXM"\naccelerator_hours = 0.18e6\n'
    )
    assert report.verdict == "inconsistent"
    assert any("per trillion tokens" in one.message for one in report.findings)


def test_a_log_is_enough_for_an_estimate(tmp_path, capsys) -> None:
    log = tmp_path / "train.log"
    log.write_text(
        "".join(
            f"completed step: {step}, seconds: 2.0, TFLOP/s/device: 120.0, Tokens/s/device: 4096.0, "
            f"total_weights: 131072, loss: {9 - step / 10:.2f}\n"
            for step in range(10)
        )
    )
    assert main(["estimate", str(log), "--parameters", "1e9", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    # 6 * 1e9 * 10 * 131,072
    assert answer["combined"]["flop"]["best"] == pytest.approx(6e9 * 1_310_720)
    assert answer["title"] == "Estimate of train.log"
    # A case is told by its name, whatever is in it, and what nobody reads is no evidence.
    other = tmp_path / "notes.bin"
    other.write_bytes(b"\0\1\2")
    assert main(["estimate", str(other), "--parameters", "1e9"]) == 2


def test_the_kind_of_run_is_the_evidences_unless_said(tmp_path, capsys) -> None:
    (tmp_path / "adapter_config.json").write_text(
        '{"peft_type": "LORA", "r": 8, "target_modules": ["q"]}'
    )
    given = [
        "estimate",
        str(tmp_path / "adapter_config.json"),
        "--parameters",
        "1e9",
        "--tokens",
        "1e9",
    ]
    given += ["--trainable-parameters", "1e6"]
    for kind, each in (([], 4 * 1e9 + 6e6), (["--kind", "pretraining"], 4 * 1e9 + 2e6)):
        assert main([*given, *kind, "--json"]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer["combined"]["flop"]["best"] == pytest.approx(each * 1e9, rel=1e-4)


@pytest.mark.parametrize("moment", [1e18, -1e18])
def test_a_clock_of_no_world_gives_no_date(moment) -> None:
    facts = tuple(
        Fact(name=name, value=moment, unit="unix s", file="r", locator="l", grade=Grade.LOG)
        for name in ("recorded_from", "recorded_until")
    )
    assert planning._date(SimpleNamespace(facts=facts), 10.0, 0.5) is None
