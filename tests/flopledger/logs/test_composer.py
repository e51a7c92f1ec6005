"""Composer's console: epochs, restarts, and logs of later jobs, whose counters are of the whole run."""

import pytest

from flopledger import logs

from .conftest import codes, value

#: 256 samples of 2,048 tokens a batch
TOKENS = 256 * 2_048


def printed(batch: int, head: str | None = None) -> str:
    """What stands below a batch: counters of one batch fewer, hours of 36 s a batch."""
    return (
        f"{head or f'[batch={batch}/4800]'}:\n\t Train time/batch: {batch - 1}\n"
        f"\t Train time/sample: {(batch - 1) * 256}\n\t Train time/token: {(batch - 1) * TOKENS}\n"
        f"\t Train loss/train/total: 11.{batch}\n\t Train time/train: {batch / 100:.4f}\n"
    )


def batches(first: int, last: int) -> str:
    return "".join(printed(batch) for batch in range(first, last + 1))


def test_batches_of_an_epoch_are_counted_over_the_epochs(written):
    # one epoch of 6 batches and 4 batches of the second: 10, and not 4
    heads = [f"[epoch={1 + n // 6}][batch={n % 6 + 1}/6]" for n in range(10)]
    found = written({"a.log": "".join(printed(n + 1, head) for n, head in enumerate(heads))})
    assert value(found, "steps") == 10
    assert value(found, "tokens") == 10 * TOKENS
    assert value(found, "timed_seconds") == pytest.approx(10 * 36)
    assert not found.named("planned_steps"), "6 is an epoch's length, and nobody says how many"


def test_planned_epochs_give_planned_batches(written):
    heads = [f"[epoch=1/3][batch={n}/6]" for n in range(1, 5)]
    found = written({"a.log": "".join(printed(n + 1, head) for n, head in enumerate(heads))})
    assert value(found, "planned_steps") == 3 * 6


def test_batches_done_again_are_told(written):
    # 1 to 8, then from the checkpoint after 4 on to 12: 16 done, 12 kept
    found = written({"a.log": batches(1, 8) + batches(5, 12)})
    assert value(found, "steps") == 12
    assert value(found, "lost_steps") == 4
    assert value(found, "tokens") == 12 * TOKENS
    assert "repeated-steps" in codes(found)
    # the clock falls back with the checkpoint: 8 x 36 s and 7 intervals are the least that was spent
    assert value(found, "seen_seconds") == pytest.approx((8 + 7) * 36)
    assert not found.named("timed_seconds")


def test_a_later_job_did_its_own_batches(written):
    found = written({"a.log": batches(9, 16)})
    assert (value(found, "first_step"), value(found, "steps")) == (8, 8)
    assert value(found, "tokens") == 8 * TOKENS
    assert value(found, "seen_seconds") == pytest.approx(7 * 36)


def test_logs_that_follow_one_another_are_one_run(written):
    run = logs.assemble(written({"a.log": batches(1, 8), "b.log": batches(9, 16)}))
    assert run.steps is not None
    assert run.steps.value == 16
    assert run.tokens is not None
    assert run.tokens.value == 16 * TOKENS
    assert "joined-logs" in codes(run)


def test_stamps_that_a_collector_set_before_each_line_hide_no_metric(written):
    stamped = "".join(
        f"2024-03-04T10:00:00.123456789Z {line}\n" for line in batches(1, 8).splitlines()
    )
    found = written({"a.log": stamped})
    assert value(found, "tokens") == 8 * TOKENS
