"""Amounts and times that are known on one side only: they may clear a run and never accuse it."""

import json

from flopledger.auditing import audit
from flopledger.cases.case import AuditCase

from .test_mlperf import event, settings, system

HEAD = 'schema = "flopledger/case/1"\ntitle = "t"\n[[run]]\nname = "r"\n'


def audited(folder, files, figures=""):
    for name, content in files.items():
        (folder / name).write_text(content)
    (folder / "case.toml").write_text(f"{HEAD}evidence = {json.dumps(list(files))}\n{figures}\n")
    return audit(AuditCase.load(folder / "case.toml"), trace=False)


def codes(report):
    return {finding.code for finding in report.findings}


def bert(samples, seconds):
    log = settings("bert", 1024) + event("run_start", 0)
    log += event("run_stop", seconds, status="success")
    return log + event("train_samples", seconds + 1, samples)


def test_padded_tokens_do_not_make_a_utilisation_implausible(tmp_path):
    report = audited(
        tmp_path, {"r.txt": bert(2_549_341, 20.0), "s.json": system(accelerators_per_node="64")}
    )
    (run,) = report.runs
    # 2,549,341 sequences x 512 tokens are an upper bound: the ends below stay open.
    assert run.figures.tokens.quantity.interval.low is None
    assert run.combined is None
    assert run.model_flop.low is None
    assert run.model_flop.best is None
    # 3 x (2 x 512 x 24 x 12 x 1024^2 + ... ) a sequence: between 5e17 and 1e19 for all of them
    assert 5e17 < run.model_flop.high < 1e19
    assert set(run.precision_supported) >= {"bf16", "fp8"}
    assert str(report.verdict) == "undetermined"
    assert "implausible-utilisation" not in codes(report)


def test_a_run_without_its_end_is_not_accused_of_a_high_rate(tmp_path):
    log = settings("resnet", 2496, train_samples=1281167) + event("run_start", 0)
    log += event("eval_stop", 100, epoch_num=39)
    report = audited(tmp_path, {"r.txt": log, "s.json": system()})
    (run,) = report.runs
    assert run.figures.timed_seconds.quantity.interval.high is None
    assert "implausible-utilisation" not in codes(report)
    assert run.utilisation["bf16"].low is None


def test_int8_explains_what_bf16_cannot_on_a_tpu(tmp_path):
    # 1,308,622,848 tokens x 1.07644e12 FLOP = 1.4087e21; / (2048 x 1770.209 s x 459e12) = 0.8466
    log = settings("gpt3", 4096, max_sequence_length=2048) + event("run_start", 0)
    log += event("run_stop", 1770.209, status="success")
    log += event("trained_samples", 1771, 1_308_622_848)
    description = system(
        number_of_nodes="512", accelerators_per_node="4", accelerator_model_name="TPU-v5p"
    )
    report = audited(tmp_path, {"r.txt": log, "s.json": description})
    (run,) = report.runs
    assert run.figures.device_count.quantity.best == 2048
    assert abs(run.utilisation["bf16"].best / 0.8466 - 1) < 0.01
    assert run.precision_supported == ("int8",)
    assert str(report.verdict) == "consistent"


def test_int8_is_no_excuse_on_a_gpu(tmp_path):
    # The same work on 512 A100: 1.4087e21 / (512 x 10,000 s x 312e12) = 0.882 of BF16
    log = settings("gpt3", 4096, max_sequence_length=2048) + event("run_start", 0)
    log += event("run_stop", 10_000, status="success")
    log += event("trained_samples", 10_001, 1_308_622_848)
    description = system(
        number_of_nodes="64",
        accelerators_per_node="8",
        accelerator_model_name="NVIDIA A100-SXM4-80GB",
    )
    report = audited(tmp_path, {"r.txt": log, "s.json": description})
    assert "int8" not in report.runs[0].utilisation
    assert str(report.verdict) == "inconsistent"


def test_descriptions_of_an_early_round_spell_with_spaces(tmp_path):
    description = json.dumps(
        {
            "number of nodes": "2",
            "accelerators_per_node": "4",
            "accelerator_model_name": "Tesla V100-SXM2-16GB",
        }
    )
    report = audited(tmp_path, {"r.txt": bert(1000, 20.0), "s.json": description})
    assert report.runs[0].figures.device_count.quantity.best == 8
