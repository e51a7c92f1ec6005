"""Logs of CLU's writer (written here in the form of its own source)."""

from flopledger import logs

from .conftest import codes, value

AT = "I1127 10:22:20.758177 140023579745408 "


def report(step, uptime, total=500):
    return (
        f"{AT}local.py:41] Setting work unit notes: 2.5 steps/s, 1.0% ({step}/{total}), ETA: 3m\n"
        f"{AT}logging_writer.py:48] [{step}] steps_per_sec=2.5\n"
        f"{AT}logging_writer.py:48] [{step}] uptime={uptime}\n"
    )


def loss(step, of=""):
    return f"{AT}logging_writer.py:48] [{step}]{of} accuracy=0.1, loss=2.3{step}\n"


def test_uptime_is_the_clock_and_work_units_the_plan(written):
    text = "".join(report(step, step / 2.5 + 60) + loss(step) for step in range(100, 501, 100))
    text += loss(500, " collection=eval") + loss(9000, " collection=eval")
    evidence = written({"train.log": text})
    facts = logs.assemble(evidence)
    assert facts.steps.number == value(evidence, "planned_steps") == 500
    # 500 / 2.5 s and a minute of compilation
    assert facts.timed_seconds.number == 260
    assert facts.timed_seconds.bound == "at least"
    assert "duplicate-lines" not in codes(evidence)


def test_a_process_that_resumed_adds_its_uptime(written):
    text = "".join(report(step, step) for step in (100, 200, 300))
    text += "".join(report(step, step - 190) for step in (300, 400, 500))
    evidence = written({"train.log": text})
    assert value(evidence, "steps") == 500
    assert value(evidence, "seen_seconds") == 300 + 310
    # The second process reports 300 as the end of a hundred steps, which the first had done.
    assert value(evidence, "lost_steps") == 100


def test_steps_without_a_clock(written):
    text = f"{AT}logging_writer.py:48] [0] collection=train timing/train_iter_warmup=1.9e-06\n"
    text += "".join(f"{AT}trainer.py:509] Training: step {step}\n" for step in range(10, 101, 10))
    evidence = written({"t5x.log": text})
    assert value(evidence, "steps") == 100
    assert evidence.named("seen_seconds") == ()
