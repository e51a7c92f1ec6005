"""6ND leaves attention out: at a long context a claim by it and the exact count may part at a threshold."""

import pytest

from flopledger.auditing import audit
from flopledger.cases.case import AuditCase
from flopledger.reports import wording

#: Weights of a layer: queries and outputs 2 x 8192^2, keys and values 2 x 8192 x 1024, 3 x 8192 x 28672;
#: the head 8192 x 128256, and a table of that size.
MET = 80 * (2 * 8192**2 + 2 * 8192 * 1024 + 3 * 8192 * 28672) + 8192 * 128256
ALL = MET + 8192 * 128256
TEXT = """schema = "flopledger/case/1"
title = "t"
{claim}
[model.m.architecture]
layers = 80
hidden = 8192
heads = 64
kv_heads = 8
head_dim = 128
ffn = 28672
ffn_matrices = 3
vocabulary = 128256
tied_embeddings = false
[[run]]
name = "r"
model = "m"
tokens = {tokens}
sequence_length = {length}
"""


def report_of(tmp_path, *, length, tokens=15e12, claim=None):
    path = tmp_path / "case.toml"
    claim = "" if claim is None else f"[claim]\nflop = {claim}"
    path.write_text(TEXT.format(claim=claim, tokens=tokens, length=length))
    return audit(AuditCase.load(path))


def found(report, code="convention-decides-threshold"):
    return [one for one in report.findings if one.code == code]


def test_a_claim_by_the_rule_does_not_settle_a_threshold_that_the_count_passed(tmp_path):
    # 6ND: 6 x 70.6e9 x 15e12 = 6.35e24. Scores and values at 131,072: 12 x 80 x 8192 x 131072 a token in
    # full, half of it under the mask: with the weights 1.4e25 to 2.2e25.
    report = report_of(tmp_path, length=131072, claim="6.35e24")

    assert pytest.approx(6.35e24, rel=0.01) == 6 * ALL * 15e12
    assert report.verdict == "needs-explanation"
    (finding,) = found(report)
    assert finding.severity == "warning"
    assert "eu-systemic-risk-1e25" in finding.message
    assert "6.35e24" in finding.message
    assert "131,072" in finding.message


def test_without_a_threshold_between_them_the_claim_stands_and_both_figures_are_said(tmp_path):
    # 6 x 70.6e9 x 1e12 = 4.2e23 and 9.5e23 to 1.45e24: between 1e23 and 1e25.
    report = report_of(tmp_path, length=131072, tokens=1e12, claim="4.24e23")

    assert report.verdict == "consistent"
    assert found(report) == []
    said = wording.conclusion(report)
    assert "equals the count by 6ND" in said
    assert "agrees with" not in said


def test_within_the_guidelines_margin_the_rule_is_told_and_nobody_is_asked(tmp_path):
    # At 16,384 scores and values are 12 x 80 x 8192 x 16384 = 1.29e11 a token in full, 0.64e11 masked,
    # beside 4.17e11 of weights: 15% to 31% above. Of 23e12 tokens 6ND is 9.7e24, the count 1.1e25 to 1.3e25.
    report = report_of(tmp_path, length=16384, tokens=23e12, claim="9.7e24")

    assert report.verdict == "consistent"
    (finding,) = found(report)
    assert finding.severity == "info"


def test_an_estimate_names_both_sides_without_a_claim(tmp_path):
    report = report_of(tmp_path, length=131072)

    (finding,) = found(report)
    assert finding.severity == "info"
    assert "not passed" in finding.message


def test_at_a_short_context_nothing_is_said(tmp_path):
    assert found(report_of(tmp_path, length=4096)) == []


@pytest.mark.parametrize(
    "more",
    [
        "[base_model]\nflop = 8.3e23\n",
        '[[run]]\nname = "g"\nkind = "synthetic-data"\ntokens = 1e12\n',
    ],
)
def test_what_a_ledger_holds_beside_the_training_is_no_matter_of_a_rule(tmp_path, more):
    # 6 x 70.6e9 x 1e9 = 4.2e20; the cumulative ledger is above 1e23 for the original, or what was generated.
    path = tmp_path / "case.toml"
    if "[[run]]" in more:
        more = more + 'model = "m"\n'
        text = TEXT.format(claim="", tokens=1e9, length=4096) + more
    else:
        text = TEXT.format(claim=more, tokens=1e9, length=4096)
    path.write_text(text)

    assert found(audit(AuditCase.load(path))) == []


@pytest.mark.parametrize(
    ("base", "tokens", "probability", "zone"),
    [
        # A third of at least 8.3e23 is at least 2.77e23: 6 x 70e9 x 1e12 = 4.2e23 may be less than it.
        ("{ at_least = 8.3e23 }", 1e12, None, None),
        # ... and 4.2e21 is less than it, whatever it is.
        ("{ at_least = 8.3e23 }", 1e10, 0.0, "below"),
        # A third of at most 8.3e23: 4.2e23 is more, 4.2e21 may be.
        ("{ at_most = 8.3e23 }", 1e12, 1.0, "above"),
        ("{ at_most = 8.3e23 }", 1e10, None, None),
        ("8.3e23", 1e12, 1.0, "above"),
    ],
)
def test_a_third_of_a_bound_is_a_bound(tmp_path, base, tokens, probability, zone):
    path = tmp_path / "case.toml"
    path.write_text(
        f'schema = "flopledger/case/1"\ntitle = "t"\n[base_model]\nflop = {base}\n'
        "[model.m]\nparameters = 70e9\n"
        f'[[run]]\nname = "r"\nmodel = "m"\nkind = "continued"\ntokens = {tokens}\nsequence_length = 4096\n'
    )
    report = audit(AuditCase.load(path))
    (one,) = [one for one in report.standings if one.regime.id == "eu-modifier-one-third"]
    if probability is None:
        assert one.probability_exceeded is None
        assert found(report, "modifier-becomes-provider") == []
        assert not [text for text in report.would_change if "eu-modifier-one-third" in text]
    else:
        assert one.probability_exceeded == pytest.approx(probability, abs=0.01)
    assert one.zone == zone
    assert bool(found(report, "original-unstated")) == ("at_" in base)


def test_of_parameters_alone_the_count_is_the_rule(tmp_path):
    """Nothing is known of attention: swapped parameters are no question of a convention."""
    path = tmp_path / "case.toml"
    path.write_text(
        'schema = "flopledger/case/1"\ntitle = "t"\n[model.m]\nparameters = 37e9\nactive_parameters = 671e9\n'
        '[[run]]\nname = "r"\nmodel = "m"\ntokens = 14.8e12\nsequence_length = 131072\n'
    )
    assert found(audit(AuditCase.load(path))) == []
