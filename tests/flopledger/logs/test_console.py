"""Console logs of trainers: ranks, restarts, units in labels, colours, rewritten lines."""

import pytest

from flopledger import logs

from .conftest import codes, value

TITAN = (
    "[titan] 2026-02-24 19:46:{second:02d},508 - root - INFO - step: {step:2d}  loss:  {loss:.5f}  "
    "grad_norm: 26.6  memory: 66.91GiB(37.51%)  tps: {tps}  tflops: {tflops}  mfu: {mfu}%\n"
)


def titan(step, second, loss=None, tps="10,050", tflops="314.71", mfu="13.99"):
    loss = 8.0 - step / 10 if loss is None else loss
    return TITAN.format(step=step, second=second, loss=loss, tps=tps, tflops=tflops, mfu=mfu)


def test_ranks_that_print_one_step_count_once(written):
    log = "".join(titan(step, step, tps=f"10,0{rank}0") for step in (1, 2, 3) for rank in range(4))
    evidence = written({"train.log": log})
    assert value(evidence, "steps") == 3
    assert "duplicate-lines" in codes(evidence)
    assert evidence.named("lost_steps") == ()


def test_a_restart_is_work_done_again_even_with_the_same_loss(written):
    log = "".join(titan(step, step) for step in (1, 2, 3, 4))
    log += "".join(titan(step, 40 + step) for step in (3, 4, 5))
    evidence = written({"train.log": log})
    assert value(evidence, "steps") == 5
    assert value(evidence, "lost_steps") == 2
    assert "repeated-steps" in codes(evidence)


def test_colours_carriage_returns_and_bad_bytes(written):
    log = titan(1, 1).replace("step:", "\x1b[32mstep:\x1b[0m") + titan(2, 2)
    data = b"\xff\xfe\0 12%|###\r 50%|####\r" + log.encode() + b"\x00\xc3\x28\n"
    evidence = written({"train.log": data})
    assert value(evidence, "steps") == 2
    # 314.71 TFLOP/s / 13.99 %
    assert value(evidence, "implied_peak_flop_per_second") == pytest.approx(2.2495e15, rel=1e-4)
    assert value(evidence, "tokens_per_second_per_accelerator") == 10050


def test_the_set_up_lines_of_torchtitan(written):
    log = (
        "[rank0]:[titan] 2025-01-01 10:00:00,000 - root - INFO - Building 1-D device mesh with "
        "['dp_shard'], [64]\n"
        "[titan] - root - INFO - CUDA capacity: NVIDIA H100 with 94.99GiB memory\n"
        "[titan] - root - INFO - Model llama3 8B size: 8,030,261,248 total parameters\n"
        "[titan] - root - INFO - Peak FLOPS used for computing MFU: 9.890e+14\n"
        "[titan] - root - INFO - Training starts at step 1, with local batch size 2, global batch "
        "size 128, sequence length 8192, total steps 1000 (warmup 200)\n"
    ) + titan(10, 10).replace(" 10  loss", "10  loss")
    facts = logs.assemble(written({"train.log": log}))
    assert facts.accelerator.value == "NVIDIA H100"
    assert facts.accelerator_count.number == 64
    assert facts.parameters.number == 8030261248
    # 10 steps x 128 sequences x 8192 tokens
    assert facts.tokens.number == 10 * 128 * 8192


def test_torchtitans_own_batch_is_read_and_not_made_of_its_processes(written):
    # 64 devices, of which 8 share a model (tp): 8 data-parallel ranks x 2 x 4 accumulated = 64.
    # 2 x 64 devices x 4 would be 512, eight times too many.
    log = (
        "[rank0]:[titan] 2026-01-01 10:00:00,000 - root - INFO - Building device mesh with parallelism: "
        "pp=1, dp_replicate=1, dp_shard=8, cp=1, tp=8, ep=8, etp=1\n"
        "[titan] - root - INFO - Trainer is initialized with local batch size 2, global batch "
        "size 64, gradient accumulation steps 4, sequence length 8192, total steps 1,000 (warmup 200)\n"
    ) + titan(10, 10).replace(" 10  loss", "10  loss")
    evidence = written({"train.log": log})
    facts = logs.assemble(evidence)
    assert facts.accelerator_count.number == 64
    assert facts.tokens.number == 10 * 64 * 8192
    assert value(evidence, "planned_steps") == 1000
    assert "device-count-mismatch" not in codes(evidence)


MEGATRON = (
    " [2024-09-03 15:{minute:02d}:54] iteration {step:8d}/  500000 | consumed samples: "
    "{samples:12d} | elapsed time per iteration ({unit}): {time} |"
    " throughput per GPU (TFLOP/s/GPU): 400.5 |"
    " learning rate: 1.0E-04 | global batch size:  1024 | lm loss: {loss:.6E} | loss scale: 1.0 |"
    " number of skipped iterations:   {skipped} | number of nan iterations:   0 |\n"
)


def megatron(step, minute, time="12000.0", unit="ms", skipped=0, samples=None):
    return MEGATRON.format(
        step=step,
        minute=minute,
        samples=samples if samples is not None else step * 1024,
        unit=unit,
        time=time,
        loss=10 - step / 100,
        skipped=skipped,
    )


@pytest.mark.parametrize("time, unit", [("12000.0", "ms"), ("12.0", "s"), ("12,000.0", "ms")])
def test_the_unit_stands_in_the_label(written, time, unit):
    log = "".join(megatron(step, step, time, unit) for step in (10, 20, 30))
    evidence = written({"out.log": log})
    # 30 iterations of 12 s
    assert value(evidence, "timed_seconds") == pytest.approx(360)
    assert value(evidence, "samples") == 30720
    assert value(evidence, "claimed_flop_per_second_per_accelerator") == 400.5e12


def test_a_time_without_a_unit_is_no_time(written):
    log = megatron(10, 1).replace("(ms)", "") + megatron(20, 3).replace("(ms)", "")
    assert written({"out.log": log}).named("timed_seconds") == ()


def test_skipped_steps_were_computed(written):
    log = megatron(10, 1, skipped=10) + megatron(20, 3, skipped=2)
    assert value(written({"out.log": log}), "skipped_steps") == 12


def test_a_resumed_log_covers_its_own_part(written):
    log = "".join(megatron(step, step - 1000) for step in (1010, 1020, 1030))
    evidence = written({"out.log": log})
    assert value(evidence, "steps") == 30
    assert value(evidence, "first_step") == 1000
    assert value(evidence, "samples") == 30 * 1024
    assert "resumed-run" in codes(evidence)


def test_prints_cover_an_interval_after_a_restart_too(written):
    log = "".join(megatron(step, minute) for step, minute in ((10, 1), (20, 2), (30, 3), (20, 9)))
    log += megatron(30, 10) + megatron(40, 11)
    evidence = written({"out.log": log})
    # Back to the checkpoint at 10: 20 steps again; 60 prints' worth of steps at 12 s.
    assert value(evidence, "lost_steps") == 20
    assert value(evidence, "steps") == 40
    assert value(evidence, "timed_seconds") == pytest.approx(6 * 10 * 12)


def test_a_broken_line_is_put_together(written):
    whole = megatron(10, 1)
    broken = whole.replace("| elapsed", "|\n   elapsed").replace("| global", "|\n  global")
    assert value(written({"out.log": broken + megatron(20, 3)}), "timed_seconds") == 240


def test_older_forks_count_recomputation(written):
    log = megatron(10, 1).replace("throughput per GPU (TFLOP/s/GPU)", "TFLOPs")
    assert "hardware-flop-claimed-as-model" in codes(written({"out.log": log}))


ARGUMENTS = """using world size: 16, data-parallel size: 8
------------------------ arguments ------------------------
  bf16 ............................................ True
  ffn_hidden_size ................................. 11008
  fp8 ............................................. hybrid
  group_query_attention ........................... True
  hidden_size ..................................... 4096
  kv_channels ..................................... 128
  num_attention_heads ............................. 32
  num_layers ...................................... 32
  num_query_groups ................................ 8
  recompute_granularity ........................... full
  seq_length ...................................... 4096
  swiglu .......................................... True
  untie_embeddings_and_output_weights ............. True
 > padded vocab (size: 32000) with 64 dummy tokens (new size: 32064)
"""


def test_megatrons_arguments_give_the_shape(written):
    facts = logs.assemble(written({"out.log": ARGUMENTS + megatron(10, 1)}))
    assert facts.architecture["kv_heads"] == 8
    assert facts.architecture["ffn_matrices"] == 3
    assert facts.architecture["vocabulary"] == 32064
    assert facts.architecture["tied_embeddings"] is False
    assert facts.precision.value == "fp8"
    assert facts.recompute.value == "full"
    assert facts.accelerator_count.number == 16
    assert facts.tokens.number == 10240 * 4096
    experts = ARGUMENTS.replace("  seq_length", "  num_experts ..... 8\n  seq_length")
    assert logs.assemble(written({"moe.log": experts + megatron(10, 1)})).architecture is None


def test_nanogpt_assumes_an_a100(written):
    log = "tokens per iteration will be: 491,520\nnumber of parameters: 123.59M\n"
    log += "iter 0: loss 10.9, time 40000.0ms, mfu -100.00%\n"
    log += "iter 10: loss 9.5, time 250.0ms, mfu 40.00%\n"
    evidence = written({"out.log": log})
    # Iterations 0 to 10 were done.
    assert value(evidence, "tokens") == 11 * 491520
    assert value(evidence, "claimed_mfu") == pytest.approx(0.4)
    assert value(evidence, "claimed_flop_per_second_per_accelerator") == pytest.approx(0.4 * 312e12)
    assert value(evidence, "parameters") == 123_590_000
    assert "assumed-peak" in codes(evidence)


def test_an_iteration_that_holds_an_evaluation_stands_for_itself(written):
    # A fork of nanoGPT: a unit after the loss. Iteration 0 compiles; 250 holds an evaluation of 7 s.
    log = "step 0: train loss 6.1854 BPC, val loss 6.1780 BPC\n"
    log += "iter 0: loss 6.1551 BPC, time 60000.00ms, mfu -100.00%\n"
    log += "".join(
        f"iter {i}: loss 3.{i} BPC, time 50.00ms, mfu 7.0%\n" for i in range(10, 250, 10)
    )
    log += "step 250: train loss 2.8548 BPC, val loss 2.9973 BPC\n"
    log += "iter 250: loss 2.9519 BPC, time 7050.00ms, mfu 6.35%\n"
    evidence = written({"output.log": log})
    assert value(evidence, "steps") == 251
    # 60 s of iteration 0, 249 iterations of 0.05 s, 7.05 s of the last
    assert value(evidence, "timed_seconds") == pytest.approx(60 + 249 * 0.05 + 7.05)


def test_nanochat(written):
    log = "num_layers: 20\nmodel_dim: 1280\nnum_heads: 10\nVocab size: 65,536\n"
    log += "Total batch size 524,288 => gradient accumulation steps: 1\n"
    for step in range(3):
        log += (
            f"step {step:05d}/21400 (0.0{step}%) | loss: 11.0{step}0000 | lrm: 1.00 | "
            f"dt: 500.00ms | tok/sec: 1,048,576 | mfu: 48.00 | total time: 0.01m\n"
        )
    evidence = written({"out.log": log})
    assert value(evidence, "tokens") == 3 * 524288
    assert value(evidence, "claimed_mfu") == pytest.approx(0.48)
    assert value(evidence, "planned_steps") == 21400


def test_deepspeed(written):
    stamp = "[2023-11-07 01:{minute:02d}:23,714] [INFO] [timer.py:260:stop] "
    log = "[2023-11-07 01:50:00,000] [INFO] [config.py:983:print]   train_batch_size ... 256\n"
    for step, minute in ((10, 55), (20, 56), (30, 57)):
        log += stamp.format(minute=minute) + (
            f"epoch=0/micro_step={step * 4}/global_step={step}, RunningAvgSamplesPerSec=42.5, "
            f"CurrSamplesPerSec=43.{step}, MemAllocated=4.32GB, MaxMemAllocated=38.49GB\n"
        )
    log += "[...] [Rank 0] step=30, skipped=4, lr=[1e-05], mom=[(0.9, 0.95)]\n"
    log += "world size:                                             8   \n"
    log += "fwd+bwd FLOPS per GPU = 3 * fwd flops per GPU / (fwd+bwd latency):   102.5 TFLOPS\n"
    facts = logs.assemble(written({"out.log": log}))
    assert facts.samples.number == 30 * 256
    assert facts.accelerator_count.number == 8
    assert facts.claimed_flop_per_second_per_accelerator.number == 102.5e12
    # Stamps cover two of the three intervals: a lower bound.
    assert facts.timed_seconds.number == 120
    assert facts.timed_seconds.bound == "at least"


def test_deepspeed_before_it_printed_two_rates(written):
    # The count before the rate was of micro-steps where there were any; the optimiser's line has the steps.
    log = ""
    for step, minute in ((10, 1), (20, 3), (30, 5)):
        stamp = f"[2022-03-11 02:{minute:02d}:10,000] [INFO] "
        log += f"{stamp}[logging.py:69:log_dist] [Rank 0] step={step}, skipped=2, lr=[5e-05]\n"
        log += f"{stamp}[timer.py:189:stop] 0/{step * 4}, SamplesPerSec=83.5, MemAllocated=0.26GB\n"
    evidence = written({"out.log": log})
    assert value(evidence, "steps") == 30
    assert value(evidence, "samples_per_second") == 83.5
    assert value(evidence, "skipped_steps") == 2


def test_composer(written):
    log = "max_seq_len: 2048\nglobal_train_batch_size: 256\n"
    for batch, hours in ((1, 0.0), (11, 0.1), (21, 0.2)):
        log += f"[batch={batch}/4800]:\n"
        log += f"\t Train time/batch: {batch - 1}\n\t Train time/token: {(batch - 1) * 524288}\n"
        log += "\t Train throughput/device/flops_per_sec: 150000000000000.0\n"
        log += f"\t Train throughput/device/mfu: 0.48\n\t Train time/train: {hours}\n"
    evidence = written({"out.log": log})
    # 21 batches of 256 x 2048 tokens
    assert value(evidence, "tokens") == 21 * 524288
    assert value(evidence, "timed_seconds") == pytest.approx(720)
    assert value(evidence, "implied_peak_flop_per_second") == pytest.approx(312.5e12)


def test_a_metrics_table_is_not_evidence_alone(written):
    table = "epoch,step,train_loss,val_loss\n0,49,7.6,\n0,99,,7.5\n1,149,7.1,\n"
    evidence = written({"metrics.csv": table})
    assert value(evidence, "steps") == 150
    assert "not-evidence-alone" in codes(evidence)
    bad = written({"bad.csv": table + "1,2,3,4,5,6\n"})
    assert bad.unread == ("bad.csv",)


@pytest.mark.parametrize("form", ["bar", "lines"])
def test_nemo(written, form):
    log = ""
    for step in range(4):
        if form == "bar":
            log += f"Epoch 0: :  1%| | {step}/999 [00:12<00:01, reduced_train_loss=9.{step}, "
            log += f"global_step={step}.000, consumed_samples={(step + 1) * 512}.0, "
            log += "train_step_timing in s=12.50]\r"
        else:
            log += f"Training epoch 0, iteration {step}/999 | lr: 1e-4 | global_batch_size: 512 | "
            log += f"global_step: {step} | reduced_train_loss: 9.{step} | "
            log += f"train_step_timing in s: 12.5 | consumed_samples: {(step + 1) * 512}\n"
    evidence = written({"out.log": log})
    assert value(evidence, "steps") == 4
    assert value(evidence, "samples") == 2048
    assert value(evidence, "timed_seconds") == 50


def test_nemos_lines_without_step_times(written):
    # The iterations are counted from 0: three of them, of 32 samples each.
    log = "".join(
        f"Training epoch 0, iteration {step}/9 | lr: 0.0006 | consumed_samples: {(step + 1) * 32} | "
        f"global_batch_size: 32 | global_step: {step} | reduced_train_loss: 9.{step}\n"
        for step in range(3)
    )
    evidence = written({"out.log": log})
    assert evidence.sources["out.log"].format == "nemo-log"
    assert (value(evidence, "steps"), value(evidence, "samples")) == (3, 96)


def test_words_a_second_of_older_torchtitan(written):
    log = titan(1, 1).replace("tps:", "wps:").replace("  tflops: 314.71", "")
    evidence = written({"train.log": log + titan(2, 2)})
    assert value(evidence, "steps") == 2
    assert value(evidence, "tokens_per_second_per_accelerator") == 10050


def test_a_fork_that_prints_now_and_mean_on_one_line(written):
    line = (
        "[20251023 12:{minute:02d}:12][rank-63/64][INFO ] : iteration {step:8d}/ 40000 | consumed "
        "samples: {samples} | consumed tokens: {tokens} | elapsed time per iteration (ms): "
        "16000.0/17219.3 | mem usage/free/ratio: 253.38GB/2.60GB/98.98% | throughput per GPU "
        "(TFLOP/s/GPU): 11.9/11.5 | tokens per GPU (tokens/s/GPU): 246.7/238.1 | global batch "
        "size: 64 | lm loss: 4.{step}E+00 | energy per GPU (J/iter/GPU): 500.0 |\n"
    )
    log = "using world size: 64, data-parallel size: 8\n"
    for step in (1, 2, 3):
        log += line.format(minute=step, step=step, samples=step * 64, tokens=step * 64 * 4096)
    evidence = written({"out.log": log})
    assert value(evidence, "timed_seconds") == 48
    assert value(evidence, "tokens") == 3 * 64 * 4096
    assert value(evidence, "tokens_per_second_per_accelerator") == 246.7
    assert value(evidence, "claimed_flop_per_second_per_accelerator") == pytest.approx(11.9e12)
    assert value(evidence, "wall_seconds") == 120
    # 500 J x 64 devices x 3 iterations
    assert value(evidence, "energy_joules") == 96000


def test_composer_behind_a_rank_label(written):
    log = "INFO: composer.trainer.trainer: Using precision Precision.AMP_BF16\n"
    log += "num_gpus_per_node: 8\nnum_nodes: 2\n0: [epoch=1][batch=5/5]:\n"
    log += "0:       Train time/batch: 4\n0:       Train time/token: 4000\n"
    log += "0:       Train throughput/device/tokens_per_sec: 1255.5\n"
    log += "0:       Train time/train: 0.5\n"
    facts = logs.assemble(written({"out.log": log}))
    # Counted before the fifth batch: 4000 x 5 / 4
    assert facts.tokens.number == 5000
    assert facts.accelerator_count.number == 16
    assert facts.precision.value == "bf16"
    assert facts.timed_seconds.number == 1800


_PRINT = (
    " iteration {:>8}/  115311 | consumed samples: {:>12} | elapsed time per iteration (s): 100.00 | "
    "global batch size:  2048 |\n"
)


def test_two_pieces_of_a_log_give_no_time(written) -> None:
    log = _PRINT.format(3_707, 59_312) + _PRINT.format(85_376, 158_692_272)
    run = logs.assemble(written({"log.txt": log}))
    # 81,669 steps lie between: 200 s of them are printed, and nobody knows the rest
    assert run.timed_seconds is not None
    assert (run.timed_seconds.value, run.timed_seconds.bound) == (200.0, "at least")
    assert "coverage-gap" in codes(run)


def test_a_log_with_a_steady_rhythm_has_no_hole(written) -> None:
    log = "".join(_PRINT.format(step, 2_048 * step) for step in range(1_000, 6_000, 1_000))
    run = logs.assemble(written({"log.txt": log}))
    assert run.timed_seconds is not None
    assert (run.timed_seconds.value, run.timed_seconds.bound) == (500_000.0, "exact")
