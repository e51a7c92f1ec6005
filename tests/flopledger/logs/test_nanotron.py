"""nanotron prints three digits of everything."""

import pytest

from flopledger import logs

from .conftest import codes, value

CONFIG = (
    "01/07/2025 21:50:00 [INFO|DP=0|PP=0|TP=0|n1]:    parallelism=ParallelismArgs(dp=16,\n"
    "01/07/2025 21:50:00 [INFO|DP=0|PP=0|TP=0|n1]:        pp=1,\n"
    "01/07/2025 21:50:00 [INFO|DP=0|PP=0|TP=0|n1]:        tp=4,\n"
    "01/07/2025 21:50:00 [INFO|DP=0|PP=0|TP=0|n1]:    tokens=TokensArgs(sequence_length=2048,\n"
    "01/07/2025 21:50:00 [INFO|DP=0|PP=0|TP=0|n1]:        micro_batch_size=8,\n"
    "01/07/2025 21:50:00 [INFO|DP=0|PP=0|TP=0|n1]:        batch_accumulation_per_replica=12,\n"
)


def short(number):
    """Spell a number as the program does: three digits and a letter."""
    number = float(f"{number:.3g}")
    for letter in ("", "K", "M", "G"):
        if number < 1000:
            return f"{number:f}".rstrip("0").rstrip(".") + letter
        number /= 1000
    raise AssertionError(number)


def steps(last, batch, length, rank=0):
    return "".join(
        f"[default{rank}]:01/07/2025 21:{50 + step // 20}:{step % 20 * 3:02d} [INFO|DP=0|PP=0|TP=0|n1]: "
        f"iteration: {step} / 200 | consumed_tokens: {short(step * batch * length)} | "
        f"elapsed_time_per_iteration_ms: {short(3020)} | tokens_per_sec: {short(batch * length / 3.02)} | "
        f"tokens_per_sec_per_gpu: {short(batch * length / 3.02 / 64)} | global_batch_size: {short(batch)} | "
        f"lm_loss: {short(9 - step / 40)} | lr: 0.0003 | model_tflops_per_gpu: 180 | "
        f"hardware_tflops_per_gpu: 190 | grad_norm: 0.5\n"
        for step in range(1, last + 1)
    )


def test_batch_and_length_by_their_digits(written):
    facts = logs.assemble(written({"run.log": steps(100, 512, 4096)}))
    assert facts.tokens.number == 100 * 512 * 4096
    assert facts.timed_seconds.number == pytest.approx(302)
    assert facts.claimed_flop_per_second_per_accelerator.number == 180e12
    assert "stopped-early" in codes(facts)  # at 100 of 200


def test_the_configuration_is_exact(written):
    # 16 x 8 x 12 = 1,536 sequences, which are printed as 1.54K
    facts = logs.assemble(written({"run.log": CONFIG + steps(200, 1536, 2048)}))
    assert facts.global_batch.number == 1536
    assert facts.tokens.number == 200 * 1536 * 2048
    assert facts.accelerator_count.number == 64


def test_what_no_digit_settles_is_as_good_as_its_digits(written):
    facts = logs.assemble(written({"run.log": steps(200, 1536, 3000)}))
    assert facts.global_batch is None
    assert facts.tokens.number == pytest.approx(200 * 1536 * 3000, rel=0.005)


def test_ranks_print_the_same(written):
    evidence = written({"run.log": steps(100, 512, 4096) + steps(100, 512, 4096, rank=4)})
    assert value(evidence, "steps") == 100
    assert "duplicate-lines" in codes(evidence)


@pytest.mark.parametrize("batch", ["5.1.2", "...", "0"])
def test_a_damaged_cell_costs_itself_and_no_line_more(written, batch):
    whole = steps(100, 512, 4096)
    log = whole.replace("global_batch_size: 512", f"global_batch_size: {batch}", 1)
    facts = logs.assemble(written({"run.log": log}))
    assert facts.steps.number == 100
    assert facts.timed_seconds.number == pytest.approx(302)


def test_a_configuration_without_replicas_is_none(written):
    log = CONFIG.replace("dp=16", "dp=0") + steps(100, 512, 2048)
    facts = logs.assemble(written({"run.log": log}))
    assert facts.global_batch.number == 512
    assert facts.tokens.number == pytest.approx(100 * 512 * 2048, rel=0.005)
