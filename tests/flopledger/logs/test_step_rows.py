"""Logs of one JSON object a line (written here in the form of their programs)."""

import json

import pytest

from flopledger import logs
from flopledger.logs.readers import step_rows

from .conftest import codes, value


def rows(*tables):
    return "".join(json.dumps(table) + "\n" for table in tables)


def detectron(iteration, **more):
    return {"data_time": 0.01, "iteration": iteration, "total_loss": 1.5, "time": 0.25} | more


def test_detectron2_counts_iterations_from_zero(written):
    evidence = written({"metrics.json": rows(*(detectron(i, lr=i) for i in (19, 39, 59)))})
    facts = logs.assemble(evidence)
    # iterations 0 to 59 at a quarter of a second
    assert facts.steps.number == 60
    assert facts.timed_seconds.number == 60 * 0.25


def test_mmengine_rows_of_an_evaluation_are_no_steps(written):
    def train(step):
        return {"lr": 0.1, "data_time": 0.01, "loss": 3.0 - step / 1e3, "time": 0.5, "step": step}

    text = rows(
        train(100), train(200), {"accuracy/top1": 68.0, "data_time": 0.1, "time": 0.2, "step": 2}
    )
    # What a merge left behind is passed over.
    evidence = written({"scalars.json": "<<<<<<< HEAD\n" + text})
    facts = logs.assemble(evidence)
    assert facts.steps.number == 200
    assert facts.timed_seconds.number == 200 * 0.5


def mmcv(epoch, iteration, **more):
    return {"mode": "train", "epoch": epoch, "iter": iteration, "loss": 2.0, "time": 0.5} | more


def test_mmcv_whose_step_starts_again_gives_epochs_and_a_lower_bound(written):
    first = {"env_info": "sys.platform: linux\nGPU 0,1: NVIDIA A100-SXM4-80GB\n", "seed": None}
    text = rows(
        first, mmcv(1, 50), mmcv(1, 100), {"mode": "val", "epoch": 1, "iter": 20}, mmcv(2, 50)
    )
    evidence = written({"20230101.log.json": text})
    assert evidence.named("steps") == ()
    assert value(evidence, "epochs") == 2
    # 100 steps of the first epoch and 50 of the second at half a second; the rest of each is not printed
    assert value(evidence, "seen_seconds") == 150 * 0.5
    assert value(evidence, "accelerator") == "NVIDIA A100-SXM4-80GB"
    assert value(evidence, "visible_accelerators") == 2
    assert "unit-ambiguity" in codes(evidence)


def test_mmcv_whose_step_goes_on_over_epochs(written):
    evidence = written(
        {"run.log.json": rows(mmcv(1, 50), mmcv(1, 100), mmcv(2, 150), mmcv(2, 200))}
    )
    assert logs.assemble(evidence).steps.number == 200


def swift(step, elapsed, total=40, **more):
    return {"loss": 2.0, "epoch": step / total, "global_step/max_steps": f"{step}/{total}"} | {
        "elapsed_time": elapsed
    } | more  # fmt: skip


SWIFT_END = {
    "train_dataset": "size=640",
    "model_parameter_info": "PeftModelForCausalLM: 1025.5M Params (21.25M Trainable [2.07%]), 0.0M Buffers.",
    "global_step": 40,
    "log_history": [{"loss": 2.0, "step": 40}],
}


def test_swift_is_no_state_of_the_trainer(written):
    # The last row of its log holds the history as a Trainer's state does.
    evidence = written(
        {"logging.jsonl": rows(swift(20, "1m 5s"), swift(40, "1h 2m 10s"), SWIFT_END)}
    )
    facts = logs.assemble(evidence)
    assert [one.format for one in evidence.sources.values()] == ["swift-rows"]
    assert facts.steps.number == 40
    assert value(evidence, "planned_steps") == 40
    # 3,600 + 120 + 10 s
    assert facts.timed_seconds.number == 3_730
    assert facts.timed_seconds.bound == "at least"
    assert facts.parameters.number == 1_025_500_000
    assert facts.trainable_parameters.number == 21_250_000


def test_swift_resumed_in_the_same_file_adds_up_its_clocks(written):
    text = rows(
        swift(10, "10s"), swift(20, "20s"), swift(20, "5s"), swift(30, "15s"), swift(40, "25s")
    )
    evidence = written({"logging.jsonl": text})
    assert value(evidence, "steps") == 40
    assert value(evidence, "seen_seconds") == 20 + 25
    # The second process printed 20 as the end of ten steps that the first had done.
    assert value(evidence, "lost_steps") == 10


def test_swift_appended_trainings_give_no_amount(written):
    text = rows(
        swift(20, "20s"), swift(40, "40s"), swift(10, "10s", total=80), swift(80, "80s", total=80)
    )
    evidence = written({"logging.jsonl": text})
    assert evidence.named("steps") == ()
    assert evidence.named("seen_seconds") == ()
    assert "several-runs" in codes(evidence)


def test_ray_reports_are_no_steps(written):
    def report(count, seconds):
        return {"training_iteration": count, "time_total_s": seconds, "loss": 1.0, "step": count}

    table = "loss,training_iteration,time_total_s\n1.0,1,60.5\n0.9,2,120.5\n"
    for files in (
        {"result.json": rows(report(1, 60.5), report(2, 120.5))},
        {"progress.csv": table},
    ):
        evidence = written(files)
        assert evidence.named("steps") == ()
        assert value(evidence, "seen_seconds") == 120.5
        assert "not-evidence-alone" in codes(evidence)


def test_epoch_rows_count_from_zero_and_name_epochs_done_again(written):
    def epoch(number):
        return {"train_lr": 1e-4, "train_loss": 2.0, "epoch": number, "n_parameters": 41_302_368}

    evidence = written({"log.txt": rows(*(epoch(number) for number in (0, 1, 2, 1, 2, 3)))})
    assert value(evidence, "epochs") == 4
    assert value(evidence, "trainable_parameters") == 41_302_368
    assert "repeated-steps" in codes(evidence)


def test_rows_of_an_unknown_program_give_what_their_keys_say(written):
    text = rows(
        *(
            {
                "step": step,
                "loss": 3.0 - step / 100,
                "dt_ms": 250.0,
                "tokens_seen": step * 4096,
                "lr": 1e-3,
            }
            for step in (10, 20, 30, 40)
        )
    )
    evidence = written({"train.jsonl": text + '{"step": 50, "los'})
    facts = logs.assemble(evidence)
    assert facts.steps.number == 40
    assert facts.timed_seconds.number == 40 * 0.25
    assert facts.tokens.number == 40 * 4096
    assert "program-unknown" in codes(evidence)


def test_a_clock_of_an_unknown_program_starts_again_with_its_process(written):
    def row(step, seconds):
        return {"step": step, "train_loss": 2.0, "elapsed_s": seconds, "time": 99}

    text = rows(row(10, 60), row(20, 120), row(30, 40), row(40, 90))
    evidence = written({"train.jsonl": text})
    # 120 s of the first process, 90 s of the second; a plain "time" says no unit.
    assert value(evidence, "seen_seconds") == 120 + 90
    assert evidence.named("timed_seconds") == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text + b'{"iteration": 79, "total_lo',
        lambda text: text.replace(b"\n", b"\n\n"),
        lambda text: text.decode().encode("utf-16"),
        lambda text: text + b'{"iteration": 1e400, "total_loss": NaN}\n',
        lambda text: text + b'{"iteration": "many", "total_loss": 1}\n',
    ],
)
def test_other_forms_of_the_same_rows_say_the_same(written, change):
    text = rows(*(detectron(i, lr=i) for i in (19, 39, 59))).encode()
    assert logs.assemble(written({"metrics.json": change(text)})).steps.number == 60


def test_work_done_again_is_no_copy_where_nothing_is_timed(written):
    first = [{"step": step, "loss": 3.0 - step / 100} for step in range(10, 61, 10)]
    evidence = written({"train.jsonl": rows(*first, *first[1:])})
    # Steps 20 to 60 again, with the losses of a deterministic run.
    assert value(evidence, "steps") == 60
    assert value(evidence, "lost_steps") == 50


@pytest.mark.parametrize("between", [",", "\t", ", "])
def test_a_table_with_a_row_a_step_says_what_such_rows_say(written, between):
    header = ("iter", "train_loss", "val_loss", "ms_per_iter")
    cells = [(str(step), f"3.{step}", "", "250") for step in range(20, 101, 20)]
    text = "".join(between.join(row) + "\n" for row in [header, *cells])
    evidence = written({"log.csv": text})
    assert value(evidence, "steps") == 100
    assert value(evidence, "timed_seconds") == 100 * 0.25
    shifted = written({"log.csv": text + between.join([*cells[0], "9", "9"]) + "\n"})
    assert shifted.named("steps") == ()


def test_a_time_of_one_step_in_hundreds_is_not_summed(written):
    # nanoGPT's kin write a row where they evaluate: 42 s with the evaluation, where a step takes 3 s.
    cells = [f"{step},3.1,42236" for step in range(0, 4001, 500)]
    evidence = written({"log.csv": "iter,train_loss,ms_per_iter\n" + "\n".join(cells)})
    assert value(evidence, "steps") == 4001
    assert evidence.named("timed_seconds") == ()
    assert "coverage-gap" in codes(evidence)
    lines = "".join(f"iter {step}: loss 3.{step} 42236 ms/iter\n" for step in range(0, 4001, 500))
    assert written({"train.log": lines}).named("timed_seconds") == ()


def test_times_that_hold_evaluations_give_a_lower_bound(written):
    def row(step):
        return {"step": step, "loss": 3.0, "dt_ms": 30_000 if step % 100 == 0 else 250}

    evidence = written({"train.jsonl": rows(*(row(step) for step in range(10, 501, 10)))})
    # Five of the printed steps hold an evaluation; the nine before each took what the others took.
    assert value(evidence, "seen_seconds") == pytest.approx(5 * 30 + 495 * 0.25)
    assert evidence.named("timed_seconds") == ()
    plain = rows(*(row(step) for step in range(10, 91, 10)))
    assert value(written({"plain.jsonl": plain}), "timed_seconds") == 90 * 0.25


def test_a_table_of_other_things_is_no_log(written):
    for text in ("step,name\n1,a\n2,b\n3,c\n", "day,loss\n1,2\n2,3\n3,4\n", "step,loss\n1,2\n"):
        evidence = written({"table.csv": text})
        assert [one.format for one in evidence.sources.values()] == [None]


def test_rows_are_bounded(written, monkeypatch):
    monkeypatch.setattr(step_rows, "_ROWS", 5)
    evidence = written({"metrics.json": rows(*(detectron(one) for one in range(9)))})
    assert evidence.named("steps") == ()
    assert "evidence-unreadable" in codes(evidence)
