"""Logs of programs that nobody knows, configurations, tables of epochs, batches that grow."""

import pytest

from flopledger import logs

from .conftest import codes, value


def run(evidence):
    return logs.assemble(evidence)


def test_labels_with_units_are_read(written):
    log = "".join(
        f"2026-04-01 14:06:{step:02d} | INFO | step {step:08d}/00000015 | step-time 2.500 sec | "
        f"cross-entropy-loss 2.66{step} | tokens-per-second 28,590 | peak-gpu-memory 63.65 GB\n"
        for step in range(1, 11)
    )
    evidence = written({"x.log": log})
    facts = run(evidence)
    assert facts.steps.number == 10
    assert facts.timed_seconds.number == 25
    # of one device or of all is not said, so it is not used as either
    assert value(evidence, "tokens_per_second") == 28590
    assert facts.tokens_per_second_per_accelerator is None
    assert facts.tokens is None
    assert "program-unknown" in codes(evidence)


def test_a_number_without_its_unit_is_not_taken(written):
    log = "".join(f"iter {step} loss 2.{step} time 350.1 speed 12\n" for step in range(1, 9))
    facts = run(written({"x.log": log}))
    assert facts.steps.number == 8
    assert facts.timed_seconds is None


def test_steps_that_start_again_in_each_epoch(written):
    log = "".join(
        f"Epoch {epoch} | Step {step}/100 | Loss: 2.{epoch}{step}\n"
        for epoch in (1, 2, 3)
        for step in (50, 100)
    )
    facts = run(written({"x.log": log}))
    assert facts.steps.number == 300
    unknown = written({"y.log": log.replace("/100", "")})
    assert unknown.named("steps") == ()
    assert "unit-ambiguity" in codes(unknown)


def test_one_step_line_an_epoch_is_no_copy_of_the_last(written):
    row = "Epoch[{}] - Iter: [0/13]\tTime 4.1 (4.1)\tLoss {}.1 (2.0)\n"
    evidence = written({"linear.log": "".join(row.format(one, one) for one in range(50))})
    # The last line is the first step of the 50th epoch: 49 x 13 + 1, counted from 0.
    assert value(evidence, "steps") == 49 * 13 + 1
    assert "duplicate-lines" not in codes(evidence)


def test_runs_with_other_plans_in_one_log_give_no_steps(written):
    def lines(total):
        return "".join(
            f"train epoch: 0 - step: {one} (total: {total}) - loss: {total}.{one}\n"
            for one in range(10, total + 1, 10)
        )

    evidence = written({"train.log": lines(200) + lines(50)})
    assert evidence.named("steps") == ()
    assert "several-runs" in codes(evidence)
    whole = written({"train.log": lines(200)})
    assert value(whole, "steps") == value(whole, "planned_steps") == 200


def test_a_time_whose_unit_says_of_what(written):
    text = "[train] tokens/iter = 4,096 | train tokens = 822,748,689\n"
    text += "".join(f"[train] iter {one}: loss 2.{one} 250 ms/iter\n" for one in range(20, 101, 20))
    evidence = written({"train.log": text})
    facts = logs.assemble(evidence)
    assert facts.timed_seconds.number == 100 * 0.25
    assert facts.tokens.number == 100 * 4_096


def test_a_plain_time_is_a_steps_where_its_pace_says_so(written):
    def lines(times, pace):
        return "".join(
            f"step {one}, loss: 2.{one}, time: {time} ms, tokens/sec: {pace(time):.2f}\n"
            for one, time in enumerate(times)
        )

    # 4,096 tokens a step: time x pace is the same amount each time.
    evidence = written({"train.log": lines((100, 98, 101, 99), lambda time: 4_096_000 / time)})
    assert logs.assemble(evidence).timed_seconds.number == pytest.approx(0.398)
    # A clock since the start beside the same pace is no time of a step.
    clock = written({"train.log": lines((100, 200, 300, 400), lambda time: 40_960 + time % 7)})
    assert clock.named("timed_seconds") == ()


def test_ranks_that_print_losses_of_their_own_are_no_restarts(written):
    bar = "Training Epoch: {}/2, step {}/40 completed (loss: 1.{}{}): 9%|#| {}/40 [09:01<00:00, 10.8s/it]\n"
    # Four ranks, of which every other one is a step behind.
    text = "".join(
        bar.format(epoch, step - lag, step, rank, step)
        for epoch in (1, 2)
        for step in range(41)
        for rank, lag in enumerate((0, 1, 0, 1))
        if 0 <= step - lag < 40
    )
    evidence = written({"train.log": text})
    assert value(evidence, "steps") == 2 * 40
    assert evidence.named("lost_steps") == ()
    assert "duplicate-lines" in codes(evidence)


def test_a_run_that_was_started_again_is_no_rank(written):
    rows = [f"step {one} loss 2.{one}\n" for one in range(1, 41)]
    evidence = written({"train.log": "".join(rows + [one.replace("2.", "1.") for one in rows])})
    assert value(evidence, "steps") == 40
    assert value(evidence, "lost_steps") == 40


def test_a_restart_with_the_very_same_losses_keeps_its_steps(written):
    rows = [f"step {one} loss 2.{one}\n" for one in range(10, 61, 10)]
    evidence = written({"train.log": "".join(rows + rows[1:])})
    # Nothing is timed, so steps 20 to 60 are done again, and the run still ends at 60.
    assert value(evidence, "steps") == 60
    assert value(evidence, "lost_steps") == 50


def test_the_smoothed_rate_of_a_bar_is_no_time(written):
    text = "".join(
        f"step {one} loss 2.{one}: 10%|# | {one}/900 [05:12<1:02:11, 9.5 s/it]\n"
        for one in (10, 20, 30)
    )
    evidence = written({"train.log": text})
    assert value(evidence, "steps") == 30
    assert evidence.named("timed_seconds") == ()


def test_sentences_about_steps_are_no_log(written):
    evidence = written({"a.log": "At step 5 the loss was 2.0.\nWe stopped.\n"})
    assert evidence.unread == ("a.log",)


def test_configurations_are_statements(written):
    config = {"train_batch_size": 256, "train_micro_batch_size_per_gpu": 4}
    text = "{\n" + "".join(f'  "{key}": {one},\n' for key, one in config.items())
    text += '  "gradient_accumulation_steps": 8,\n  "zero_optimization": {\n    "stage": 3\n  },\n'
    text += '  "bf16": {\n    "enabled": true\n  },\n  "fp16": {\n    "enabled": false\n  }\n}\n'
    evidence = written({"ds_config.json": text})
    assert value(evidence, "global_batch") == 256
    assert value(evidence, "per_process_batch") == 4
    assert value(evidence, "precision") == "bf16"
    assert {fact.grade.value for fact in evidence.facts} == {"statement"}
    yaml = (
        "base_model: a/b\nadapter: qlora\nsequence_len: 4096\nmicro_batch_size: 2\nnum_epochs: 4\n"
    )
    evidence = written({"axolotl.yaml": yaml + "learning_rate: 0.0002\nbf16: auto\n"})
    assert value(evidence, "planned_epochs") == 4
    assert value(evidence, "kind") == "lora"
    assert evidence.named("precision") == ()
    yaml = "max_seq_len: 2048\nglobal_train_batch_size: 256\nmax_duration: 4800ba # 2.5B tokens\n"
    evidence = written({"mpt.yaml": yaml + "precision: amp_bf16\n"})
    assert value(evidence, "planned_steps") == 4800
    assert value(evidence, "precision") == "bf16"


def test_ultralytics_results_and_a_resumed_clock(written):
    table = "epoch,time,train/box_loss\n1,10.5,2.2\n2,20.5,2.1\n3,9.0,2.0\n4,18.0,1.9\n"
    evidence = written({"results.csv": table})
    facts = run(evidence)
    assert facts.epochs.number == 4
    # 20.5 s until the first process ended, 18.0 s of the second
    assert facts.timed_seconds.number == 38.5
    assert "not-evidence-alone" in codes(evidence)


def test_keras_and_timm_count_epochs_from_zero(written):
    assert run(written({"k.csv": "epoch,accuracy,loss\n0,0.5,1.0\n1,0.6,0.9\n"})).epochs.number == 2
    timm = "epoch,train_loss,eval_loss,lr\n0,6.9,6.8,0.1\n"
    assert run(written({"summary.csv": timm})).epochs.number == 1
    old = "               epoch,      train/box_loss\n                   0,     0.1\n"
    assert run(written({"v5.csv": old})).epochs.number == 1


def test_a_shifted_table_is_refused(written):
    evidence = written({"results.csv": "epoch,time,train/box_loss\n1,10.5\n"})
    assert "evidence-unreadable" in codes(evidence)


def megatron(step, samples, batch, seconds=2.0, at="12:00:00"):
    return (
        f" [2024-05-01 {at}] iteration {step:8d}/    1000 | consumed samples: {samples:12d} | elapsed time "
        f"per iteration (ms): {seconds * 1000:.1f} | global batch size: {batch:5d} | lm loss: 9.{step}E+00 | "
        "number of skipped iterations:   0 | number of nan iterations:   0 |\n"
    )


def test_megatron_whose_batch_grows(written):
    arguments = "  world_size ......... 64\n  seq_length ......... 4096\n  micro_batch_size ... 1\n"
    log = "------------------------ arguments ------------------------\n" + arguments
    log += "[before the start of training step] datetime: 2024-05-01 11:59:00 \n"
    log += megatron(1, 32, 32) + megatron(2, 64, 32) + megatron(3, 192, 128)
    log += "[after training is done] datetime: 2024-05-01 12:01:00 \n"
    evidence = written({"m.log": log})
    facts = run(evidence)
    # 32 + 32 + 128, and no batch that is a factor of the whole run
    assert facts.samples.number == 192
    assert facts.tokens.number == 192 * 4096
    assert facts.global_batch is None
    assert facts.wall_seconds.number == 120
    assert "evidence-conflict" not in codes(facts)


def test_a_running_job_and_starts_that_are_not_listed(written):
    table = "JobID|State|ElapsedRaw|AllocTRES|Restarts\n7|RUNNING|1000|gres/gpu=8|2\n"
    evidence = written({"sacct.txt": table})
    found = [one for one in evidence.findings if one.code == "coverage-gap"]
    assert len(found) == 2
    assert run(evidence).accelerator_seconds.number == 8000
    listed = "JobID|State|ElapsedRaw|AllocTRES|Restarts\n7|REQUEUED|9|gres/gpu=8|0\n"
    listed += "7|COMPLETED|1|gres/gpu=8|1\n"
    assert "coverage-gap" not in codes(written({"s2.txt": listed}))


def test_nemo_of_2023_has_no_step_time(written):
    row = "Epoch 0:   1%| | 795/77225 [9:07:58<878:01:48, 41.36s/it, loss=3.1, v_num=, "
    row += "reduced_train_loss=3.090, global_step=794.0, consumed_samples=1.63e+6]\n"
    facts = run(written({"nemo.log": row}))
    assert facts.timed_seconds.number == pytest.approx(9 * 3600 + 7 * 60 + 58)
    assert facts.timed_seconds.bound == "at least"


def test_settings_that_every_step_line_repeats(written):
    log = "".join(
        f"step={step} loss={9 - step / 100:.2f} step_time=2.0s global_batch_size=256 seq_len=2048 "
        f"micro_batch_size={step}\n"
        for step in range(1, 101)
    )
    facts = logs.assemble(written({"run.log": log}))
    assert facts.tokens.number == 100 * 256 * 2048
    assert facts.timed_seconds.number == 200
    # What changes from line to line is no setting.
    assert written({"run.log": log}).named("per_process_batch") == ()
