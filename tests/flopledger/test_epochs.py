"""Epochs of a case: shown, held against the data set, and a reason why routes differ."""

import json

import pytest

CARD_RESULTS = {
    "train_runtime": 100.0,
    "train_loss": 1.0,
    "train_samples": 10_000,
    "epoch": 3.0,
}
HEAD = '[[run]]\nname = "r"\nevidence = ["all_results.json"]\n'


def codes(report):
    return {finding.code: finding.severity for finding in report.findings}


def test_samples_are_epochs_times_the_data_set(run_audit, tmp_path):
    (tmp_path / "all_results.json").write_text(json.dumps(CARD_RESULTS))
    report = run_audit(f"{HEAD}samples = 30000\nepochs = 3")
    assert report.runs[0].figures.epochs.quantity.best == 3
    assert not {"amount-mismatch", "dataset-size-not-trained"} & set(codes(report))


def test_the_data_sets_size_is_not_what_was_seen(run_audit, tmp_path):
    (tmp_path / "all_results.json").write_text(json.dumps(CARD_RESULTS))
    report = run_audit(f"{HEAD}samples = 10000")
    assert codes(report)["dataset-size-not-trained"] == "warning"
    other = run_audit(f"{HEAD}samples = 17000")
    assert codes(other)["amount-mismatch"] == "warning"


def test_a_ratio_that_equals_the_epochs_is_a_question(run_audit):
    # 6 x 1e10 x 1e11 = 6e21 by the data set; the claim saw it 7 times.
    text = """
[claim]
flop = 4.2e22
[model.m]
parameters = 1e10
[[run]]
name = "r"
model = "m"
tokens = 1e11
epochs = 7
"""
    report = run_audit(text)
    assert str(report.verdict) == "inconsistent"
    assert "dataset-size-not-trained" in codes(report)


def test_hours_of_all_passes_make_the_claims_amount_a_question(run_audit):
    # 6 x 1e9 x 1e9 = 6e18 by the data set, x 300 = 1.8e21 = 5,000 h x 3600 x 312e12 x 0.32
    text = """
[claim]
flop = 1.8e21
[model.m]
parameters = 1e9
[[run]]
name = "r"
model = "m"
tokens = 1e9
epochs = 300
accelerator = "NVIDIA A100-SXM4-80GB"
precision = "bf16"
accelerator_hours = {}
"""
    report = run_audit(text.format(5_000))
    assert str(report.verdict) == "needs-explanation"
    assert codes(report)["dataset-size-not-trained"] == "warning"
    (slip,) = [one for one in report.findings if one.code == "unit-ambiguity"]
    assert "all 300 passes" in slip.message
    # Hours of one pass contradict the claim: 50 h x 3600 x 312e12 x 0.32 = 1.8e19.
    assert str(run_audit(text.format(50)).verdict) == "inconsistent"


def test_that_an_amount_holds_all_epochs_is_said(run_audit, tmp_path):
    model = '[model.m]\nparameters = 1e10\n[[run]]\nname = "r"\nmodel = "m"\n'
    report = run_audit(f"{model}tokens = 1e11\nepochs = 3")
    told = {one.code: one.message for one in report.findings}
    assert "tokens (1.0e11) are taken as those of all 3 epochs together" in told["epochs-taken-in"]
    assert "epochs-taken-in" not in codes(run_audit(f"{model}tokens = 1e11\nepochs = 1"))
    (tmp_path / "all_results.json").write_text(json.dumps(CARD_RESULTS))
    known = run_audit(f"{HEAD}samples = 30000\nepochs = 3")  # the data set's size is known there
    assert "epochs-taken-in" not in codes(known)


#: 6 x 7e9 x 1e12 = 4.2e22 by one pass, 1.68e23 by four.
OF_A_TEXT = """
[claim]
flop = {claim}
[model.m]
parameters = 7e9
[[run]]
name = "r"
model = "m"
evidence = ["card.md"]
{tokens}
"""


@pytest.mark.parametrize(
    ("text", "tokens", "claim", "verdict"),
    [
        # The case gives the data set, the claim holds all passes: a question, no refutation.
        ("Trained for 4 epochs over 1T tokens.", "tokens = 1e12", "1.7e23", "needs-explanation"),
        (
            "Trained on 1T tokens. Training made 4 passes.",
            "tokens = 1e12",
            "1.7e23",
            "needs-explanation",
        ),
        # Four passes left out of both: the text names these tokens as what was passed over.
        ("Trained for 4 epochs over 1T tokens.", "tokens = 1e12", "4.2e22", "needs-explanation"),
        # The case's tokens hold all passes, whichever way the text puts it.
        ("Trained for 4 epochs over 1T tokens.", "tokens = 4e12", "1.7e23", "consistent"),
        ("Trained on 4T tokens, 4 epochs.", "tokens = 4e12", "1.7e23", "consistent"),
        ("Trained for 4 epochs over 1T tokens.", "tokens = 4e12", "4.2e22", "inconsistent"),
        # No other factor than the text's own is asked about.
        ("Trained for 4 epochs over 1T tokens.", "tokens = 1e12", "4.2e23", "inconsistent"),
        # The text alone: both readings, and nothing beyond them.
        ("Trained for 4 epochs over 1T tokens.", "", "1.7e23", "undetermined"),
        ("Trained for 4 epochs over 1T tokens.", "", "1.7e24", "inconsistent"),
        ("Trained for 4 epochs over 1T tokens.", "", "1.0e22", "inconsistent"),
        ("Trained for 4 epochs on 1T unique tokens.", "", "1.7e23", "consistent"),
        ("Trained for 4 epochs on 1T unique tokens.", "", "4.2e22", "inconsistent"),
    ],
)
def test_epochs_of_a_text_reach_the_claim(run_audit, tmp_path, text, tokens, claim, verdict):
    (tmp_path / "card.md").write_text(f"# Card\n\n{text}\n")
    report = run_audit(OF_A_TEXT.format(claim=claim, tokens=tokens))
    assert str(report.verdict) == verdict


def test_epochs_of_a_text_are_tried_in_a_sum_of_runs(run_audit, tmp_path):
    # 4 x 4.2e22 by four passes, and 6 x 7e9 x 2e11 = 8.4e21 of a stage that no text passes over again.
    (tmp_path / "card.md").write_text("# Card\n\nTrained for 4 epochs over 1T tokens.\n")
    second = '[[run]]\nname = "b"\nmodel = "m"\ntokens = 2e11\n'
    case = OF_A_TEXT.format(claim="1.76e23", tokens="tokens = 1e12") + second
    assert str(run_audit(case).verdict) == "needs-explanation"
    lie = OF_A_TEXT.format(claim="4.4e23", tokens="tokens = 1e12") + second
    assert str(run_audit(lie).verdict) == "inconsistent"


@pytest.mark.parametrize(
    ("text", "extra", "verdict"),
    [
        # 6 x 13e9 x 1.7e12 = 1.33e23 of the active ones, 6 x 47e9 x 1.7e12 = 4.79e23 of all.
        ("A mixture-of-experts model of which 13B parameters are active.", "", "undetermined"),
        ("Our model uses an MoE architecture.", "", "undetermined"),
        ("A mixture-of-experts model.", "active_parameters = 13e9", "consistent"),
        # Words about another model leave the stated parameters a token's.
        ("Unlike MoE models, ours is simple.", "", "inconsistent"),
        ("It outperforms the MoE model Mixtral.", "", "inconsistent"),
    ],
)
def test_parameters_of_a_mixture_bound_the_work(run_audit, tmp_path, text, extra, verdict):
    (tmp_path / "card.md").write_text(f"# Card\n\n{text} It was trained on 1.7T tokens.\n")
    case = (
        "[claim]\nflop = {}\n[model.m]\nparameters = 47e9\n" + extra + '\n[[run]]\nname = "r"\n'
        'model = "m"\nevidence = ["card.md"]\n'
    )
    report = run_audit(case.format("1.33e23"))
    assert str(report.verdict) == verdict
    assert ("experts-unstated" in codes(report)) is (verdict == "undetermined")
    # More than all parameters can take stays refuted: 1e25.
    assert str(run_audit(case.format("1e25")).verdict) == "inconsistent"


def test_what_a_log_counted_holds_all_passes(run_audit, tmp_path):
    # 1,000 steps of 1e7 tokens, 1e10 seen: 6 x 7e9 x 1e10 = 4.2e20, and no more by any text's epochs.
    state = {"global_step": 1000, "num_input_tokens_seen": 10_000_000_000, "log_history": []}
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    (tmp_path / "card.md").write_text("# Card\n\nTrained for 4 epochs over 10B tokens.\n")
    case = OF_A_TEXT.replace('"card.md"', '"card.md", "trainer_state.json"')
    for tokens in ("tokens = 1e10", ""):
        assert str(run_audit(case.format(claim="1.7e21", tokens=tokens)).verdict) == "inconsistent"
        assert str(run_audit(case.format(claim="4.2e20", tokens=tokens)).verdict) == "consistent"
