"""A figure that stands in a file and cannot be one is told: never 0, never dropped in silence."""

import json

import pytest

from .conftest import codes, value

HUGE = 10**400  # its 401 digits fit no float


def told(evidence) -> str:
    (finding,) = [one for one in evidence.findings if one.code == "figure-unread"]
    return finding.message


def state(**said) -> dict[str, str]:
    whole = {"global_step": 500, "max_steps": 500, "log_history": [], "total_flos": 1e18}
    return {"trainer_state.json": json.dumps({**whole, **said})}


@pytest.mark.parametrize("stated", [HUGE, -5, 2.5, "1,5 Mio", "9" * 70, [500]])
def test_a_step_that_cannot_be_one(written, stated):
    found = written(state(global_step=stated))
    assert not found.named("steps")
    assert "$.global_step says" in told(found)


@pytest.mark.parametrize("stated", [0, -1, None, "auto", "N/A", float("nan"), True])
def test_what_programs_write_where_nobody_counted_is_not_told(written, stated):
    found = written(state(global_step=stated))
    assert not found.named("steps")
    assert "figure-unread" not in codes(found)


def test_an_endless_number_is_shortened(written):
    assert f"{str(HUGE)[:24]}... (401 characters)" in told(written(state(global_step=HUGE)))


def test_a_runtime_and_a_total_beyond_any_float(written):
    rows = '[{"step": 500, "train_runtime": 1e999}]'
    found = written(
        {
            "trainer_state.json": f'{{"global_step": 500, "log_history": {rows}, "total_flos": 1e999}}'
        }
    )
    assert not found.named("timed_seconds")
    assert not found.named("claimed_flop")
    assert "$.log_history[0].train_runtime says inf" in told(found)
    assert "$.total_flos says inf" in told(found)


def iteration(step: int, cells: str) -> str:
    return f" iteration {step:8d}/    1000 | {cells} | lm loss: {9 - step / 1000:.3E} |\n"


def test_a_decimal_comma_in_a_console_is_no_time_and_no_rate(written):
    cells = "elapsed time per iteration (ms): 1000,5 | throughput per GPU (TFLOP/s/GPU): 400,0"
    found = written({"a.log": "".join(iteration(step, cells) for step in (100, 200, 300))})
    assert value(found, "steps") == 300
    assert not found.named("timed_seconds")
    message = told(found)
    assert "line 1, elapsed time per iteration (ms) says 1000,5" in message
    assert "line 3, throughput per gpu (tflop/s/gpu) says 400,0" in message


def test_a_time_without_its_unit_is_told(written):
    found = written({"a.log": iteration(100, "elapsed time per iteration: 1000.5")})
    assert not found.named("timed_seconds")
    assert "says 1000.5" in told(found)


def test_a_count_of_eighty_digits_is_not_cut_to_thirty(written):
    found = written({"a.log": iteration(100, f"consumed samples: {'9' * 80}")})
    assert not found.named("samples")
    assert "(80 characters)" in told(found)


def event(key: str, said: object = None, time_ms: object = 1_000_000, **metadata) -> str:
    entry = {"time_ms": time_ms, "key": key, "value": said, "metadata": metadata}
    return f":::MLLOG {json.dumps(entry)}\n"


BEGUN = event("submission_benchmark", "bert") + event("run_start")
#: 600 s later
ENDED = event("run_stop", time_ms=1_600_000, status="success")


def test_an_amount_that_cannot_be_one(written):
    found = written({"r.txt": BEGUN + event("train_samples", -7, 1_300_000) + ENDED})
    assert value(found, "timed_seconds") == 600
    assert "line 3, train_samples says -7" in told(found)


@pytest.mark.parametrize("torn", [ENDED[:60] + "WARNING: other output\n", event("run_stop", 1, -3)])
def test_a_marked_line_that_is_broken_or_without_time(written, torn):
    assert "lines that bear MLPerf's mark cannot be read (1)" in told(
        written({"r.txt": BEGUN + torn})
    )


def test_a_tracker_that_counts_backwards(written):
    found = written({"wandb-summary.json": '{"_runtime": -3, "_timestamp": 1.7e9, "_step": 10}'})
    assert "$._runtime says -3" in told(found)


#: A step line of a program; ``<F>`` is where it prints the figure whose fact is named beside it.
LINES = {
    "verl": ("step:<N> - actor/pg_loss:0.<N> - timing_s/step:<F> - perf/x:1", "timed_seconds"),
    "mmengine": ("Iter(train) [<N>/99]  lr: 1e-05  time: <F>  loss: 0.<N>", "timed_seconds"),
    "detectron2": (
        "eta: 0:01:00  iter: <N>  total_loss: 1.<N>  time: <F>  lr: 0.1",
        "timed_seconds",
    ),
    "nemo": (
        "iteration <N> | global_step: <N> | reduced_train_loss: 1.<N> | train_step_timing in s: <F>",
        "timed_seconds",
    ),
    "maxtext": (
        "completed step: <N>, seconds: <F>, TFLOP/s/device: 380.1, loss: 1.<N>",
        "timed_seconds",
    ),
    "torchtitan": (
        "[titan] step:  <N>  loss: 1.<N>  memory: 66.91GiB(37.51%)  tps: <F>  mfu: 9.1%",
        "tokens_per_second_per_accelerator",
    ),
    "mlx": (
        "Iter <N>: Train loss 4.<N>, It/sec 1.4, Tokens/sec 67.7, Trained Tokens <F>, Peak 5",
        "tokens",
    ),
    "trainer": (
        "{'loss': 1.<N>, 'epoch': 0.1, 'grad_norm': 1.0}\n{'train_runtime': <F>, 'epoch': 1.0}",
        "timed_seconds",
    ),
}


def printed(program: str, figure: str) -> str:
    line, _ = LINES[program]
    return "".join(f"{line}\n".replace("<N>", str(n)).replace("<F>", figure) for n in range(1, 6))


@pytest.mark.parametrize("figure", ["17,3", "17K", "1_730", "1.234.567"])
@pytest.mark.parametrize("program", LINES)
def test_a_figure_is_not_read_by_its_first_part(written, program, figure):
    found = written({"a.log": printed(program, figure)})
    assert not found.named(LINES[program][1])
    assert f"says {figure[:17]}" in told(found)


@pytest.mark.parametrize("program", LINES)
def test_an_exponent_belongs_to_its_figure(written, program):
    plain, spelled = both = [
        written({f"{name}.log": printed(program, figure)})
        for name, figure in (("plain", "1730"), ("spelled", "1.73e+03"))
    ]
    name = LINES[program][1]
    assert value(plain, name) == value(spelled, name)
    assert not any("figure-unread" in codes(one) for one in both)


def test_a_rate_printed_before_its_unit_is_not_read_by_its_last_part(written):
    # "17,3TFLOPS" is not 3 TFLOP/s, nor "1.5e+03 ms" 3 ms
    neox = iteration(10, "elapsed time per iteration (ms): 40.0 | approx flops per GPU: 17,3TFLOPS")
    assert not written({"n.log": neox}).named("claimed_flop_per_second_per_accelerator")
    llmc = "step {n}/99 | loss 10.{n} | norm 1.1 | 1.5e+03 ms | 48.3% bf16 MFU | 145398 tok/s\n"
    found = written({"l.log": "".join(llmc.format(n=n) for n in range(1, 6))})
    assert not found.named("timed_seconds")


@pytest.mark.parametrize("stated", [-5, HUGE, "1,5 Mio"])
def test_llama_factorys_tokens_that_cannot_be_ones(written, stated):
    row = {"current_steps": 5, "total_steps": 5, "loss": 2.0, "epoch": 1.0, "total_tokens": stated}
    row |= {"elapsed_time": "0:00:05", "remaining_time": "0:00:00", "percentage": 100.0}
    found = written({"trainer_log.jsonl": json.dumps(row) + "\n"})
    assert not found.named("tokens")
    assert "line 1 says" in told(found)
