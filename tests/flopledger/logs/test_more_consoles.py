"""MaxText, nanoGPT with its settings, nanochat on another GPU than the one it was written for."""

import pytest

from flopledger import logs

from .conftest import codes, value

MAXTEXT = "number parameters: 1.104 billion\n" + "".join(
    f"completed step: {step}, seconds: 2.000, TFLOP/s/device: 120.0, Tokens/s/device: 16384.0, "
    f"total_weights: 131072, loss: {9 - step / 10:.3f}\n"
    for step in range(10)
)


def test_maxtext(written):
    facts = logs.assemble(written({"run.log": MAXTEXT}))
    assert facts.steps.number == 10
    assert facts.timed_seconds.number == 20
    assert facts.tokens.number == 10 * 131072
    assert facts.parameters.number == 1_104_000_000
    assert facts.claimed_flop_per_second_per_accelerator.number == 120e12
    # 120e12 FLOP/s / 16,384 tokens/s
    assert facts.implied_flop_per_token.number == pytest.approx(120e12 / 16384)


def test_maxtext_of_the_first_versions(written):
    log = "completed step: 15107, seconds: 2.167, TFLOP/s: 36.722, loss: 2.191\n"
    log += "completed step: 15108, seconds: 2.164, TFLOP/s: 36.771, loss: 2.173\n"
    evidence = written({"run.log": log})
    assert "resumed-run" in codes(evidence)
    assert value(evidence, "steps") == 2
    assert evidence.named("tokens") == ()


SETTINGS = """Overriding config with config/train_gpt2.py:
batch_size = 12
block_size = 1024
gradient_accumulation_steps = 5 * 8
n_layer = 12
n_head = 12
n_embd = 768
"""


def test_nanogpt_by_its_settings(written):
    log = SETTINGS + "number of parameters: 123.59M\n"
    log += "".join(
        f"iter {step}: loss 3.{step:02d}, time 500.00ms, mfu 29.00%\n" for step in range(0, 50, 10)
    )
    evidence = written({"run.log": log})
    facts = logs.assemble(evidence)
    # 12 x 1024 x 40 tokens, iterations 0 to 40
    assert facts.tokens.number == 12 * 1024 * 40 * 41
    assert facts.architecture["layers"] == 12
    assert facts.architecture["hidden"] == 768
    assert facts.tokens_per_sample.number == 1024
    assert {"assumed-peak", "unit-ambiguity"} <= codes(evidence)


def test_the_programs_own_line_is_preferred(written):
    log = SETTINGS + "tokens per iteration will be: 491,520\n"
    log += "iter 0: loss 3.0, time 500.00ms, mfu -100.00%\n"
    log += "iter 10: loss 2.9, time 500.00ms, mfu 29.00%\n"
    evidence = written({"run.log": log})
    assert value(evidence, "tokens_per_step") == 491520
    assert value(evidence, "claimed_mfu") == pytest.approx(0.29)


def test_nanochat_on_a_4090(written):
    log = "".join(
        f"step {step:05d}/21400 (19.84%) | loss: 3.0{step} | lrm: 1.00 | dt: 13776.73ms | "
        "tok/sec: 594 | mfu: 13.44 | total time: 971.74m\n"
        for step in range(5)
    )
    evidence = written({"chat.log": log})
    # 13.77673 s x 594 tokens/s = 8,183: the 8,192 of a batch, within the rounding of the rate
    assert value(evidence, "tokens_per_step") == 8192
    assert value(evidence, "tokens") == 5 * 8192
    assert value(evidence, "implied_peak_flop_per_second") == 989e12
    assert "assumed-peak" in codes(evidence)


def test_nanochat_that_knows_its_gpu(written):
    line = "step 00001/100 (1%) | loss: 3.0 | dt: 1000.00ms | tok/sec: 524,288 | bf16_mfu: 40.0\n"
    evidence = written({"chat.log": line + line.replace("00001", "00002")})
    assert evidence.named("implied_peak_flop_per_second") == ()


def test_a_printed_mfu_above_one_is_a_wrong_peak(run_audit, tmp_path):
    lines = "".join(
        f"[titan] 2026-06-18 10:00:{step:02d},000 - root - INFO - step: {step:2d}  loss: 9.{step}  "
        "memory: 120.00GiB(41.7%)  tps: 20,000  tflops: 1,757.00  mfu: 563.14%\n"
        for step in (1, 2)
    )
    (tmp_path / "t.log").write_text(lines)
    report = run_audit('[[run]]\nname = "r"\nevidence = ["t.log"]')
    messages = [one.message for one in report.findings if one.code == "wrong-peak"]
    assert any("563%" in message for message in messages)
    # 1757 TFLOP/s / 5.6314 = 312: the A100's, as programs assume it for a name they do not know
    (peak,) = [one for one in report.facts if one.name == "implied_peak_flop_per_second"]
    assert peak.value == pytest.approx(312e12, rel=1e-3)


def test_a_fork_of_megatron_that_spells_with_equals_signs(written):
    log = "".join(
        f"[2025-09-11 14:{step // 4:02d}:{step % 4 * 15:02d},646][I][training.py:1] "
        f"iteration={step:8d}/    2000 | "
        f"consumed_samples={step * 768:12d} | consumed_tokens={step * 768 * 4096:12d} | "
        f"elapsed_time_per_iteration_ms=14287.5 | learning_rate=0.00024 | global_batch_size=  768 | "
        f"lm loss={9 - step / 100:.6f} | actual_seqlen= 4096 | number_of_skipped_iterations=  0 | "
        f"number_of_nan_iterations=  0 |\n"
        for step in range(1, 51)
    )
    facts = logs.assemble(written({"run.log": log}))
    assert facts.tokens.number == 50 * 768 * 4096
    assert facts.timed_seconds.number == pytest.approx(50 * 14.2875)
