"""OLMo's console, and the padded step lines of build-nanogpt."""

from flopledger import logs


def _step(step: int, minute: int, tokens: int) -> str:
    return (
        f"2024-06-26 10:{minute:02d}:00.123\tnode:0\tolmo.train:967\tINFO\t[step={step}/557000,epoch=0]\n"
        f"    train/CrossEntropyLoss=7.1\n    throughput/total_tokens={tokens:,}\n"
        "    throughput/device/tokens_per_second=8,500\n"
    )


def test_a_log_from_its_beginning(written) -> None:
    text = _step(100, 0, 419_430_400) + _step(200, 10, 838_860_800)
    run = logs.assemble(written({"log.txt": text}))
    assert run.steps is not None
    assert run.steps.value == 200
    assert run.tokens is not None
    assert run.tokens.value == 838_860_800
    # the first print has no beginning, so 600 s are the least that it took
    assert run.timed_seconds is not None
    assert (run.timed_seconds.value, run.timed_seconds.bound) == (600.0, "at least")
    assert run.tokens_per_second_per_accelerator is not None
    assert run.tokens_per_second_per_accelerator.value == 8_500


def test_a_resumed_log_has_its_own_steps_tokens(written) -> None:
    per_step = 4_194_304
    text = "".join(_step(1_000 + 100 * i, 10 * i, per_step * (1_000 + 100 * i)) for i in range(3))
    run = logs.assemble(written({"log.txt": text}))
    # prints at 1,000, 1,100 and 1,200 cover the 300 steps after 900
    assert run.tokens is not None
    assert run.tokens.value == 300 * per_step


def test_older_step_lines_name_no_epoch(written) -> None:
    steps = _step(1, 0, 4_194_304) + _step(2, 1, 8_388_608) + _step(3, 2, 12_582_912)
    run = logs.assemble(written({"log.txt": steps.replace(",epoch=0]", "]")}))
    assert run.steps is not None
    assert run.steps.value == 3
    assert run.tokens is not None
    assert run.tokens.value == 12_582_912


def test_ranks_that_print_the_same_step(written) -> None:
    one = _step(100, 0, 419_430_400)
    run = logs.assemble(written({"log.txt": one + one + _step(200, 10, 838_860_800)}))
    assert run.steps is not None
    assert run.steps.value == 200


def test_padded_steps(written) -> None:
    text = "total desired batch size: 524288\n" + "".join(
        f"step {step:5d} | loss: 5.8{step} | lr 8.4e-05 | norm: 0.77 | dt: 340.00ms | tok/sec: 1542023.53\n"
        for step in range(5)
    )
    run = logs.assemble(written({"log.txt": text}))
    # 5 steps of 524,288 tokens, 0.34 s each
    assert run.tokens is not None
    assert run.tokens.value == 5 * 524_288
    assert run.timed_seconds is not None
    assert run.timed_seconds.value == 1.7


def test_stamps_that_a_collector_set_before_each_line_hide_no_tokens(written) -> None:
    text = _step(100, 0, 419_430_400) + _step(200, 10, 838_860_800)
    stamped = "".join(f"2024-06-26T10:00:00.123456789Z {line}\n" for line in text.splitlines())
    run = logs.assemble(written({"log.txt": stamped}))
    assert run.tokens is not None
    assert run.tokens.value == 838_860_800
