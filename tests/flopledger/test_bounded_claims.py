"""Claims that are a bound: "below the threshold", "at least so much"."""

import pytest

# 6 * 100e9 * 20e12 = 1.2e25; of parameters alone the 90% interval is a factor 1.14 either way.
CASE = "[model.m]\nparameters = 100e9\n[[run]]\nname = 'r'\nmodel = 'm'\ntokens = 20e12\n"


def found(report, code="claim-contradicted"):
    return [one for one in report.findings if one.code == code]


@pytest.mark.parametrize(
    ("claim", "verdict", "severity"),
    [
        ("{ at_most = 1.3e25 }", "consistent", None),
        # The best figure, rounded as claims are.
        ("{ at_most = 1.19e25 }", "consistent", None),
        # Below the best figure and inside the interval (1.05e25 up), then just outside of it.
        ("{ at_most = 1.1e25 }", "needs-explanation", "warning"),
        ("{ at_most = 1e25 }", "needs-explanation", "warning"),
        # 1.05e25 / 1.15 = 9.2e24
        ("{ at_most = 8e24 }", "inconsistent", "error"),
        ("{ at_least = 1.1e25 }", "consistent", None),
        ("{ at_least = 1.3e25 }", "needs-explanation", "warning"),
        # 1.2e25 * 1.14 * 1.15 = 1.57e25
        ("{ at_least = 2e25 }", "inconsistent", "error"),
    ],
)
def test_a_bound_is_held_by_the_side_that_the_estimate_lies_on(run_audit, claim, verdict, severity):
    report = run_audit(f"[claim]\nflop = {claim}\n{CASE}")
    assert report.verdict == verdict
    assert [one.severity for one in found(report)] == ([severity] if severity else [])
    (limit, *_) = report.would_change
    assert "a bound " + ("below" if "at_most" in claim else "above") in limit


def test_a_bound_that_a_convention_keeps_is_kept(run_audit):
    # 6 * 8.03e9 * 2e12 = 9.64e22; with attention over 32,768 positions the count is far above 1e23.
    shape = (
        "[model.m]\nparameters = 8.03e9\narchitecture = { layers = 32, hidden = 4096, heads = 32, "
        "kv_heads = 8, head_dim = 128, ffn = 14336, ffn_matrices = 3, vocabulary = 128256, "
        "tied_embeddings = false }\n"
        "[[run]]\nname = 'r'\nmodel = 'm'\ntokens = 2e12\nsequence_length = 4096\n"
    )
    report = run_audit(f"[claim]\nflop = {{ at_most = 1e23 }}\n{shape}")
    assert report.combined.flop.best > 1.02e23
    assert report.verdict == "consistent"
    assert found(report) == []
    (one,) = found(report, "claim-convention")
    assert "holds for the count by" in one.message


def test_a_bound_on_hardware_flop_holds_recomputation(run_audit):
    # 1.2e25 of the model is up to 1.6e25 of the devices: at least 1.5e25 may be.
    claim = "[claim]\nflop = { at_least = 1.5e25 }\nbasis = 'hardware'\n"
    assert run_audit(claim + CASE).verdict == "consistent"
    assert run_audit(claim + CASE + "recompute = 'none'\n").verdict == "needs-explanation"


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        # At most 6 * 7e9 * 1e12 = 4.2e22: half of it may be true, twice as much is not.
        ("4.2e22", "undetermined"),
        ("2.1e22", "undetermined"),
        ("8.4e22", "inconsistent"),
        ("{ at_least = 8.4e22 }", "inconsistent"),
    ],
)
def test_a_claim_above_the_most_that_was_trained_is_refuted(run_audit, claim, verdict):
    report = run_audit(
        f"[claim]\nflop = {claim}\n[model.m]\nparameters = 7e9\n"
        "[[run]]\nname = 'r'\nmodel = 'm'\ntokens = { at_most = 1e12 }\n"
    )
    assert report.verdict == verdict
    assert bool(found(report)) == (verdict == "inconsistent")


def test_the_most_of_one_run_is_added_to_the_figure_of_another(run_audit):
    runs = (
        "[model.m]\nparameters = 7e9\n[[run]]\nname = 'a'\nmodel = 'm'\ntokens = { at_most = 1e12 }\n"
        "[[run]]\nname = 'b'\nkind = 'continued'\nmodel = 'm'\ntokens = 1e12\n"
    )
    assert run_audit(f"[claim]\nflop = 8.4e22\n{runs}").verdict == "undetermined"
    assert run_audit(f"[claim]\nflop = 4.2e23\n{runs}").verdict == "inconsistent"


def test_samples_that_may_be_padded_are_a_bound_and_packed_ones_a_figure(run_audit):
    shape = (
        "[model.m]\narchitecture = { layers = 32, hidden = 4096, heads = 32, kv_heads = 8, head_dim = 128, "
        "ffn = 14336, ffn_matrices = 3, vocabulary = 128256, tied_embeddings = false }\n"
        "[[run]]\nname = 'r'\nkind = 'finetuning'\nmodel = 'm'\nsamples = 1e6\n"
    )
    padded = run_audit(f"{shape}sequence_length = 4096\n")
    assert padded.combined is None
    assert found(padded, "padding-upper-bound")
    packed = run_audit(f"{shape}tokens_per_sample = 4096\n")
    assert packed.combined.flop.best == pytest.approx(padded.runs[0].model_flop.high)
    assert not found(packed, "padding-upper-bound")
