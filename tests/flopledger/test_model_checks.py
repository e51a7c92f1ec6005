"""Evidence of another model than the one that the case names."""

SHAPE = "architecture = { layers = 22, hidden = 2048, heads = 32, ffn = 5632, vocabulary = 32000 }"
MEGATRON = """using world size: 64, data-parallel size: 8, tensor-model-parallel size: 8
  hidden_size ..................................... {hidden}
  num_layers ...................................... {layers}
  num_attention_heads ............................. 32
  seq_length ...................................... 2048
""" + "".join(
    f" [2024-01-01 00:0{minute}:00] iteration {10 * minute:8d}/      40 | consumed samples: "
    f"{5120 * minute:12d} | elapsed time per iteration (ms): 6000.0 | learning rate: 1.0E-4 | "
    "global batch size:   512 | lm loss: 6.5E+00 |\n"
    for minute in (1, 2, 3, 4)
)
TITAN = "".join(
    f"[rank0]:[titan] 2025-01-01 00:00:{10 * step:02d},000 - root - INFO - step:  {step}  loss: 9.25  "
    "grad_norm: 4.1  memory: 40.00GiB(50.0%)  tps: 7,000  tflops: {rate}  mfu: 40.65%\n"
    for step in (1, 2, 3)
)


def audited(run_audit, tmp_path, log: str):
    (tmp_path / "train.log").write_text(log)
    return run_audit(
        f'[model.m]\n{SHAPE}\n[[run]]\nname = "r"\nmodel = "m"\nsequence_length = 2048\n'
        'evidence = ["train.log"]'
    )


def mismatch(report) -> str | None:
    return next((one.message for one in report.findings if one.code == "model-mismatch"), None)


def test_a_log_of_another_shape_asks_for_an_explanation(run_audit, tmp_path):
    report = audited(run_audit, tmp_path, MEGATRON.format(hidden=8192, layers=64))
    assert "layers 64 and not 22, hidden size 8192 and not 2048" in mismatch(report)
    assert str(report.verdict) == "needs-explanation"


def test_the_models_own_log_does_not(run_audit, tmp_path):
    assert mismatch(audited(run_audit, tmp_path, MEGATRON.format(hidden=2048, layers=22))) is None


def test_rates_tell_what_a_token_costs(run_audit, tmp_path):
    # 22 x (4 x 2048^2 + 3 x 2048 x 5632) + 2048 x 32,000 = 1.196e9 weights x 6 = 7.17e9, and 12 x 22 x
    # 2048 x 2048 = 1.11e9 of attention: 8.28e9 a token. 400e12 / 7,000 = 5.71e10 is 6.9 times that.
    found = mismatch(audited(run_audit, tmp_path, TITAN.replace("{rate}", "400.0")))
    assert "5.71e10 FLOP a token and not 8.28e9" in found
    # 58e12 / 7,000 = 8.29e9
    assert mismatch(audited(run_audit, tmp_path, TITAN.replace("{rate}", "58.0"))) is None


def test_a_printed_size_of_another_model(run_audit, tmp_path):
    size = "[titan] - root - INFO - Model llama3 {} total parameters\n"
    log = TITAN.replace("{rate}", "58.0")
    other = size.format("8B size: 8,030,261,248")
    assert "8.03e9 parameters and not" in mismatch(audited(run_audit, tmp_path, other + log))
    # 1.196e9 + 2048 x 32,000 of the token table, some thousands of norms: 1.262e9
    own = size.format("1B size: 1,262,000,000")
    assert mismatch(audited(run_audit, tmp_path, own + log)) is None


WIDE = MEGATRON.replace(
    "seq_length", "ffn_hidden_size ....... 16384\n  padded_vocab_size .... 32000\n  seq_length"
)


def sized(run_audit, tmp_path, parameters: str):
    (tmp_path / "train.log").write_text(WIDE.format(hidden=4096, layers=32))
    return run_audit(
        f'[model.m]\n{parameters}\n[[run]]\nname = "r"\nmodel = "m"\nsequence_length = 2048\n'
        'evidence = ["train.log"]'
    )


def test_a_size_without_dimensions_is_held_against_the_shape_that_the_log_prints(
    run_audit, tmp_path
):
    # 32 x (4 x 4096^2 + 2 x 4096 x 16,384) + 32,000 x 4096 (tied) = 6.57e9
    found = sized(run_audit, tmp_path, "parameters = 13.5e9")
    assert "a shape of 6.57e9 parameters and not 1.35e10" in mismatch(found)
    assert str(found.verdict) == "needs-explanation"
    for own in ("parameters = 6.7e9", "parameters = 7e9", "parameters = 4.6e9"):
        assert mismatch(sized(run_audit, tmp_path, own)) is None


def test_a_shape_without_experts_says_nothing_of_a_mixture(run_audit, tmp_path):
    mixture = "parameters = 47e9\nactive_parameters = 13e9"
    assert mismatch(sized(run_audit, tmp_path, mixture)) is None
