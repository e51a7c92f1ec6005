"""Console logs of the Trainer: plans, ranks, restarts and what breaks off."""

import pytest

from flopledger import logs

from .conftest import codes, value

PLAN = """\
***** Running training *****
  Num examples = 52,002
  Num Epochs = 3
  Instantaneous batch size per device = 4
  Total train batch size (w. parallel, distributed & accumulation) = 128
  Gradient Accumulation steps = 8
  Total optimization steps = 1,218
  Number of trainable parameters = 6,738,415,616
"""
ROWS = """\
{'loss': 1.2, 'grad_norm': 0.5, 'learning_rate': 1e-05, 'epoch': 0.02}
 99%|#########8| 1210/1218 [2:01:10<00:48,  6.01s/it]
{'loss': 1.0, 'grad_norm': 0.4, 'learning_rate': 1e-06, 'epoch': 2.99}
"""
END = (
    "{'train_runtime': 7318.4, 'train_samples_per_second': 21.3, "
    "'train_steps_per_second': 0.166, 'train_loss': 1.1, 'epoch': 3.0}\n"
)


def test_a_training_that_ended(written):
    found = written({"train.log": PLAN + ROWS + END})
    facts = logs.assemble(found)
    # 128 a step / (4 a device x 8 accumulated) = 4 processes; 1218 steps x 128 = 155,904.
    assert facts.accelerator_count.number == 4
    assert facts.samples.number == 155_904
    assert facts.timed_seconds.number == 7318.4
    assert facts.accelerator_seconds.number == 4 * 7318.4
    assert value(found, "trainable_parameters") == 6_738_415_616
    assert not codes(found) & {"aborted-run", "stopped-early", "several-runs"}


def test_ranks_repeat_the_plan_and_the_end(written):
    slower = END.replace("7318.4", "7318.9")
    facts = logs.assemble(written({"train.log": PLAN * 4 + ROWS + END * 3 + slower}))
    assert facts.timed_seconds.number == 7318.9  # the longest held the job
    assert facts.samples.number == 155_904
    assert "several-runs" not in codes(facts)


def test_a_log_that_breaks_off(written):
    bars = "  3%|3 | 40/1218 [04:01<1:58:03, 6.01s/it]\n 33%|### | 406/1218 [40:36<1:21:12]\n"
    evaluation = "***** Running Evaluation *****\n  Num examples = 100\n 99/100 [10:00<00:06]\n"
    found = written({"train.log": PLAN + bars + evaluation})
    facts = logs.assemble(found)
    # The bar of 100 batches is the evaluation's; 40:36 are 2436 s.
    assert facts.samples.number == 406 * 128
    assert facts.timed_seconds.number == 2436
    assert facts.timed_seconds.bound == "at least"
    assert "aborted-run" in codes(facts)
    assert value(found, "dataset_samples") == 52_002


def test_early_stopping(written):
    rows = ROWS.replace("1210/1218", "812/1218").replace("'epoch': 2.99", "'epoch': 2.0")
    facts = logs.assemble(written({"train.log": PLAN + rows + END.replace("3.0}", "2.0}")}))
    assert facts.steps.number == 812
    assert "stopped-early" in codes(facts)
    # Without the bar the epochs tell it: 2 of 3 epochs of 1218 steps are 812.
    silent = rows.replace(" 99%|#########8| 812/1218 [2:01:10<00:48,  6.01s/it]\n", "")
    facts = logs.assemble(written({"train.log": PLAN + silent + END.replace("3.0}", "2.0}")}))
    assert facts.steps.number == 812


def test_a_restart_in_one_log(written):
    found = written({"train.log": PLAN + ROWS + PLAN + ROWS + END})
    assert "several-runs" in codes(found)
    assert logs.assemble(found).samples.number == 155_904


def test_a_resumed_training_covers_its_own_part(written):
    went_on = "  Continuing training from global step 1000\n"
    found = written({"train.log": PLAN + went_on + ROWS + END})
    facts = logs.assemble(found)
    assert facts.steps.number == 218
    assert facts.samples.number == 218 * 128
    assert "resumed-run" in codes(facts)


def test_the_plan_of_a_launcher_and_words_for_numbers(written):
    # Newer versions print the numbers of a row as words; the plan stands in DeepSpeed's dump.
    launcher = (
        "[INFO] [config.py:752:print]   bfloat16_enabled ............. True\n"
        "[INFO] [config.py:752:print]   train_batch_size ............. 2048\n"
        "RuntimeError: CUDA out of memory\n"
        "[INFO] [config.py:752:print]   train_batch_size ............. 512\n"
        "[INFO] [config.py:752:print]   world_size ................... 64\n"
    )
    end = "{'train_runtime': '273.0', 'train_steps_per_second': '0.007', 'epoch': '1.0'}\n"
    found = written({"job.out": launcher + end})
    assert value(found, "global_batch") == 512  # the first attempt did no step
    facts = logs.assemble(found)
    assert facts.accelerator_count.number == 64
    assert facts.precision.value == "bf16"
    assert facts.samples is None  # neither steps nor the data set's size


def test_the_printed_configuration_and_what_overrides_it(written):
    printed = (
        "INFO:__main__:Overriding config: n_embd=2048,n_layer=24,n_head=16\n"
        "[INFO|configuration_utils.py:553] 2021-05-25 06:29:50,976 >> Model config GPT2Config {\n"
        '  "model_type": "gpt2",\n  "n_embd": 768,\n  "n_head": 12,\n  "n_inner": null,\n'
        '  "n_layer": 12,\n  "n_positions": 1024,\n  "vocab_size": 50257\n}\n'
    )
    facts = logs.assemble(written({"train.log": printed * 2 + PLAN + END}))
    assert facts.architecture is not None
    assert facts.architecture["hidden"] == 2048
    assert facts.architecture["ffn"] == 4 * 2048
    assert facts.architecture["layers"] == 24
    other = printed.replace('"vocab_size": 50257', '"vocab_size": 32000')
    assert logs.assemble(written({"train.log": printed + other + PLAN + END})).architecture is None


def test_the_block_of_metrics_alone(written):
    metrics = (
        PLAN + "***** train metrics *****\n  epoch                    =        3.0\n"
        "  total_flos               = 1234567GF\n"
        "  train_runtime            = 1 day, 2:03:04.50\n  train_samples            =      52002\n"
    )
    found = written({"train.log": metrics})
    # 86,400 + 7,200 + 180 + 4.5 s
    assert value(found, "timed_seconds") == 93_784.5
    assert value(found, "claimed_flop") == 1.234567e15


UNSLOTH = """==((====))==  Unsloth - 2x faster free finetuning | Num GPUs used = 1
   \\\\   /|    Num examples = 5,000 | Num Epochs = 4 | Total steps = 624
O^O/ \\_/ \\    Batch size per device = 8 | Gradient accumulation steps = 4
\\        /    Data Parallel GPUs = 2 | Total batch size (8 x 4 x 2) = 64
 "-____-"     Trainable parameters = 41,943,040 of 8,072,204,288 (0.52% trained)
"""
UNSLOTH_OF_2024 = """==((====))==  Unsloth - 2x faster free finetuning | Num GPUs = 1
   \\\\   /|    Num examples = 500 | Num Epochs = 1
O^O/ \\_/ \\    Batch size per device = 2 | Gradient Accumulation steps = 4
\\        /    Total batch size = 8 | Total steps = 60
 "-____-"     Number of trainable parameters = 41,943,040
"""


@pytest.mark.parametrize(
    ("plan", "steps", "batch", "devices"), [(UNSLOTH, 624, 64, 2), (UNSLOTH_OF_2024, 60, 8, 1)]
)
def test_the_plan_in_unsloths_picture(written, plan, steps, batch, devices):
    rows = "{'loss': 1.2, 'grad_norm': 0.3, 'learning_rate': 0.0001, 'epoch': 0.5}\n"
    end = "{'train_runtime': 900.0, 'train_loss': 0.9, 'epoch': %.1f}\n" % (4 if steps > 60 else 1)
    facts = logs.assemble(written({"train.log": plan + rows + end}))
    assert facts.steps.number == steps
    assert facts.samples.number == steps * batch
    assert facts.trainable_parameters.number == 41_943_040
    assert facts.accelerator_count.number == devices
    assert facts.timed_seconds.number == 900
