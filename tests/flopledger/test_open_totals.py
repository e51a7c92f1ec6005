"""A total of which one run has no figure: what is known of the rest still bounds a claim."""

import pytest

#: Trained: 6 x 7e9 x 2e12 = 8.4e22, of which the 90% interval is a factor 1.14 either way.
TRAINED = "[model.m]\nparameters = 7e9\n[[run]]\nname = 'a'\nmodel = 'm'\ntokens = 2e12\n"
#: 1e4 h x 3600 s x 989.4e12 FLOP/s = 3.56e22 at the rated clock, a twelfth more at the highest.
HOURS = "accelerator = 'NVIDIA H100 80GB HBM3'\nprecision = 'bf16'\naccelerator_hours = 1e4\n"


def other(kind, figures=""):
    return f"[[run]]\nname = 'b'\nkind = '{kind}'\nmodel = 'm'\n{figures}"


def judged(run_audit, claim, case):
    report = run_audit(f"[claim]\nflop = {claim}\n{case}")
    return str(report.verdict), {one.code for one in report.findings if one.severity != "info"}


@pytest.mark.parametrize(
    ("claim", "figures", "verdict"),
    [
        # Below 8.4e22 / 1.14 / 1.5 = 4.9e22 whatever the other run took.
        ("4e22", "", "inconsistent"),
        ("6e22", "", "undetermined"),
        # Above, nothing is known of the other run: it may have taken as much.
        ("1e24", "", "undetermined"),
        # With its hours: (8.4e22 x 1.14 + 3.85e22) x 1.31 of attention x 4/3 of recomputation = 2.4e23
        ("2e23", HOURS, "undetermined"),
        ("5e23", HOURS, "inconsistent"),
        ("4e22", HOURS, "inconsistent"),
    ],
)
def test_the_figures_of_other_runs_bound_a_claim(run_audit, claim, figures, verdict):
    found, codes = judged(run_audit, claim, TRAINED + other("continued", figures))
    assert found == verdict
    assert ("claim-contradicted" in codes) == (verdict == "inconsistent")


def test_a_claim_by_a_convention_is_not_below_the_least(run_audit):
    # At 65,536 positions attention is most of the exact count; 6 x 6.74e9 x 2e12 = 8.1e22 leaves it out.
    shape = (
        "[model.m]\narchitecture = { layers = 32, hidden = 4096, heads = 32, ffn = 11008, "
        "ffn_matrices = 3, vocabulary = 32000 }\n"
        "[[run]]\nname = 'a'\nmodel = 'm'\ntokens = 2e12\nsequence_length = 65536\n"
    )
    assert judged(run_audit, "8.1e22", shape + other("continued", HOURS))[0] == "undetermined"
    assert judged(run_audit, "2e22", shape + other("continued", HOURS))[0] == "inconsistent"


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ("8.4e22", "consistent"),
        # 8.4e22 and some 3e22 of generated data, bounded by their hours.
        ("1.6e23", "needs-explanation"),
        ("5e23", "inconsistent"),
        ("1e22", "inconsistent"),
    ],
)
@pytest.mark.parametrize("kind", ["synthetic-data", "failed"])
def test_a_claim_may_be_of_a_larger_total_with_an_open_part(run_audit, kind, claim, verdict):
    found, codes = judged(run_audit, claim, TRAINED + other(kind, HOURS))
    assert found == verdict
    assert ("claim-contradicted" in codes) == (verdict != "consistent")


def test_an_unknown_run_that_no_ledger_counts_excuses_nothing(run_audit):
    assert judged(run_audit, "1.6e23", TRAINED + other("failed"))[0] == "inconsistent"


BASE = "[model.m]\nparameters = 7e9\n[base_model]\nflop = 8.3e23\n"


def test_the_original_may_be_in_a_claim_on_hours_alone(run_audit):
    case = BASE + other("continued", HOURS)
    assert judged(run_audit, "8.5e23", case)[0] == "undetermined"
    # 8.3e23 + 3.85e22 is all that there is.
    found, codes = judged(run_audit, "8.5e24", case)
    assert found == "inconsistent"
    assert "exceeds-physical-limit" in codes


def test_an_original_that_nobody_states_is_asked_for(run_audit):
    case = BASE.partition("[base_model]")[0] + other("continued", HOURS)
    # 3.85e22 at most, a third of which is ordinary: ten times that is another model's, too.
    found, codes = judged(run_audit, "8.5e23", case)
    assert found == "needs-explanation"
    assert "original-unstated" in codes
    assert judged(run_audit, "6e22", case)[0] == "inconsistent"
