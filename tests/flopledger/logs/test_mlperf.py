"""MLPerf logs of several rounds, written here as submitters write them."""

import json
import re

import pytest

from flopledger import logs

from .conftest import codes, value

START = 1_700_000_000_000


def event(key, at, value=None, *, old=False, prefix="", **metadata):
    record = {"namespace": "", "time_ms": START + int(at * 1000), "key": key, "value": value}
    if not old:
        record["event_type"] = "POINT_IN_TIME"
    record["metadata"] = {"file": "train.py", "lineno": 1, **metadata}
    return f"{prefix}:::MLLOG {json.dumps(record)}\n"


def settings(benchmark, batch, *, old=False, **more):
    lines = [event("submission_benchmark", -60, benchmark, old=old)]
    lines += [event("global_batch_size", -60, batch, old=old)]
    lines += [event(key, -60, content, old=old) for key, content in more.items()]
    return "".join(lines)


def system(**changes):
    table = {
        "number_of_nodes": "2",
        "accelerators_per_node": "8",
        "accelerator_model_name": "NVIDIA H100-SXM5-80GB",
        "hw_notes": "",
        "system_name": "TODO",
        "framework": "N/A",
    }
    return json.dumps(table | changes)


def run(written, log, description=None):
    files = {"result_0.txt": log}
    if description is not None:
        files["system.json"] = description
    evidence = written(files)
    assert evidence.unread == ()
    return logs.assemble(evidence)


def test_an_older_round_has_no_event_type(written):
    log = settings("resnet", 2496, old=True, train_samples=1281167, eval_samples=50000)
    log += event("run_start", 0, old=True)
    for epoch in (3, 7):
        log += event("eval_start", epoch * 10, old=True, epoch_num=epoch)
        log += event("eval_stop", epoch * 10 + 1, old=True, epoch_num=epoch)
    log += event("run_stop", 100, old=True, status="success")
    facts = run(written, log)
    # 7 epochs x 1,281,167 images
    assert facts.samples.number == 8968169
    assert facts.evaluation_samples.number == 100000
    assert facts.timed_seconds.number == 100


def test_the_oldest_rounds_write_seconds_and_the_key_outside(written):
    log = 'noise\n:::MLL 1558636000.500 run_start: {"value": null, "metadata": {}}\n'
    log += ':::MLL 1558636062.045 eval_accuracy: {"value": 0.76, "metadata": {"epoch_num": 86}}\n'
    log += ':::MLL 1558636062.500 run_stop: {"value": null, "metadata": {"status": "success"}}\n'
    evidence = written({"result_0.txt": log})
    assert value(evidence, "timed_seconds") == 62
    assert value(evidence, "epochs") == 86


def test_ranks_print_the_same_line(written):
    log = settings("llama31_8b", 32, max_sequence_length=8192, eval_samples=1024)
    for rank in range(8):
        log += event("run_start", rank / 1000, prefix=f"{rank}: ")
    for rank in range(8):
        log += event("eval_start", 50 + rank / 1000, prefix=f"{rank}: ", samples_count=3200)
    for rank in range(8):
        log += event("eval_stop", 60 + rank / 1000, prefix=f"{rank}: ", samples_count=3200)
    log += event("run_stop", 100, samples_count=6400, status="success")
    facts = run(written, log, system())
    assert facts.timed_seconds.number == 100
    assert facts.evaluation_samples.number == 1024  # one evaluation, printed eight times
    assert facts.tokens.number == 6400 * 8192
    assert facts.accelerator_seconds.number == 1600
    assert facts.architecture["layers"] == 32


def test_a_run_that_breaks_off_is_a_lower_bound(written):
    log = settings("llama2_70b_lora", 8, train_samples=3901)
    log += event("run_start", 0)
    log += event("block_stop", 40, samples_count=384)
    log += event("tracked_stats", 95, {"train_step_time": 1.0}, step=90)
    facts = run(written, log, system())
    assert "aborted-run" in codes(facts)
    assert facts.status is None
    assert facts.timed_seconds.number == 95
    assert facts.timed_seconds.bound == "at least"
    assert facts.accelerator_seconds.bound == "at least"
    assert facts.samples.number == 384
    assert facts.kind.value == "lora"


@pytest.mark.parametrize("stamp", ["null", '"soon"', "0", "-5"])
@pytest.mark.parametrize("key", ["run_start", "run_stop"])
def test_an_end_without_a_time_times_nothing(written, key, stamp):
    log = (
        settings("resnet", 2496) + event("run_start", 0) + event("run_stop", 100, status="success")
    )
    lines = [
        re.sub(r'"time_ms": \d+', f'"time_ms": {stamp}', one) if f'"{key}"' in one else one
        for one in log.splitlines(keepends=True)
    ]
    facts = run(written, "".join(lines))
    # not the 55 years since 1970
    assert facts.timed_seconds is None
    assert "aborted-run" in codes(facts)


def test_an_aborted_run_keeps_the_logs_own_word(written):
    log = settings("llama31_8b", 32, max_sequence_length=8192)
    log += event("run_start", 0) + event("eval_accuracy", 900, 3.5, samples_count=12288)
    log += event("run_stop", 1000, status="aborted")
    facts = run(written, log, system())
    assert facts.status.value == "aborted"
    assert "aborted-run" in codes(facts)
    assert facts.samples.number == 12288


@pytest.mark.parametrize(
    "nodes, each, count", [("18", "4", 72), ("1", "72", 72), (64, 8, 512), ("2.0", "8", 16)]
)
def test_nodes_of_any_size(written, nodes, each, count):
    log = settings("gpt3", 8) + event("run_start", 0) + event("run_stop", 9, status="success")
    facts = run(written, log, system(number_of_nodes=nodes, accelerators_per_node=each))
    assert facts.accelerator_count.number == count


@pytest.mark.parametrize("empty", ["", "TODO", "N/A", "SUBMISSION_PLATFORM_PLACEHOLDER", None])
def test_placeholders_are_not_facts(written, empty):
    log = settings("gpt3", 8) + event("run_start", 0) + event("run_stop", 9, status="success")
    facts = run(written, log, system(accelerator_model_name=empty, number_of_nodes=empty))
    assert facts.accelerator is None
    assert facts.accelerator_count is None
    assert facts.accelerator_seconds is None
    assert {"unknown-accelerator", "device-count-missing"} <= codes(facts)


def test_the_platform_counts_nodes_and_may_name_another_chip(written):
    log = settings("gpt3", 8, submission_platform="3xNVIDIA DGX A100")
    log += event("run_start", 0) + event("run_stop", 9, status="success")
    facts = run(written, log, system())
    # 3 is neither the 2 nodes nor the 16 devices.
    assert {"device-count-mismatch", "accelerator-mismatch"} <= codes(facts)


def test_a_platform_of_two_nodes_is_no_mismatch(written):
    log = settings("gpt3", 8, submission_platform="2xDGX H100")
    log += event("run_start", 0) + event("run_stop", 9, status="success")
    facts = run(written, log, system())
    assert not {"device-count-mismatch", "accelerator-mismatch"} & codes(facts)


def test_sequences_under_a_key_that_holds_tokens_elsewhere(written):
    # 100 steps of 64 sequences in 1000 s: 6400 sequences; as tokens it would be 0.05 steps.
    log = settings("gpt3", 64, max_sequence_length=2048) + event("run_start", 0)
    log += event("run_stop", 1000, status="success") + event("trained_samples", 1000, 6400)
    facts = run(written, log, system())
    assert facts.samples.number == 6400
    assert facts.tokens.number == 6400 * 2048
    assert any(f.code == "unit-ambiguity" and f.severity == "warning" for f in facts.findings)


def test_tokens_under_a_key_that_holds_sequences_elsewhere(written):
    # 100 steps of 32 x 8192 tokens in 60 s; as sequences it would be 13,653 steps a second.
    tokens = 100 * 32 * 8192
    log = settings("llama31_8b", 32, max_sequence_length=8192) + event("run_start", 0)
    log += event("run_stop", 60, status="success", samples_count=tokens)
    facts = run(written, log, system())
    assert facts.tokens.number == tokens
    assert facts.samples.number == 3200


def test_train_samples_is_the_set_before_the_run_and_the_amount_after(written):
    before = settings("bert", 448, train_samples=156811560) + event("run_start", 0)
    before += event("eval_accuracy", 90, 0.72, epoch_num=665280)
    before += event("run_stop", 100, status="success")
    facts = run(written, before)
    assert facts.samples.number == 665280
    assert {"dataset-size-not-trained", "padding-upper-bound"} <= codes(facts)
    after = settings("bert", 448) + event("run_start", 0) + event("epoch_stop", 99, epoch_num=1)
    after += event("train_samples", 100, 2700096) + event("run_stop", 100, status="success")
    facts = run(written, after)
    assert facts.samples.number == 2700096
    assert facts.tokens.number == 2700096 * 512
    assert facts.tokens.bound == "at most"


def test_batches_an_epoch_in_place_of_the_set(written):
    # 4572 batches of 256 are the 1,170,301 images of OpenImages, rounded up.
    log = settings("retinanet", 256, train_samples=4572) + event("run_start", 0)
    log += event("eval_accuracy", 90, 0.34, epoch_num=4) + event("run_stop", 99, status="success")
    facts = run(written, log)
    assert facts.samples.number == 4 * 1170301
    assert "unit-ambiguity" in codes(facts)


def test_run_stop_may_stand_last_and_lie_earlier(written):
    # Stable Diffusion is evaluated from checkpoints afterwards; the stamp ends the timed part.
    log = settings("stable_diffusion", 512, train_samples=6513144) + event("run_start", 0)
    log += event("block_stop", 50, samples_count=2560000)
    log += event("block_stop", 60, samples_count=3072000)
    log += event("eval_accuracy", 900, 86.5, samples_count=2560000)
    log += event("run_stop", 51, status="success", step_num=5000)
    facts = run(written, log)
    assert facts.timed_seconds.number == 51
    assert facts.samples.number == 5000 * 512


def test_evaluation_documents_and_tokens_are_one_amount(written):
    for logged in (24567, 11590004):
        log = settings("gpt3", 2048, max_sequence_length=2048, eval_samples=logged)
        log += event("run_start", 0) + event("eval_start", 5) + event("eval_stop", 6)
        log += event("run_stop", 9, status="success")
        assert run(written, log).evaluation_tokens.number == 11590004


def test_time_that_runs_backwards_gives_no_time(written):
    log = settings("gpt3", 8) + event("run_start", 50) + event("run_stop", 9, status="success")
    facts = run(written, log, system())
    assert facts.timed_seconds is None
    assert facts.accelerator_seconds is None
    assert "clock-disagreement" in codes(facts)


def test_two_runs_in_one_log_are_named(written):
    log = settings("gpt3", 8) + event("run_start", 0) + event("run_stop", 9, status="aborted")
    log += event("run_start", 20) + event("run_stop", 50, status="success")
    facts = run(written, log)
    assert facts.timed_seconds.number == 30
    assert "several-runs" in codes(facts)


def test_two_logs_are_not_one_run(written):
    log = settings("gpt3", 8) + event("run_start", 0) + event("run_stop", 9, status="success")
    evidence = written({"result_0.txt": log, "result_1.txt": log.replace("1700000", "1700009")})
    facts = logs.assemble(evidence)
    assert facts.timed_seconds is None
    assert facts.tokens is None
    assert "several-runs" in codes(facts)


def test_unknown_benchmark_is_said(written):
    log = settings("mystery", 8) + event("run_start", 0)
    log += event("run_stop", 9, status="success", samples_count=80)
    facts = run(written, log)
    assert facts.samples.number == 80
    assert facts.architecture is None
    assert "unknown-benchmark" in codes(facts)


def test_a_step_that_counts_tokens(written):
    # GPT-3 logs give the step in tokens: 3 steps of 64 x 2048 after 36 s.
    log = settings("gpt3", 64, max_sequence_length=2048) + event("run_start", 0)
    for step in (1, 2, 3):
        timing = {"train_step_timing": 12.0, "reduced_train_loss": 2.7}
        log += event("tracked_stats", 12 * step, timing, step=step * 64 * 2048)
    facts = run(written, log, system())
    assert facts.tokens.number == 3 * 64 * 2048
    assert facts.timed_seconds.bound == "at least"


def test_what_is_announced_is_not_done(written):
    log = settings("llama2_70b_lora", 8) + event("run_start", 0)
    log += event("block_start", 1, samples_count=1536)
    facts = run(written, log, system())
    assert facts.samples is None
    assert "tokens-missing" in codes(facts)


def test_evaluations_may_count_what_they_evaluate(written):
    log = settings("bert", 1024) + event("run_start", 0) + event("train_samples", 1, 3993600)
    log += event("eval_start", 50, epoch_num=149504)
    log += event("eval_stop", 60, samples_count=10240)
    log += event("epoch_stop", 100, epoch_num=3289088) + event("run_stop", 100, status="success")
    # The announced amount was not reached; the last epoch_num was.
    assert run(written, log).samples.number == 3289088


@pytest.mark.parametrize(
    "ranks, fits", [(16, True), (2, True), (1, True), (12, False), (64, False)]
)
def test_ranks_that_logged_their_start_are_the_devices(written, ranks, fits):
    log = "".join(event("init_start", -90 + rank / 100) for rank in range(ranks))
    log += settings("gpt3", 8) + event("run_start", 0) + event("run_stop", 9, status="success")
    # Two nodes of eight are described.
    assert ("device-count-mismatch" not in codes(run(written, log, system()))) == fits


@pytest.mark.parametrize(("first", "done"), [(0, 3), (1, 3)])
def test_evaluations_that_number_the_first_epoch_zero(written, first, done):
    # Three epochs either way: evaluated as 0, 1, 2, or as 1, 2, 3.
    log = settings("retinanet", 256, train_samples=1_170_301) + event("run_start", 0)
    for epoch in range(3):
        log += event("epoch_start", epoch * 100, epoch_num=epoch)
        log += event("eval_accuracy", epoch * 100 + 90, 0.3, epoch_num=epoch + first)
    log += event("run_stop", 300, status="success")
    assert run(written, log).samples.number == done * 1_170_301
