"""Single rules of the audit, on small cases."""

import pytest

from flopledger.auditing import AuditReport
from flopledger.errors import CaseError, FlopledgerError
from flopledger.reports import wording
from flopledger.verdict import Verdict

MODEL = "[model.m]\nparameters = 1e9\n"
IMAGES = (
    "[model.m]\narchitecture = { kind = 'vit', layers = 12, hidden = 768, heads = 12, ffn = 3072, "
    "patch = 16, channels = 3, classes = 1000 }\ninput = { image = [224, 224] }\n"
)


def _run(**figures: object) -> str:
    lines = "\n".join(f"{key} = {value}" for key, value in figures.items())
    return f'[[run]]\nname = "r"\nmodel = "m"\n{lines}\n'


def _codes(report: AuditReport) -> set[str]:
    return {finding.code for finding in report.findings}


def test_six_nd(run_audit) -> None:
    report = run_audit(MODEL + _run(tokens="2e10"))
    # 6 * 1e9 * 2e10 = 1.2e20
    assert report.estimates[0].flop.best == pytest.approx(1.2e20)
    assert report.claim is None


def test_a_token_floor_is_a_floor(run_audit) -> None:
    report = run_audit(MODEL + _run(tokens="{ at_least = 2e10 }"))
    (bound,) = report.estimates
    assert bound.bound_only
    assert (bound.flop.low, bound.flop.best, bound.flop.high) == (pytest.approx(1.2e20), None, None)
    assert report.combined is None


def test_a_claim_below_the_floor_is_refuted(run_audit) -> None:
    report = run_audit("[claim]\nflop = 1e19\n" + MODEL + _run(tokens="{ at_least = 2e10 }"))
    assert report.verdict is Verdict.INCONSISTENT


def test_a_bound_settles_a_threshold_that_it_passes(run_audit) -> None:
    # 6 * 1e9 * 1e15 = 6e24 at least: above 1e23, undecided against 1e25
    report = run_audit(MODEL + _run(tokens="{ at_least = 1e15 }"))
    chances = {one.regime.id: one.probability_exceeded for one in report.standings}
    assert chances["eu-gpai-1e23"] == 1.0
    assert chances["eu-systemic-risk-1e25"] is None


def test_frozen_weights_cost_four(run_audit) -> None:
    # lora: 4 * 1e9 + 6 * 1e6 = 4.006e9 a token
    report = run_audit(MODEL + _run(tokens="1e6", kind='"lora"', trainable_parameters="1e6"))
    assert report.estimates[0].flop.best == pytest.approx(4.006e15)
    # partial: the trained 1e8 are part of the 1e9: 4 * 1e9 + 2 * 1e8 = 4.2e9
    report = run_audit(MODEL + _run(tokens="1e6", trainable_parameters="1e8"))
    assert report.estimates[0].flop.best == pytest.approx(4.2e15)


@pytest.mark.parametrize("trained", [None, "1e6"])
def test_adapters_on_a_model_of_images_freeze_it_whether_their_size_is_known_or_not(
    run_audit, trained: str | None
) -> None:
    more = {} if trained is None else {"trainable_parameters": trained}
    (whole,) = run_audit(IMAGES + _run(samples="1e6")).estimates
    (frozen,) = run_audit(IMAGES + _run(samples="1e6", kind='"lora"', **more)).estimates
    # forward and the activations' gradient of every product: two thirds of a step and a little more, since
    # attention has no weights and the patches' product needs no gradient of its input
    assert 2 / 3 < frozen.flop.best / whole.flop.best < 0.70
    assert any("adapters' own work" in note for note in frozen.assumptions)


def test_a_trained_part_of_a_model_of_images_has_bounds_and_no_figure(run_audit) -> None:
    (whole,) = run_audit(IMAGES + _run(samples="1e6")).estimates
    (part,) = run_audit(IMAGES + _run(samples="1e6", trainable_parameters="1e6")).estimates
    assert part.bound_only
    assert part.flop.best is None
    # from the forward pass alone (a third of a step) to every weight trained
    assert part.flop.low == pytest.approx(whole.flop.best / 3, rel=0.01)
    assert part.flop.high == pytest.approx(whole.flop.best)


def test_generating_data_runs_forward_only(run_audit) -> None:
    report = run_audit(MODEL + _run(tokens="1e9", kind='"synthetic-data"'))
    # 2 * 1e9 * 1e9
    assert report.estimates[0].flop.best == pytest.approx(2e18)
    ledgers = {one.regime.ledger: one.flop.best for one in report.standings}
    assert ledgers["parameter_update"] is None
    assert ledgers["eu_cumulative"] == pytest.approx(2e18, rel=0.2)


def test_public_synthetic_data_is_left_out(run_audit) -> None:
    figures = {"tokens": "1e9", "kind": '"synthetic-data"', "synthetic_public": "true"}
    report = run_audit(MODEL + _run(**figures))
    assert all(one.flop.best is None for one in report.standings)


def test_an_unknown_accelerator_is_bad_input(run_audit) -> None:
    with pytest.raises(CaseError, match="H1000"):
        run_audit(MODEL + _run(tokens="1e9", accelerator='"H1000"'))


def test_an_ambiguous_accelerator_is_a_range(run_audit) -> None:
    figures = {"tokens": "1e12", "accelerator": '"H100"', "accelerator_hours": "1e4"}
    report = run_audit(MODEL + _run(**figures, precision='"bf16"'))
    assert "ambiguous-accelerator" in _codes(report)
    used = report.runs[0].utilisation["bf16"]
    assert used.low < used.high
    assert report.runs[0].part.id is None


def test_utilisation_above_one_is_audited_not_refused(run_audit) -> None:
    figures = {"tokens": "1e12", "accelerator": '"NVIDIA H100 80GB HBM3"', "mfu": "40"}
    report = run_audit(MODEL + _run(**figures, accelerator_hours="1e4", precision='"bf16"'))
    assert report.verdict is Verdict.INCONSISTENT
    assert "implausible-utilisation" in _codes(report)


def test_the_rate_excludes_a_precision(run_audit) -> None:
    # 6e21 FLOP over 2,500 h * 3600 s * 989.4e12 = 0.67 of bf16, 0.34 of fp8
    figures = {"tokens": "1e12", "accelerator": '"NVIDIA H100 80GB HBM3"'}
    report = run_audit(MODEL + _run(**figures, accelerator_hours="2500"))
    assert "precision-inferred" in _codes(report)
    assert report.runs[0].precision_supported == ("fp8",)
    assert report.runs[0].utilisation["bf16"].best == pytest.approx(0.674, abs=0.002)
    assert report.runs[0].utilisation["fp8"].best == pytest.approx(0.337, abs=0.001)


def test_hours_that_hold_far_more_than_the_work(run_audit) -> None:
    # implied utilisation 0.337 / 20
    figures = {"tokens": "1e12", "accelerator": '"NVIDIA A100-SXM4-80GB"', "precision": '"bf16"'}
    report = run_audit(MODEL + _run(**figures, accelerator_hours="2e5"))
    assert report.verdict is not Verdict.CONSISTENT
    assert "unexplained-compute" in _codes(report)


def test_energy_made_of_hours_is_circular(run_audit) -> None:
    # 1e5 h * 400 W = 40 MWh
    figures = {"tokens": "1e12", "accelerator": '"NVIDIA A100-SXM4-80GB"', "energy_mwh": "40"}
    report = run_audit(MODEL + _run(**figures, accelerator_hours="1e5", precision='"bf16"'))
    assert "circular-evidence" in _codes(report)


def test_a_hardware_claim_is_held_against_hardware_flop(run_audit) -> None:
    # model FLOP 6e21, recomputed in full 8e21
    claim = '[claim]\nflop = 8.0e21\nbasis = "hardware"\n'
    text = MODEL + _run(tokens="1e12", recompute='"full"')
    assert run_audit(claim + text).verdict is Verdict.CONSISTENT
    lie = '[claim]\nflop = 3.0e22\nbasis = "hardware"\n'
    assert run_audit(lie + text).verdict is Verdict.INCONSISTENT


def test_hardware_utilisation_stands_beside_the_model_s(run_audit) -> None:
    # 6e21 FLOP in 2e4 h x 3600 s of 312e12 FLOP/s: 0.2671; recomputed in full: 4/3 of it, 0.3561
    devices = {"accelerator": '"NVIDIA A100-SXM4-80GB"', "accelerator_hours": "2e4"}
    text = MODEL + _run(tokens="1e12", precision='"bf16"', **devices)
    (run,) = run_audit(text.replace("tokens", 'recompute = "full"\ntokens')).runs
    assert run.utilisation["bf16"].best == pytest.approx(0.2671, rel=0.02)
    assert run.hfu["bf16"].best == pytest.approx(run.utilisation["bf16"].best * 4 / 3)
    (run,) = run_audit(text).runs
    assert run.hfu is None  # nobody says whether anything was recomputed


def test_one_run_without_figure_leaves_the_sum_open(run_audit) -> None:
    text = MODEL + _run(tokens="1e12") + '[[run]]\nname = "second"\nmodel = "m"\n'
    report = run_audit(text)
    assert report.combined is None
    assert all(one.probability_exceeded in (None, 1.0) for one in report.standings)


def test_runs_add_up(run_audit) -> None:
    text = MODEL + _run(tokens="1e12") + '[[run]]\nname = "s"\nmodel = "m"\ntokens = 5e11\n'
    # 6e21 + 3e21
    assert run_audit(text).combined.flop.best == pytest.approx(9e21, rel=0.02)


def test_disagreeing_routes_are_both_kept(run_audit) -> None:
    # work 6e21; hours say 1e5 * 3600 * 312e12 * 0.5 / 1.18 = 4.8e22: factor 8
    figures = {"tokens": "1e12", "accelerator": '"NVIDIA A100-SXM4-80GB"', "mfu": "0.5"}
    report = run_audit(MODEL + _run(**figures, accelerator_hours="1e5", precision='"bf16"'))
    assert report.verdict is Verdict.INCONSISTENT
    assert "disagree" in report.combined.rule
    assert report.combined.flop.low < 6.1e21
    assert report.combined.flop.high > 4.5e22
    # The middle of both is nobody's figure: the headline gives the routes'.
    claimed = run_audit("[claim]\nflop = 6e21\n" + MODEL + _run(**figures, accelerator_hours="1e5"))
    words = wording.conclusion(claimed)
    assert "stands against routes that disagree" in words
    assert "closed-form 6.0e21, device-time 4.7" in words
    assert "none of them" in claimed.combined.rule


def test_evidence_without_a_reader_is_named(run_audit, tmp_path) -> None:
    (tmp_path / "notes.bin").write_bytes(b"\x00\x01")
    report = run_audit(MODEL + _run(tokens="1e12", evidence='["notes.bin"]'))
    (finding,) = [one for one in report.findings if one.code == "evidence-unread"]
    assert "notes.bin" in finding.message


def test_an_unknown_regime_is_bad_input(run_audit) -> None:
    with pytest.raises(FlopledgerError, match=r"no regime 'x'.*eu-gpai-1e23"):
        run_audit(MODEL + _run(tokens="1e12"), regime_ids=("x",))


def test_a_mislabelled_configuration_is_noticed(run_audit) -> None:
    text = (
        "[model.m]\nparameters = 70e9\narchitecture = { layers = 2, hidden = 64, heads = 4, ffn = 256,"
        " ffn_matrices = 3, vocabulary = 1000 }\n"
    )
    report = run_audit(text + _run(tokens="1e9", sequence_length="128"))
    assert "config-name-mismatch" in _codes(report)


def test_an_architecture_key_that_nobody_knows(run_audit) -> None:
    with pytest.raises(CaseError, match=r"model\.m\.architecture.*layrs"):
        run_audit("[model.m]\narchitecture = { layrs = 2 }\n" + _run(tokens="1e9"))


def test_a_precision_that_the_part_lacks(run_audit) -> None:
    figures = {"tokens": "1e12", "accelerator": '"V100 SXM2 16GB"', "precision": '"bf16"'}
    report = run_audit(MODEL + _run(**figures, accelerator_hours="1e5", mfu="0.3"))
    assert "precision-unsupported" in _codes(report)
    assert report.verdict is Verdict.NEEDS_EXPLANATION


def test_uncertain_parameters_widen_the_estimate(run_audit) -> None:
    text = "[model.m]\nparameters = {}\n" + _run(tokens="1e12")
    near = run_audit(text.format("1e9")).combined.flop
    wide = run_audit(text.format("{ value = 1e9, relative = 0.5 }")).combined.flop
    assert wide.high / wide.low > near.high / near.low
    (bound,) = run_audit(text.format("{ at_least = 1e9 }")).estimates
    assert bound.bound_only
    assert bound.flop.low == pytest.approx(6e21)
    assert bound.flop.high is None


def test_a_bound_on_adapters_still_freezes_the_base(run_audit) -> None:
    # at most 4 * 1e9 + 6 * 1e7 a token
    trained = "{ at_most = 1e7 }"
    report = run_audit(MODEL + _run(tokens="1e6", kind='"lora"', trainable_parameters=trained))
    assert report.estimates[0].flop.best == pytest.approx(4.06e15)


@pytest.mark.parametrize("figure", ["1e41", "1e300", "1e-300"])
def test_figures_of_no_world_are_refused(run_audit, figure: str) -> None:
    with pytest.raises(CaseError, match="no such figure"):
        run_audit(MODEL + _run(tokens=figure))


def test_samples_of_text_need_their_length(run_audit) -> None:
    # 6 * 1e9 * 1e6 samples * 2048 tokens = 1.2288e19; without the length there is no figure
    with_length = run_audit(MODEL + _run(samples="1e6", tokens_per_sample="2048"))
    assert with_length.estimates[0].flop.best == pytest.approx(1.2288e19)
    assert run_audit(MODEL + _run(samples="1e6")).estimates == []
    by_sequences = run_audit(MODEL + _run(samples="1e6", sequence_length="2048"))
    assert by_sequences.estimates[0].flop.best == pytest.approx(1.2288e19)
    # Fine-tuning pads and cuts: its sequences are at most so long.
    (bound,) = run_audit(
        MODEL + _run(samples="1e6", sequence_length="2048", kind='"finetuning"')
    ).estimates
    assert (bound.bound_only, bound.flop.best) == (True, None)
    assert bound.flop.high == pytest.approx(1.2288e19)
