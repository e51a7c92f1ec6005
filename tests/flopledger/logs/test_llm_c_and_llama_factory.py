"""llm.c's console and LLaMA-Factory's rows; states that a finished run left behind."""

import json

from flopledger import logs

from .conftest import codes, value

SETTINGS = """\
+-----------------------+----------------------------------------------------+
| Parameter             | Value                                              |
| micro batch size B    | 64                                                 |
| sequence length T     | 1024                                               |
| total batch size      | 524288                                             |
| recompute             | 1                                                  |
| device                | NVIDIA A100-SXM4-80GB                              |
| precision             | BF16                                               |
| padded_vocab_size Vp  | 50304                                              |
| num_layers L          | 12                                                 |
| num_heads NH          | 12                                                 |
| channels C            | 768                                                |
| num_parameters        | 124475904                                          |
| num_processes         | 8                                                  |
+-----------------------+----------------------------------------------------+
"""


def llm_c(steps, planned=19560):
    return SETTINGS + "".join(
        f"step {step:4d}/{planned} | loss 7.{step:04d} (+nanz)| norm 1.2 (+nanz)| lr 1.00e-05 | "
        f"300.00 ms | 57.1% bf16 MFU | 1747626 tok/s\nval loss 6.9\n"
        for step in steps
    )


def test_llm_c_tells_nearly_everything(written):
    found = written({"main.log": llm_c(range(1, 101))})
    facts = logs.assemble(found)
    # 100 steps of 524,288 tokens, 0.3 s each on 8 devices
    assert facts.tokens.number == 52_428_800
    assert facts.timed_seconds.number == 30
    assert facts.accelerator_seconds.number == 240
    assert facts.accelerator.value == "NVIDIA A100-SXM4-80GB"
    assert facts.precision.value == "bf16"
    assert facts.architecture is not None
    assert facts.architecture["ffn"] == 3072
    assert value(found, "global_batch") == 512
    assert value(found, "claimed_mfu") == 0.571
    assert "stopped-early" in codes(facts)


def test_llm_c_resumed_and_older_lines(written):
    facts = logs.assemble(written({"main.log": llm_c(range(51, 101), planned=100)}))
    assert facts.tokens.number == 50 * 524_288
    assert "resumed-run" in codes(facts)
    assert "stopped-early" not in codes(facts)
    older = "".join(
        f"step {step}/2: train loss 5.2 (acc 5.2) (200.0 ms, 20480 tok/s)\n" for step in (1, 2)
    )
    assert logs.assemble(written({"old.log": older})).timed_seconds.number == 0.4


def rows(steps, total=100, start=0, pace=60, **more):
    found = []
    for at in steps:
        seconds = (at - start) * pace
        clock = f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        row = {"current_steps": at, "total_steps": total, "loss": 1.0, "epoch": at / total * 3}
        found.append(json.dumps(row | {"elapsed_time": clock} | more))
    return "\n".join(found) + "\n"


def test_rows_of_a_whole_run(written):
    text = rows(range(10, 101, 10), total_tokens=123_456)
    facts = logs.assemble(written({"trainer_log.jsonl": text}))
    assert facts.steps.number == 100
    assert facts.timed_seconds.number == 6000
    assert facts.timed_seconds.bound == "at least"
    assert facts.tokens.number == 123_456
    assert not codes(facts) & {"resumed-run", "stopped-early", "duplicate-lines"}


def test_a_clock_that_starts_again_and_nodes_that_share_a_file(written):
    first, second = rows(range(10, 61, 10)), rows(range(50, 101, 10), start=40)
    found = written({"trainer_log.jsonl": first + second})
    # 60 min and, from step 40 on, another 60; steps 41 to 60 were done twice.
    assert logs.assemble(found).timed_seconds.number == 7200
    assert value(found, "steps") == 100
    assert value(found, "lost_steps") == 20
    one, two = rows(range(10, 101, 10)).splitlines(), rows(range(10, 101, 10), pace=61).splitlines()
    both = "\n".join(row for pair in zip(one, two, strict=True) for row in pair)
    found = written({"trainer_log.jsonl": both})
    assert value(found, "steps") == 100
    assert not found.named("lost_steps")
    assert "duplicate-lines" in codes(found)


def test_several_trainings_and_none_in_one_file(written):
    found = written({"trainer_log.jsonl": rows(range(10, 51, 10), total=50) + rows([10, 20])})
    assert value(found, "steps") == 20
    assert "several-runs" in codes(found)
    silent = json.dumps({"current_steps": 5, "total_steps": 5, "elapsed_time": "0:10:07"})
    found = written({"trainer_log.jsonl": silent})
    assert not found.facts
    assert "not-evidence-alone" in codes(found)


def test_a_state_that_a_finished_run_left_behind(written):
    state = {
        "epoch": 2.77,
        "global_step": 6000,
        "max_steps": 8660,
        "num_train_epochs": 4,
        "total_flos": 1.65e18,
        "log_history": [{"epoch": 2.77, "loss": 0.3, "step": 6000}],
    }
    results = {
        "epoch": 4.0,
        "total_flos": 2.38e18,
        "train_loss": 0.29,
        "train_runtime": 20_387.7,
        "train_samples_per_second": 6.796,
        "train_steps_per_second": 0.425,
    }
    files = {"checkpoint-6000/trainer_state.json": json.dumps(state)}
    alone = logs.assemble(written(files))
    assert alone.steps.number == 6000
    files["all_results.json"] = json.dumps(results)
    facts = logs.assemble(written(files))
    # 6.796 samples/s x 20,387.7 s / 8660 steps = 16.0 a step; 8660 x 16 samples
    assert facts.samples.number == 8660 * 16
    assert facts.epochs.number == 4.0
    assert facts.claimed_flop.number == 2.38e18
    assert "earlier-checkpoints" in codes(facts)
    assert not codes(facts) & {"stopped-early", "evidence-conflict"}


def test_results_that_round_their_epoch_are_of_the_same_end(written):
    # max_steps ends the run inside of its first pass: 0.27708 there, and 0.28 in the results
    state = {
        "epoch": 0.27708,
        "global_step": 3000,
        "max_steps": 3000,
        "num_train_epochs": 1,
        "total_flos": 1.7e17,
        "log_history": [{"epoch": 0.27, "loss": 0.3, "step": 2990}],
    }
    results = {
        "epoch": 0.28,
        "train_loss": 0.29,
        "train_runtime": 27_386.6,
        "train_samples": 173_235,
        "train_samples_per_second": 1.753,
        "train_steps_per_second": 0.11,
    }
    files = {"trainer_state.json": json.dumps(state), "all_results.json": json.dumps(results)}
    facts = logs.assemble(written(files))
    # 1.753 samples/s x 27,386.6 s / 3000 steps = 16.0 a step, and not 0.28 x 173,235 = 48,506 samples
    assert facts.steps.number == 3000
    assert facts.samples.number == 3000 * 16
    assert "earlier-checkpoints" not in codes(facts)
