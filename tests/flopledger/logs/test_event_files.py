"""TensorBoard's event files: texts, hyper-parameters, several files of one run, damage."""

import pathlib
import struct

import pytest

from flopledger import logs
from flopledger.logs.wire import _masked

from .conftest import codes, read_files, value

FIXTURES = pathlib.Path(__file__).parent / "fixtures"


def record(body: bytes) -> bytes:
    head = struct.pack("<Q", len(body))
    return head + struct.pack("<I", _masked(head)) + body + struct.pack("<I", _masked(body))


def field(number: int, body: bytes) -> bytes:
    return bytes([number << 3 | 2, len(body)]) + body


def scalar(when: float, step: int, **values: float) -> bytes:
    """An event: wall_time (1), step (2), summary (5) of tag (1) and simple_value (2)."""
    parts = b"".join(
        field(1, field(1, tag.replace("__", "/").encode()) + b"\x15" + struct.pack("<f", one))
        for tag, one in values.items()
    )
    return record(b"\x09" + struct.pack("<d", when) + b"\x10" + bytes([step]) + field(5, parts))


def events(*rows: bytes) -> bytes:
    return record(b"\x09" + struct.pack("<d", 1.0) + field(3, b"brain.Event:2")) + b"".join(rows)


def test_the_trainers_arguments_are_a_text():
    evidence = read_files(FIXTURES, "trainer.tfevents")
    facts = logs.assemble(evidence)
    assert value(evidence, "steps") == 10
    assert value(evidence, "per_process_batch") == 2
    assert value(evidence, "gradient_accumulation") == 2
    assert value(evidence, "model_type") == "gpt2"
    # 10 steps x 2 x 2 sequences x 32 tokens
    assert facts.tokens.number == 10 * 2 * 2 * 32
    # 4 samples a step / (2 a process x 2 passes)
    assert facts.accelerator_count.number == 1


def test_hyper_parameters_of_a_session():
    evidence = read_files(FIXTURES, "hparams.tfevents")
    assert value(evidence, "planned_steps") == 5
    assert value(evidence, "loop_batch") == 32
    assert value(evidence, "precision") == "bf16"


def test_a_step_of_an_unknown_program_is_not_called_an_optimizer_step(written):
    evidence = written({"e": events(scalar(100.0, 1, loss=3.0), scalar(160.0, 50, loss=2.0))})
    assert evidence.named("steps") == ()
    assert value(evidence, "last_logged_step") == 50
    assert value(evidence, "wall_seconds") == 60


def test_two_starts_of_one_run(written):
    # 100 to 160 s, stopped at step 60 unsaved; 1000 to 1090 s from step 40 on
    first = events(scalar(100.0, 1, tokens_seen=1e3), scalar(160.0, 60, tokens_seen=6e4))
    second = events(scalar(1000.0, 40, tokens_seen=4e4), scalar(1090.0, 90, tokens_seen=9e4))
    evidence = written({"runs/a/e1": first, "runs/b/e2": second})
    facts = logs.assemble(evidence)
    assert facts.tokens.number == 90_000
    assert facts.wall_seconds.number == 60 + 90
    assert facts.timed_seconds.number == 150
    assert facts.timed_seconds.bound == "at least"
    assert "joined-logs" in codes(facts)


def test_writers_side_by_side_count_their_time_once(written):
    train = events(scalar(100.0, 1, loss=3.0), scalar(200.0, 90, loss=2.0))
    valid = events(scalar(150.0, 50, loss=3.0), scalar(210.0, 90, loss=2.0))
    facts = logs.assemble(written({"train/e": train, "val/e": valid}))
    assert facts.wall_seconds.number == 110


def test_a_folder_of_hyper_parameters_takes_no_time(written):
    data = (FIXTURES / "hparams.tfevents").read_bytes()
    run = events(scalar(100.0, 1, loss=3.0), scalar(160.0, 50, loss=2.0))
    facts = logs.assemble(written({"e": run, "h/e": data}))
    assert facts.wall_seconds.number >= 60


@pytest.mark.parametrize("name", ["trainer.tfevents", "hparams.tfevents"])
@pytest.mark.parametrize("part", range(1, 10))
def test_a_file_cut_anywhere_is_read_so_far(written, name, part):
    data = (FIXTURES / name).read_bytes()
    evidence = written({"e": data[: len(data) * part // 10]})
    # A cut between two records leaves no trace; anything else is said.
    assert not codes(evidence) - {"torn-tail", "no-facts"}
    whole = read_files(FIXTURES, name)
    assert len(evidence.facts) <= len(whole.facts)


def test_an_evaluation_after_the_end_leaves_the_trainers_time(written):
    rows = (scalar(100.0, 1, loss=3.0), scalar(1100.0, 90, train__train_runtime=1005.0))
    after = events(scalar(1200.0, 90, eval__loss=1.0), scalar(1200.5, 90, eval__runtime=1.0))
    facts = logs.assemble(written({"runs/e1": events(*rows), "runs/e2": after}))
    # 1000.5 s of scalars; the Trainer's own time is its whole process
    assert facts.timed_seconds.number == 1005
    assert facts.timed_seconds.bound == "exact"
    assert facts.steps.number == 90


def test_folders_that_begin_anew_are_several_runs(written):
    # two trials of a search: each in a folder of its own, each from step 1 on
    first = events(scalar(100.0, 1, tokens_seen=1e3), scalar(160.0, 60, tokens_seen=6e4))
    second = events(scalar(1000.0, 1, tokens_seen=1e3), scalar(1090.0, 90, tokens_seen=9e4))
    evidence = written({"runs/a/e1": first, "runs/b/e2": second})
    facts = logs.assemble(evidence)
    assert facts.tokens is None
    assert facts.wall_seconds is None
    assert facts.timed_seconds is None
    assert "several-runs" in codes(facts)


def test_one_folder_is_one_run_even_where_it_begins_anew(written):
    first = events(scalar(100.0, 1, tokens_seen=1e3), scalar(160.0, 60, tokens_seen=6e4))
    second = events(scalar(1000.0, 1, tokens_seen=1e3), scalar(1090.0, 90, tokens_seen=9e4))
    facts = logs.assemble(written({"runs/a/e1": first, "runs/a/e2": second}))
    assert facts.wall_seconds.number == 60 + 90
    assert "several-runs" not in codes(facts)


def test_a_folder_inside_a_runs_folder_belongs_to_it(written):
    run = events(scalar(100.0, 5, loss=3.0), scalar(160.0, 50, loss=2.0))
    inner = events(scalar(170.0, 1, metric=1.0), scalar(171.0, 1, metric=1.0))
    facts = logs.assemble(written({"runs/a/e": run, "runs/a/extra/e": inner}))
    assert facts.wall_seconds.number == 60 + 1
