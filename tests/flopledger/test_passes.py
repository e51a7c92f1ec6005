"""Reinforcement learning and distillation inside one run: passes, ledgers, and hand arithmetic."""

import json
import re

import pytest

from flopledger.errors import CaseError
from flopledger.reports import wording

#: By parameters alone: 2 FLOP a parameter and token forward, 6 in training.
MODELS = """
[model.policy]
parameters = 8e9
[model.judge]
parameters = 2e9
[model.teacher]
parameters = 70e9
"""
RL = f"""{MODELS}
[[run]]
name = "rl"
kind = "rl"
model = "policy"
tokens = 1e11
rollout_tokens = 4e11
reference_model = "policy"
reward_model = "judge"
"""
#: Cumulative ledgers begin with the policy's own training; here with too little to show in two digits.
BASE = "[base_model]\nflop = 1e18\n"
TRAINED = 6 * 8e9 * 1e11  # 4.8e21
ROLLOUTS = 2 * 8e9 * 4e11  # 6.4e21
REFERENCE = 2 * 8e9 * 1e11  # 1.6e21
REWARD = 2 * 2e9 * 4e11  # 1.6e21
EVERYTHING = TRAINED + ROLLOUTS + REFERENCE + REWARD  # 1.44e22


def of(report, regime):
    return next(one for one in report.standings if one.regime.id == regime)


def codes(report):
    return {finding.code for finding in report.findings}


def test_all_passes_are_the_run_and_ledgers_hold_their_share(run_audit):
    report = run_audit(BASE + RL)
    (run,) = report.runs
    assert {one.name: one.flop.best for one in run.passes} == pytest.approx(
        {"rollouts": ROLLOUTS, "reference": REFERENCE, "reward": REWARD}
    )
    assert run.model_flop.best == pytest.approx(EVERYTHING)
    assert run.share("parameter_update") == pytest.approx(TRAINED / EVERYTHING)
    assert run.share("eu_cumulative") == pytest.approx(1)
    assert report.combined.flop.best == pytest.approx(TRAINED, rel=0.01)
    assert of(report, "eu-gpai-1e23").flop.best == pytest.approx(TRAINED, rel=0.01)
    assert of(report, "eu-systemic-risk-1e25").flop.best == pytest.approx(EVERYTHING, rel=0.01)
    assert of(report, "us-ca-sb53-1e26").flop.best == pytest.approx(EVERYTHING, rel=0.01)


def test_the_open_question_is_put_with_its_weight(run_audit):
    (message,) = [one.message for one in run_audit(RL).findings if one.code == "scope-assumption"]
    assert "annex A.1" in message
    for word in ("rollouts 6.4e21", "reference 1.6e21", "reward 1.6e21"):
        assert word in message


def test_without_its_passes_a_run_of_rl_says_what_is_missing(run_audit):
    text = RL.split("rollout_tokens")[0]
    (message,) = [one.message for one in run_audit(text).findings if one.code == "scope-assumption"]
    assert "missing" in message


def test_hours_are_held_against_all_passes(run_audit):
    # 1.44e22 FLOP at 0.36 of an A100: 35,610 hours. The training alone would be 0.12 of the peak.
    hours = 'accelerator = "NVIDIA A100-SXM4-80GB"\nprecision = "bf16"\naccelerator_hours = 35610'
    report = run_audit(RL + hours)
    assert report.runs[0].utilisation["bf16"].best == pytest.approx(0.36, rel=0.01)
    assert str(report.runs[0].verdict) == "consistent"
    alone = run_audit(RL.split("rollout_tokens")[0] + hours)
    assert alone.runs[0].utilisation["bf16"].best == pytest.approx(0.12, rel=0.01)


def test_a_teacher_runs_forward_over_the_students_tokens(run_audit):
    text = f"""{MODELS}
[[run]]
name = "d"
kind = "distillation"
model = "judge"
teacher_model = "teacher"
tokens = 1e11
"""
    report = run_audit(text)
    # 6 x 2e9 x 1e11 + 2 x 70e9 x 1e11 = 1.2e21 + 1.4e22
    assert report.runs[0].model_flop.best == pytest.approx(1.52e22)
    assert of(report, "eu-systemic-risk-1e25").flop.best == pytest.approx(1.52e22, rel=0.01)
    assert of(report, "eu-gpai-1e23").flop.best == pytest.approx(1.2e21, rel=0.01)


def test_training_a_value_model_is_in_no_ledger(run_audit):
    text = RL.replace('reward_model = "judge"', 'value_model = "judge"').replace(
        'reference_model = "policy"\n', ""
    )
    report = run_audit(BASE + text)
    value = next(one for one in report.runs[0].passes if one.name == "value")
    assert value.flop.best == pytest.approx(6 * 2e9 * 1e11)
    # Its time is the run's, its FLOP are nobody's.
    assert of(report, "eu-systemic-risk-1e25").flop.best == pytest.approx(
        TRAINED + ROLLOUTS, rel=0.01
    )


@pytest.mark.parametrize(
    "line, words",
    [
        ('reward_model = "nobody"', "no \\[model.nobody\\]"),
        ('teacher_model = "teacher"\n', "need a number of tokens"),
    ],
)
def test_passes_that_cannot_be_costed_are_bad_input(run_audit, line, words):
    text = f'{MODELS}\n[[run]]\nname = "x"\nkind = "rl"\nmodel = "policy"\n{line}'
    with pytest.raises(CaseError, match=words):
        run_audit(text)


def test_an_adapter_of_unknown_size_still_leaves_the_base_frozen(run_audit):
    text = f"""{MODELS}
[[run]]
name = "a"
kind = "lora"
model = "policy"
tokens = 1e9
"""
    report = run_audit(text)
    # 4 x 8e9 x 1e9, not 6
    assert report.runs[0].model_flop.best == pytest.approx(3.2e19)


def test_the_adapter_is_counted_from_its_rank_and_targets(run_audit, tmp_path):
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 22,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "vocab_size": 32000,
        "tie_word_embeddings": False,
    }
    adapter = {
        "peft_type": "LORA",
        "r": 8,
        "target_modules": ["v_proj", "q_proj"],
        "base_model_name_or_path": "x",
    }
    state = {
        "global_step": 10,
        "max_steps": 10,
        "num_input_tokens_seen": 1_000_000,
        "log_history": [],
    }
    for name, content in (
        ("config.json", config),
        ("adapter_config.json", adapter),
        ("trainer_state.json", state),
    ):
        (tmp_path / name).write_text(json.dumps(content))
    files = '["config.json", "adapter_config.json", "trainer_state.json"]'
    report = run_audit(f'[[run]]\nname = "r"\nevidence = {files}')
    # 22 layers x 8 x ((2048 + 2048) + (2048 + 256)) = 1,126,400
    trained = report.runs[0].figures.trainable_parameters
    assert trained.quantity.best == 1_126_400
    # 4 x 1.0345e9 weights of matrix products (22 x (2 x 2048^2 + 2 x 2048 x 256 + 3 x 2048 x 5632)
    # + 2048 x 32,000), and 6 x 1,126,400, a token
    weights = 22 * (2 * 2048**2 + 2 * 2048 * 256 + 3 * 2048 * 5632) + 2048 * 32000
    expected = (4 * weights + 6 * 1_126_400) * 1e6
    assert report.runs[0].model_flop.best == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    "claim, verdict", [(4.8e21, "consistent"), (1.44e22, "consistent"), (4.3e22, "inconsistent")]
)
def test_a_claim_may_be_of_either_ledger(run_audit, claim, verdict):
    report = run_audit(f"[claim]\nflop = {claim:.3g}\n{RL}")
    assert str(report.verdict) == verdict
    assert ("claim-convention" in codes(report)) == (claim == 1.44e22)


def test_a_claim_may_hold_the_original(run_audit):
    # 6 x 8e9 x 1e11 = 4.8e21 on top of an original of 5e22
    text = f"""[claim]
flop = 5.48e22
{MODELS}
[[run]]
name = "f"
kind = "finetuning"
model = "policy"
tokens = 1e11
[base_model]
flop = 5e22
"""
    report = run_audit(text)
    assert str(report.verdict) == "consistent"
    assert "claim-convention" in codes(report)


#: 8e9 parameters: 3e11 tokens trained on, four epochs over the rollouts; 2e11 tokens generated.
MISTAKEN = f"""{MODELS}
[[run]]
name = "rl"
kind = "rl"
model = "policy"
tokens = 3e11
rollout_tokens = 2e11
reference_model = "policy"
reward_model = "policy"
epochs = 4
"""
T, G, REF, REW = 6 * 8e9 * 3e11, 2 * 8e9 * 2e11, 2 * 8e9 * 3e11, 2 * 8e9 * 2e11
DISTILLED = f"""{MODELS}
[[run]]
name = "d"
kind = "distillation"
model = "policy"
teacher_model = "teacher"
tokens = 1e11
"""
STUDENT, TEACHER = 6 * 8e9 * 1e11, 2 * 70e9 * 1e11
SEVERAL = f"""{MODELS}
[[run]]
name = "first"
model = "policy"
tokens = 1e12
[[run]]
name = "second"
kind = "continued"
model = "policy"
tokens = 1e12
[[run]]
name = "data"
kind = "synthetic-data"
model = "teacher"
tokens = 3e11
"""
STAGE, DATA = 6 * 8e9 * 1e12, 2 * 70e9 * 3e11


@pytest.mark.parametrize(
    "case, claim, words",
    [
        # 6 instead of 2 FLOP for each generated token: 2 G more
        (MISTAKEN, T + 3 * G + REF + REW, "generation was counted as training"),
        (MISTAKEN, 3 * G, "every generated token was counted as trained on"),
        (MISTAKEN, T + G, "the passes of reference and reward were left out"),
        (MISTAKEN, T / 4, "trained on 4 times over were counted once"),
        (MISTAKEN, 4 * T, "epochs over the same rollouts were counted in twice"),
        (DISTILLED, STUDENT + 3 * TEACHER, "the teacher's forward passes were counted as training"),
        (SEVERAL, 2 * STAGE + 3 * DATA, "counted as training in run data"),
        (SEVERAL, STAGE, "was left out"),
    ],
)
def test_the_mistake_is_named_first(run_audit, case, claim, words):
    report = run_audit(f"[claim]\nflop = {claim:.6g}\n{case}")
    assert str(report.verdict) in ("needs-explanation", "inconsistent")
    fits = [one.message for one in report.findings if "A question to ask" in one.message]
    assert words in fits[0]


@pytest.mark.parametrize(
    "case, claim",
    [
        (MISTAKEN, T),
        (MISTAKEN, T + G + REF + REW),
        (DISTILLED, STUDENT),
        (DISTILLED, STUDENT + TEACHER),
        (SEVERAL, 2 * STAGE),
        (SEVERAL, 2 * STAGE + DATA),
    ],
)
def test_an_honest_case_names_no_mistake(run_audit, case, claim):
    report = run_audit(f"[claim]\nflop = {claim:.6g}\n{case}")
    assert str(report.verdict) == "consistent"
    assert not any("A question to ask" in one.message for one in report.findings)


@pytest.mark.parametrize(
    "kind, words", [("rl", "rollout_tokens"), ("distillation", "teacher_model")]
)
def test_hours_beyond_the_training_point_to_the_passes_that_nobody_stated(run_audit, kind, words):
    # 8e9 x 6 x 3e11 = 1.44e22 FLOP are 0.064 of 200,000 A100-hours at 312e12.
    text = f"""{MODELS}
[[run]]
name = "r"
kind = "{kind}"
model = "policy"
tokens = 3e11
accelerator = "NVIDIA A100-SXM4-80GB"
precision = "bf16"
accelerator_hours = 200000
"""
    (message,) = [
        one.message for one in run_audit(text).findings if one.code == "unexplained-compute"
    ]
    assert words in message


def test_the_rule_says_which_passes_and_runs_the_figure_leaves_out(run_audit):
    report = run_audit(f"""{MODELS}
[[run]]
name = "rl"
kind = "rl"
model = "policy"
reference_model = "policy"
tokens = 1e9
rollout_tokens = 2e9
[[run]]
name = "check"
kind = "evaluation"
model = "policy"
tokens = 1e9
""")
    # 6 x 8e9 x 1e9 updates parameters; the routes hold rollouts and reference passes, too.
    assert report.combined.flop.best == pytest.approx(4.8e19)
    assert report.combined.rule == (
        "rl, without the passes that update no parameters (rollouts, reference); not in it: check"
    )


def test_what_synthetic_data_generated_is_its_amount(run_audit):
    # 2 x 70e9 x 1e11 = 1.4e22, by either key; both would count it twice.
    run = '[[run]]\nname = "gen"\nkind = "synthetic-data"\nsynthetic_public = false\nmodel = "teacher"\n'
    by_rollouts = run_audit(f"{MODELS}{run}rollout_tokens = 1e11\n")
    by_tokens = run_audit(f"{MODELS}{run}tokens = 1e11\n")
    for report in (by_rollouts, by_tokens):
        assert report.runs[0].model_flop.best == pytest.approx(1.4e22)
        assert of(report, "eu-systemic-risk-1e25").flop.best == pytest.approx(1.4e22, rel=0.01)
    with pytest.raises(CaseError, match="counted twice"):
        run_audit(f"{MODELS}{run}tokens = 1e11\nrollout_tokens = 1e11\n")


def test_a_lower_bound_holds_the_passes_of_its_ledger_alone(run_audit):
    run = '[[run]]\nname = "rl"\nkind = "rl"\nmodel = "policy"\nrollout_tokens = 4e11\n'
    report = run_audit(f"{BASE}{MODELS}{run}tokens = {{ at_least = 1e11 }}\n")
    assert of(report, "eu-gpai-1e23").flop.low == pytest.approx(TRAINED)
    # Rollouts are known by parameters alone, so their 5% end is what the bound holds.
    assert (
        TRAINED + 0.8 * ROLLOUTS < of(report, "eu-systemic-risk-1e25").flop.low < TRAINED + ROLLOUTS
    )
    # Without an amount trained the rollouts are left, in the ledgers that count them.
    report = run_audit(f"{BASE}{MODELS}{run}")
    assert of(report, "eu-gpai-1e23").flop.low is None
    assert 0.8 * ROLLOUTS < of(report, "eu-systemic-risk-1e25").flop.low < ROLLOUTS


def test_a_claim_of_another_ledger_is_shown_beside_that_ledgers_total(run_audit):
    report = run_audit(f"[claim]\nflop = 1.44e22\n{RL}")
    assert str(report.verdict) == "consistent"
    words = wording.conclusion(report)
    assert "agrees with an estimate of 1.44e22" in words
    assert "the cumulative compute; what updated parameters comes to 4.80e21" in words
    # What would refute the claim is said of that total, and not of the updates: 1.44e22 / 1.5 and x 1.5.
    (limits,) = [one for one in report.would_change if one.startswith("a claim below")]
    low, high = (float(one) for one in re.findall(r"\d\.\de\d\d", limits)[:2])
    assert 0.5 * EVERYTHING < low < EVERYTHING / 1.5 < 1.5 * EVERYTHING < high < 2 * EVERYTHING


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        # 6 x 14e9 x 2e10 + 2 x 14e9 x 4e10 = 2.8e21 of 9,000 h x 3600 x 989e12 = 3.2e22: 9% of the peak
        (
            'kind = "rl"\ntokens = 2e10\nrollout_tokens = 4e10\naccelerator_hours = 9000',
            "a token at a time",
        ),
        # 6 x 14e9 x 3e10 = 2.5e21, 8% of it
        ("samples = 3e10\ntokens_per_sample = 1\naccelerator_hours = 9000", "looked up in tables"),
        ("tokens = 3e10\naccelerator_hours = 9000", None),
    ],
)
def test_why_little_of_the_hours_was_used_is_said_of_such_runs(run_audit, run, reason):
    report = run_audit(
        '[model.m]\nparameters = 14e9\n[[run]]\nname = "r"\nmodel = "m"\nprecision = "bf16"\n'
        f'accelerator = "NVIDIA H100 80GB HBM3"\n{run}\n'
    )
    told = [one.message for one in report.findings if one.code == "unexplained-compute"]
    assert told
    assert any("a stated mfu" in one for one in told) is (reason is not None)
    assert reason is None or any(reason in one for one in told)
