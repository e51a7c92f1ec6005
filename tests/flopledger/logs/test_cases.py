"""Every public case is answered from the run's figures and a FLOP formula.

The formulas stand here for now: reading must give everything that they need.
"""

import json
import pathlib

import pytest

from flopledger import logs

PEAK = {"H100 bf16": 989.4e12, "B200 bf16": 2.25e15, "V100 fp16": 125e12}


def run(shared: pathlib.Path, case: str) -> tuple[logs.RunFacts, dict]:
    """Read one case's inputs in place and give its expected answer."""
    table = json.loads((shared / "cases.json").read_text())
    entry = next(entry for entry in table["cases"] if entry["name"] == case)
    files = [
        logs.EvidenceFile(path=(shared / name).resolve(), name=name) for name in entry["inputs"]
    ]
    evidence = logs.read(files)
    assert evidence.unread == ()
    return logs.assemble(evidence), entry["expected"]


def codes(facts: logs.RunFacts) -> set[str]:
    return {finding.code for finding in facts.findings}


def flop_per_token(shape, sequence: float, *, full: bool = True) -> float:
    """6 (weights of all matrix products) + 12 L h s for scores and values in full."""
    head = shape["heads"] * shape["head_dim"]
    attention = (
        2 * shape["hidden"] * head + 2 * shape["hidden"] * shape["kv_heads"] * shape["head_dim"]
    )
    feed_forward = shape["ffn_matrices"] * shape["hidden"] * shape["ffn"]
    weights = shape["layers"] * (attention + feed_forward) + shape["vocabulary"] * shape["hidden"]
    scores = 12 * shape["layers"] * head * sequence
    return 6 * weights + (scores if full else scores / 2)


@pytest.mark.parametrize(
    "case, peak",
    [("dev-mlperf-gpt3-h100x512", "H100 bf16"), ("dev-mlperf-llama8b-b200x8", "B200 bf16")],
)
def test_language_model_benchmarks(shared, case, peak):
    facts, expected = run(shared, case)
    assert facts.timed_seconds.number == pytest.approx(expected["timed_seconds"], abs=1e-6)
    assert facts.accelerator_count.number == expected["accelerators"]
    assert facts.accelerator.value == expected["accelerator"]
    assert facts.accelerator_seconds.number == pytest.approx(
        expected["accelerator_seconds"], rel=1e-3
    )
    assert facts.tokens.number == expected["units_trained"]
    assert facts.status.value == expected["status"]
    each = flop_per_token(facts.architecture, facts.tokens_per_sample.number)
    flop = each * facts.tokens.number
    low, high = expected["train_flops_range"]
    assert low <= flop <= high
    assert flop == pytest.approx(expected["train_flops"], rel=0.01)
    # One evaluation token costs a third of a training token: forward only.
    forward = each / 3 * facts.evaluation_tokens.number
    assert forward == pytest.approx(expected["eval_forward_flops"], rel=0.01)
    rate = flop / facts.accelerator_seconds.number
    assert rate / PEAK[peak] == pytest.approx(expected["utilisation"]["bf16"], rel=0.04)


def test_what_looks_like_a_trap_is_named(shared):
    gpt, _ = run(shared, "dev-mlperf-gpt3-h100x512")
    assert "unit-ambiguity" in codes(gpt)
    llama, _ = run(shared, "dev-mlperf-llama8b-b200x8")
    assert "dataset-size-not-trained" in codes(llama)
    assert "SUBMISSION_ORG_PLACEHOLDER" not in {str(f.value) for f in (llama.model.facts)}


def test_resnet_counts_epochs(shared):
    facts, expected = run(shared, "dev-mlperf-resnet-v100x8")
    assert facts.samples.number == expected["images"]
    # Backward costs twice the forward pass: 3 x 8.178e9 an image.
    flop = 3 * facts.forward_flop_per_sample * facts.samples.number
    assert flop == pytest.approx(expected["train_flops"], rel=0.05)
    assert facts.accelerator_seconds.number == pytest.approx(
        expected["accelerator_seconds"], rel=1e-3
    )
    assert flop / facts.accelerator_seconds.number / PEAK["V100 fp16"] == pytest.approx(
        expected["utilisation"]["fp16"], rel=0.04
    )
    assert "dataset-size-not-trained" in codes(facts)


def test_total_flos_of_whisper_cannot_be(shared):
    facts, expected = run(shared, "dev-hf-whisper-total-flos")
    assert facts.claimed_flop.number == expected["claimed_flops"]
    assert facts.claimed_flop.number / facts.timed_seconds.number == pytest.approx(
        expected["claimed_flops_per_s"], rel=1e-3
    )
    assert facts.samples.number == expected["samples"]
    shape, frames = facts.architecture, facts.input["audio_frames"]
    hidden, positions = shape["hidden"], frames // 2
    # Encoder: 12 h² a layer and position, scores 12 h s; decoder at most 448 text positions.
    encoder = shape["encoder_layers"] * positions * (6 * 12 * hidden**2 + 12 * hidden * positions)
    low = expected["recomputed_flops_range"][0]
    text = 64
    decoder = (
        shape["decoder_layers"]
        * (
            text * (6 * 14 * hidden**2 + 12 * hidden * (text + positions))
            + positions * 6 * 2 * hidden**2
        )
        + 6 * text * hidden * shape["vocabulary"]
    )
    recomputed = (encoder + decoder) * facts.samples.number
    assert low <= recomputed <= expected["recomputed_flops_range"][1]
    assert 120 <= facts.claimed_flop.number / recomputed <= 330
    assert "counter-implausible" in codes(facts)


def test_lora_tokens_imply_the_parameters(shared):
    facts, expected = run(shared, "dev-hf-lora-num-tokens")
    assert facts.tokens.number == expected["tokens"]
    assert facts.implied_parameters.number == pytest.approx(expected["implied_params"], rel=0.01)
    assert facts.kind.value == "lora"
    # Frozen weights cost 4, not 6.
    assert 4 * facts.implied_parameters.number * facts.tokens.number == pytest.approx(
        expected["lora_flops"], rel=0.01
    )
    assert {"counter-zero", "frozen-parameters"} <= codes(facts)


def test_modded_nanogpt_from_its_own_source(shared):
    facts, expected = run(shared, "dev-log-modded-nanogpt-124m")
    assert facts.tokens.number == expected["tokens"]
    full = flop_per_token(facts.architecture, facts.tokens_per_sample.number)
    flop = full * facts.tokens.number
    assert 0.93 * expected["train_flops"] <= flop <= 1.03 * expected["train_flops"]
    assert facts.accelerator_seconds.number / 3600 == pytest.approx(
        expected["gpu_hours"], abs=0.001
    )
    utilisation = flop / facts.accelerator_seconds.number / PEAK["H100 bf16"]
    assert utilisation == pytest.approx(expected["mfu_bf16"], abs=0.02)
    assert "coverage-gap" in codes(facts)


def test_torchtitan_implies_its_peak(shared):
    facts, expected = run(shared, "dev-torchtitan-implied-peak")
    assert facts.implied_peak_flop_per_second.number / 1e12 == pytest.approx(
        expected["implied_peak_tflops"], rel=0.005
    )
    assert facts.implied_memory_bytes.number / 2**30 == pytest.approx(
        expected["implied_memory_gib"], rel=0.001
    )
    assert facts.implied_flop_per_token.number == pytest.approx(
        expected["flops_per_token"], rel=0.001
    )
    assert "duplicate-lines" in codes(facts)


def test_the_format_sample_without_a_case(shared):
    path = shared / "logs/lightning-slm/metrics.csv"
    evidence = logs.read([logs.EvidenceFile(path=path, name="metrics.csv")])
    assert evidence.sources["metrics.csv"].format == "lightning-csv"


def test_zeus_windows_on_two_gpus(shared):
    facts, _ = run(shared, "dev-telemetry-zeus-v100")
    text = (shared / "telemetry/zeus-v100/V100+resnet50+gpu0,1.csv").read_text().splitlines()
    rows = [[float(cell) for cell in line.split(",")[2:]] for line in text[1:]]
    # GPU-seconds = 2 x elapsed; energy is the sum of both columns.
    assert facts.accelerator_seconds.number == pytest.approx(2 * sum(row[0] for row in rows))
    assert facts.energy_joules.number == pytest.approx(sum(row[1] + row[2] for row in rows))
    assert facts.energy_boundary.value == "device"
    assert facts.energy_joules.bound == facts.accelerator_seconds.bound == "exact"
