"""Consoles of many programs, each by the lines that it prints (written here in their form)."""

import pytest

from flopledger import logs
from flopledger.logs.stepping import Step, StepLog

from .conftest import codes, value


def run(evidence):
    return logs.assemble(evidence)


def test_litgpt_counts_forward_passes(written):
    lines = "".join(
        f"Epoch 1 | iter {one * 4} step {one} | loss train: 3.{one:03d}, val: n/a | iter time: 250.00 ms "
        "(step) remaining time: 0:01:54\n"
        for one in range(1, 11)
    )
    evidence = written({"pretrain.log": "Total parameters: 1,100,048,384\n" + lines})
    facts = run(evidence)
    # 40 passes, four a step, 0.25 s each
    assert facts.steps.number == 10
    assert value(evidence, "gradient_accumulation") == 4
    assert facts.timed_seconds.number == 40 * 0.25
    assert facts.parameters.number == 1_100_048_384


def test_litgpt_of_2023_counts_passes_from_zero(written):
    mark = ("", " (optimizer.step)")
    lines = "".join(
        f"iter {one} step {(one + 1) // 2}: loss 10.9{one}, iter time: 500.00ms{mark[one % 2]}\n"
        for one in range(8)
    )
    facts = run(written({"run.log": lines}))
    # passes 0 to 7, two a step
    assert facts.steps.number == 4
    assert facts.timed_seconds.number == 8 * 0.5


def test_litgpt_whose_ratio_changes_gives_no_steps(written):
    lines = "iter 4 step 2: loss 1.0, iter time: 9.0ms (step)\n"
    lines += "iter 9 step 3: loss 1.0, iter time: 9.0ms (step)\n"
    evidence = written({"run.log": lines})
    assert evidence.named("steps") == ()
    assert "unit-ambiguity" in codes(evidence)


def test_litgpt_end_is_better_than_its_samples(written):
    lines = "Epoch 1 | iter 2 step 1 | loss train: 3.1, val: n/a | iter time: 9.0 ms (step)\n"
    lines += "| - Total tokens  : 999,424\n| - Training Time : 48.30 s\n| - Tok/sec       : 60.93 tok/s\n"
    facts = run(written({"run.log": lines}))
    assert facts.tokens.number == 999_424
    assert facts.timed_seconds.number == 48.3


def test_timm_prints_the_mean_since_the_epoch_began(written):
    row = (
        "Train: {} [{:4d}/100 ({:3d}%)]  Loss: 6.{} (6.9)  "
        "Time: {:.3f}s, {:7.2f}/s  ({:.3f}s,  9.9/s)  LR: 1e-3\n"
    )
    lines = ""
    for epoch in range(2):
        lines += row.format(epoch, 0, 0, epoch, 4.0, 64.0, 4.0)
        # 51 steps in 51 x 0.5 s, 100 steps in 100 x 0.4 s; the last batch is a short one
        lines += row.format(epoch, 50, 50, epoch + 2, 0.4, 640.0, 0.5)
        lines += row.format(epoch, 99, 100, epoch + 4, 0.4, 320.0, 0.4)
    facts = run(written({"train.log": lines}))
    assert facts.steps.number == 200
    # 4.0 s x 64 a second, and 0.4 s x 640: 256 samples a step
    assert facts.global_batch.number == 256
    assert facts.timed_seconds.number == pytest.approx(2 * 100 * 0.4, rel=1e-3)
    assert facts.epochs.number == 2


def test_metric_logger(written):
    lines = "Namespace(batch_size=64, world_size=8)\nnumber of params: 26001256\n" + "".join(
        f"Epoch: [{epoch}]  [{step:4d}/40]  eta: 0:00:10  lr: 0.1  loss: 2.{step} (2.7)  "
        "time: 0.5000  data: 0.0003  max mem: 58000\n"
        for epoch in range(2)
        for step in (0, 10, 20, 30, 39)
    )
    facts = run(written({"log.txt": lines + "Training time 0:01:10\n"}))
    assert facts.steps.number == 80
    assert facts.timed_seconds.number == 70
    assert facts.accelerator_count.number == 8
    assert facts.parameters.number == 26_001_256


def test_mmengine(written):
    lines = "    GPU 0,1: NVIDIA A100-SXM4-80GB\n" + "".join(
        f"2024/05/07 12:{step // 10:02d}:00 - mmengine - INFO - Iter(train) [{step:4d}/2046]  lr: 3e-05  "
        f"eta: 0:29:39  time: 2.5000  data_time: 0.01  memory: 15266  loss: 0.78{step}\n"
        for step in range(10, 60, 10)
    )
    facts = run(written({"x.log": lines}))
    assert facts.steps.number == 50
    assert facts.timed_seconds.number == 50 * 2.5
    assert facts.accelerator.value == "NVIDIA A100-SXM4-80GB"
    assert facts.accelerator_count.bound == "at most"


def test_mmengine_by_epochs(written):
    lines = "".join(
        f"2024/05/07 12:00:0{epoch} - mmengine - INFO - Epoch(train)  [{epoch}][ {step}/100]  lr: 2e-02  "
        f"eta: 1 day, 1:00:00  time: 0.2000  data_time: 0.01  memory: 9  loss: 0.{epoch}{step}\n"
        for epoch in (1, 2, 3)
        for step in (50, 100)
    )
    facts = run(written({"x.log": lines}))
    assert facts.steps.number == 300
    assert facts.timed_seconds.number == pytest.approx(300 * 0.2)


def test_yolox_detectron_and_mlx(written):
    yolox = "".join(
        f"2021-08-03 08:0{step // 10}:00 | INFO | yolox.core.trainer:259 - epoch: 1/100, iter: {step}/983, "
        f"mem: 7746Mb, iter_time: 1.500s, data_time: 0.1s, total_loss: 5.{step}, lr: 1e-3, size: 512\n"
        for step in (10, 20, 30)
    )
    assert run(written({"yolox.log": yolox})).timed_seconds.number == 30 * 1.5
    detectron = "".join(
        f"[08/03 08:00:00 d2.utils.events]:  eta: 0:30:00  iter: {step}  total_loss: 1.{step}  "
        "loss_cls: 0.5  time: 0.3000  data_time: 0.01  lr: 0.02  max_mem: 4000M\n"
        for step in (19, 39, 59)
    )
    facts = run(written({"d2.log": detectron}))
    assert (facts.steps.number, facts.timed_seconds.number) == (60, pytest.approx(18))
    mlx = "".join(
        f"Iter {step}: Train loss 4.0{step}, Learning Rate 2.000e-08, It/sec 2.000, Tokens/sec 120.0, "
        f"Trained Tokens {step * 60}, Peak mem 5.094 GB\n"
        for step in (10, 20)
    )
    facts = run(written({"mlx.log": mlx}))
    # 20 steps at two a second; the program counts the tokens itself
    assert (facts.timed_seconds.number, facts.tokens.number) == (10, 1200)


FAIRSEQ = """2021-03-08 18:04:09 | INFO | fairseq_cli.train | num. model params: 13,000 (num. trained: 13,000)
2021-03-08 18:04:09 | INFO | fairseq_cli.train | training on 8 devices (GPUs/TPUs)
"""


def inner(step, words=131072, wall=0):
    return (
        f'2021-03-08 18:05:0{step % 10} | INFO | train_inner | {{"epoch": 1, "loss": "16.{step}", '
        f'"wps": "3283.4", "wpb": "{words}", "bsz": "64", "num_updates": "{step}", "wall": "{wall}"}}\n'
    )


def test_fairseq(written):
    lines = inner(1, wall=50) + inner(2, wall=90)
    lines += "2021-03-08 18:06:21 | INFO | fairseq.trainer | NOTE: gradient overflow detected, ignoring\n"
    lines += inner(3, 65536, 130)
    lines += "2021-03-08 18:12:45 | INFO | fairseq_cli.train | done training in 139.5 seconds\n"
    evidence = written({"train.log": FAIRSEQ + lines})
    facts = run(evidence)
    # 2 x 131,072 + 65,536 words; 3 x 64 sentences
    assert facts.tokens.number == 2 * 131072 + 65536
    assert facts.samples.number == 192
    assert facts.accelerator_seconds.number == 8 * 139.5
    # its counter leaves the overflowed step out
    assert value(evidence, "skipped_steps") == 1


def test_fairseq_that_breaks_off_gives_a_lower_bound(written):
    facts = run(written({"train.log": FAIRSEQ + inner(1, wall=50) + inner(2, wall=90)}))
    assert facts.timed_seconds.number == 90
    assert facts.timed_seconds.bound == "at least"


def test_fairseq_of_a_translation_counts_the_target_alone(written):
    evidence = written({"t.log": "| [en] dictionary: 32768 types\n" + inner(1) + inner(2)})
    assert evidence.named("tokens") == ()
    assert value(evidence, "target_tokens") == 2 * 131072
    assert "unit-ambiguity" in codes(evidence)


def test_fairseq_of_2018(written):
    lines = "".join(
        f"| epoch {epoch:03d}  {step} / 2000 loss=1.2{step} (1.50), wps=962, wpb=900, bsz=32, lr=0.001\n"
        for epoch in (1, 2)
        for step in (1000, 2000)
    )
    facts = run(written({"t.log": lines}))
    assert facts.steps.number == 4000
    assert facts.tokens.number == 4000 * 900


PRINTED = """world_size:8 grad_accum_steps:1
model_params:17059912
train_batch_tokens:524288 train_seq_len:1024 iterations:20000 warmup_steps:20
step:1000/20000 train_loss:2.3030 train_time:43390ms step_avg:43.39ms
step:1200/20000 train_loss:2.2607 train_time:52072ms step_avg:43.39ms
"""


def test_settings_printed_in_place_of_source(written):
    facts = run(written({"train.log": PRINTED}))
    assert facts.tokens.number == 1200 * 524288
    assert facts.accelerator_count.number == 8
    assert facts.parameters.number == 17_059_912
    assert facts.timed_seconds.number == pytest.approx(52.072)


def test_a_clock_in_minutes_is_made_exact_where_the_program_stops(written):
    log = "  train_batch_tokens: 786432\n  num_loops: 2\n"
    log += "500/20000 train_loss: 3.3 train_time: 0.8m tok/s: 8021043\n"
    log += "1000/20000 train_loss: 3.2 train_time: 1.6m tok/s: 8021043\n"
    log += "stopping_early: wallclock_cap train_time: 98054ms step: 1010/20000\n"
    evidence = written({"train.log": log})
    facts = run(evidence)
    assert facts.timed_seconds.number == pytest.approx(98.054)
    assert facts.tokens.number == 1010 * 786432
    assert "layers-run-again" in codes(evidence)


def test_gpt_neox_prints_its_rate_before_the_iteration(written):
    lines = "".join(
        f" samples/sec: 42.667 | iteration {step:8d}/  320000 | elapsed time per iteration (ms): 12000.0 | "
        f"learning rate: 1.9E-06 | approx flops per GPU: 45.3TFLOPS | lm_loss: 1.07{step}E+01 | "
        "number of skipped iterations:   0 | number of nan iterations:   0 |\n"
        for step in (10, 20)
    )
    facts = run(written({"neox.log": lines}))
    # 42.667 a second x 12 s = 512.0
    assert facts.global_batch.number == 512
    assert facts.samples.number == 20 * 512
    assert facts.claimed_flop_per_second_per_accelerator.number == pytest.approx(45.3e12)
    assert "hardware-flop-claimed-as-model" in codes(facts)


DEEPSPEED = "".join(
    f"[2023-11-07 02:0{step // 10}:00,417] [INFO] [timer.py:260:stop] epoch=0/micro_step={4 * step}/"
    f"global_step={step}, RunningAvgSamplesPerSec=25.7{step}, CurrSamplesPerSec=25.81{step}, "
    "MemAllocated=4.32GB, MaxMemAllocated=38.49GB\n"
    for step in (10, 20, 30)
)


def test_deepspeed_chat_prints_the_trainers_banner(written):
    log = "***** Running training *****\n***** Evaluating reward, Epoch 0/1 *****\n" + DEEPSPEED
    evidence = written({"chat.log": log})
    assert evidence.sources["chat.log"].format == "deepspeed-log"
    assert run(evidence).steps.number == 30
    # 40 passes at step 10
    assert value(evidence, "gradient_accumulation") == 4


def test_deepspeed_settings_longer_than_their_column(written):
    log = "[INFO] [config.py:964:print]   train_micro_batch_size_per_gpu  8\n"
    log += "[INFO] [config.py:964:print]   world_size ................... 2\n" + DEEPSPEED
    facts = run(written({"run.log": log}))
    # 8 x 4 passes x 2 processes, 30 steps
    assert facts.samples.number == 8 * 4 * 2 * 30


def test_kohya(written):
    log = """running training / 学習開始
  num train images * repeats / 学習画像の数×繰り返し回数: 51
  num reg images / 正則化画像の数: 0
  num batches per epoch / 1epochのバッチ数: 51
  num epochs / epoch数: 150
  batch size per device / バッチサイズ: 2
  gradient accumulation steps / 勾配を合計するステップ数 = 1
  total optimization steps / 学習ステップ数: 7650
steps:   1%|▎    | 48/7650 [00:45<2:00:39,  1.05it/s, avr_loss=0.0818]
steps:   4%|██   | 306/7650 [04:52<1:57:00,  1.05it/s, avr_loss=0.09]
"""
    facts = run(written({"kohya.log": log}))
    assert facts.steps.number == 306
    assert facts.timed_seconds.number == 4 * 60 + 52
    assert facts.timed_seconds.bound == "at least"
    assert facts.samples.bound == "at least"  # processes are not printed


def test_rows_of_losses_without_a_plan(written):
    log = "{'loss': 1.2, 'learning_rate': 6e-06, 'epoch': 0.03}\n"
    log += "  3%|▎         | 37/1170 [10:22<5:12:10, 16.53s/it]\r"
    log += "{'loss': 1.1, 'learning_rate': 6e-06, 'epoch': 0.04}\n"
    facts = run(written({"run.log": log}))
    assert facts.steps.number == 37
    assert facts.timed_seconds.number == 622


def test_marks_without_figures_are_said(written):
    log = "***** Running training *****\n{'loss': nothing\n"
    evidence = written({"a.log": log + "Num examples = \n"})
    assert "no-facts" in codes(evidence)


def test_a_table_of_jobs_without_time_is_said(written):
    table = "JobID|JobName|State|ExitCode|NNodes\n1|a|COMPLETED|0:0|1\n"
    assert "not-evidence-alone" in codes(written({"sacct.txt": table}))


LAUNCHED = {
    "torchrun": "[rank0]:",
    "torchelastic": "[default0]:",
    "srun": " 0: ",
    "ray": "(TaskRunner pid=16292) ",
    "torchrun in ray": "\x1b[36m(Worker pid=16292, ip=10.0.0.1)\x1b[0m [rank0]: ",
    "ray below srun": " 0: (TaskRunner pid=16292) ",
    "colour": "\x1b[32m",
}


@pytest.mark.parametrize("prefix", LAUNCHED.values(), ids=LAUNCHED)
def test_what_a_launcher_sets_before_lines_changes_nothing(written, prefix):
    rows = "".join(
        f"Train: 0 [{step:4d}/100 (  1%)]  Loss: 6.{step} (6.9)  "
        "Time: 0.500s,  128.00/s  (0.500s,  128.00/s)\n"
        for step in (0, 50, 99)
    )
    plain = run(written({"a.log": rows}))
    dressed = written({"b.log": "".join(f"{prefix}{one}\n" for one in rows.splitlines())})
    assert dressed.sources["b.log"].format == "timm-log"
    facts = run(dressed)
    assert facts.timed_seconds.number == plain.timed_seconds.number == pytest.approx(50)
    assert facts.steps.number == plain.steps.number == 100


def test_a_log_put_twice_into_one_file_is_one_run(written):
    rows = "".join(
        f"Epoch 1 | iter {4 * one} step {one} | loss train: 3.{one}, val: n/a | "
        f"iter time: {200 + one}.11 ms (step)\n"
        for one in range(1, 31)
    )
    once, twice = run(written({"a.log": rows})), written({"b.log": rows + rows})
    assert run(twice).steps.number == once.steps.number == 30
    assert run(twice).timed_seconds.number == once.timed_seconds.number
    assert value(twice, "gradient_accumulation") == 4
    assert twice.named("lost_steps") == ()
    assert "duplicate-lines" in codes(twice)


def test_a_table_of_jobs_put_together_twice_counts_each_once(written):
    table = "JobID|State|ElapsedRaw|AllocTRES\n7|COMPLETED|100|gres/gpu=8\n8|FAILED|10|gres/gpu=8\n"
    evidence = written({"sacct.txt": table + table})
    assert run(evidence).accelerator_seconds.number == 8 * 110
    assert "duplicate-lines" in codes(evidence)


def test_paddlenlp_prints_the_trainers_plan_and_lines_of_its_own(written):
    log = """[2022-08-31 14:25:42,867] [    INFO] - ***** Running training *****
[2022-08-31 14:25:42,867] [    INFO] -   Num examples = 391783
[2022-08-31 14:25:42,867] [    INFO] -   Instantaneous batch size per device = 64
[2022-08-31 14:25:42] [    INFO] -   Total train batch size (w. parallel, distributed & accumulation) = 64
[2022-08-31 14:25:42,867] [    INFO] -   Total optimization steps = 306100.0
"""
    log += "".join(
        f"[2022-08-31 14:26:{step:02d},741] [    INFO] - loss: 1.2{step}, learning_rate: 2.9e-05, "
        f"global_step: {step}, interval_runtime: 5.0, interval_samples_per_second: 12.8, "
        "interval_steps_per_second: 2.0, epoch: 0.0016\n"
        for step in (10, 20, 30)
    )
    evidence = written({"paddle.log": log})
    facts = run(evidence)
    assert evidence.sources["paddle.log"].format == "paddlenlp-log"
    assert facts.steps.number == 30
    # two steps a second, though its rate counts one batch of ten: 12.8 x 5 s = 64, not 640
    assert facts.timed_seconds.number == 15
    assert facts.samples.number == 30 * 64
    assert value(evidence, "planned_steps") == 306100


def test_olmo_core_names_its_pace_otherwise(written):
    log = "".join(
        f"2025-06-26 10:0{step // 10}:00.123\thost:0\tolmo_core:967\tINFO\t"
        f"[step={step}/1000,epoch=1,eta=1h]\n"
        f"    throughput/device/TPS=46,000\n    throughput/total tokens={step * 1000:,}\n"
        "    throughput/device/MFU=38.2\n"
        for step in (10, 20, 30)
    )
    evidence = written({"core.log": log})
    facts = run(evidence)
    assert facts.tokens.number == 30_000
    assert facts.tokens_per_second_per_accelerator.number == 46_000
    assert facts.claimed_mfu.number == pytest.approx(0.382)


def test_the_imagenet_example_prints_the_mean_since_the_epoch_began(written):
    # Two epochs of 20 batches, printed at batches 1 and 11; the means say 2 s, then (2 + 10 x 0.5) / 11.
    text = ""
    for epoch in range(2):
        for step, mean in ((1, 2.0), (11, 7 / 11)):
            text += f"Epoch: [{epoch}][ {step}/20]\tTime  0.500 ( {mean:.6f})\tData  0.1 ( 0.1)\t"
            text += f"Loss 6.{step}e+00 (7.0e+00)\tAcc@1   0.00 (  0.00)\n"
    evidence = written({"train.log": text})
    assert evidence.sources["train.log"].format == "imagenet-example-log"
    # 20 batches of the first epoch and 11 of the second
    assert value(evidence, "steps") == 31


def test_verl_prints_a_step_and_its_time(written):
    text = "".join(
        f"step:{step} - actor/pg_loss:0.0{step} - perf/mfu/actor:0.4 - timing_s/step:61.5 - "
        "perf/throughput:836.6\n"
        for step in range(1, 5)
    )
    evidence = written({"console.log": text})
    assert value(evidence, "steps") == 4
    assert value(evidence, "timed_seconds") == 4 * 61.5


def test_verl_prints_hundreds_of_figures_a_step_and_a_plan_of_its_own(written):
    many = " - ".join(f"val-core/task_{one}/reward/mean@8:0.{one}" for one in range(180))
    assert len(many) > 6_000  # the time stands behind them
    text = " 'agent': {'name': 'tool',\n            'max_steps': 4},\n"
    text += " 'reward_model': {'n_gpus_per_node': 0,\n                   'nnodes': 0},\n"
    text += " 'trainer': {'balance_batch': True,\n             'n_gpus_per_node': 8,\n"
    text += "             'nnodes': 2,\nTotal training steps: 435\n"
    text += "".join(
        f"step:{step} - actor/entropy:0.3 - {many} - timing_s/step:np.float64(61.5) - perf/throughput:8.6\n"
        for step in range(1, 5)
    )
    mark = "\x1b[36m(TaskRunner pid=38606)\x1b[0m "
    evidence = written({"verl.log": "".join(mark + one + "\n" for one in text.splitlines())})
    assert value(evidence, "steps") == 4
    assert value(evidence, "timed_seconds") == 4 * 61.5
    # What an agent may do in a turn is no plan of the training.
    assert value(evidence, "planned_steps") == 435
    assert value(evidence, "world_size") == 8 * 2


def test_ranks_that_lag_behind_cost_no_walk_over_the_whole_log() -> None:
    class Unwalked(list):
        """A list that may be asked for its ends and grow, and not be gone through."""

        def __iter__(self):
            raise AssertionError("every line would cost as much as the log is long")

    log, line = StepLog(), 0
    log.steps = Unwalked()
    for step in range(1, 200):
        for rank in range(4):
            line += 1
            printed = step if rank == 0 else max(1, step - 1)  # the other ranks lag by a step
            mark = f"loss {printed}"
            log.add(Step(step=printed, line=line, mark=mark, printed=hash((printed, rank))))
    assert (len(log.steps), len(log.repeated), log.interval) == (199, 3 * 199, 1)
